"""Names that some reader folds into one that decides (T27, T32): of parameters, parts and members of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camguard.enforcement.resource_binding import bind_resources, cut_templates
from camguard.request.body_formats import _read_json, _read_multipart
from camguard.request.params import (
    NAMES_LENGTH,
    NOTHING_ALIKE,
    action_of,
    ambiguous_names,
    nest,
    nested_parameters,
    parse_params,
)
from camguard.request.rejection import Rejection, rejection
from tests.request.readers import QUERY_READERS, plainest
from tests.stage import BUNDLE, CATALOG, QUIET

AMBIGUOUS = rejection("param_ambiguous")
MALFORMED = rejection("query_malformed")

# a query of at most three parameters, names and values
PARSED = [
    pytest.param(b"", (), id="nothing"),
    pytest.param(b"a=1", (("a", "1"),), id="a name and a value"),
    pytest.param(b"a=1&b=2&a=3", (("a", "1"), ("b", "2"), ("a", "3")), id="three, in their order"),
    pytest.param(b"a", (("a", ""),), id="a name without a value"),
    pytest.param(b"=1", (("", "1"),), id="a value without a name"),
    pytest.param(b"&", (("", ""), ("", "")), id="an ampersand alone"),
    pytest.param(b"a=b=c", (("a", "b=c"),), id="an equals sign in a value"),
    pytest.param(b"a=b=c%20", (("a", "b=c "),), id="an equals sign in a value with an escape"),
    pytest.param(b"a=b=3Dc%20", (("a", "b=3Dc "),), id="what would be an escape of quoted-printable"),
    pytest.param(b"a+b=c+d", (("a b", "c d"),), id="a plus is a blank"),
    pytest.param(b"a+b=c+%2B", (("a b", "c +"),), id="a plus is a blank beside an escape"),
    pytest.param(b"%61=%62%3D%26", (("a", "b=&"),), id="escapes in name and value"),
    pytest.param(b"%c3%A9=%e4%b8%AD", (("\u00e9", "\u4e2d"),), id="UTF-8, in small and capital digits"),
    pytest.param(b"a=%0a%00", (("a", "\n\0"),), id="control characters in a value"),
    pytest.param(b"a=%2541", (("a", "%41"),), id="decoded once"),
    pytest.param(b"%", MALFORMED, id="a percent sign alone"),
    pytest.param(b"a=%4", MALFORMED, id="half an escape"),
    pytest.param(b"a=%4=1", MALFORMED, id="half an escape before an equals sign"),
    pytest.param(b"a=%zz", MALFORMED, id="an escape that is none"),
    pytest.param(b"a=%41%zz%42", MALFORMED, id="an escape that is none among others"),
    pytest.param(b"a=%ff", MALFORMED, id="bad UTF-8"),
    pytest.param(b"%ff", MALFORMED, id="bad UTF-8 in a name"),
    pytest.param(b"a=%ed%a0%80", MALFORMED, id="half a surrogate pair"),
    pytest.param(b"a&b&c&d", rejection("too_many_params"), id="four"),
]


@pytest.mark.parametrize(("raw", "found"), PARSED)
def test_a_query_is_read_in_one_way(raw: bytes, found: object) -> None:
    assert parse_params(raw, 3, MALFORMED) == found


def test_raw_bytes_are_printable_ascii_without_what_some_readers_part_at() -> None:
    """T28, T29, T39."""
    for before in (b"", b"a="):
        found = {byte: parse_params(before + bytes([byte]), 3, MALFORMED) for byte in range(256)}
        taken = {byte for byte, params in found.items() if params is not MALFORMED}
        assert taken == {*range(0x21, 0x7F)} - {*b"#;%"}


def test_a_name_holds_no_control_character() -> None:
    points = range(0x180)
    taken = {
        at for at in points if parse_params(b"a" + quote(chr(at)).encode(), 3, MALFORMED) is not MALFORMED
    }
    assert taken == {*points} - {*range(0x20), *range(0x7F, 0xA0)}


def test_the_names_of_a_request_have_131072_characters_at_most() -> None:
    half = b"x" * 65_536
    assert NAMES_LENGTH == 131_072
    assert parse_params(half + b"&" + half, 3, MALFORMED) == ((half.decode(), ""), (half.decode(), ""))
    assert parse_params(half + b"&x" + half, 3, MALFORMED) is rejection("too_many_params")
    assert ambiguous_names(["x" * 131_072]) is None
    assert ambiguous_names(["x" * 131_073]) is rejection("too_many_params")


# names, whether they are refused
ODD = [
    pytest.param(["\u4e2d" * 64], False, id="sixty-four letters"),
    pytest.param(["\u4e2d" * 65], True, id="sixty-five letters"),
    pytest.param(["\u4e2d", "\u4e2d" * 65], True, id="sixty-five letters beside a short name"),
    pytest.param([sign * 64 for sign in "\u4e2d\u4e2e\u4e2f\u4e30"], False, id="256 letters together"),
    pytest.param([*(sign * 64 for sign in "\u4e2d\u4e2e\u4e2f\u4e30"), "%"], True, id="257 together"),
    pytest.param(["x" * 300, "\u4e2d"], False, id="a long name in ASCII beside it"),
]


@pytest.mark.parametrize(("names", "is_refused"), ODD)
def test_names_that_are_not_plain_ascii_are_bounded(names: list[str], is_refused: bool) -> None:
    assert ambiguous_names(names) is (rejection("action_alias") if is_refused else None)


def test_the_action_is_the_value_of_the_one_action() -> None:
    assert action_of(()) is None
    assert action_of((("A", "1"), ("Version", "2"))) is None
    assert action_of((("A", "1"), ("Action", "X"), ("B", "2"))) == "X"
    assert action_of((("Action", ""),)) == ""
    assert action_of((("Action", "X"), ("action", "X"))) is rejection("action_alias")


# A pattern of names that are like another one; `%s` is that name.
ALIKE = [
    pytest.param("?%s", id="a leading question mark (URLSearchParams)"),
    pytest.param("+%s", id="a leading plus"),
    pytest.param(" %s", id="a leading blank (PHP)"),
    pytest.param("%s ", id="a trailing blank"),
    pytest.param("[%s]", id="brackets around it (qs, Rack)"),
    pytest.param("%s]", id="a bracket behind it (Rack)"),
    pytest.param("[[%s", id="brackets before it (Rack)"),
    pytest.param("%s[]", id="a list (PHP, Rack, qs)"),
    pytest.param("%s[0]", id="an index"),
    pytest.param("%s[a][b]", id="members"),
    pytest.param("%s[", id="a bracket that does not end"),
    pytest.param("%s.0", id="a dotted index"),
    pytest.param("%s_0", id="an index as PHP folds it"),
    pytest.param("_%s", id="a leading sign as PHP folds it"),
    pytest.param(".%s", id="a leading dot"),
    pytest.param("&%s", id="a separator before it, decoded again"),
    pytest.param("x;%s", id="another separator before it"),
    pytest.param("%s=x", id="a value in it, decoded again"),
    pytest.param("%s(1i)", id="a part of a date (Rails)"),
]


@pytest.mark.parametrize("pattern", ALIKE)
@pytest.mark.parametrize("name", ["Action", "Version", "Region"])
def test_what_some_reader_takes_for_a_name_that_decides_is_refused(pattern: str, name: str) -> None:
    detail = "action_alias" if name == "Action" else "param_ambiguous"
    for spelled in (name, name.lower(), name.upper()):
        found = ambiguous_names(("A", pattern % spelled))
        assert found is rejection(detail)


# name, detail
FOLDED = [
    pytest.param("action", "action_alias", id="small letters"),
    pytest.param("VERSION", "param_ambiguous", id="capitals"),
    pytest.param("\uff21ction", "action_alias", id="a wide letter (NFKC)"),
    pytest.param("Act\u0131on", "action_alias", id="a dotless i (Java)"),
    pytest.param("Act\u0130on", "action_alias", id="a dotted capital I"),
    pytest.param("Ver\u017fion", "param_ambiguous", id="a long s (Go)"),
    pytest.param("Act\u00adion", "action_alias", id="a soft hyphen"),
    pytest.param("Action\0x", "action_alias", id="a NUL behind it"),
    pytest.param("\uff21ction\0x", "action_alias", id="a wide letter, and a NUL behind the name"),
    pytest.param("Act\x01ion", "action_alias", id="a control character in it"),
    pytest.param("-Action", "action_alias", id="a hyphen before it"),
    pytest.param("Region\t", "param_ambiguous", id="a tab behind it"),
    pytest.param("%41ction", "action_alias", id="decoded twice"),
    pytest.param("%2541ction", "action_alias", id="decoded three times"),
    pytest.param("Action%00", "action_alias", id="decoded to a NUL"),
    pytest.param("%EF%BC%A1ction", "action_alias", id="decoded to a wide letter"),
    pytest.param("\u4e2d" * 65, "action_alias", id="a name that is too long to be looked at"),
]


@pytest.mark.parametrize(("name", "detail"), FOLDED)
def test_folded_letters_are_no_way_around(name: str, detail: str) -> None:
    assert ambiguous_names((name,)) is rejection(detail)


OTHERS = [
    *(
        "Transaction",
        "ActionType",
        "Action_Type",
        "Actions",
        "Regions",
        "RegionId",
        "SubVersion",
        "VersionId",
    ),
    *(
        "A.Action",
        "Rules.0.Action",
        "Filter[Action]",
        "Language",
        "Version-x",
        "\u0410ction",
        "\u4e2d\u6587",
        "100%",
        "0Action",
        "5Action",
        "Action0",
        "Action5",
        "Action9",
        "%252541ction",
    ),
]


@pytest.mark.parametrize("name", OTHERS)
def test_other_names_are_left_alone(name: str) -> None:
    assert ambiguous_names((name, "Action", "Version", "Region")) is None


# names of one request, why they are rejected
TOGETHER = [
    pytest.param(("ACTION", "VERSION", "REGION"), "action_alias", id="every name that decides, in capitals"),
    pytest.param(("VERSION", "REGION", "ACTION"), "param_ambiguous", id="the first of them is named"),
    pytest.param(("ACTION", "Zone"), "action_alias", id="an ordinary name behind it"),
    pytest.param(("Zone", "ACTION"), "action_alias", id="an ordinary name before it"),
    pytest.param(("ACTION", "Gr\u00f6\u00dfe"), "action_alias", id="beside a name that is not ASCII"),
]


@pytest.mark.parametrize(("names", "detail"), TOGETHER)
def test_a_name_like_one_that_decides_is_found_among_others(names: tuple[str, ...], detail: str) -> None:
    assert ambiguous_names(names) is rejection(detail)


def test_a_name_that_decides_stands_once() -> None:
    assert ambiguous_names(("Action", "A", "A")) is None
    assert ambiguous_names(("Action", "Action")) is rejection("action_duplicate")
    assert ambiguous_names(("Version", "Action", "Version")) is rejection("param_ambiguous")
    assert ambiguous_names(("Region", "Region")) is rejection("param_ambiguous")


@QUIET
@given(st.text(max_size=12))
def test_what_is_refused_is_like_a_name_that_decides(name: str) -> None:
    if ambiguous_names((name,)) is not None:
        assert name not in {"Action", "Version", "Region"}
        letters = set(plainest(name)) | set(name.casefold())
        assert any(set(each) <= letters for each in ("action", "version", "region"))


@pytest.mark.parametrize("pattern", ALIKE)
def test_it_holds_for_every_carrier(pattern: str) -> None:
    name = pattern % "Action"
    query = parse_params(b"A=1&" + quote(name, safe="").encode() + b"=DeleteBudget", 10, MALFORMED)
    assert not isinstance(query, Rejection)
    member = json.dumps({name: "DeleteBudget"}).encode()
    field = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\nDeleteBudget\r\n--b--' % name.encode()
    for found in (
        action_of(query),
        _read_json(member, "QueryArea", None, depth=9, limit=9),
        _read_multipart(field, b"b", "QueryArea", None, limit=9, region=None),
    ):
        assert found is rejection("action_alias")


def test_names_are_bounded_together() -> None:
    many = tuple(f"A{at}" + "x" * 200 for at in range(1000))
    assert ambiguous_names(many) is rejection("too_many_params")
    assert parse_params(b"&".join(name.encode() + b"=1" for name in many), 2000, MALFORMED) is rejection(
        "too_many_params"
    )
    assert len("".join(many)) > NAMES_LENGTH
    assert ambiguous_names([f"\u4e2d{at}" for at in range(200)]) is rejection("action_alias")


TEMPLATES = cut_templates(CATALOG.services["cvm"].actions["StopInstances"], BUNDLE.owner)
BOUND = ("qcs::cvm:ap-guangzhou:uin/100000000001:instance/ins-1",)


@pytest.mark.parametrize("pattern", ALIKE)
def test_a_call_with_a_name_that_some_reader_takes_for_a_resource_s_is_rejected(pattern: str) -> None:
    for spelled in ("InstanceIds", "instanceids", "InstanceId"):
        pairs = (("InstanceIds.0", "ins-1"), (pattern % spelled, "ins-2"))
        parameters = nested_parameters(pairs, TEMPLATES.lookalikes)
        if parameters is not AMBIGUOUS:
            assert isinstance(parameters, Mapping)
            assert "instance/ins-2" in str(bind_resources(TEMPLATES, parameters, "ap-guangzhou"))
        member = {"InstanceIds": ["ins-1"], pattern % spelled: "ins-2"}
        assert ambiguous_names(list(member), TEMPLATES.lookalikes) is AMBIGUOUS


TOO_MANY = tuple((f"A{at}" + "x" * 200, "1") for at in range(1000))
ONE = ("InstanceIds.0", "ins-1")
# flat parameters, why they are rejected where they name resources
REJECTED = [
    pytest.param(TOO_MANY, "too_many_params", id="names that are too long together"),
    pytest.param((("Zone", "1"), ONE, ("InstanceIds_0", "ins-2")), "param_ambiguous",
                 id="a name like that of a resource behind others"),
    pytest.param((("InstanceIds", "ins-1"), ("InstanceIds", "ins-2")), "param_ambiguous",
                 id="the name of a resource twice"),
    pytest.param((("Zone", "1"), ("Zone", "2"), ONE), "param_ambiguous",
                 id="the name of a resource behind parameters that contradict each other"),
    pytest.param((("Zone", "1"), ("Zone", "2")), None, id="parameters that contradict each other alone"),
]  # fmt: skip


@pytest.mark.parametrize(("pairs", "detail"), REJECTED)
def test_parameters_that_some_reader_takes_for_a_resource_s(
    pairs: tuple[tuple[str, str], ...], detail: str | None
) -> None:
    found = nested_parameters(pairs, TEMPLATES.lookalikes)
    assert found is (None if detail is None else rejection(detail))


@pytest.mark.parametrize("name", ["!", "a!b", "", "InstanceIds"])
def test_no_name_is_like_a_resource_s_where_none_is_looked_for(name: str) -> None:
    assert nested_parameters(((name, "1"),), NOTHING_ALIKE) == {name: "1"}


def test_names_beside_a_resource_s_do_not_matter() -> None:
    beside = ("InstanceType", "MyInstanceIds", "Filters.0.InstanceIds", "Instance_Ids_X", "StoppedMode")
    pairs = (("InstanceIds.0", "ins-1"), *((name, "ins-2") for name in beside))
    assert bind_resources(TEMPLATES, nest(pairs), "ap-guangzhou") == BOUND


NAMES = [
    "Action",
    "Version",
    "Region",
    "InstanceIds",
    "InstanceId",
    "instanceids",
    "action",
    "A",
    "Transaction",
    "B.0",
]
MARKS = [
    "?",
    "+",
    "%20",
    "[",
    "]",
    "[]",
    "[0]",
    ".0",
    "_0",
    "_",
    ".",
    "%00",
    "%5B",
    "%5D",
    "%2541",
    "%3F",
    "%26",
    "%3B",
    "%3D",
    "%EF%BC%A1",
]
VALUES = ["QueryArea", "DeleteBudget", "ins-1", "ap-a", ""]


def generated(random: Random) -> bytes:
    """Return a query: as clients write it, with a few marks at the edges of names."""
    pairs = []
    for _ in range(random.randint(1, 4)):
        name = random.choice(NAMES)
        while random.random() < 0.3:
            mark = random.choice(MARKS)
            name = mark + name if random.random() < 0.5 else name + mark
        if random.random() < 0.1:
            name = name.replace("A", random.choice(["%41", "%2541", "a", "%EF%BC%A1"]))
        pairs.append(f"{name}={random.choice(VALUES)}")
    return ("?" * (random.random() < 0.05) + "&".join(pairs)).encode()


def judged(query: bytes) -> tuple[dict[str, str], bool] | None:
    """Return parameters that decide and whether resources are bound; None where the query is refused."""
    params = parse_params(query, 100, MALFORMED)
    if isinstance(params, Rejection) or isinstance(action_of(params), Rejection):
        return None
    parameters = nested_parameters(params, TEMPLATES.lookalikes)
    if isinstance(parameters, Rejection):
        return None
    bound = None not in bind_resources(TEMPLATES, parameters, "ap-guangzhou")
    return {name: value for name, value in params if name in {"Action", "Version", "Region"}}, bound


def differences(query: bytes, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the parameters that decide to a reader and did not so to camguard."""
    found = judged(query)
    assert found is not None
    deciding, bound = found
    by_name = {plainest(name): value for name, value in deciding.items()}
    params = parse_params(query, 100, MALFORMED)
    assert not isinstance(params, Rejection)
    texts = {value for name, value in params if plainest(name).partition(".")[0].startswith("instanceid")}
    different = []
    for name, value in pairs:
        plain = plainest(name)
        if plain in {"action", "version", "region"}:
            different += [(name, value)] if by_name.get(plain) != value else []
        elif plain in {"instanceid", "instanceids"} and bound:
            different += [(name, value)] if value not in texts else []
    return different


def compared(count: int, seed: int) -> int:
    """Compare all readers on generated queries. Returns how many queries were accepted."""
    random = Random(seed)  # noqa: S311 - the same queries each time
    accepted = 0
    for _ in range(count):
        query = generated(random)
        if judged(query) is None:
            continue
        accepted += 1
        for name, read in QUERY_READERS.items():
            assert differences(query, read(query)) == [], (name, query)
    return accepted


def test_no_reader_of_a_query_sees_a_name_that_camguard_does_not() -> None:
    assert compared(2000, seed=1) > 400


@pytest.mark.heavy
def test_no_reader_sees_one_in_fifty_thousand_queries() -> None:
    assert compared(50_000, seed=2) > 10_000


def test_the_readers_do_fold() -> None:
    """Readers that fold nothing would agree with everybody."""
    folds = {
        "PHP": b" Action=x",
        "qs": b"%5BAction%5D=x",
        "Rack": b"%5BAction%5D=x",
        "URLSearchParams": b"?Action=x",
        "decoded twice": b"%2541ction=x",
    }
    for name, query in folds.items():
        assert QUERY_READERS[name](query.replace(b" ", b"+")) == [("Action", "x")]


@pytest.mark.parametrize(("levels", "known"), [(1, True), (17, True), (18, False)])
def test_a_flat_name_has_17_levels_at_most(levels: int, known: bool) -> None:
    found = nest([(".".join(["A"] * levels), "x")])
    assert (found is not None) is known
