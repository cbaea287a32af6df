"""The options of `caflow evaluate`, in groups, and the help text about metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ..evaluation.benchmarks import BENCHMARKS
from ..evaluation.metrics.catalogue import METRICS
from ..evaluation.protocols import PROTOCOLS
from . import options

if TYPE_CHECKING:
    from ..evaluation import Weights

__all__ = [
    "DEFAULT_METRICS",
    "METRIC_HELP",
    "RESULTS",
    "Compared",
    "ModelOnData",
    "Networks",
    "Written",
]

DEFAULT_METRICS = ("lpips", "rmse")

METRIC_HELP = "\n\n".join(
    f"{m.name}: {m.definition}. Range {m.range}; units {m.units}; "
    + {"lower": "lower is better.", "higher": "higher is better.", "nominal": "no direction."}[
        m.better
    ]
    for m in METRICS.values()
)

# Panels of the help.
_MODEL = "A model on data"
_SETS = "Pictures against pictures"
_NETS = "Networks of metrics"
RESULTS = "Output"


@dataclass(frozen=True, kw_only=True)
class ModelOnData:
    """The options for a model that draws candidates for the pictures of a data set."""

    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="T",
            help="Task. Default: the model's.",
            autocompletion=options.task_names,
            rich_help_panel=_MODEL,
        ),
    ] = None
    model: options.Model = None
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="True pictures; for paired models, pairs in A/ and B/. All kinds that `train "
            "--data` takes.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="train, val or test. Default: test/ if there is one, else every picture.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="COUNT",
            help="Only the first COUNT pictures.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help=f"{', '.join(PROTOCOLS)}: the paper's settings, and its figures beside ours. "
            f"{', '.join(BENCHMARKS)}: whole pictures at their own size, beside what is used today "
            "(docs/evaluation.md).",
            rich_help_panel=_MODEL,
        ),
    ] = None
    masks: Annotated[
        str | None,
        typer.Option(
            "--masks",
            metavar="FOLDER|ZIP",
            help="For --protocol repair: masks of damage of any size, white where a hole is.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    tau: Annotated[
        str | None,
        typer.Option(
            "--tau",
            metavar="T,…",
            help="Temperature, or a shape (0.9/0.7/0.5, finest scale first); several are a sweep. "
            "Default: the model's.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates",
            "-m",
            metavar="M,…",
            help="Candidates to draw; several are a sweep. Default: the model's.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            "-n",
            metavar="N,…",
            help="How many of them are measured: the likeliest, or by --rank. Default: 1.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    rank: Annotated[
        str | None,
        typer.Option(
            "--rank",
            metavar="BY,…",
            help="The rule that chooses those: likelihood, consensus, typical, likely-consensus, "
            "best or none; several are compared on the same candidates. Default: likelihood.",
            rich_help_panel=_MODEL,
        ),
    ] = None
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="S",
            help="Candidate k of picture r draws from S + 1,000,003 r + k.",
            rich_help_panel=_MODEL,
        ),
    ] = 0
    noise_samples: options.NoiseSamples = 1
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", metavar="B", help="Candidates at a time.", rich_help_panel=_MODEL
        ),
    ] = None
    device: options.Device = "auto"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The options for pictures that are compared with pictures."""

    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="DIR",
            help="True pictures for the outputs that JSON lines on stdin name.",
            rich_help_panel=_SETS,
        ),
    ] = None
    resize: Annotated[
        int | None,
        typer.Option(
            "--resize",
            metavar="SIDE",
            help="Bring all pictures to SIDE x SIDE first (Pillow BICUBIC).",
            rich_help_panel=_SETS,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The options for the networks of LPIPS, FID and KID."""

    save_stats: Annotated[
        str | None,
        typer.Option(
            "--save-stats",
            metavar="FILE.npz",
            help="Write the reference's FID statistics.",
            rich_help_panel=_NETS,
        ),
    ] = None
    lpips_weights: Annotated[
        str | None,
        typer.Option(
            "--lpips-weights",
            metavar="FILE",
            help="AlexNet's trunk as safetensors. Default: torch's cache, else a download.",
            envvar="CAFLOW_LPIPS_WEIGHTS",
            rich_help_panel=_NETS,
        ),
    ] = None
    fid_weights: Annotated[
        str | None,
        typer.Option(
            "--fid-weights",
            metavar="FILE",
            help="torch-fidelity's Inception, sha256 6726825d…. Default: torch's cache, else a "
            "download.",
            envvar="CAFLOW_FID_WEIGHTS",
            rich_help_panel=_NETS,
        ),
    ] = None
    feature_extractor: Annotated[
        str,
        typer.Option(
            "--feature-extractor",
            metavar="NAME|module:factory",
            help="Other features for fid, kid and coverage, reported under their name: "
            "inception-768, inception-192, inception-64, alexnet, or your own.",
            rich_help_panel=_NETS,
        ),
    ] = "inception"

    def weights(self, *, leave_out: bool) -> Weights:
        """Their files and names. `leave_out`: LPIPS is a default, which may be left out."""
        from ..evaluation import Weights

        return Weights(self.lpips_weights, self.fid_weights, self.feature_extractor, leave_out)


@dataclass(frozen=True, kw_only=True)
class Written:
    """The options for the files that an evaluation of a model writes."""

    save_images: Annotated[
        str | None,
        typer.Option(
            "--save-images",
            metavar="DIR",
            help="Write the kept candidates.",
            rich_help_panel=RESULTS,
        ),
    ] = None
    report: Annotated[
        str | None,
        typer.Option(
            "--report", metavar="DIR", help="Write a gallery, index.html.", rich_help_panel=RESULTS
        ),
    ] = None
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Continue an interrupted run from its files in --save-images or --report.",
            rich_help_panel=RESULTS,
        ),
    ] = False
