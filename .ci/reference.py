"""What the site adds to `docs/cli.md`: every command, and every field of `--json` lines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "caflow_cli" / "assets" / "schema" / "lines.schema.json"


def reference() -> str:
    """Markdown, with headings of the second level."""
    typer = [sys.executable, "-m", "typer", "caflow_cli.cli.app", "utils", "docs"]
    done = subprocess.run([*typer, "--name", "caflow"], cwd=ROOT, capture_output=True, check=True)
    commands = done.stdout.decode().partition("\n## ")[2]
    return f"## {commands}\n{fields()}"


def fields() -> str:
    """A table of fields for each kind of line, then for each object in lines."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    kinds = schema["$defs"]
    lines = [_name(one) for one in schema["oneOf"]]
    parts = [f"## Fields of JSON lines\n\n{schema['description']}\n"]
    for name in [*lines, *(name for name in kinds if name not in lines)]:
        parts += [f"### `{name}`\n", f"{kinds[name]['description']}\n", "| field | | |"]
        parts += ["|---|---|---|", *_rows(kinds[name].get("items", kinds[name])), ""]
    return "\n".join(parts)


def _rows(kind: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, field in kind["properties"].items():
        text = field.get("description", "")
        if name not in kind.get("required", ()) and "eft out" not in text:
            text += " Left out where there is none."
        yield f"| `{before}{name}` | {_kind(field)} | {text.strip()} |"
        inner = field.get("items", field)
        if inner.get("properties"):
            yield from _rows(inner, f"{before}{name}.")


def _kind(field: dict[str, Any]) -> str:
    """The type of a field, in words."""
    if "$ref" in field:
        return f"[`{_name(field)}`](#{_name(field)})"
    if values := [field["const"]] if "const" in field else field.get("enum"):
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    if several := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(map(_kind, several))
    kind = field.get("type", "any value")
    if kind == "array":
        return f"list of {_kind(field.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


if __name__ == "__main__":
    print(reference())
