"""Calls one action through the gateway with the vendor's SDK for Python.

usage: python call.py [ACTION]

The SDK: pip install tencentcloud-sdk-python-common. The environment names the key (TENCENTCLOUD_SECRET_ID,
TENCENTCLOUD_SECRET_KEY), the host of the gateway (CAMGUARD_HOST, for example aiart.gateway.example) and, if
the gateway's certificate is of a private authority, its file (CAMGUARD_CA). A test runs this program through
nginx.
"""

import json
import os
import sys

from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

action = sys.argv[1] if len(sys.argv) > 1 else "TextToImage"
key = Credential(os.environ["TENCENTCLOUD_SECRET_ID"], os.environ["TENCENTCLOUD_SECRET_KEY"])
http = HttpProfile(endpoint=os.environ["CAMGUARD_HOST"], certification=os.environ.get("CAMGUARD_CA"))
client = CommonClient("aiart", "2022-12-29", key, "ap-guangzhou", ClientProfile(httpProfile=http))

try:
    answer = client.call_json(action, {"Prompt": "a lighthouse"})
    print(json.dumps(answer["Response"]))
except TencentCloudSDKException as error:  # a refusal of camguard, or of the cloud behind it
    print(f"{error.code} {error.requestId}\n{error.message}", file=sys.stderr)
    sys.exit(1)
