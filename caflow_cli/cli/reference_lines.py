"""The fields of `--json` lines as Markdown, from the JSON Schema that describes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

__all__ = ["lines_reference"]

_SCHEMA = "assets/schema/lines.schema.json"


def lines_reference() -> str:
    """A table of fields for each kind of line, and for each object that stands in lines."""
    schema = json.loads((files("caflow_cli") / _SCHEMA).read_text(encoding="utf-8"))
    kinds = schema["$defs"]
    lines = [_name(one) for one in schema["oneOf"]]
    rest = [name for name in kinds if name not in lines]
    parts = [f"## Lines of JSON\n\n{schema['description']}\n"]
    parts += [_table(name, kinds[name]) for name in [*lines, *rest]]
    return "\n".join(parts)


def _table(name: str, kind: dict[str, Any]) -> str:
    of_one = kind.get("items", kind)
    head = [f"### `{name}`\n", f"{kind['description']}\n", "| field | | |", "|---|---|---|"]
    return "\n".join([*head, *_rows(of_one)]) + "\n"


def _rows(kind: dict[str, Any], before: str = "") -> Iterator[str]:
    needed = kind.get("required", ())
    for name, field in kind["properties"].items():
        text = field.get("description", "")
        if name not in needed and "eft out" not in text:
            text = f"{text} Left out where there is none.".strip()
        yield f"| `{before}{name}` | {_kind(field)} | {text} |".replace("  ", " ")
        inner = field.get("items", field)
        if inner.get("properties"):
            yield from _rows(inner, f"{before}{name}.")


def _kind(field: dict[str, Any]) -> str:
    """The kind of a value, in words."""
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "$ref" in field:
        name = _name(field)
        return f"[`{name}`](#{name})"
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(_kind(one) for one in field[several])
    of_type = field.get("type", "any value")
    if of_type == "array":
        return f"list of {_kind(field.get('items', {}))}"
    return " or ".join(of_type) if isinstance(of_type, list) else str(of_type)


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]
