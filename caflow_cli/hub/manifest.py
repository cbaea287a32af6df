"""`weights_manifest.json`, the list of models (`assets/schema/manifest.schema.json`).

It is read strictly, because it decides which files are opened and downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from ..assets import WEIGHTS_DIR, manifest_path
from ..config import Config, TaskName, require
from ..errors import EXIT_WEIGHTS, CaflowError
from ..model import strict_json, upgrade
from ..records import Count, Rule, check, parse, short
from ..tasks import get_task

__all__ = ["Entry", "bundled_path", "load_manifest", "manifest_json", "manifest_path"]

_SCHEMA = 1
_REINSTALL = "pip install --force-reinstall caflow-cli"
_MAX_BYTES = 4_000_000  # of a manifest


# It cannot move a terminal's cursor.
_LINE = Rule(lambda text: text.strip() != "" and text.isprintable(), "a line of printable text")
# Names of one file, repository and commit: no separator, no drive, no leading dot.
_FILE = Rule.text(
    r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.safetensors", "the name of a .safetensors file"
)
_ID = Rule.text(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{0,63}", "a-z, 0-9, dots and hyphens")
_REPO = Rule.text(
    r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}", "user/name"
)
_REVISION = Rule.text(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "a commit or tag")
_SHA256 = Rule.text("[0-9a-f]{64}", "64 hex digits")


@dataclass(frozen=True)
class Entry:
    """One model of the manifest: a file in the package, in a Hub repository, or in both.

    Raises:
        CaflowError: (exit 2) a field is invalid, or two contradict each other.
    """

    id: Annotated[str, _ID]
    task: TaskName
    sha256: Annotated[str, _SHA256]  # of the file, wherever it comes from
    bytes: Count
    default: bool  # the task's model where none is named
    license: Annotated[str, _LINE]  # of the weights
    data: Annotated[str, _LINE]  # the training data, and its terms
    config: dict[str, Any]
    metrics: dict[str, Any]  # measured on exactly this file, with "protocol"; or empty
    file: Annotated[str, _FILE] | None = None  # name of the bundled file
    repo_id: Annotated[str, _REPO] | None = None  # on the Hub
    revision: Annotated[str, _REVISION] | None = None  # there
    filename: Annotated[str, _FILE] | None = None  # of the file there; None: `model.safetensors`

    def __post_init__(self) -> None:
        check(self)
        require(bool(self.file or self.repo_id), "file", self.file, "a file, or set repo_id")
        hub = (self.repo_id is None) == (self.revision is None)
        require(hub, "revision", self.revision, "a commit of repo_id, or leave both out")
        alone = self.filename is None or self.repo_id is not None
        require(alone, "filename", self.filename, "nothing, for there is no repo_id")
        name = get_task(parse(Config, self.config, "config")).name
        require(name == self.task, "task", self.task, f"{name}, as its config says")


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
    """The manifest of these entries as JSON, without unset fields."""
    models = {
        entry.id: {k: v for k, v in asdict(entry).items() if v is not None and k != "id"}
        for entry in entries
    }
    content = {"schema": _SCHEMA, "models": models}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def bundled_path(entry: Entry) -> Path | None:
    """The entry's file in the package; None if the file must come from the Hub.

    Raises:
        CaflowError: (exit 3) the file is missing.
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
    return path


def _entries(content: Any) -> dict[str, Entry]:
    """Parse the entries of a manifest. ValueError, with entry and field, if it is invalid."""
    if not isinstance(content, dict) or content.keys() != {"schema", "models"}:
        raise ValueError("it must hold 'schema' and 'models', and nothing else")
    schema, models = content["schema"], content["models"]
    if schema != _SCHEMA or isinstance(schema, bool):
        raise ValueError(f"schema {short(schema)}; this version reads {_SCHEMA}")
    if not isinstance(models, dict):
        raise ValueError("'models' is not a table")
    entries = {}
    for id_, values in models.items():
        try:
            if isinstance(values, dict):
                values = {**values, "id": id_}
                if isinstance(values.get("config"), dict):
                    values["config"] = upgrade(values["config"])
            entries[id_] = parse(Entry, values)
        except CaflowError as error:
            reason = f"{error.message}; {error.hint}"
            raise ValueError(f"entry {id_[:80]!r}: {reason}") from error
    return entries
