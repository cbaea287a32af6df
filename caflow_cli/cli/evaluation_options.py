"""The options of `caflow evaluate`, in groups, and the help text about metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ..evaluation import METRICS, Weights
from ..evaluation.protocols import PROTOCOLS
from . import options

__all__ = ["METRIC_HELP", "RESULTS", "Compared", "ModelOnData", "Networks", "Written"]

METRIC_HELP = "\n\n".join(
    f"{m.name}: {m.definition}. Range {m.range}; units {m.units}; "
    f"{'no direction' if m.better == 'nominal' else f'{m.better} is better'}."
    for m in METRICS.values()
)
# Panels of the help.
_MODEL, _SETS, _NETS = "A model on data", "Images against images", "Networks of metrics"
RESULTS = "Output"
_PAPER = ", ".join(name for name, protocol in PROTOCOLS.items() if not protocol.whole)
_WHOLE = ", ".join(name for name, protocol in PROTOCOLS.items() if protocol.whole)


def _option(flag: str, metavar: str | None, panel: str, help: str, **more: Any) -> Any:
    flags = flag.split()
    return typer.Option(*flags, metavar=metavar, help=help, rich_help_panel=panel, **more)


@dataclass(frozen=True, kw_only=True)
class ModelOnData:
    """The options for a model that samples candidates for the images of a data set."""

    task: Annotated[
        str | None,
        _option(
            "--task", "T", _MODEL, "Task. Default: the model's.", autocompletion=options.task_names
        ),
    ] = None
    model: str | None = options.MODEL_OPTION
    data: Annotated[
        str | None,
        _option(
            "--data",
            "DATA",
            _MODEL,
            "True images; for paired models, pairs in A/ and B/. All kinds that `train --data` "
            "takes.",
        ),
    ] = None
    split: Annotated[
        str | None,
        _option(
            "--split",
            "NAME",
            _MODEL,
            "train, val or test. Default: test/ if there is one, else every image.",
        ),
    ] = None
    limit: Annotated[
        int | None, _option("--limit", "COUNT", _MODEL, "Only the first COUNT images.")
    ] = None
    protocol: Annotated[
        str | None,
        _option(
            "--protocol",
            "NAME",
            _MODEL,
            f"{_PAPER}: the paper's settings, and its figures beside ours. {_WHOLE}: whole images "
            "at their own size, beside what is used today (docs/evaluation.md).",
        ),
    ] = None
    masks: Annotated[
        str | None,
        _option(
            "--masks",
            "FOLDER|ZIP",
            _MODEL,
            "For --protocol repair: masks of damage of any size, white where a hole is.",
        ),
    ] = None
    tau: Annotated[
        str | None,
        _option(
            "--tau",
            "T,…",
            _MODEL,
            "Temperature, or a shape (0.9/0.7/0.5, finest scale first); several are a sweep. "
            "Default: the model's.",
        ),
    ] = None
    candidates: Annotated[
        str | None,
        _option(
            "--candidates -m",
            "M,…",
            _MODEL,
            "Candidates to draw; several are a sweep. Default: the model's.",
        ),
    ] = None
    keep: Annotated[
        str | None,
        _option(
            "--keep -n",
            "N,…",
            _MODEL,
            "How many of them are measured: the likeliest, or by --rank. Default: 1.",
        ),
    ] = None
    rank: Annotated[
        str,
        _option(
            "--rank",
            "BY,…",
            _MODEL,
            "The rule that chooses those: likelihood, consensus or none; several are compared on "
            "the same candidates.",
        ),
    ] = "likelihood"
    seed: Annotated[
        int,
        _option("--seed", "S", _MODEL, "Candidate k of image r draws from S + 1,000,003 r + k."),
    ] = 0
    noise_samples: int = options.NOISE_SAMPLES
    batch_size: Annotated[
        int | None, _option("--batch-size", "B", _MODEL, "Candidates at a time.")
    ] = None
    device: str = options.DEVICE


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The options for images that are compared with images."""

    reference: Annotated[
        str | None,
        _option(
            "--reference",
            "DIR",
            _SETS,
            "True images for the outputs that JSON lines on stdin name.",
        ),
    ] = None
    resize: Annotated[
        int | None,
        _option(
            "--resize",
            "SIDE",
            _SETS,
            "Bring all images to SIDE x SIDE first (Pillow BICUBIC).",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The options for the networks of LPIPS, FID and KID."""

    save_stats: Annotated[
        str | None,
        _option("--save-stats", "FILE.npz", _NETS, "Write the reference's FID statistics."),
    ] = None
    lpips_weights: Annotated[
        str | None,
        _option(
            "--lpips-weights",
            "FILE",
            _NETS,
            "AlexNet's trunk as safetensors. Default: torch's cache, else a download.",
            envvar="CAFLOW_LPIPS_WEIGHTS",
        ),
    ] = None
    fid_weights: Annotated[
        str | None,
        _option(
            "--fid-weights",
            "FILE",
            _NETS,
            "torch-fidelity's Inception, sha256 6726825d…. Default: torch's cache, else a "
            "download.",
            envvar="CAFLOW_FID_WEIGHTS",
        ),
    ] = None
    feature_extractor: Annotated[
        str,
        _option(
            "--feature-extractor",
            "NAME|module:factory",
            _NETS,
            "Other features for fid, kid and coverage, reported under their name: inception-768, "
            "inception-192, inception-64, alexnet, or your own.",
        ),
    ] = "inception"

    @property
    def weights(self) -> Weights:
        """Their files and names."""
        return Weights(self.lpips_weights, self.fid_weights, self.feature_extractor)


@dataclass(frozen=True, kw_only=True)
class Written:
    """The options for the files that an evaluation of a model writes."""

    save_images: Annotated[
        str | None, _option("--save-images", "DIR", RESULTS, "Write the kept candidates.")
    ] = None
    report: Annotated[
        str | None, _option("--report", "DIR", RESULTS, "Write a gallery, index.html.")
    ] = None
    skip_existing: Annotated[
        bool,
        _option(
            "--skip-existing",
            None,
            RESULTS,
            "Continue an interrupted run from its files in --save-images or --report.",
        ),
    ] = False
