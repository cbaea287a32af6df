"""The options of `caflow evaluate`, in groups, and the help text about metrics."""

from __future__ import annotations

from dataclasses import dataclass

from ..evaluation import METRICS, Weights
from ..evaluation.protocols import PROTOCOLS
from . import options
from .options import option

__all__ = ["METRIC_HELP", "RESULTS", "Compared", "ModelOnData"]

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


@dataclass(frozen=True, kw_only=True)
class ModelOnData:
    """The options for a model that samples candidates for the images of a data set."""

    task: str | None = option(
        "--task T", "Task. Default: the model's.", _MODEL, autocompletion=options.task_names
    )
    model: str | None = options.MODEL_OPTION
    data: str | None = option(
        "--data DATA",
        "True images; for paired models, pairs in A/ and B/. All kinds that `train --data` takes.",
        _MODEL,
    )
    split: str | None = option(
        "--split NAME",
        "train, val or test. Default: test/ if there is one, else every image.",
        _MODEL,
    )
    limit: int | None = option("--limit COUNT", "Only the first COUNT images.", _MODEL)
    protocol: str | None = option(
        "--protocol NAME",
        f"{_PAPER}: the paper's settings, and its figures beside ours. {_WHOLE}: whole images at "
        "their own size, beside what is used today (docs/evaluation.md).",
        _MODEL,
    )
    masks: str | None = option(
        "--masks FOLDER|ZIP",
        "For --protocol repair: masks of damage of any size, white where a hole is.",
        _MODEL,
    )
    tau: str | None = option(
        "--tau T,…",
        "Temperature, or a shape (0.9/0.7/0.5, finest scale first); several are a sweep. Default: "
        "the model's.",
        _MODEL,
    )
    candidates: str | None = option(
        "--candidates -m M,…",
        "Candidates to draw; several are a sweep. Default: the model's.",
        _MODEL,
    )
    keep: str | None = option(
        "--keep -n N,…",
        "How many of them are measured: the likeliest, or by --rank. Default: 1.",
        _MODEL,
    )
    rank: str = option(
        "--rank BY,…",
        "The rule that chooses those: likelihood, consensus or none; several are compared on the "
        "same candidates.",
        _MODEL,
        default="likelihood",
    )
    seed: int = option(
        "--seed S", "Candidate k of image r has seed S + 1,000,003 r + k.", _MODEL, default=0
    )
    noise_samples: int = options.NOISE_SAMPLES
    batch_size: int | None = option("--batch-size B", "Candidates at a time.", _MODEL)
    device: str = options.DEVICE
    save_images: str | None = option("--save-images DIR", "Write the kept candidates.", RESULTS)
    report: str | None = option("--report DIR", "Write a gallery, index.html.", RESULTS)
    skip_existing: bool = option(
        "--skip-existing",
        "Continue an interrupted run from its files in --save-images or --report.",
        RESULTS,
    )


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The options for images that are compared with images, and for the networks of metrics."""

    reference: str | None = option(
        "--reference DIR", "True images for the outputs that JSON lines on stdin name.", _SETS
    )
    resize: int | None = option(
        "--resize SIDE", "Bring all images to SIDE x SIDE first (Pillow BICUBIC).", _SETS
    )
    save_stats: str | None = option(
        "--save-stats FILE.npz", "Write the reference's FID statistics.", _NETS
    )
    lpips_weights: str | None = option(
        "--lpips-weights FILE",
        "AlexNet's trunk as safetensors. Default: torch's cache, else a download.",
        _NETS,
        envvar="CAFLOW_LPIPS_WEIGHTS",
    )
    fid_weights: str | None = option(
        "--fid-weights FILE",
        "torch-fidelity's Inception, sha256 6726825d…. Default: torch's cache, else a download.",
        _NETS,
        envvar="CAFLOW_FID_WEIGHTS",
    )
    feature_extractor: str = option(
        "--feature-extractor NAME|module:factory",
        "Other features for fid, kid and coverage, reported under their name: inception-768, "
        "inception-192, inception-64, alexnet, or your own.",
        _NETS,
        default="inception",
    )

    @property
    def weights(self) -> Weights:
        """Their files and names."""
        return Weights(self.lpips_weights, self.fid_weights, self.feature_extractor)
