"""The parser of arguments: no abbreviated options, suggestions for misspelt words, examples in every help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeVar

from camguard.grammar import REGION
from camguard.printable import printable
from camguard.suggest import nearest

T = TypeVar("T")


class UsageError(Exception):
    """Arguments that contradict each other, or that name what does not exist.

    Its arguments are the lines that `main` prints before it returns the exit code for a usage error.
    """


# The examples of each verb. Every example is a whole command line that parses.
EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "camguard": (
            "camguard init /etc/camguard",
            "camguard serve --config /etc/camguard/camguard.toml",
            "camguard check --principal alice --action aiart:TextToImage --ip 10.1.2.3 --explain",
        ),
        "camguard serve": (
            "camguard serve --config /etc/camguard/camguard.toml",
            "camguard serve --check --format json",
        ),
        "camguard check": (
            "camguard check --principal alice --action aiart:TextToImage --ip 10.1.2.3",
            "camguard check --principal role/render-farm --action aiart:SubmitDrawPortraitJob --explain",
        ),
        "camguard from-where": (
            "camguard from-where --principal alice --action aiart:TextToImage",
            "camguard from-where --principal alice --action aiart:TextToImage --all-times --format json",
        ),
        "camguard who-can": (
            "camguard who-can --action aiart:SetPayMode",
            "camguard who-can --action 'aiart:*' --access write --ip 198.51.100.0/24",
        ),
        "camguard what-can": (
            "camguard what-can --principal group/artists --access write",
            "camguard what-can --principal '*' --matrix --format csv",
        ),
        "camguard diff": (
            "camguard diff old/bundle config/bundle --fail-on gained",
            "camguard diff config/bundle config/bundle --old-catalog old/catalog --format markdown",
        ),
        "camguard reduce": ("camguard reduce", "camguard reduce aiart-create --write"),
        "camguard reason": ("camguard reason no_allow", "camguard reason"),
        "camguard rule": ("camguard rule CG201", "camguard rule --format json"),
        "camguard lint": (
            "camguard lint",
            "camguard lint policies/lock.json --severity style",
            "camguard lint --ignore CG5 --fail-on error --format sarif",
        ),
        "camguard test": (
            "camguard test",
            "camguard test --run offices --coverage --min-coverage 80",
            "camguard test --mutate --policy 'partners-*'",
        ),
        "camguard suggest": (
            "camguard suggest decisions.jsonl --principal role/render-farm",
            "camguard suggest decisions.jsonl --principal alice --most-ranges 2 --out policies/alice.json",
        ),
        "camguard unused": (
            "camguard unused decisions.jsonl",
            "camguard unused decisions.jsonl.1 decisions.jsonl --format json",
        ),
        "camguard principals": (
            "camguard principals",
            "camguard principals ali",
            "camguard principals --kind user --policy aiart-create --format json",
        ),
        "camguard replay": ("camguard replay decisions.log --bundle new/bundle",),
        "camguard rollback": (
            "camguard rollback",
            "camguard rollback 3c2f0a91d7be",
            "camguard rollback --release",
        ),
        "camguard promote": ("camguard promote --revision 3c2f0a91d7be",),
        "camguard bundle": ("camguard bundle build bundle --serial 12 --out bundle.tar.gz",),
        "camguard bundle build": (
            "camguard bundle build bundle --serial 12 --key-file bundle.key --out bundle.tar.gz",
            "camguard bundle build --after bundle.tar.gz --out bundle.tar.gz",
        ),
        "camguard bundle inspect": ("camguard bundle inspect bundle.tar.gz",),
        "camguard bundle verify": ("camguard bundle verify bundle.tar.gz --key-file bundle.key",),
        "camguard catalog": (
            "camguard catalog show aiart:TextToImage",
            "camguard catalog build lighthouse.html --out config/catalog",
        ),
        "camguard catalog build": (
            "camguard catalog build lighthouse.html --out config/catalog",
            "camguard catalog build --names names.txt --out config/catalog",
        ),
        "camguard catalog show": (
            "camguard catalog show",
            "camguard catalog show aiart",
            "camguard catalog show aiart:TextToImage --format json",
        ),
        "camguard catalog diff": (
            "camguard catalog diff old/catalog config/catalog --fail-on any",
            "camguard catalog diff old/catalog config/catalog --bundle config/bundle --fail-on gained",
        ),
        "camguard front": (
            "camguard front nginx --config /etc/camguard/camguard.toml",
            "camguard front nginx --listen 0.0.0.0:8443 > /etc/nginx/conf.d/camguard.conf",
        ),
        "camguard config": ("camguard config show gateway",),
        "camguard config show": (
            "camguard config show",
            "camguard config show gateway.listen",
            "camguard config show --changed --format json",
        ),
        "camguard call": (
            "camguard call --key uin/100000000101 --action aiart:TextToImage --url http://127.0.0.1:8080",
            "camguard call --key AKIDEXAMPLE --action cvm:RunInstances --url https://proxy --body '{}'",
        ),
        "camguard completion": (
            "camguard completion bash > ~/.local/share/bash-completion/completions/camguard",
            "camguard completion zsh > ~/.zfunc/_camguard",
            "camguard completion fish > ~/.config/fish/completions/camguard.fish",
        ),
        "camguard init": (
            "camguard init /etc/camguard",
            "camguard init config --only-keys",
        ),
    }
)


class Parser(argparse.ArgumentParser):
    """A parser that accepts no abbreviated options, so that a new option does not change existing scripts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def arguments(self) -> tuple[argparse.Action, ...]:
        """Return the options and positional arguments, among them the one that names a verb."""
        return tuple(self._actions)

    def tree(self) -> Iterator[Parser]:
        """Yield this parser and those of the verbs below it, in the order of the help."""
        yield self
        for argument in self._actions:
            for parser in verbs_of(argument).values():
                yield from parser.tree()

    def format_help(self) -> str:
        """Return the help, with the examples of the verb at its end."""
        lines = "".join(f"  {example}\n" for example in EXAMPLES.get(self.prog, ()))
        return super().format_help() + (f"\nexamples:\n{lines}" if lines else "")

    def error(self, message: str) -> NoReturn:
        """Exit with a usage error, in which quoted arguments are escaped."""
        super().error(printable(message))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Add to the message about a wrong word which of the right ones may have been meant."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += nearest(str(value), map(str, action.choices or ()))
            raise


def verbs_of(argument: argparse.Action) -> Mapping[str, Parser]:
    """Return the parsers of verbs by name; none for an argument that is no verb."""
    return argument.choices if isinstance(argument.choices, dict) else {}


def argument(read: Callable[[str], T], error: type[Exception]) -> Callable[[str], T]:
    """Return a reader of an argument, for which an error of `read` is a usage error with the same text."""

    def reader(text: str) -> T:
        try:
            return read(text)
        except error as wrong:
            raise argparse.ArgumentTypeError(str(wrong)) from None

    return reader


def matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    """Return a reader of an argument that a pattern matches whole. what: the argument that is expected."""

    def reader(text: str) -> str:
        if not pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return text

    return reader


_MOST_DIGITS: Final = 20  # of a whole number; Python converts no more than some thousand


def counting(most: int) -> Callable[[str], int]:
    """Return a reader of an argument that is a whole number from 1 to `most`."""

    def reader(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
        if not digits or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a whole number from 1 to {most}")
        return int(text)

    return reader


region: Final = matching(REGION, "a region such as ap-guangzhou")
