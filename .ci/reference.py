"""What the site adds to `docs/cli.md`: commands, fields of configs, and fields of JSON lines."""

from __future__ import annotations

import ast
import json
import re
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
    return f"## {commands}\n{configs()}\n{fields()}"


CONFIGS = {
    "": ("training/config.py", "RunConfig"),
    "optim.": ("training/config.py", "OptimConfig"),
    "samples.": ("training/config.py", "SamplesConfig"),
    "flow.": ("config.py", "FlowConfig"),
    "task.": ("config.py", "TaskConfig"),
}


def configs() -> str:
    """A table of the fields of a run's config, from the comments in the source."""
    parts = ["## Fields of a config\n", "Set one with `--set NAME=VALUE`, or in a TOML file.\n"]
    parts += ["| field | default | |", "|---|---|---|"]
    for prefix, (path, name) in CONFIGS.items():
        source = (ROOT / "caflow_cli" / path).read_text(encoding="utf-8")
        kinds = (n for n in ast.parse(source).body if isinstance(n, ast.ClassDef))
        kind = next(n for n in kinds if n.name == name)
        for field, default, text in _commented(kind, source.splitlines()):
            if field not in ("optim", "flow", "task", "samples"):
                shown = default.replace("|", "\\|")
                parts.append(
                    f"| `{prefix}{field}` | `{shown}` | {text.replace('|', chr(92) + '|')} |"
                )
    return "\n".join(parts) + "\n"


def _commented(kind: ast.ClassDef, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Name, default and comments of each field: those above it, beside it and after it.

    A comment on lines of its own belongs to the field before it where it goes on in lower case.
    """
    found: list[list[str]] = []
    last = kind.body[0].end_lineno or 0  # the docstring
    for node in kind.body:
        if not isinstance(node, ast.AnnAssign) or "ClassVar" in ast.unparse(node.annotation):
            last = node.end_lineno or last
            continue
        between = [line.strip().removeprefix("#").strip() for line in lines[last : node.lineno - 1]]
        comment = " ".join(filter(None, between))
        if found and re.match("(?!superres|colorize|inpaint|paired)[a-z]", comment):
            found[-1][2] += f" {comment}"
            comment = ""
        assert isinstance(node.target, ast.Name)
        last = node.end_lineno or node.lineno
        beside = re.search(r"  # (.*)$", lines[last - 1])
        choices = " or ".join(re.findall(r"'[\w-]+'", ast.unparse(node.annotation)))
        texts = [comment, beside[1] if beside else "", f"({choices})" if choices else ""]
        default = ast.unparse(node.value) if node.value else "-"
        default = "-" if default == "None" or default.startswith("field(") else default
        found.append([node.target.id, default, " ".join(filter(None, texts))])
    yield from ((name, default, text.strip()) for name, default, text in found)


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
        if name not in kind.get("required", ()) and "mitted" not in text:
            text += " Omitted if there is none."
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
