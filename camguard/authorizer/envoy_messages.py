"""The messages of Envoy's gRPC `ext_authz` that camguard reads and writes, declared when they are needed.

Source: envoy/service/auth/v3/external_auth.proto and the files that it imports. Only the fields that camguard
uses are declared; a reader passes over all others. They live in a pool of their own, so that another package
with Envoy's definitions can be loaded beside them. Needs the extra `authorizer-grpc`.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE: Final = "envoy.service.auth.v3.Authorization"
OVERWRITE: Final = 2  # HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD

_TEXT: Final = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_BYTES: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_INT32: Final = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
_PACKAGE: Final = "camguard.ext_authz"  # names do not travel; only numbers and types do

# Message -> its fields: name, number, and the type or the name of a message. `*`: repeated.
_MESSAGES: Final[dict[str, tuple[tuple[str, int, int | str], ...]]] = {
    "SocketAddress": (("address", 2, _TEXT),),
    "Address": (("socket_address", 1, "SocketAddress"),),
    "Peer": (("address", 1, "Address"),),
    "HeaderValue": (("key", 1, _TEXT), ("value", 2, _TEXT), ("raw_value", 3, _BYTES)),
    "HeaderMap": (("headers*", 1, "HeaderValue"),),
    "HttpRequest": (
        ("method", 2, _TEXT),
        ("path", 4, _TEXT),
        ("host", 5, _TEXT),
        ("query", 7, _TEXT),
        ("fragment", 8, _TEXT),
        ("body", 11, _TEXT),
        ("raw_body", 12, _BYTES),
        ("header_map", 13, "HeaderMap"),
    ),
    "Request": (("http", 2, "HttpRequest"),),
    "AttributeContext": (("source", 1, "Peer"), ("request", 4, "Request")),
    "CheckRequest": (("attributes", 1, "AttributeContext"),),
    "HeaderValueOption": (("header", 1, "HeaderValue"), ("append_action", 3, _INT32)),
    "HttpStatus": (("code", 1, _INT32),),
    "DeniedHttpResponse": (
        ("status", 1, "HttpStatus"),
        ("headers*", 2, "HeaderValueOption"),
        ("body", 3, _TEXT),
    ),
    "OkHttpResponse": (("headers*", 2, "HeaderValueOption"),),
    "Status": (("code", 1, _INT32),),
    "CheckResponse": (
        ("status", 1, "Status"),
        ("denied_response", 2, "DeniedHttpResponse"),
        ("ok_response", 3, "OkHttpResponse"),
    ),
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    proto = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = proto.message_type.add(name=name)
        for field, number, kind in fields:
            declared = message.field.add(name=field.removesuffix("*"), number=number)
            repeated = field.endswith("*")
            declared.label = declared.LABEL_REPEATED if repeated else declared.LABEL_OPTIONAL
            if isinstance(kind, str):
                declared.type = declared.TYPE_MESSAGE
                declared.type_name = f".{_PACKAGE}.{kind}"
            else:
                declared.type = kind
    return proto


_POOL: Final = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


CheckRequest: Final = _message("CheckRequest")
CheckResponse: Final = _message("CheckResponse")
