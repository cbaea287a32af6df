"""`caflow evaluate`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ...data.split import check_there, mask_errors
from ...errors import CaflowError, check_usage
from ...evaluation import METRICS, Weights
from ...evaluation.settings import EvaluateOptions, Settings
from ...paths import exists
from ...records import Table
from .. import options
from ..config import source
from ..console import Console
from ..evaluation_table import table, table_lines
from ..loading import info_of, load_model
from ..options import expanded, option

if TYPE_CHECKING:
    from ...evaluation import Evaluation
    from ...model import CAFlow

# Options in panels of the help.
_network = partial(option, panel="Networks of metrics", of="images")
_METRICS = ", ".join(METRICS)


@dataclass(frozen=True, kw_only=True)
class ModelOnData:
    """The options for a model that samples candidates for the images of a data set."""

    data: str | None = option(
        "--data DATA", "Ground-truth images, or pairs in A/ and B/, as for `train --data`."
    )
    task: str | None = option("--task T", "Task. Default: the model's.")
    model: str | None = options.MODEL_OPTION
    settings: EvaluateOptions
    device: str = options.device_option("A model on data", default="auto")


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The options for the networks of metrics: the fields of `Weights`, in order."""

    lpips_weights: str | None = _network(
        "--lpips-weights FILE",
        "AlexNet's trunk (safetensors). Default: torch's cache, else a download.",
        envvar="CAFLOW_LPIPS_WEIGHTS",
    )
    fid_weights: str | None = _network(
        "--fid-weights FILE",
        "torch-fidelity's Inception weights. Default: torch's cache, else a download.",
        envvar="CAFLOW_FID_WEIGHTS",
    )
    feature_extractor: str = _network(
        "--feature-extractor NAME",
        "Features of fid, kid and coverage: inception, or alexnet.",
        default="inception",
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
    metric: list[str] | None = option(
        "--metric NAME,…",
        f"{_METRICS}; or all. docs/evaluation.md defines them. Repeatable. Default: the "
        "protocol's, else lpips,rmse (rmse if LPIPS is unavailable).",
    ),
    model: ModelOnData,
    networks: Networks,
    console: Console,
) -> None:
    """Evaluate a model on data, or compare images with references.

    Give --data to evaluate a model, or two folders to compare. A model is compared with a baseline
    (bicubic, gray copy, mean fill) and with the mean of all M candidates, with paired standard
    errors. --protocol sr4, sr4-web, sr-space, repair and color measure whole images at their own
    size.

    Values are means over images, printed as a table on a terminal, and as tab-separated lines with
    a header in a pipe.

    Example: caflow evaluate --task superres --data faces.zip --protocol table1
    """
    _check_form(context, images, model)
    start = time.perf_counter()
    weights = Weights(*vars(networks).values())
    record: Table = {}
    with console.steps("measuring") as step:
        if model.data is not None:
            settings = Settings.of(metric or (), {**model.settings, "weights": weights})
            loaded = _load(model, model.data, settings, console)

            from ...evaluation.run import evaluated

            show = _announced(step, console)
            evaluation = evaluated(loaded, model.data, settings, show)
            record["model"] = loaded.identity
        else:
            from ...evaluation import compare

            generated, true = images or []
            evaluation = compare(generated, true, metric or (), weights=weights, progress=step)
    record |= evaluation.as_json()
    record["elapsed_s"] = round(time.perf_counter() - start, 3)
    _report(evaluation, record, console)


def _announced(step: Callable[..., None], console: Console) -> Callable[[int, int], None]:
    """Progress that begins with how many images are measured."""
    announced = False

    def show(done: int, total: int) -> None:
        nonlocal announced
        if not announced:
            already = f", {done} already done" if done else ""
            console.note(f"to measure: {total}{already}")
            announced = True
        step(done, total)

    return show


def _report(evaluation: Evaluation, record: Table, console: Console) -> None:
    """Write the result and what failed; CaflowError if a metric is missing."""
    for note in evaluation.notes:
        console.note(f"note: {note}")
    if sys.stdout.isatty() and not console.json:
        console.binary(f"{table(evaluation)}\n".encode())
    else:
        console.result(record, table_lines(evaluation))
    for error in evaluation.failed.values():
        console.error(error)
    if evaluation.missing:
        error = next(iter(evaluation.missing.values()))
        names = ", ".join(evaluation.missing)
        raise CaflowError(f"{names}: {error.message}", error.hint, error.exit_code)


def _load(model: ModelOnData, data: str, settings: Settings, console: Console) -> CAFlow:
    """Check the task, the data and what the model is for, then load it."""
    task = model.task
    if task is not None:
        from ...tasks import task_named

        task_named(task)
    check_there(data)
    masks = settings.given["masks"]
    if masks is not None:
        with mask_errors("--masks "):
            check_there(masks)
    protocol = settings.protocol
    task = task or protocol.task or None

    from ...hub.choice import choose_model
    from ...hub.resolve import resolve

    name = model.model or protocol.model or choose_model(task=task).model
    info = info_of(resolve(name), task)
    if info.config.task.values is not None:
        console.check_applies("fields")
    return load_model(name, model.device)


def _check_form(context: typer.Context, images: list[str] | None, model: ModelOnData) -> None:
    check_usage(
        (images is None) == (model.data is not None),
        "expected either --data, or two sets of images",
        "caflow evaluate --task superres --data faces/, or caflow evaluate GENERATED REFERENCE",
    )
    if images is None:
        return
    check_usage(
        len(images) == 2,
        f"expected two sets of images, got {len(images)}",
        "caflow evaluate GENERATED REFERENCE",
    )
    for name in vars(model) | model.settings:
        check_usage(
            source(context, name) != "COMMANDLINE",
            f"--{name.replace('_', '-')} needs a model on data",
            "add --data DIR, or leave it out",
        )
    for path in images:
        check_usage(exists(path), f"no images at {path!r}", "give a folder, a zip or an image")
