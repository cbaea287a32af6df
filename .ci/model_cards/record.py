"""The record of a measured model, `docs/models/ID.json`, and the words beside it, `ID.toml`."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from caflow_cli.errors import CaflowError

SCHEMA = 1


@dataclass(frozen=True)
class Figure:
    """A mean over pictures and its standard error; None where there is none, or it is infinite."""

    mean: float | None
    standard_error: float | None
    count: int


Figures = dict[str, Figure]  # by label of the metric, such as `kid:alexnet`


@dataclass(frozen=True)
class Protocol:
    """What was drawn, and of which pictures."""

    data: str  # name of the file or folder
    split: str
    pictures: int
    size: int
    tau: str
    candidates: int  # M
    rank: str  # the rule that `--rank best` takes for this model
    seed: int  # S: candidate k of picture r draws from S + 1,000,003 r + k
    noise_samples: int  # K of bits/dim; ranks are of K = 1
    curve_draws: int  # of each picture and temperature of the curve


@dataclass(frozen=True)
class Point:
    """Single draws at a temperature."""

    tau: str
    values: Figures
    failed: int  # pictures left out: a draw ran away eleven times


@dataclass(frozen=True)
class FarDraws:
    """Single draws at a high temperature, none of them chosen."""

    tau: float
    conditions: int
    draws: int  # of each condition
    redrawn: int  # draws that ran away, and were drawn again
    lost: int  # draws that ran away eleven times; no figure below counts them
    farthest: float  # max |log p - median| / (1.4826 MAD) over a condition's draws
    within_20: int  # draws nearer than 20 of these units
    returned: int  # written pictures that come back from encode and decode as the same 8 bits


@dataclass(frozen=True)
class Latent:
    """z_j^i of the test pictures, whose model is N(0, I): pooled over pictures and values."""

    name: str
    mean: float
    variance: float
    neighbours: float  # correlation of horizontal neighbours


@dataclass(frozen=True)
class Record:
    """All figures of a model file."""

    id: str
    sha256: str  # of the file that was measured
    bytes: int
    version: str  # of caflow
    task: str
    parameters: int
    flow: dict[str, Any]  # the config's table
    training: dict[str, Any]  # what the file says of its last run, without tables of pictures
    protocol: Protocol
    baseline: str | None  # its name
    baseline_values: Figures
    likeliest: Figures  # of M, by log-likelihood
    best: Figures  # by the model's own rule; empty if that is likelihood
    first: Figures  # the first draw of each picture
    all: Figures  # all M: means over single draws, sets of M pictures for each truth, diversity
    own_coverage: float  # share of truths that one of their M draws covers
    central_50: Figure  # true values in the central half of M draws
    bits_per_dim: Figure
    noise_error: float  # the part of its error that the K noise draws cause
    curve: list[Point]
    returned: int  # test pictures that come back from encode and decode as the same 8 bits
    far: list[FarDraws]
    latents: list[Latent]
    core_seconds: float  # that measuring took
    blotches: float | None = None  # `model_cards.blotches` of the pictures by the model's own rule

    def to_json(self) -> str:
        """Text of the file; floats have six digits."""
        text = json.dumps({"schema": SCHEMA, **_rounded(asdict(self))}, indent=1)
        leaves = r"\{[^{}]*\}|\[[^][{}]*\]"  # each on one line
        return re.sub(leaves, lambda leaf: " ".join(leaf[0].split()), text) + "\n"

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read the file of a record.

        Raises:
            CaflowError: It is another thing.
        """
        try:
            values = json.loads(path.read_text("utf-8"))
            if values.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            for name in ("baseline_values", "likeliest", "best", "first", "all"):
                values[name] = _figures(values[name])
            for name in ("central_50", "bits_per_dim"):
                values[name] = Figure(**values[name])
            values["protocol"] = Protocol(**values["protocol"])
            values["curve"] = [
                Point(**{**p, "values": _figures(p["values"])}) for p in values["curve"]
            ]
            values["far"] = [FarDraws(**far) for far in values["far"]]
            values["latents"] = [Latent(**latent) for latent in values["latents"]]
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CaflowError(
                f"{path.name} is no record of figures: {error}", f".ci/models measure {path.stem}"
            ) from error


def _figures(values: dict[str, Any]) -> Figures:
    return {name: Figure(**value) for name, value in values.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


@dataclass(frozen=True)
class Words:
    """What no measurement says."""

    does: str  # a short clause: "enlarges faces from 16×16 to 64×64"
    data: str  # file of the data set, such as faces64.zip
    pictures: int  # of test/ that are measured
    truths: str  # which these are: "FFHQ, ids 4600-4699"
    tau: str  # why the default temperature, and the rule, are what they are
    fails: str  # Markdown: what the model does badly
    guide: str = ""  # how the guide learned, where the file's record does not say: an earlier run

    @classmethod
    def read(cls, path: Path) -> Words:
        """Read the file of words.

        Raises:
            CaflowError: It is missing, or lacks some.
        """
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        hint = f"write {path.name}: {', '.join(f.name for f in fields(cls))} (docs/release.md)"
        try:
            values = tomllib.loads(path.read_text("utf-8"))
            words = cls(**values)
        except (OSError, ValueError, TypeError) as error:
            raise CaflowError(f"no words for the card: {error}", hint) from error
        for field in fields(cls):
            if field.name != "guide" and not getattr(words, field.name):
                raise CaflowError(f"{path.name} says nothing of {field.name!r}", hint)
        return words
