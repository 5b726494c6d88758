"""Single bits turned in policies, principals, catalog, keys and settings."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from camguard import Bundle, Call, CamguardError, load_bundle, parse_address
from camguard.authn.key_store import load_keys
from camguard.settings import load_settings
from tests.faults.report import Report, resident
from tests.running import camguard

ADDRESSES = ("10.1.2.3", "10.77.0.1", "203.0.113.7", "2001:db8::1")
ACTIONS = (
    "aiart:TextToImage",
    "aiart:QueryTextToImageJob",
    "intlpartnersmgt:QueryUser",
    "aiart:DeleteBudget",
)


def calls(bundle: Bundle) -> list[Call]:
    """Return the calls that every bundle decides: all principals, some actions and addresses."""
    actions = (*ACTIONS, *sorted(bundle.catalog.actions)[::20])
    return [
        Call(principal, action, parse_address(address), 1773144000.0, ("*",), None, None, None, None)
        for principal in sorted(bundle.people.layers)
        for action in actions
        for address in ADDRESSES
    ]


def inject_bit_flips(report: Report, *, quick: bool) -> None:
    """Bits turned at random in every file that is loaded."""
    drawn = random.Random(19)  # noqa: S311 - to be the same each time
    before = resident()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "config")
        camguard("init", str(folder)).check_returncode()
        _bundles(report, folder, drawn, 5 if quick else 80)
        _settings(report, folder, drawn, 2 if quick else 15)
    report.memory(before, resident())


def turned(raw: bytes, drawn: random.Random) -> bytes:
    """Return a text with one to three bits turned."""
    text = bytearray(raw)
    for _ in range(drawn.choice((1, 1, 2, 3))):
        text[drawn.randrange(len(text))] ^= 1 << drawn.randrange(8)
    return bytes(text)


def _bundles(report: Report, folder: Path, drawn: random.Random, seconds: float) -> None:
    files = [*(folder / "bundle" / "policies").iterdir(), folder / "bundle" / "principals.json"]
    files += sorted((folder / "catalog").iterdir())
    original = load_bundle(folder / "bundle", folder / "catalog")
    queries = calls(original)
    allowed = {number for number, call in enumerate(queries) if original.decide(call)}
    results: Counter[str] = Counter()
    unlogged = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        file = drawn.choice(files)
        raw = file.read_bytes()
        file.write_bytes(turned(raw, drawn))
        try:
            bundle = load_bundle(folder / "bundle", folder / "catalog")
        except CamguardError:
            results["refused"] += 1
        except Exception as error:  # noqa: BLE001 - the finding itself
            results[f"raised {type(error).__name__} ({file.name})"] += 1
        else:
            now = {number for number, call in enumerate(queries) if bundle.decide(call)}
            kind = "allows more" if now - allowed else "allows less" if allowed - now else "allows the same"
            results[kind] += 1
            unlogged += bundle.revision == original.revision
        finally:
            file.write_bytes(raw)
    report.says(bundles=results.total(), results=dict(results), requests_each=len(queries))
    report.holds(
        "no exception out of the loader but its own", true=not any("raised" in key for key in results)
    )
    report.holds("whatever is activated has a revision of its own", true=unlogged == 0)


def _settings(report: Report, folder: Path, drawn: random.Random, seconds: float) -> None:
    file, keys = folder / "camguard.toml", folder / "keys.json"
    shutil.copyfile(file, folder / "good.toml")
    shutil.copyfile(keys, folder / "good.json")
    secrets = [row["secret_key"] for row in json.loads(keys.read_text()).values()]
    results: Counter[str] = Counter()
    quoted = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        file.write_bytes(turned((folder / "good.toml").read_bytes(), drawn))
        keys.write_bytes(turned((folder / "good.json").read_bytes(), drawn))
        for name, load in (("settings", lambda: load_settings(file, {})), ("keys", lambda: load_keys(keys))):
            try:
                load()
            except CamguardError as error:
                results[f"{name} refused"] += 1
                quoted += any(secret in str(error) for secret in secrets)
            except Exception as error:  # noqa: BLE001 - the finding itself
                results[f"{name} raised {type(error).__name__}"] += 1
            else:
                results[f"{name} loaded"] += 1
    report.says(files=results.total(), results=dict(results))
    report.holds("settings and keys load or say why", true=not any("raised" in key for key in results))
    report.holds("no message quotes a secret", true=quoted == 0)
