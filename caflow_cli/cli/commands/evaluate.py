"""`caflow evaluate`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...data.split import check_there, of_masks
from ...errors import EXIT_FAILED, check_usage, usage_error
from ...evaluation import METRICS, Weights
from ...evaluation.protocols import PROTOCOLS
from ...paths import exists
from .. import options
from ..console import Console, measuring
from ..options import OUTPUT, expanded, option

if TYPE_CHECKING:
    from ...evaluation import Evaluation

METRIC_HELP = "\n\n".join(
    f"{m.name}: {m.definition}. Range {m.range}; units {m.units}; "
    f"{'no direction' if m.better == 'nominal' else f'{m.better} is better'}."
    for m in METRICS.values()
)
# Options in panels of the help.
_model = partial(option, panel="A model on data")
_network = partial(option, panel="Networks of metrics")
_PAPER = ", ".join(name for name, protocol in PROTOCOLS.items() if not protocol.whole)
_WHOLE = ", ".join(name for name, protocol in PROTOCOLS.items() if protocol.whole)


@dataclass(frozen=True, kw_only=True)
class ModelOnData:
    """A model that samples candidates for the images of a data set."""

    task: str | None = _model("--task T", "Task. Default: the model's.")
    model: str | None = options.MODEL_OPTION
    data: str | None = _model(
        "--data DATA",
        "True images; for paired models, pairs in A/ and B/. All kinds that `train --data` takes.",
    )
    split: str | None = _model(
        "--split NAME", "train, val or test. Default: test/ if there is one, else every image."
    )
    limit: int | None = _model("--limit COUNT", "Only the first COUNT images.")
    protocol: str | None = _model(
        "--protocol NAME",
        f"{_PAPER}: the paper's settings, and its figures beside ours. {_WHOLE}: whole images at "
        "their own size, beside what is used today (docs/evaluation.md).",
    )
    masks: str | None = _model(
        "--masks FOLDER|ZIP",
        "For --protocol repair: masks of damage of any size, white where a hole is.",
    )
    tau: str | None = _model(
        "--tau T,…",
        "Temperature, or a shape (0.9/0.7/0.5, finest scale first); several are a sweep. Default: "
        "the model's.",
    )
    candidates: str | None = _model(
        "--candidates -m M,…",
        "Candidates to draw; several are a sweep. Default: the model's.",
    )
    keep: str | None = _model(
        "--keep -n N,…",
        "How many of them are measured: the likeliest, or by --rank. Default: 1.",
    )
    rank: str = _model(
        "--rank BY,…",
        "The rule that chooses those: likelihood, consensus or none; several are compared on the "
        "same candidates.",
        default="likelihood",
    )
    seed: int = _model(
        "--seed S", "Candidate k of image r has seed S + 1,000,003 r + k.", default=0
    )
    noise_samples: int = options.NOISE_SAMPLES
    batch_size: int | None = _model("--batch-size B", "Candidates at a time.")
    device: str = options.DEVICE
    save_images: str | None = option("--save-images DIR", "Write the kept candidates.", OUTPUT)
    report: str | None = option("--report DIR", "Write a gallery, index.html.", OUTPUT)
    skip_existing: bool = option(
        "--skip-existing", "Continue an interrupted run in --save-images or --report.", OUTPUT
    )


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The networks of metrics."""

    lpips_weights: str | None = _network(
        "--lpips-weights FILE",
        "AlexNet's trunk as safetensors. Default: torch's cache, else a download.",
        envvar="CAFLOW_LPIPS_WEIGHTS",
    )
    fid_weights: str | None = _network(
        "--fid-weights FILE",
        "torch-fidelity's Inception, sha256 6726825d…. Default: torch's cache, else a download.",
        envvar="CAFLOW_FID_WEIGHTS",
    )
    feature_extractor: str = _network(
        "--feature-extractor NAME|module:factory",
        "Other features for fid, kid and coverage, reported under their name: inception-768, "
        "inception-192, inception-64, alexnet, or your own.",
        default="inception",
    )

    @property
    def weights(self) -> Weights:
        """Their files and names."""
        return Weights(self.lpips_weights, self.fid_weights, self.feature_extractor)


_METRIC = option(
    "--metric NAME,…",
    f"{', '.join(METRICS)}, or all; see below. Repeatable. Default: lpips,rmse, without lpips if "
    "its network cannot be had.",
)


@expanded
def evaluate_command(
    context: typer.Context,
    *,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GENERATED REFERENCE]",
            help="Two folders, zips or images, paired by name (`x_superres_01.png` belongs to "
            "`x.png`).",
        ),
    ] = None,
    metric: list[str] | None = _METRIC,
    reference: str | None = option(
        "--reference DIR", "True images for the outputs that JSON lines on stdin name."
    ),
    model: ModelOnData,
    networks: Networks,
    json: bool = option("--json", "One JSON object on stdout.", OUTPUT),
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> None:
    """Measure a model on data, or images against images.

    A model is measured on data (--data), two folders are compared, or the JSON lines of a restoring
    command are read from a pipe (--reference). A model is compared with a baseline (bicubic, grey
    copy, mean fill) and with the mean of all M candidates, with paired standard errors. --protocol
    sr4, repair and colour measure whole images at their own size.

    On a terminal the results are a table. In a pipe they are tab-separated lines with a header.

    Example: caflow evaluate --task superres --data faces.zip --protocol table1 --report out/
    """
    from ..evaluation_table import table_lines

    console = Console(quiet, verbose, "evaluate", json)
    start = time.perf_counter()
    identity: dict[str, Any] = {}
    _check_form(context, images, reference, model)
    if model.data is not None:
        evaluation, identity["model"] = _measure(metric or [], model, networks, console)
    else:
        evaluation = _compare(
            images or [sys.stdin, str(reference)], metric or [], networks, console
        )
    elapsed = time.perf_counter() - start
    for note in evaluation.notes:
        console.note(f"note: {note}")
    result = {**identity, **evaluation.as_json(), "elapsed_s": round(elapsed, 3)}
    console.result(result, table_lines(evaluation))
    console.detail(f"{evaluation.images} images in {elapsed:.1f} s")
    for error in evaluation.failed.values():
        console.error(error)
    if evaluation.failed:
        raise typer.Exit(EXIT_FAILED)


def _check_form(
    context: typer.Context, images: list[str] | None, reference: str | None, model: ModelOnData
) -> None:
    """CaflowError (exit 2) unless it is clear what is measured, and all options are for that."""
    given = [form for form in (images, model.data, reference) if form is not None]
    if images is not None and len(images) != 2:
        message = f"{len(images)} sets of images are given, not two"
        raise usage_error(message, "caflow evaluate GENERATED REFERENCE")
    if len(given) != 1:
        raise usage_error(
            "nothing to evaluate, or more than one thing: either --data, or two sets of images, "
            "or --reference",
            "caflow evaluate --task superres --data faces/, or caflow evaluate GENERATED REFERENCE",
        )
    if model.data is not None:
        return
    for field in fields(model):
        source = context.get_parameter_source(field.name)
        if source is not None and source.name == "COMMANDLINE":
            flag = f"--{field.name.replace('_', '-')}"
            raise usage_error(f"{flag} is for a model on data", "add --data DIR, or leave it out")
    if reference is not None and (sys.stdin is None or sys.stdin.isatty()):
        raise usage_error(
            "--reference needs JSON lines on stdin",
            "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR",
        )


def _measure(
    metrics: list[str], given: ModelOnData, networks: Networks, console: Console
) -> tuple[Evaluation, dict[str, str | None]]:
    """Measure a model on data; also return the model's identity."""
    from ...evaluation.settings import Settings
    from ...tasks import task_named

    values = vars(given).copy()
    name, data, task, device = (values.pop(key) for key in ("model", "data", "task", "device"))
    settings = Settings(metrics=tuple(metrics), weights=networks.weights, **values)
    if task is not None:
        task_named(task)
    check_there(data)
    if given.masks is not None:
        with of_masks("--masks "):
            check_there(given.masks)

    from ...evaluation import evaluate
    from ..options import load_model

    default = None
    if settings.protocol is not None:
        task, default = task or settings.protocol.task, settings.protocol.model
    with console.progress() as display:
        model = load_model(name, device, console, task, default)
        found = evaluate(model, data, settings, progress=measuring(display))
        return found, model.identity


def _compare(
    images: list[Any], metrics: list[str], networks: Networks, console: Console
) -> Evaluation:
    """Compare two sets of images, or what JSON lines on stdin name with the truth."""
    for path in images:
        there = path is sys.stdin or exists(path)
        check_usage(there, f"no images at {path!r}", "give a folder, a zip or an image")

    from ...evaluation import compare

    with console.progress() as display:
        shared: dict[str, Any] = {"weights": networks.weights, "progress": measuring(display)}
        return compare(images[0], images[1], metrics, **shared)
