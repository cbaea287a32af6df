"""Two results, field by field, and the differences that are allowed."""

from __future__ import annotations

import fnmatch
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .describing import JSON

# Not compared: time, versions, and text that people read.
SKIPPED = {
    *("elapsed_s", "elapsed", "minutes", "seconds", "images_per_second", "version", "schema"),
    *("message", "hint", "note", "notes", "text", "reading", "definition", "range", "units"),
    *("source", "stderr", "license", "terms", "bound", "figures"),
}


class Allowed:
    """The differences that `fingerprint-allowed.txt` lists, as patterns of `part/case/field`."""

    def __init__(self, path: Path) -> None:
        self.rules: dict[str, list[str]] = {"removed": [], "added": [], "changed": []}
        self.renamed: dict[str, str] = {}
        for number, line in enumerate(path.read_text().splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            if words[0] == "renamed" and len(words) == 3:
                old, new = (word.replace("?", " ") for word in words[1:])
                self.renamed[old] = new
            elif words[0] in self.rules and len(words) == 2:
                self.rules[words[0]].append(words[1])
            else:
                raise SystemExit(f"{path}:{number}: not a rule: {line}")

    def of(self, kind: str, where: str) -> bool:
        """A pattern without a slash is the name of a field, anywhere."""
        last = where.rpartition("/")[2]
        return any(
            fnmatch.fnmatchcase(where if "/" in rule else last, rule) for rule in self.rules[kind]
        )


def differences(a: Any, b: Any, where: str, allowed: Allowed) -> Iterator[tuple[str, str]]:
    """(place, what differs) of two results."""
    if where.rpartition("/")[2] in SKIPPED or allowed.of("changed", where):
        return
    if isinstance(a, dict) and isinstance(b, dict):
        yield from _of_tables(a, b, where, allowed)
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield where, f"has {len(b)} items, not {len(a)}"
        for number, (x, y) in enumerate(zip(a, b, strict=False)):
            yield from differences(x, y, f"{where}/{number}", allowed)
    elif isinstance(a, float) and isinstance(b, float) and _is_measured(where):
        if not math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-9):
            yield where, f"is {b!r}, was {a!r}"
    elif a != b:
        yield where, f"is {_short(b)}, was {_short(a)}"


def _of_tables(a: JSON, b: JSON, where: str, allowed: Allowed) -> Iterator[tuple[str, str]]:
    """The differences of two tables, whose fields may be new, gone or renamed."""
    names = {name: name if name in b else allowed.renamed.get(name, name) for name in a}
    a = {names[name]: value for name, value in a.items()}
    for name in [*a, *(name for name in b if name not in a)]:
        place = f"{where}/{name}"
        if name in SKIPPED:
            continue
        if name not in b:
            if not allowed.of("removed", place):
                yield place, f"is gone; was {_short(a[name])}"
        elif name not in a:
            if not allowed.of("added", place):
                yield place, f"is new: {_short(b[name])}"
        elif name == "bytes" and "pixels" in a and _provenance(a) != _provenance(b):
            continue  # the provenance is compared by itself
        else:
            yield from differences(a[name], b[name], place, allowed)


def _is_measured(where: str) -> bool:
    """Whether numbers there are metrics, which may move by 1e-4 of their value."""
    return "/evaluate" in where or "/read lines" in where


def _provenance(image: JSON) -> JSON:
    return {key: value for key, value in image.items() if key.startswith("text ")}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 90 else f"{text[:87]}..."


def compare(old: Path, new: Path, names: list[str], rules: Path) -> int:
    """Print the differences of two folders; 1 if there are any."""
    allowed = Allowed(rules)
    bad = 0
    for name in names:
        both = [folder / f"{name}.json" for folder in (old, new)]
        missing = [str(path) for path in both if not path.exists()]
        if missing:
            found = [("", f"{' and '.join(missing)}: missing")]
        else:
            a, b = (json.loads(path.read_text()) for path in both)
            found = list(differences(a, b, f"/{name}", allowed))
        for place, what in found[:40]:
            print(f"{place} {what}")
        if len(found) > 40:
            print(f"... and {len(found) - 40} more in {name}")
        print(f"{name}: {f'{len(found)} differences' if found else 'equal'}")
        bad += len(found)
    return min(bad, 1)
