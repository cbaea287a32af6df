"""The fields of JSON lines, as the reference lists them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from caflow_cli.cli.reference_lines import lines_reference

ASSETS = Path(__file__).resolve().parents[2] / "caflow_cli" / "assets"


def test_every_field_of_a_line_is_listed():
    schema = json.loads((ASSETS / "schema" / "lines.schema.json").read_text(encoding="utf-8"))
    text = lines_reference()
    for name, kind in schema["$defs"].items():
        (table,) = re.findall(rf"^### `{name}`\n(.*?)(?=^### |\Z)", text, re.DOTALL | re.MULTILINE)
        listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
        assert listed == list(kind.get("items", kind)["properties"])
    for target in re.findall(r"\]\(#(\w+)\)", text):
        assert f"### `{target}`" in text
