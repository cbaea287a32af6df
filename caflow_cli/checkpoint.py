"""The header of a model file, read before any tensor and without torch.

A file is safetensors: 8 bytes n (little-endian), n bytes of JSON, and the tensors' bytes:

    {"__metadata__": {name: text}, name: {"dtype", "shape", "data_offsets": [begin, end]}, ...}

Its metadata holds `caflow`: JSON of `{"schema": 1, "config": ..., "training": ...}`.

The safetensors library checks shapes and offsets against the file's size. But it would take 728 MB
for a header of 67 MB, and accepts duplicate keys, so size and JSON are checked here first.
Source: https://huggingface.co/docs/safetensors
"""

import json
import math
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from .config import Config, require
from .errors import EXIT_WEIGHTS, CaflowError, check_usage, ensure, reason_of
from .records import Between, Count, Line, NonNegative, Table, check, parse, rebuilt, short
from .sampling import Ensemble
from .tasks import check_task

MAX_HEADER = 2 << 20  # bytes; a model of 4,000 tensors has half a MB
SCHEMA = 1
CALIBRATION = "calibration"  # the key of a `Calibration` in the training record
_KEY = "caflow"
_BUFFERS = ("initialized", "permutation", "sign")  # everything else is trained


class TensorInfo(NamedTuple):
    """The description of a tensor in a file, without its values."""

    dtype: str  # as safetensors spells it: "F32"
    shape: tuple[int, ...]


Reaches = Annotated[
    NonNegative,
    "An interval reaches lambda (s + 1) levels to either side of the mean of all candidates; s is "
    "their standard deviation.",
]


@dataclass(frozen=True, kw_only=True)
class Calibration(Ensemble):
    """How a model was calibrated, and the settings for which alone that holds.

    Raises:
        CaflowError: (exit 2) a value is missing, of the wrong type or out of range.
    """

    level: Annotated[Between, "Expected share of values within their intervals."]
    lambd: Reaches
    images: Annotated[Count, "Number of images of the calibration."]
    width: Annotated[NonNegative, "Mean width of the intervals of these images, in levels."]
    data: Annotated[Line, "Name of the images' set."]

    def __post_init__(self) -> None:
        check(self, "calibration")
        for name, value in self.ensemble.items():
            key = f"calibration.{name}"
            check_usage(value is not None, f"key {key!r} is missing", f"set {key}")
        m = self.candidates or 0
        require(m >= 2, "calibration.candidates", m, "an integer, 2 or more")

    @classmethod
    def of(cls, values: Table) -> "Calibration":
        """The inverse of `as_json`."""
        named = {("lambd" if key == "lambda" else key): value for key, value in values.items()}
        return parse(cls, named, "calibration")

    def as_json(self) -> Table:
        """The record in a model file or in a manifest."""
        values = vars(self) | {"tau": self.temperature.as_json()}
        return {("lambda" if key == "lambd" else key): value for key, value in values.items()}


def calibration_in(record: Mapping[str, Any]) -> Calibration | None:
    """The calibration in a training record, if there is one; CaflowError (exit 3) if invalid."""
    values = record.get(CALIBRATION)
    if values is None:
        return None
    try:
        return Calibration.of(values)
    except CaflowError as error:
        raise CaflowError(error.message, error.hint, EXIT_WEIGHTS) from error


@dataclass(frozen=True)
class CheckpointInfo:
    """The header of a model file, without the tensors."""

    config: Config
    training: Table  # free-form record of the run: images seen, validation bits/dim, ...
    tensors: dict[str, TensorInfo]  # by name
    known: bool = False  # the file has the digest of one that was checked

    @property
    def parameters(self) -> dict[str, int]:
        """The number of trained values in each part: A, R, T, F and, if there is one, Q."""
        counts: Counter[str] = Counter()
        for name, tensor in self.tensors.items():
            if name.rpartition(".")[2] not in _BUFFERS:
                counts[name.partition(".")[0]] += math.prod(tensor.shape)
        return {part: counts[part] for part in "ARTFQ" if part in counts}

    @property
    def guide(self) -> dict[str, str]:
        """The published network that is the guide: `ExternalConfig`; empty if there is none."""
        guide = self.training.get("guide")
        return guide if isinstance(guide, dict) else {}


def config_json(config: Config) -> str:
    return json.dumps({"schema": SCHEMA, "config": config.to_dict()}, indent=2) + "\n"


def metadata_of(config: Config, training: Table) -> dict[str, str]:
    """The metadata that `read_info` reads back. Numbers that are not finite become null."""
    record = json.loads(json.dumps(training), parse_constant=lambda _: None)
    values = {"schema": SCHEMA, "config": config.to_dict(), "training": record}
    return {_KEY: json.dumps(values)}


def read_info(path: Path) -> CheckpointInfo:
    """Read the config and training record of a model file, without reading tensors.

    `CAFlow.load` also compares the tensors with the config.

    Raises:
        CaflowError: (exit 3) there is no such file, it is not safetensors (see `read_header`) or
            not a caflow model, it has another schema, or its config is invalid.
    """
    tensors, metadata = read_header(path)
    where = repr(str(path))
    hint = "caflow train --out RUN, then caflow models pack RUN, makes one"
    ensure(_KEY in metadata, f"{where} is not a caflow model", hint, EXIT_WEIGHTS)
    try:
        record = strict_json(metadata[_KEY])
        schema = record["schema"]
        training = {**(record.get("training") or {})}
    except (ValueError, KeyError, TypeError) as error:
        raise CaflowError(f"{where} has a broken caflow header", hint, EXIT_WEIGHTS) from error
    ensure(
        schema == SCHEMA,
        f"{where} has checkpoint schema {short(schema)}; this version reads {SCHEMA}",
        "git pull && pip install . in the checkout of caflow, or pack the model again",
        EXIT_WEIGHTS,
    )
    values = record.get("config")
    try:
        config = parse(Config, values)
        check_task(config.task)
    except CaflowError as error:
        raise CaflowError(f"{where}: {error.message}", error.hint, EXIT_WEIGHTS) from error
    return CheckpointInfo(config, training, tensors)


def known_info(path: Path) -> CheckpointInfo:
    """What `read_info` reads, of a file whose digest says that it was checked: not again."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    record = json.loads(header.pop("__metadata__")[_KEY])
    tensors = {k: TensorInfo(t["dtype"], tuple(t["shape"])) for k, t in header.items()}
    return CheckpointInfo(rebuilt(Config, record["config"]), record["training"], tensors, True)


def read_header(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Read the metadata of a safetensors file, and the description of each tensor, by name.

    The content identifies the format, not the suffix.

    Raises:
        CaflowError: (exit 3) there is no such file; it has another format, such as a pickle, which
            is never opened; or it is damaged: truncated, longer than its tensors, with a header
            that is too large or not strict JSON, or with tensors that overlap, leave gaps or do not
            fit their shapes.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block
            raise OSError(0, "it is a folder, a pipe or a device")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            text = file.read(min(length, MAX_HEADER))
        ensure(
            text.startswith(b"{"),
            f"{str(path)!r} is not safetensors",
            "give the .safetensors file itself: no archive, web page or Git LFS pointer (git lfs "
            "pull), and no pickle, which can run arbitrary code; docs/models.md converts one that "
            "you trust",
            EXIT_WEIGHTS,
        )
        if length > MAX_HEADER:
            raise ValueError(f"its header claims {length} bytes, more than {MAX_HEADER}")
        if len(text) < length:
            raise ValueError("it ends within its header")
        header = strict_json(text)
        with safe_open(path, framework="np"):  # checks the header
            metadata = header.pop("__metadata__", None) or {}
        described = header.items()
        return {k: TensorInfo(t["dtype"], tuple(t["shape"])) for k, t in described}, metadata
    except (OSError, MemoryError) as error:
        raise _unreadable(path, error) from error
    except (ValueError, SafetensorError) as error:
        message = f"{str(path)!r} is not a readable safetensors file: {reason_of(error)}"
        raise CaflowError(message, "download or copy the file again", EXIT_WEIGHTS) from error


def strict_json(text: str | bytes) -> Any:
    """Parse a JSON text (bytes: UTF-8) more strictly than `json.loads`.

    Raises:
        ValueError: It is not JSON, an object has a duplicate key, a number is not finite, or it is
            nested too deeply for Python.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_float=_finite_number,
            parse_constant=_finite_number,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _distinct(pairs: list[tuple[str, Any]]) -> Table:
    values: Table = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key[:80]!r} occurs twice")
        values[key] = value
    return values


def _finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:80]} is not a finite number")
    return value


def _unreadable(path: Path, error: OSError | MemoryError) -> CaflowError:
    if isinstance(error, FileNotFoundError):
        return CaflowError(f"no model file {str(path)!r}", "caflow models list", EXIT_WEIGHTS)
    return CaflowError(
        f"cannot read {str(path)!r}: {reason_of(error)}",
        "give a .safetensors file that you may read",
        EXIT_WEIGHTS,
    )
