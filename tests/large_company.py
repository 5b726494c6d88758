"""A company of sixty services and eighty policies, in every form that policies have where they are met.

Two services have the shipped pages; of the others only the names of actions are known. The policies have
every operator, qualifier, form of a resource, kind of deny, tag key and variable of the language, and the
mistakes that people make.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from camguard.policy.operators import OPERATORS, Kind
from tests.company import Statement, allow, deny, inside, outside

# The service and some of its actions.
NAMES = """
advisor DescribeStrategies CreateAdvisorAuthorization
antiddos DescribeListBGPIPInstances CreateBlackWhiteIpList DeleteCcRequestLimitPolicy
apigateway DescribeServicesStatus CreateApi DeleteApi ReleaseService
apm DescribeApmInstances CreateApmInstance TerminateApmInstance
as DescribeAutoScalingGroups CreateAutoScalingGroup DeleteAutoScalingGroup
asr DescribeTaskStatus CreateRecTask
batch DescribeJobs SubmitJob TerminateJob
bh DescribeDevices CreateUser DeleteUsers
cam GetUser AddUser DeleteUser UpdateUser AttachUserPolicy CreatePolicy ListUsers
captcha DescribeCaptchaResult CreateCaptchaApp
cat DescribeProbeTasks CreateProbeTasks DeleteProbeTask
ccc DescribeStaffList CreateStaff DeleteStaff
cdb DescribeDBInstances CreateDBInstance IsolateDBInstance ModifyAccountPassword
cdn DescribeDomains AddCdnDomain DeleteCdnDomain PurgePathCache
cdwch DescribeInstance ScaleOutInstance DestroyInstance
cfs DescribeCfsFileSystems CreateCfsFileSystem DeleteCfsFileSystem
cfw DescribeAcLists CreateAcRules DeleteAcRule
ckafka DescribeInstances CreateTopic DeleteTopic DeleteInstancePre
clb DescribeLoadBalancers CreateLoadBalancer DeleteLoadBalancer RegisterTargets
cloudaudit DescribeEvents CreateAuditTrack DeleteAuditTrack
cls DescribeTopics CreateTopic DeleteTopic SearchLog
cvm DescribeInstances RunInstances TerminateInstances StopInstances RebootInstances ResetInstancesPassword
cwp DescribeMachines CreateLicenseOrder DeleteMachine
cynosdb DescribeClusters CreateClusters IsolateCluster
dbbrain DescribeSlowLogs CreateMailProfile
dc DescribeDirectConnects CreateDirectConnect DeleteDirectConnect
dcdb DescribeDCDBInstances CreateDCDBInstance DestroyDCDBInstance
dnspod DescribeRecordList CreateRecord DeleteRecord
dts DescribeMigrationJobs CreateMigrateJob StopMigrateJob
eb DescribeRule CreateRule DeleteRule
ecm DescribeInstances RunInstances TerminateInstances
emr DescribeInstances CreateInstance TerminateInstance
es DescribeInstances CreateInstance DeleteInstance
faceid GetFaceIdToken DetectAuth
gaap DescribeProxies CreateProxy DestroyProxies
gme DescribeApplicationData CreateApp
hunyuan ChatCompletions GetEmbedding
iai DetectFace CreatePerson DeletePerson
ims ImageModeration
iotexplorer DescribeStudioProduct CreateStudioProduct DeleteStudioProduct
kms ListKeys CreateKey DisableKey ScheduleKeyDeletion Decrypt
lighthouse DescribeInstances CreateInstances TerminateInstances
live DescribeLiveDomains AddLiveDomain DeleteLiveDomain
mariadb DescribeDBInstances CreateDBInstance DestroyDBInstance
mongodb DescribeDBInstances CreateDBInstance IsolateDBInstance
monitor DescribeAlarmPolicies CreateAlarmPolicy DeleteAlarmPolicy GetMonitorData
mps DescribeTaskDetail ProcessMedia
oceanus DescribeJobs CreateJob DeleteJobs
ocr GeneralBasicOCR IDCardOCR
organization DescribeOrganization AddOrganizationNode DeleteOrganizationNodes
postgres DescribeDBInstances CreateInstances IsolateDBInstances
redis DescribeInstances CreateInstances DestroyPrepaidInstance ModifyInstance
scf ListFunctions CreateFunction DeleteFunction Invoke
ses ListEmailTemplates SendEmail
sms DescribeSmsTemplateList SendSms AddSmsTemplate
sqlserver DescribeDBInstances CreateDBInstances TerminateDBInstance
ssm GetSecretValue CreateSecret DeleteSecret
tat DescribeCommands InvokeCommand RunCommand DeleteCommand
tke DescribeClusters CreateCluster DeleteCluster
vpc DescribeVpcs CreateVpc DeleteVpc CreateSecurityGroupPolicies
"""
OWNER = {"uin": "100000000001", "app_id": "1250000001"}
OFFICES = ("10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32")
OFFICE, AWAY = inside(*OFFICES), outside(*OFFICES)
ALL = allow("*")
ANY_TAG = {"for_any_value:string_equal": {"qcs:resource_tag": ["team&web", "team&data"]}}
# For each kind of operator a key that takes it, and values.
OF_KIND: dict[Kind, tuple[str, list[str]]] = {
    Kind.STRING: ("cos:prefix", ["logs/"]),
    Kind.NUMERIC: ("cos:max-keys", ["100"]),
    Kind.DATE: ("qcs:current_time", ["2026-01-01T00:00:00Z"]),
    Kind.BOOL: ("qcs:mfa", ["true"]),
    Kind.BINARY: ("qcs:resource_tag/env", ["prod"]),
    Kind.IP: ("qcs:ip", ["10.0.0.0/8"]),
    Kind.NULL: ("qcs:vpc", ["true"]),
}


def of_kind(kind: Kind, statement: Callable[..., Statement]) -> list[Statement]:
    """Return a statement for each operator of a kind, with every qualifier, with and without `_if_exist`."""
    key, values = OF_KIND[kind]
    names = [name for name, row in OPERATORS.items() if row.kind is kind]
    ends = ("",) if kind is Kind.NULL else ("", "_if_exist")
    words = ["".join(parts) for parts in product(("", "for_any_value:", "for_all_value:"), names, ends)]
    action = "cvm:StopInstances" if kind is Kind.BINARY else "aiart:TextToImage"
    return [statement(action, **{word: {key: values}}) for word in words]


# Policies of people, by form. The name says what the form is.
WRITTEN: dict[str, list[Statement]] = {
    "administrator": [ALL],
    "read-only-everything": [allow("*", numeric_equal={"qcs:read_only_action": 1})],
    "full-cvm": [allow("cvm:*")],
    "full-cvm-old-prefix": [allow("name/cvm:*")],
    "full-media": [allow(["live:*", "mps:*", "vod:*"])],
    "full-aiart": [allow("aiart:*")],
    "read-cvm": [allow(["cvm:Describe*", "cvm:Inquiry*"])],
    "read-network": [allow(["vpc:Describe*", "clb:Describe*", "dc:Describe*", "gaap:Describe*"])],
    "list-of-actions": [allow(["scf:Invoke", "scf:ListFunctions", "cls:SearchLog"])],
    "two-statements": [allow("kms:ListKeys"), allow("kms:Decrypt", "qcs::kms:::key/creatorUin/*")],
    "star-in-the-middle": [allow("cdb:Describe*Instances")],
    "resource-instance": [allow("cvm:StopInstances", "qcs::cvm:ap-guangzhou::instance/ins-1")],
    "resource-account": [allow("cvm:RebootInstances", "qcs::cvm:ap-guangzhou:uin/100000000001:instance/*")],
    "resource-appid": [allow("cos:GetObject", "qcs::cos:ap-shanghai:uid/1250000001:bucket-1250000001/*")],
    "resource-bare-appid": [allow("cls:SearchLog", "qcs::cls::1250000001:topic/*")],
    "resource-bare-uin": [allow("cls:SearchLog", "qcs::cls::100000000001:topic/*")],
    "resource-other-account": [allow("tke:*", "qcs::tke::uin/200000000002:cluster/*")],
    "resource-placeholder": [allow("tke:DescribeClusters", "qcs::tke:$region:$account:cluster/cls-1")],
    "resource-region-code": [allow("cvm:*", "qcs::cvm:gz::instance/*")],
    "resource-region-unknown": [allow("cvm:*", "qcs::cvm:ap-atlantis::instance/*")],
    "resource-project": [allow("redis:*", "qcs:id/0:redis:ap-guangzhou::instance/*")],
    "resource-list": [allow("clb:*", ["qcs::clb:::clb/lb-1", "qcs::clb:::clb/lb-2"])],
    "resource-trailing-slash": [allow("cos:*", "qcs::cos:::bucket/folder/")],
    "resource-beside-star": [allow("vpc:*", ["*", "qcs::vpc:::vpc/vpc-1"])],
    "resource-wrong-letters": [allow("cfs:*", "qcs::CFS:::filesystem/*")],
    "resource-of-another-service": [
        allow("tat:InvokeCommand", ["qcs::tat:::command/*", "qcs::cvm:::instance/*"])
    ],
    "office-only": [deny("*", **AWAY)],
    "office-allow": [allow("aiart:*", **OFFICE)],
    "office-and-hours": [
        allow(
            "aiart:*",
            **OFFICE,
            date_greater_than={"qcs:current_time": "2026-01-01T00:00:00Z"},
            date_less_than={"qcs:current_time": "2027-01-01T00:00:00Z"},
        )
    ],
    "away-if-exist": [deny("aiart:*", ip_not_equal_if_exist={"qcs:ip": list(OFFICES)})],
    "any-address": [allow("aiart:*", **inside("0.0.0.0/0"))],
    "host-bits": [allow("aiart:*", **inside("10.1.2.3/8"))],
    "tags-resource": [allow("cvm:*", **ANY_TAG)],
    "tags-resource-by-key": [allow("cvm:*", string_equal={"qcs:resource_tag/env": "test"})],
    "tags-old-name": [allow("cdb:*", **{"for_any_value:string_equal": {"qcs:tag": "team&web"}})],
    "tags-request": [
        allow("cvm:RunInstances", **{"for_any_value:string_equal": {"qcs:request_tag": "team&web"}})
    ],
    "tags-absent": [deny("cvm:RunInstances", null_equal={"qcs:request_tag/cost": "true"})],
    "tags-all": [allow("cvm:*", **{"for_all_value:string_equal": {"qcs:resource_tag": "team&web"}})],
    "variable-uin": [allow("cam:UpdateUser", "qcs::cam:::uin/${uin}")],
    "variable-appid": [allow("cos:*", "qcs::cos::uid/1250000001:home/x-1250000001/*")],
    "variable-in-condition": [deny("kms:*", string_not_equal={"qcs:uin": "${uin}"})],
    "mfa-old": [deny("cam:DeleteUser", numeric_not_equal={"mfa": 1})],
    "mfa": [deny("cam:*", bool_equal={"qcs:mfa": "false"})],
    "vpc-only": [deny("ssm:GetSecretValue", string_not_equal={"qcs:vpc": "vpc-1"})],
    "region-only": [deny("cvm:*", string_not_equal={"cvm:region": ["ap-guangzhou", "ap-shanghai"]})],
    "deny-one": [ALL, deny("cvm:TerminateInstances")],
    "deny-list": [ALL, deny(["cdb:IsolateDBInstance", "redis:DestroyPrepaidInstance"])],
    "deny-service": [ALL, deny("organization:*")],
    "deny-service-without-names": [ALL, deny("tcb:*")],
    "deny-service-misspelled": [ALL, deny("cvmm:*")],
    "deny-action-misspelled": [ALL, deny("aiart:TextToImages")],
    "deny-glob": [ALL, deny("*:Delete*")],
    "deny-resource": [ALL, deny("cvm:StopInstances", "qcs::cvm:::instance/ins-9")],
    "deny-resource-on-operation": [ALL, deny("aiart:TextToImage", "qcs::aiart:::job/1")],
    "deny-resource-list": [ALL, deny(["tke:DeleteCluster", "cls:DeleteTopic"], ["qcs::tke:::cluster/*"])],
    "deny-wrong-letters": [ALL, deny("sms:sendsms")],
    "deny-placeholder": [ALL, deny("cvm:StopInstances", "qcs::cvm::$account:instance/*")],
    "deny-label": [ALL, deny("cbs:*")],
    "deny-twice": [allow("asr:*"), deny("asr:*")],
    "deny-region": [allow("cvm:*"), deny("cvm:*", "qcs::cvm:ap-beijing::*")],
    "deny-unless-tagged": [deny("cdb:*", string_not_equal={"qcs:resource_tag/team": "data"})],
    "variable-principal-tag": [
        allow("cvm:*", string_equal={"qcs:resource_tag/owner": "${qcs:principal_tag_value}"})
    ],
    "variable-owner": [allow("cam:GetUser", string_equal={"qcs:owner_uin": "${owner_uin}"})],
    "several-operators": [
        allow("scf:Invoke", **OFFICE, string_equal={"scf:qualifier": "prod"}, bool_equal={"qcs:mfa": "true"})
    ],
    "temporary": [allow("es:*", date_less_than={"qcs:current_time": "2020-01-01T00:00:00Z"})],
    "empty-condition": [{**allow("ocr:*"), "condition": []}],
}


def policies() -> dict[str, list[Statement]]:
    """Return the statements of every policy by its name."""
    kinds = {
        f"operators-{kind}-{each.__name__}": of_kind(kind, each) for kind in Kind for each in (allow, deny)
    }
    return {**WRITTEN, **kinds}


def people(names: list[str]) -> dict[str, Any]:
    """Return principals.json: users of ten policies each, groups, roles and boundaries."""
    tens = [names[at : at + 10] for at in range(0, len(names), 10)]
    users: dict[str, Any] = {str(100000000101 + at): {"policies": ten} for at, ten in enumerate(tens)}
    users["100000000199"] = {"policies": [], "groups": ["staff"], "boundary": "office-allow"}
    groups = {"staff": {"policies": ["read-cvm", "read-network"]}}
    return {"owner": OWNER, "users": users, "groups": groups, "roles": {"ci": {"policies": ["full-cvm"]}}}


def write(folder: Path) -> None:
    """Write the policies, the principals and the list of names into a folder."""
    written = policies()
    (folder / "bundle" / "policies").mkdir(parents=True)
    for name, statements in written.items():
        text = json.dumps({"version": "2.0", "statement": statements})
        (folder / "bundle" / "policies" / f"{name}.json").write_text(text)
    (folder / "bundle" / "principals.json").write_text(json.dumps(people(list(written))))
    lines = (line.split() for line in NAMES.split("\n") if line)
    names = [f"{service}:{name}" for service, *found in lines for name in found]
    (folder / "names.txt").write_text("\n".join(names))
