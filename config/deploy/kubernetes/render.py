"""Prints all manifests: those of this folder, and the ConfigMaps of a bundle and of a catalog.

usage: python render.py CONFIG > manifests.yaml

CONFIG is a folder with bundle/ and catalog/, as `camguard init` writes it. A key of a ConfigMap holds no
slash. So each policy is a key of its own, and the volume of the Deployment puts it into the folder policies/.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = "items: []  # render.py lists the files of the bundle here"
PREFIX = "policy."  # of the keys of policies, so that no policy takes the key of another file
READ = {".json", ".toml"}  # what camguard reads of the bundle's own folder; policy tests stay outside
KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
MOST_BYTES = 1_000_000  # Kubernetes refuses a ConfigMap of more than 1 MiB


def bundle_keys(folder: Path) -> dict[str, str]:
    """Return the key of each file of a bundle, and its path within the volume.

    Raises SystemExit for a name that cannot be a key.
    """
    files = sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix in READ)
    policies = sorted(path.name for path in (folder / "policies").glob("*.json"))
    keys = {name: name for name in files} | {f"{PREFIX}{name}": f"policies/{name}" for name in policies}
    if wrong := [path for key, path in keys.items() if not KEY.fullmatch(key)]:
        raise SystemExit(f"{wrong[0]}: a ConfigMap cannot hold a file of this name; rename the file")
    return keys


def config_map(name: str, data: Mapping[str, str]) -> str:
    """Return a ConfigMap as JSON, which is YAML, too. Raises SystemExit if it is too large."""
    size = sum(len(text.encode()) for text in data.values())
    if size > MOST_BYTES:
        raise SystemExit(f"{name}: {size} bytes are too many for a ConfigMap; the limit is {MOST_BYTES}")
    metadata = {"name": name, "labels": {"app.kubernetes.io/name": "camguard"}}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def render(config: Path) -> str:
    """Return all manifests as one YAML stream. Raises OSError for a folder without bundle or catalog."""
    bundle, catalog = config / "bundle", config / "catalog"
    keys = bundle_keys(bundle)
    items = json.dumps([{"key": key, "path": path} for key, path in keys.items()])
    read = {key: (bundle / path).read_text(encoding="utf-8") for key, path in keys.items()}
    services = {path.name: path.read_text(encoding="utf-8") for path in sorted(catalog.glob("*.json"))}
    static = [path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.yaml"))]
    documents = [text.replace(PLACE, f"items: {items}") for text in static]
    return "---\n".join(
        [*documents, config_map("camguard-bundle", read), config_map("camguard-catalog", services)]
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its argument
        raise SystemExit(__doc__)
    sys.stdout.write(render(Path(sys.argv[1])))
