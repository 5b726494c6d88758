"""What is wrong with a text that is almost JSON, in words that tell its author what to change.

People bring files from editors that add comments, from word processors that bend quotation marks, and from
programming languages that write `True`. `json` reports all of them as an unexpected character.
"""

from __future__ import annotations

_WINDOW = 200  # characters around the fault that are looked at
_QUOTATION_MARKS = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u00ab\u00bb\uff02\uff07"
# Full-width signs of East Asian keyboards, and the signs of JSON that are meant.
_WIDE = dict(zip("\uff0c\uff1a\uff5b\uff5d\uff3b\uff3d\u3001", ",:{}[],", strict=True))
_BEGINNINGS = {
    **dict.fromkeys(("//", "/*", "#"), "JSON has no comments; remove the comment"),
    "'": "JSON has no single quotation marks; write \" instead of '",
    "True": "True is no value of JSON; write true",
    "False": "False is no value of JSON; write false",
    "None": "None is no value of JSON; write null",
    "undefined": "undefined is no value of JSON; write null",
    **{sign: f'{sign} is no quotation mark of JSON; write "' for sign in _QUOTATION_MARKS},
    **{sign: f"{sign} is a full-width sign; write {ascii_sign}" for sign, ascii_sign in _WIDE.items()},
}


def json_advice(text: str, at: int) -> str:
    """Return what is wrong at a place of a text that is not JSON and what to do, or an empty text.

    at: where the reader of JSON stopped, as an index of `text`.
    """
    here = text[at : at + _WINDOW].lstrip()
    before = text[max(at - _WINDOW, 0) : at].rstrip()
    return (
        _of_file(text)
        or _of_comma(before, here)
        or _of_sign(before, here)
        or _of_quotation_marks(text)
        or ("the text ends too early: a bracket or a quotation mark is not closed" if not here else "")
    )


def _of_file(text: str) -> str:
    begin = text[:_WINDOW].lstrip()
    if not text.strip():
        return "the file is empty"
    return "this is HTML or XML; save the JSON document itself" if begin.startswith("<") else ""


def _of_comma(before: str, here: str) -> str:
    behind_comma = before.endswith(",") and here[:1] in ("}", "]")
    if behind_comma or (here.startswith(",") and here[1:].lstrip()[:1] in ("}", "]")):
        return "JSON has no comma behind the last entry; remove the comma"
    return ""


def _of_sign(before: str, here: str) -> str:
    for beginning, advice in _BEGINNINGS.items():
        if here.startswith(beginning):
            return advice
    if here.startswith("{") and before.endswith("}"):
        return "a second document begins here; write each document into a file of its own"
    if here[:1].isalpha() and before[-1:] in ("{", ","):
        return 'JSON writes names in quotation marks; write "name"'
    return ""


def _of_quotation_marks(text: str) -> str:
    """Find a mark that does not end the string before it, so that the reader stopped far behind it."""
    bent = next((sign for sign in text if sign in _QUOTATION_MARKS), "")
    line = text[: text.index(bent)].count("\n") + 1 if bent else 0
    return f'{bent} in line {line} is no quotation mark of JSON; write "' if bent else ""
