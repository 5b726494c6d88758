"""The messages of Envoy on the wire, written here by the numbers of Envoy's definitions and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("google.protobuf", reason="the extra `authorizer-grpc`")

from camguard.authorizer.envoy_messages import CheckRequest, CheckResponse


def varint(number: int) -> bytes:
    """Return a whole number as Protocol Buffers write it: seven bits in each byte, the low ones first."""
    written = b""
    while number > 127:
        written += bytes((number & 127 | 128,))
        number >>= 7
    return written + bytes((number,))


def wire(numbers: tuple[int, ...], value: str | bytes | int) -> bytes:
    """Return a message that holds one value. numbers: of the fields that lead to it."""
    number, *inner = numbers
    if inner:
        value = wire((*inner,), value)
    elif isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    assert isinstance(data, bytes)
    return varint(number << 3 | 2) + varint(len(data)) + data


# Source: attribute_context.proto and external_auth.proto in envoy/service/auth/v3, address.proto and
# base.proto in envoy/config/core/v3, http_status.proto in envoy/type/v3, status.proto in google/rpc.
HTTP = "attributes.request.http"
SOURCE = "attributes.source.address.socket_address"
FIELDS: list[Any] = [
    pytest.param(CheckRequest, f"{SOURCE}.address", (1, 1, 1, 1, 2), "203.0.113.7", id="an address"),
    pytest.param(CheckRequest, f"{HTTP}.method", (1, 4, 2, 2), "POST", id="a method"),
    pytest.param(CheckRequest, f"{HTTP}.path", (1, 4, 2, 4), "/?a=1", id="a path"),
    pytest.param(CheckRequest, f"{HTTP}.host", (1, 4, 2, 5), "a.example", id="a host"),
    pytest.param(CheckRequest, f"{HTTP}.query", (1, 4, 2, 7), "a=1", id="a query"),
    pytest.param(CheckRequest, f"{HTTP}.fragment", (1, 4, 2, 8), "f", id="a fragment"),
    pytest.param(CheckRequest, f"{HTTP}.body", (1, 4, 2, 11), "{}", id="a body as text"),
    pytest.param(CheckRequest, f"{HTTP}.raw_body", (1, 4, 2, 12), b"\xff", id="a body as bytes"),
    pytest.param(CheckRequest, f"{HTTP}.header_map.headers*.key", (1, 4, 2, 13, 1, 1), "accept",
                 id="the name of a header"),
    pytest.param(CheckRequest, f"{HTTP}.header_map.headers*.value", (1, 4, 2, 13, 1, 2), "*/*",
                 id="the value of a header as text"),
    pytest.param(CheckRequest, f"{HTTP}.header_map.headers*.raw_value", (1, 4, 2, 13, 1, 3), b"\xff",
                 id="the value of a header as bytes"),
    pytest.param(CheckResponse, "status.code", (1, 1), 7, id="a status"),
    pytest.param(CheckResponse, "denied_response.status.code", (2, 1, 1), 403, id="a status of HTTP"),
    pytest.param(CheckResponse, "denied_response.headers*.header.key", (2, 2, 1, 1), "a",
                 id="the name of a header to the client"),
    pytest.param(CheckResponse, "denied_response.headers*.append_action", (2, 2, 3), 2,
                 id="what becomes of a header of the client's"),
    pytest.param(CheckResponse, "denied_response.body", (2, 3), "{}", id="the body of a refusal"),
    pytest.param(CheckResponse, "ok_response.headers*.header.value", (3, 2, 1, 2), "allow",
                 id="the value of a header to the upstream"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "numbers", "value"), FIELDS)
def test_a_field_has_the_number_and_the_type_of_envoy(
    kind: Any, path: str, numbers: tuple[int, ...], value: Any
) -> None:
    """The bytes are read as the value, and the value is written as the bytes. `*`: repeated."""
    written = wire(numbers, value)
    found = kind.FromString(written)
    made = value
    for name in reversed(path.split(".")):
        made = {name.removesuffix("*"): [made] if name.endswith("*") else made}
    for name in path.split("."):
        found = getattr(found, name.removesuffix("*"))
        if name.endswith("*"):
            (found,) = found
    assert found == value
    assert kind(**made).SerializeToString() == written


def test_fields_that_camguard_does_not_use_are_passed_over() -> None:
    """Envoy also sends the port of the peer, when the request began, its id, the scheme and the size."""
    others = wire((1, 4, 1, 1), 1773144000) + wire((1, 4, 2, 1), "7") + wire((1, 4, 2, 6), "https")
    others += wire((1, 1, 1, 1, 3), 4711) + wire((1, 4, 2, 9), 7)
    found = CheckRequest.FromString(others + wire((1, 4, 2, 2), "GET"))
    assert found.attributes.request.http.method == "GET"


def test_a_text_that_is_no_utf_8_is_not_read() -> None:
    """T140: no fact is read as another text than the one that the upstream gets."""
    with pytest.raises(Exception, match="parsing message"):
        CheckRequest.FromString(wire((1, 4, 2, 5), b"a\xff.example"))
