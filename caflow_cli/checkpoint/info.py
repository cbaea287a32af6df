"""The header of a model file: its config, its training record, and the shapes of its tensors.

The header's metadata holds `caflow`: JSON of `{"schema": 1, "config": ..., "training": ...}`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import EXIT_WEIGHTS, CaflowError
from ..records import parse
from .header import Header, TensorInfo, read_header
from .layout import layout
from .strict_json import strict_json

__all__ = ["SCHEMA", "CheckpointInfo", "config_json", "metadata_of", "read_info"]

SCHEMA = 1
_KEY = "caflow"
_BUFFERS = ("initialized", "permutation", "sign")  # all else is trained


@dataclass(frozen=True)
class CheckpointInfo:
    """The config, training record and tensor shapes of a model file, without the tensors."""

    config: Config
    training: dict[str, Any]  # free-form record of the run: images seen, validation bits/dim, ...
    parameters: dict[str, int]  # trained values of each part: R, T, F and, where there is one, Q


def config_json(config: Config) -> str:
    """The `config.json` of a Hub repository, for people: models are read from their own file."""
    return json.dumps({"schema": SCHEMA, "config": config.to_dict()}, indent=2) + "\n"


def metadata_of(config: Config, training: dict[str, Any]) -> dict[str, str]:
    """The metadata that `read_info` reads back. Numbers that are not finite become null."""
    record = {"schema": SCHEMA, "config": config.to_dict(), "training": _finite(training)}
    return {_KEY: json.dumps(record, allow_nan=False)}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_info(path: Path) -> CheckpointInfo:
    """Read config and record of a model file, and check that its tensors fit the config.

    No tensor is read, and no memory is taken for one. No torch is imported.

    Raises:
        CaflowError: (exit 3) there is no such file; it is not safetensors (see `read_header`) or
            not a caflow model; it has another schema; or its tensors have other names, shapes or
            types than the config asks for.
    """
    header = read_header(path)
    config, training = _record(header.metadata.get(_KEY), str(path))
    _check_layout(header, config, str(path))
    return CheckpointInfo(config, training, _parameters(header))


def _record(text: str | None, where: str) -> tuple[Config, dict[str, Any]]:
    hint = "caflow train --out RUN, then caflow models pack RUN, makes such a file"
    if text is None:
        raise CaflowError(f"{where!r} is not a caflow model", hint, EXIT_WEIGHTS)
    try:
        record = strict_json(text)
        schema, training = record["schema"], record.get("training") or {}
        if not isinstance(training, dict):
            raise TypeError("the record is no table")
    except (ValueError, KeyError, TypeError) as error:
        raise CaflowError(f"{where!r} has a broken caflow header", hint, EXIT_WEIGHTS) from error
    if schema != SCHEMA:
        raise CaflowError(
            f"{where!r} has checkpoint schema {schema!r}; this version reads {SCHEMA}",
            "pip install --upgrade caflow-cli, or pack the model again",
            EXIT_WEIGHTS,
        )
    try:
        config = parse(Config, record.get("config"))
    except CaflowError as error:
        raise CaflowError(f"{where!r}: {error.message}", error.hint, EXIT_WEIGHTS) from error
    return config, training


def _check_layout(header: Header, config: Config, where: str) -> None:
    """Stop at the first difference, so that a config that asks for too much costs nothing."""
    expected = set()
    for name, shape in layout(config):
        found = header.tensors.get(name)
        if found is None or found.shape != shape:
            raise _differs(where, name, found.shape if found else "missing", shape)
        if not _fits(name, found):
            raise _differs(where, name, f"of type {found.dtype}", _kind(name))
        expected.add(name)
    for name, found in header.tensors.items():
        if name not in expected:
            raise _differs(where, name, found.shape, "nothing")


def _differs(where: str, name: str, found: object, wanted: object) -> CaflowError:
    return CaflowError(
        f"{where!r} does not hold the tensors that its config asks for: {name[:80]!r} is {found}, "
        f"expected {wanted}",
        "pack the run again",
        EXIT_WEIGHTS,
    )


def _kind(name: str) -> str:
    last = name.rpartition(".")[2]
    return {"initialized": "BOOL", "permutation": "I64"}.get(last, "F32")


def _fits(name: str, tensor: TensorInfo) -> bool:
    """Float tensors may be double. Net convolutions (four dimensions) may be bfloat16."""
    if _kind(name) != "F32":
        return tensor.dtype == _kind(name)
    return tensor.dtype in ("F32", "F64") or (tensor.dtype == "BF16" and len(tensor.shape) == 4)


def _parameters(header: Header) -> dict[str, int]:
    counts = dict.fromkeys(("A", "R", "T", "F", "Q"), 0)
    for name, tensor in header.tensors.items():
        if name.rpartition(".")[2] not in _BUFFERS:
            counts[name.partition(".")[0]] += math.prod(tensor.shape)
    return {part: count for part, count in counts.items() if count}
