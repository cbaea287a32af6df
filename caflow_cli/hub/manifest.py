"""`weights_manifest.json`, the list of models (`assets/schema/manifest.schema.json`).

It is read strictly, because it decides which files are opened and downloaded.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from ..assets import WEIGHTS_DIR, manifest_path
from ..checkpoint import strict_json
from ..config import require
from ..errors import EXIT_WEIGHTS, CaflowError, ensure, reason_of
from ..records import Constraint, Count, Line, Table, check, parse
from ..tasks import TASKS

REINSTALL = "pip install --force-reinstall . in the checkout of caflow"
_MAX_BYTES = 4_000_000  # of a manifest

# Names of a single file, repository or revision: no separator, no drive, no leading dot.
_FILE = Constraint.text(
    r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.safetensors", "the name of a .safetensors file"
)
_ID = Constraint.text(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{0,63}", "a-z, 0-9, dots and hyphens")
_REPO = Constraint.text(
    r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}", "user/name"
)
_REVISION = Constraint.text(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "a commit or tag")
_SHA256 = Constraint.text("[0-9a-f]{64}", "64 hex digits")


@dataclass(frozen=True)
class Entry:
    """A model in the manifest: a file in the package, in a Hub repository, or in both.

    Raises:
        CaflowError: (exit 2) a field is invalid, or two contradict each other.
    """

    id: Annotated[str, _ID]
    task: str
    sha256: Annotated[str, _SHA256]  # of the file, wherever it is from
    bytes: Count
    default: bool  # whether it is the default model of its task
    license: Line  # of the weights
    data: Line  # the training data, and its terms
    metrics: Table  # measured with exactly this file, with key "protocol"; or empty
    file: Annotated[str, _FILE] | None = None  # name of the bundled file
    repo_id: Annotated[str, _REPO] | None = None  # Hub repository
    revision: Annotated[str, _REVISION] | None = None  # in that repository
    filename: Annotated[str, _FILE] | None = None  # in it; None: `model.safetensors`
    calibration: Table | None = None  # a `Calibration` of this file, checked when used

    def __post_init__(self) -> None:
        check(self)
        require(self.task in TASKS, "task", self.task, " or ".join(TASKS))
        require(bool(self.file or self.repo_id), "file", self.file, "a file, or set repo_id")
        require(
            (self.repo_id is None) == (self.revision is None),
            "revision",
            self.revision,
            "a commit of repo_id, or leave both out",
        )


@dataclass(frozen=True)
class _Manifest:
    schema: Literal[1]
    models: Table

    def __post_init__(self) -> None:
        check(self)


def load_manifest(path: Path | None = None) -> dict[str, Entry]:
    """The manifest's entries by id.

    Raises:
        CaflowError: (exit 3) the manifest is missing, is not JSON or has another schema, or an
            entry has a missing, unknown or invalid field. The message names entry and field.
    """
    path = path or manifest_path()
    try:
        with path.open("rb") as file:
            return dict(_entries(file.read(_MAX_BYTES + 1)))
    except (OSError, ValueError) as error:
        message = f"unusable manifest {str(path)!r}: {reason_of(error)}"
        raise CaflowError(message, REINSTALL, EXIT_WEIGHTS) from error


@lru_cache(4)
def _entries(text: bytes) -> dict[str, Entry]:
    """The entries of a manifest."""
    if len(text) > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES} bytes")
    entries = {}
    where = ""
    try:
        for id_, values in parse(_Manifest, strict_json(text)).models.items():
            where = f"entry {id_[:80]!r}: "
            if isinstance(values, dict):
                values["id"] = id_
            entries[id_] = parse(Entry, values)
    except CaflowError as error:
        raise ValueError(f"{where}{error.message}; {error.hint}") from error
    return entries


def manifest_json(entries: Iterable[Entry]) -> str:
    """Serialize entries as a manifest in JSON, without unset fields."""
    models = {}
    for entry in entries:
        fields = asdict(entry)
        del fields["id"]
        models[entry.id] = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"schema": 1, "models": models}, indent=2, ensure_ascii=False) + "\n"


def purpose_of(id: str) -> str:
    """What a bundled model is for, from its card: "enlarges photographs four times"; else empty."""
    card = WEIGHTS_DIR / f"{id}.md"
    if not card.is_file():
        return ""
    _, _, sentence, *_ = card.read_text(encoding="utf-8").splitlines()
    return sentence[0].lower() + sentence[1:].removesuffix(".")


def bundled_path(entry: Entry) -> Path | None:
    """The path of the entry's bundled file; None if the file must come from the Hub.

    Raises:
        CaflowError: (exit 3) the file is missing.
    """
    if entry.file is not None:
        path = WEIGHTS_DIR / entry.file
        if path.is_file():
            return path
    ensure(
        entry.repo_id is not None,
        f"the bundled weights of {entry.id!r} are missing",
        REINSTALL,
        EXIT_WEIGHTS,
    )
    return None
