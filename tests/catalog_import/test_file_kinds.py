"""A file that is no page says what it is and what to do; text of other encodings is read where it says so."""

from __future__ import annotations

import codecs
import gzip
import json

import pytest

from camguard.catalog import to_json
from camguard.catalog_import.file_kinds import decode
from camguard.catalog_import.page import read_page
from camguard.files import PAGE_BYTES
from tests.catalog_import import shapes

TOYS = shapes.html(shapes.TOYS)
SHELL = """<!doctype html><html><head><title>Docs</title></head>
<body><div id=app></div><script>x</script></body></html>"""

# the bytes of a file, what is said of it, what to do
KINDS = [
    pytest.param(b"", "is empty", "save the page again", id="nothing"),
    pytest.param(b" \n\t\n", "is empty", "save the page again", id="blanks"),
    pytest.param(b"%PDF-1.7\n%\xe2\xe3", "is a PDF document", "as HTML", id="a PDF document"),
    pytest.param(b"\x89PNG\r\n\x1a\n", "is a PNG image", "as HTML", id="an image"),
    pytest.param(b"\xff\xd8\xff\xe0", "is a JPEG image", "as HTML", id="a photograph"),
    pytest.param(gzip.compress(TOYS.encode()), "is a gzip file", "unpack", id="a compressed page"),
    pytest.param(
        b"PK\x03\x04word/document.xml", "ZIP archive or an Office", "unpack", id="an Office document"
    ),
    pytest.param(b"{\\rtf1\\ansi Toys}", "is an RTF document", "plain text", id="an RTF document"),
    pytest.param(b"bplist00\xd1", "is a web archive", "page source", id="a web archive of Safari"),
    pytest.param(
        b"From: <Saved by Blink>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related;\r\n",
        "is an MHTML archive",
        "as HTML only",
        id="a page in one file",
    ),
    pytest.param(TOYS.encode("utf-16"), "is text in UTF-16", "iconv -f UTF-16", id="UTF-16 with a mark"),
    pytest.param(TOYS.encode("utf-16-le"), "is text in UTF-16", "iconv", id="UTF-16 without a mark"),
    pytest.param(TOYS.encode("utf-32"), "is text in UTF-32", "iconv -f UTF-32", id="UTF-32"),
    pytest.param(b"\x7fELF\x02\x01", "is a program", "as HTML", id="a program"),
    pytest.param(b"ab\0cd" * 9, "is not text", "as HTML", id="bytes of no kind"),
    pytest.param(b"x" * (PAGE_BYTES + 1), "is larger than", "without pictures", id="too much"),
    pytest.param(to_json(shapes.TOYS).encode(), "is a catalog file", "catalog folder", id="a catalog file"),
    pytest.param(json.dumps({"data": []}).encode(), "is a JSON document", "as HTML", id="JSON"),
    pytest.param(
        SHELL.encode(), "without tables, which a script fills", "save it completely", id="a script's page"
    ),
    pytest.param(
        SHELL.replace("<div", "<input type='password'><div").encode(),
        "is a login page",
        "sign in",
        id="a form with a password",
    ),
    pytest.param(
        SHELL.replace("Docs", "登录 - 腾讯云").encode(), "is a login page", "sign in", id="a login page"
    ),
    pytest.param(b"<?xml version='1.0'?><feed/>", "is an XML document", "as HTML", id="XML"),
    pytest.param(
        b"<html><body><table><tr><td>1</td></tr></table></body></html>",
        "is not a CAM-Enabled API page",
        "below 'CAM-Enabled API'",
        id="a page with other tables",
    ),
    pytest.param(b"Only words\n", "is not a CAM-Enabled API page", "below 'CAM-Enabled API'", id="words"),
    pytest.param("支持\n".encode("gbk"), "is not UTF-8 at byte 2", "convert the file", id="text in GBK"),
]


@pytest.mark.parametrize(("raw", "what", "cure"), KINDS)
def test_a_file_that_is_no_page_says_what_it_is(raw: bytes, what: str, cure: str) -> None:
    reading = read_page(raw, "file")
    assert (reading.service, reading.rows) == (None, ())
    (problem,) = reading.problems
    assert (problem.where, problem.code) == ("file", "NoCatalogPage")
    assert what in problem.message
    assert cure in problem.message


def declared(charset: str) -> str:
    return TOYS.replace('<meta charset="utf-8">', f'<meta charset="{charset}">')


# the bytes of a page of which every character is read
ENCODED = [
    pytest.param(TOYS.encode(), id="UTF-8"),
    pytest.param(codecs.BOM_UTF8 + TOYS.encode(), id="UTF-8 with a byte order mark"),
    pytest.param(declared("gbk").encode("gbk"), id="GBK"),
    pytest.param(declared("GB2312").encode("gb18030"), id="GB18030 that is declared as GB2312"),
    pytest.param(declared("gb18030").encode("gb18030"), id="GB18030"),
    pytest.param(declared("gbk").encode(), id="UTF-8 that kept the declaration of GBK"),
    pytest.param(
        TOYS.replace(
            '<meta charset="utf-8">', '<meta http-equiv="Content-Type" content="text/html; charset=gbk">'
        ).encode("gbk"),
        id="the long form of a declaration",
    ),
]


@pytest.mark.parametrize("raw", ENCODED)
def test_the_encoding_is_utf_8_or_the_declared_one(raw: bytes) -> None:
    reading = read_page(raw, "page")
    assert reading.problems == ()
    assert reading.service is not None
    assert reading.service.actions["CastToy"].description == shapes.TOYS.actions["CastToy"].description


def test_bytes_that_are_not_of_the_declared_encoding_are_reported_with_their_line() -> None:
    raw = declared("gbk").encode("gbk").replace(b"GetToy</td><td>GetToy", b"GetToy</td><td>\xff\xff")
    reading = read_page(raw, "page")
    at = raw.index(b"\xff")
    line = raw[:at].count(b"\n") + 1
    (problem,) = reading.problems
    assert (problem.where, problem.code) == (f"page:{line}", "NotUtf8")
    assert problem.message == f"is not gbk at byte {at}"


def test_an_encoding_that_is_not_known_is_named() -> None:
    text, fault = decode(b"<meta charset=koi8-r>\xff")
    assert text.endswith("\ufffd")
    assert fault is not None
    assert fault.message == "is not UTF-8 at byte 21; convert the file to UTF-8 (it declares 'koi8-r')"
