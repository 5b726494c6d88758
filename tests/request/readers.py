"""How common programs read queries and multipart bodies: by their own parsers, or by their rules.

A reader returns names and texts as its program has them, in order; files are left out. The rules of programs
that are no Python are written down here and are checked against the programs in the heavy run.
"""

from __future__ import annotations

import asyncio
import email.parser
import email.policy
import io
import re
import unicodedata
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote_plus

import django.conf
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import QueryDict
from django.http.multipartparser import MultiPartParser as DjangoParser
from starlette.datastructures import Headers, QueryParams
from starlette.formparsers import MultiPartParser as StarletteParser
from werkzeug.formparser import parse_form_data
from werkzeug.wrappers import Request as WerkzeugRequest

Pairs: TypeAlias = list[tuple[str, str]]

if not django.conf.settings.configured:
    django.conf.settings.configure(DEFAULT_CHARSET="utf-8")


def plainest(name: str) -> str:
    """Return a name as a program knows it that ignores case, blanks around it and forms of letters."""
    return unicodedata.normalize("NFKC", name).strip().casefold().replace("\u0131", "i")


def _decoded(raw: bytes) -> Pairs:
    pairs = (pair.partition("=") for pair in raw.decode("latin-1").split("&") if pair)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


def _php(raw: bytes) -> Pairs:
    """PHP: leading blanks go, `.` and a blank become `_`, a name ends at a bracket that is closed."""
    found = []
    for written, value in _decoded(raw):
        name = written.lstrip(" ").partition("\0")[0]
        base, bracket, _ = name.partition("[") if not name.startswith("[") else (name, "", "")
        if not bracket:
            base = base.replace("[", "_", 1)
        found.append((re.sub("[ .]", "_", base), value))
    return found


def _qs(raw: bytes) -> Pairs:
    """Read as qs of Node.js: `a[b]` nests, and `[a]` is `a`; an option drops a leading `?`."""
    found = []
    for name, value in _decoded(raw.removeprefix(b"?")):
        inner = re.match(r"\[([^\[\]]*)\]", name)
        found.append((inner[1] if inner else name.partition("[")[0], value))
    return found


def _rack(raw: bytes) -> Pairs:
    """Rack (Ruby): brackets around the first word go."""
    found = []
    for name, value in _decoded(raw):
        word = re.match(r"[\[\]]*([^\[\]]+)\]*", name)
        found.append((word[1] if word else name, value))
    return found


def _go(raw: bytes) -> Pairs:
    """url.ParseQuery of Go: a pair with `;` is left out."""
    return _decoded(b"&".join(pair for pair in raw.split(b"&") if b";" not in pair))


def _twice(raw: bytes) -> Pairs:
    """A program that decodes what its server has decoded already."""
    return [(unquote_plus(name), unquote_plus(value)) for name, value in _decoded(raw)]


QUERY_READERS: Mapping[str, Callable[[bytes], Pairs]] = {
    "parse_qsl": lambda raw: parse_qsl(raw.decode("latin-1"), keep_blank_values=True),
    "Starlette": lambda raw: list(QueryParams(raw.decode("latin-1")).multi_items()),
    "Django": lambda raw: [(name, text) for name, texts in QueryDict(raw).lists() for text in texts],
    "werkzeug": lambda raw: list(
        WerkzeugRequest({"QUERY_STRING": raw.decode("latin-1")}).args.items(multi=True)
    ),
    "URLSearchParams": lambda raw: _decoded(raw.removeprefix(b"?")),
    "PHP": _php,
    "qs": _qs,
    "Rack": _rack,
    "Go": _go,
    "decoded twice": _twice,
}


def _starlette_form(content_type: bytes, body: bytes) -> Pairs:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    async def parsed() -> Pairs:
        headers = Headers({"content-type": content_type.decode("latin-1")})
        form = await StarletteParser(headers, stream()).parse()
        await form.close()
        return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]

    return asyncio.run(parsed())


def _werkzeug_form(content_type: bytes, body: bytes) -> Pairs:
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type.decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    _, fields, files = parse_form_data(environ)
    for file in files.values():
        file.close()
    return list(fields.items(multi=True))


def _django_form(content_type: bytes, body: bytes) -> Pairs:
    meta = {"CONTENT_TYPE": content_type.decode("latin-1"), "CONTENT_LENGTH": str(len(body))}
    fields, _ = DjangoParser(meta, io.BytesIO(body), [MemoryFileUploadHandler()], "utf-8").parse()
    return [(name, text) for name, texts in fields.lists() for text in texts]


def _email_form(content_type: bytes, body: bytes, policy: Any = email.policy.HTTP) -> Pairs:
    parsed = email.parser.BytesParser(policy=policy).parsebytes(
        b"content-type: " + content_type + b"\r\n\r\n" + body
    )
    found = []
    for part in parsed.walk():
        name = part.get_param("name", None, "content-disposition")
        if name is not None and not part.is_multipart():
            payload = part.get_payload(decode=True)
            text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
            found.append((name if isinstance(name, str) else name[2], text))
    return found


def _naive_form(content_type: bytes, body: bytes) -> Pairs:
    """A reader of regular expressions, as many are written: it knows no quotes and no line but by its end."""
    boundary = re.search(rb'boundary="?([^";,\s]+)', content_type)
    found = []
    for part in body.split(b"--" + boundary[1] if boundary else b"--"):
        head, _, value = part.partition(b"\r\n\r\n") if b"\r\n\r\n" in part else part.partition(b"\n\n")
        name = re.search(rb"""[;\s]name\s*=\s*["']?([^"';\r\n]*)""", head, re.IGNORECASE)
        if name and b"filename" not in head:
            found.append(
                (name[1].decode("utf-8", "replace"), value.removesuffix(b"\r\n").decode("utf-8", "replace"))
            )
    return found


FORM_READERS: Mapping[str, Callable[[bytes, bytes], Pairs]] = {
    "Starlette": _starlette_form,
    "werkzeug": _werkzeug_form,
    "Django": _django_form,
    "email, HTTP policy": _email_form,
    "email, compat32": lambda kind, body: _email_form(kind, body, email.policy.compat32),
    "regular expressions": _naive_form,
}


def form_of(name: str, content_type: bytes, body: bytes) -> Pairs:
    """Return the fields that one reader finds, none where it gives up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # some leave files open where they give up
        try:
            return FORM_READERS[name](content_type, body)
        except Exception:  # noqa: BLE001 - each reader has errors of its own
            return []
