"""`caflow evaluate`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...data.split import check_there, of_masks
from ...errors import EXIT_FAILED, CaflowError, usage_error
from ...evaluation import METRICS
from ..console import Console, measuring
from ..evaluation_options import RESULTS, Compared, ModelOnData
from ..options import QUIET, VERBOSE, expanded, option

if TYPE_CHECKING:
    from ...evaluation import Evaluation

__all__ = ["evaluate_command"]

_FULL = "caflow evaluate --task superres --data faces/ --metric {}"
_PIPE = "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR --metric {}"
# Options that mean nothing where images are compared with images.
_OF_MODELS = (
    *("save_images", "report", "skip_existing", "limit", "split", "masks"),
    *("tau", "candidates", "keep", "rank", "batch_size"),
)


def _metrics(incomplete: str) -> list[str]:
    """Completions for the shell, also after a comma."""
    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in (*METRICS, "all")]


_METRIC = option(
    "--metric NAME,…",
    f"{', '.join(METRICS)}, or all; see below. Repeatable. Default: lpips,rmse, without lpips if "
    "its network cannot be had.",
    autocompletion=_metrics,
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
            "`x.png`); for FID also .npz statistics.",
        ),
    ] = None,
    metric: list[str] | None = _METRIC,
    model: ModelOnData,
    compared: Compared,
    json: bool = option("--json", "One JSON object on stdout.", RESULTS),
    quiet: bool = QUIET,
    verbose: bool = VERBOSE,
) -> None:
    """Measure a model on data, or images against images.

    There are three forms: a model is measured on data (--data), two folders are compared, or the
    JSON lines of a restoring command are read from a pipe (--reference). A model is compared with a
    baseline (bicubic, grey copy, mean fill) and with the mean of all M candidates, with paired
    standard errors. --protocol sr4, repair and colour measure whole images at their own size.

    On a terminal the results are a table. In a pipe they are tab-separated lines with a header.

    Example: caflow evaluate --task superres --data faces.zip --protocol table1 --report out/
    """
    from ..evaluation_table import table_lines

    console = Console(quiet, verbose, "evaluate", json)
    start = time.perf_counter()
    identity: dict[str, Any] = {}
    if _is_on_data(images or [], metric or ["lpips,rmse"], model, compared):
        if compared.resize is not None:
            raise usage_error(
                "--resize is for sets of images; data is brought to the model's size",
                "leave out --resize",
            )
        evaluation, identity["model"] = _on_data(metric or [], model, compared, console)
    else:
        for name in _OF_MODELS:
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                flag = f"--{name.replace('_', '-')}"
                hint = _FULL.format("lpips,rmse")
                raise usage_error(f"{flag} is for a model on data", hint)
        evaluation = _compare(images or [], metric or [], compared, console)
    elapsed = time.perf_counter() - start
    for note in evaluation.notes:
        console.note(f"note: {note}")
    fields = {**identity, **evaluation.as_json(), "elapsed_s": round(elapsed, 3)}
    console.result(fields, table_lines(evaluation))
    console.detail(f"{evaluation.images} images in {elapsed:.1f} s")
    for failure in evaluation.failed:
        console.error(failure.error)
    if evaluation.failed:
        raise typer.Exit(EXIT_FAILED)


def _is_on_data(
    images: Sequence[str], metrics: Sequence[str], model: ModelOnData, compared: Compared
) -> bool:
    """Whether a model is measured on data; else sets are compared, or JSON lines on stdin.

    Raises:
        CaflowError: (exit 2) the form is not clear, or an argument is missing.
    """

    def refuse(message: str, hint: str) -> CaflowError:
        return usage_error(message, hint.format(",".join(metrics)))

    on_data = (model.data, model.task, model.protocol) != (None, None, None)
    if images:
        if on_data or compared.reference is not None:
            raise refuse("give two folders to compare, or a model to sample, not both", _FULL)
        if len(images) != 2:
            hint = "caflow evaluate GENERATED REFERENCE --metric {}"
            raise refuse(f"{len(images)} sets of images are given, not two", hint)
    elif on_data:
        if compared.reference is not None:
            raise refuse("--reference is for JSON lines, not for a model", _FULL)
        if model.data is None:
            raise refuse("no data to measure on", "caflow evaluate --task superres --data DIR")
    elif compared.reference is None:
        raise refuse("nothing to evaluate", _FULL)
    elif sys.stdin is None or sys.stdin.isatty():
        raise refuse("--reference needs JSON lines on stdin", _PIPE)
    return on_data


def _on_data(
    metrics: Sequence[str], given: ModelOnData, compared: Compared, console: Console
) -> tuple[Evaluation, dict[str, str | None]]:
    """Measure a model on data; also return the model's identity."""
    from ...evaluation.settings import Settings
    from ...tasks import task_named

    fields = {**vars(given), "save_stats": compared.save_stats}
    name, data, task, device = (fields.pop(key) for key in ("model", "data", "task", "device"))
    settings = Settings(metrics=tuple(metrics), weights=compared.weights, **fields)
    protocol = settings.protocol
    if protocol is not None:
        if task not in (None, protocol.task):
            raise usage_error(
                f"protocol {protocol.name} is for {protocol.task}, not {task}",
                f"--task {protocol.task}",
            )
        task = protocol.task
    elif task is not None:
        task_named(task)
    check_there(data)
    if given.masks is not None:
        with of_masks("--masks "):
            check_there(given.masks)

    from ...evaluation import evaluate
    from ..loaded_model import load_model

    with console.progress() as display:
        default = None if protocol is None else protocol.model
        model = load_model(name, device, console, task, default)
        found = evaluate(model, data, settings, progress=measuring(display))
        return found, model.identity


def _compare(
    images: Sequence[str], metrics: Sequence[str], compared: Compared, console: Console
) -> Evaluation:
    """Compare two sets of images, or the outputs named by JSON lines on stdin and the truth."""
    from ...evaluation.settings import check_images

    reference = compared.reference or ""
    for path in images or [reference]:
        check_images(Path(path))

    from ...evaluation import compare, compare_lines

    with console.progress() as display:
        shared: dict[str, Any] = {
            "resize": compared.resize,
            "weights": compared.weights,
            "save_stats": compared.save_stats,
            "progress": measuring(display),
        }
        if images:
            return compare(images[0], images[1], metrics, **shared)
        return compare_lines(sys.stdin, reference, metrics, **shared)
