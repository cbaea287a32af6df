"""The header of a model file: its config and its training record, in fields of this version.

The header's metadata holds `caflow`: JSON of `{"schema": 1, "config": ..., "training": ...}`.
Nothing here imports torch.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..config import Config
from ..errors import EXIT_WEIGHTS, CaflowError, check_usage
from ..records import parse, short
from .header import TensorInfo, read_header, strict_json

__all__ = ["CheckpointInfo", "config_json", "metadata_of", "read_info", "upgrade"]

SCHEMA = 1
_KEY = "caflow"
_BUFFERS = ("initialized", "permutation", "sign")  # all else is trained


class Gone(NamedTuple):
    """A retired field. A file may state the values that this version still computes."""

    values: tuple[Any, ...]  # none: any
    when: str | None = None  # another field of the table: without it any value means the same


# The fields of earlier versions: a retired one, or the new name of a renamed one. A field that a
# file lacks means its default.
OLD: dict[str, Gone | str] = {
    "crop_native": Gone((0.67,)),
    "crop_shrink": Gone((4.0,)),
    "grid_every": Gone(()),
    "stream_buffer": Gone(()),
    "zoom": Gone((0.0,)),
    "flow.alpha": Gone((0.05,)),
    "flow.guide_says": Gone(("mean",), when="guide"),
    "flow.r_reads": Gone(("guide",), when="guide"),
    "task.rank": Gone(()),  # which no command read
    "optim.beta2": Gone((0.99,)),
    "optim.clip": Gone((1.0,)),
    "optim.guide_lattice": "checkerboard_weight",
    "optim.guide_loss": Gone(("picture",), when="guide_first"),
    "optim.guide_lr_share": Gone((0.0,), when="guide_first"),
    "optim.invconv_lr_width": Gone((0, 16)),
    "optim.lr_decay": Gone((0.999,)),
    "optim.lr_drop": Gone((0.1,)),
    "optim.lr_drop_step": Gone((70_000,)),
    "optim.lr_floor": Gone((0.01,)),
    "samples.lattice": "checkerboard_weight",
}


def upgrade(values: dict[str, Any]) -> dict[str, Any]:
    """The config of a model file or a run, as an earlier version wrote it, in today's fields.

    Args:
        values: Nested plain values. What is no table is left to `parse`.

    Raises:
        CaflowError: (exit 2) a retired field has a value that this version does not compute.
    """
    values = {key: dict(v) if isinstance(v, dict) else v for key, v in values.items()}
    for key, change in OLD.items():
        name, _, field = key.rpartition(".")
        table = values.get(name) if name else values
        if not isinstance(table, dict) or field not in table:
            continue
        value = table.pop(field)
        if isinstance(change, str):
            table.setdefault(change, value)
        elif change.values and value not in change.values:
            check_usage(
                change.when is not None and not table.get(change.when),
                f"{key} is {short(value)}, which this version does not support",
                f"set {key} to {' or '.join(map(str, change.values))}, and train anew",
            )
    return values


@dataclass(frozen=True)
class CheckpointInfo:
    """The header of a model file, without the tensors."""

    config: Config
    training: dict[str, Any]  # free-form record of the run: images seen, validation bits/dim, ...
    tensors: dict[str, TensorInfo]  # by name

    @property
    def parameters(self) -> dict[str, int]:
        """How many trained values each part has: A, R, T, F and, where there is one, Q."""
        counts: Counter[str] = Counter()
        for name, tensor in self.tensors.items():
            if name.rpartition(".")[2] not in _BUFFERS:
                counts[name.partition(".")[0]] += math.prod(tensor.shape)
        return {part: counts[part] for part in "ARTFQ" if part in counts}

    @property
    def split_seed(self) -> int:
        """The seed by which the training held images out; 0 where the record has none."""
        seed = self.training.get("seed")
        return seed if type(seed) is int and 0 <= seed < 2**32 else 0


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
    """Read config and record of a model file. `CAFlow.load` also compares its tensors with these.

    No tensor is read, and no memory is taken for one.

    Raises:
        CaflowError: (exit 3) there is no such file, it is not safetensors (see `read_header`) or
            not a caflow model, it has another schema, or its config is that of no model.
    """
    tensors, metadata = read_header(path)
    where, hint = repr(str(path)), "caflow train --out RUN, then caflow models pack RUN, makes one"
    if _KEY not in metadata:
        raise CaflowError(f"{where} is not a caflow model", hint, EXIT_WEIGHTS)
    try:
        record = strict_json(metadata[_KEY])
        schema, training = record["schema"], {**(record.get("training") or {})}
    except (ValueError, KeyError, TypeError) as error:
        raise CaflowError(f"{where} has a broken caflow header", hint, EXIT_WEIGHTS) from error
    if schema != SCHEMA:
        raise CaflowError(
            f"{where} has checkpoint schema {short(schema)}; this version reads {SCHEMA}",
            "pip install --upgrade caflow-cli, or pack the model again",
            EXIT_WEIGHTS,
        )
    try:
        config = record.get("config")
        config = parse(Config, upgrade(config) if isinstance(config, dict) else config)
    except CaflowError as error:
        raise CaflowError(f"{where}: {error.message}", error.hint, EXIT_WEIGHTS) from error
    return CheckpointInfo(config, training, tensors)
