"""`weights_manifest.json`, the list of models (`assets/schema/manifest.schema.json`).

It is read strictly, because it decides which files are opened and downloaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..assets import ASSETS, WEIGHTS_DIR, manifest_path
from ..config import Config
from ..errors import EXIT_USAGE, EXIT_WEIGHTS, CaflowError
from ..model import strict_json, upgrade
from ..records import parse
from ..tasks import TASKS, get_task

__all__ = [
    "MANIFEST_SCHEMA",
    "Entry",
    "bundled_path",
    "is_model_id",
    "load_manifest",
    "manifest_json",
    "manifest_path",
]

MANIFEST_SCHEMA = 1
_REINSTALL = "pip install --force-reinstall caflow-cli"
_MAX_BYTES = 4_000_000  # of a manifest

# A name of one file: no separator, no drive, no leading dot.
_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.safetensors")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One model of the manifest: a file in the package, in a Hub repository, or in both."""

    id: str
    task: str
    sha256: str  # of the file, wherever it comes from
    bytes: int
    default: bool  # the task's model where none is named
    license: str  # of the weights
    data: str  # what they were trained on, and its terms
    config: dict[str, Any]
    metrics: dict[str, Any]  # measured on exactly this file, with "protocol"
    file: str | None = None  # name of the bundled file
    repo_id: str | None = None  # `user/name` on the Hub
    revision: str | None = None  # commit or tag there
    filename: str | None = None  # of the file there; None: `model.safetensors`
    replaces: str | None = None  # of a default: the id of the task's default before it

    def to_fields(self) -> dict[str, Any]:
        """The fields as the manifest holds them, without the id and without unset fields."""
        values = asdict(self)
        del values["id"]
        return {name: value for name, value in values.items() if value is not None}


def is_model_id(text: str) -> bool:
    """Whether a name may be a model's id, which becomes part of a file's name."""
    return _ID.fullmatch(text) is not None and ".." not in text


def load_manifest(path: Path | None = None) -> dict[str, Entry]:
    """The manifest's entries by id.

    Raises:
        CaflowError: (exit 3) the manifest is missing, is not JSON or has another schema, or an
            entry has a field that is missing, unknown or invalid. The message names entry and
            field.
    """
    path = path or manifest_path()
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        return _entries(strict_json(text))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CaflowError(
            f"unusable manifest {str(path)!r}: {reason}", _REINSTALL, EXIT_WEIGHTS
        ) from error


def manifest_json(entries: Iterable[Entry]) -> str:
    """The manifest of these entries as JSON, with at most one default for each task.

    Raises:
        CaflowError: (exit 2) `load_manifest` would not read it.
    """
    models = {entry.id: entry.to_fields() for entry in entries}
    content = {"schema": MANIFEST_SCHEMA, "models": models}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        _entries(strict_json(text))
    except ValueError as error:
        raise CaflowError(
            f"a manifest cannot hold this entry: {error}",
            "--license and --data-terms take a line of printable text",
            EXIT_USAGE,
        ) from error
    return text


def bundled_path(entry: Entry) -> Path | None:
    """The entry's file in the package; None if the file must come from the Hub.

    Raises:
        CaflowError: (exit 3) the file is missing, or is a link to another folder.
    """
    if entry.file is None:
        return None
    path = WEIGHTS_DIR / entry.file
    if not path.is_file():
        if entry.repo_id is not None:
            return None
        raise CaflowError(
            f"the bundled weights of {entry.id!r} are missing", _REINSTALL, EXIT_WEIGHTS
        )
    # Some installers link every file of a package to their store; the store's folder is as good.
    stores = {WEIGHTS_DIR.resolve(), (ASSETS / "__init__.py").resolve().parent / WEIGHTS_DIR.name}
    if path.resolve().parent not in stores:
        raise CaflowError(
            f"the bundled weights of {entry.id!r} are a link to {str(path.resolve())!r}",
            _REINSTALL,
            EXIT_WEIGHTS,
        )
    return path


def _entries(content: Any) -> dict[str, Entry]:
    """Parse the entries of a manifest. ValueError, with entry and field, if it is invalid."""
    if not isinstance(content, dict) or content.keys() != {"schema", "models"}:
        raise ValueError("it must hold 'schema' and 'models', and nothing else")
    if content["schema"] != MANIFEST_SCHEMA or isinstance(content["schema"], bool):
        raise ValueError(f"schema {content['schema']!r}; this version reads {MANIFEST_SCHEMA}")
    if not isinstance(content["models"], dict):
        raise ValueError("'models' is not a table")
    entries = {id_: _entry(id_, values) for id_, values in content["models"].items()}
    for name in ("file", "task"):
        seen: dict[str, str] = {}
        for entry in entries.values():
            value = getattr(entry, name)
            if value is None or (name == "task" and not entry.default):
                continue
            if value in seen:
                what = "field 'file'" if name == "file" else f"default of task {value!r}"
                raise ValueError(
                    f"entry {entry.id!r}: {what} is also that of entry {seen[value]!r}"
                )
            seen[value] = entry.id
    return entries


def _entry(id_: str, values: Any) -> Entry:
    where = f"entry {id_[:80]!r}"
    if not is_model_id(id_):
        raise ValueError(f"{where}: an id is of a-z, 0-9, dots and hyphens")
    if not isinstance(values, dict):
        raise ValueError(f"{where} is not a table")
    known = [f.name for f in fields(Entry) if f.name != "id"]
    for name in values:
        if name not in known:
            raise ValueError(f"{where}: unknown field {name[:80]!r}")
    for name in known:
        if name not in values and name not in _OPTIONAL:
            raise ValueError(f"{where}: field {name!r} is missing")
    for name, value in values.items():
        accepts, wanted = _FIELDS[name]
        if not accepts(value):
            raise ValueError(f"{where}: field {name!r} is {_short(value)}, not {wanted}")
    if "file" not in values and "repo_id" not in values:
        raise ValueError(f"{where}: neither field 'file' nor field 'repo_id'")
    if ("repo_id" in values) != ("revision" in values):
        raise ValueError(f"{where}: fields 'repo_id' and 'revision' go together")
    if "filename" in values and "repo_id" not in values:
        raise ValueError(f"{where}: field 'filename' without 'repo_id'")
    try:
        config = upgrade(values["config"])
        task = get_task(parse(Config, config))
    except CaflowError as error:
        raise ValueError(f"{where}: field 'config': {error.message}") from error
    if task.name != values["task"]:
        raise ValueError(
            f"{where}: field 'task' is {values['task']!r}, its config says {task.name!r}"
        )
    return Entry(id=id_, **{**values, "config": config})


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, str) and pattern.fullmatch(value) is not None and ".." not in value
    )


def _is_line(value: Any) -> bool:
    """Whether a text is one printable line, so that it cannot move a terminal's cursor."""
    return isinstance(value, str) and value.strip() != "" and value.isprintable()


def _is_metrics(value: Any) -> bool:
    """Whether a value is a table of numbers, possibly nested, with a protocol."""
    if not isinstance(value, dict):
        return False
    rest = {name: figure for name, figure in value.items() if name != "protocol"}
    return not value or (_is_line(value.get("protocol")) and _are_figures(rest))


def _are_figures(value: Any) -> bool:
    if isinstance(value, dict):
        return all(name.isprintable() and _are_figures(part) for name, part in value.items())
    return _is_line(value) or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# Field -> (whether a value will do, what it must be).
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "task": (lambda value: isinstance(value, str) and value in TASKS, " or ".join(TASKS)),
    "sha256": (_matches(_SHA256), "64 hex digits"),
    "bytes": (_is_size, "a number of bytes"),
    "default": (lambda value: isinstance(value, bool), "true or false"),
    "license": (_is_line, "a line of text"),
    "data": (_is_line, "a line of text"),
    "config": (lambda value: isinstance(value, dict), "a table"),
    "metrics": (_is_metrics, "a table of figures with their 'protocol'"),
    "file": (_matches(_FILE), "the name of a .safetensors file"),
    "repo_id": (_matches(_REPO), "user/name"),
    "revision": (_matches(_REVISION), "a commit or tag"),
    "filename": (_matches(_FILE), "the name of a .safetensors file"),
    "replaces": (lambda value: isinstance(value, str) and is_model_id(value), "a model's id"),
}
_OPTIONAL = {"file", "repo_id", "revision", "filename", "replaces"}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
