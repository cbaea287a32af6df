"""`caflow evaluate`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...config import FILLS
from ...data.missing import check_there
from ...errors import EXIT_FAILED, CaflowError
from ...evaluation.metrics.catalogue import METRICS, choose_metrics
from .. import completion, options
from ..console import Console, measuring
from ..environment import named_in_environment
from ..evaluation_benchmark import benchmark_of, on_whole_pictures
from ..evaluation_form import check_options, form_of, settled
from ..evaluation_options import (
    DEFAULT_METRICS,
    RESULTS,
    Compared,
    ModelOnData,
    Networks,
    Written,
)
from ..evaluation_settings import ModelSettings, model_settings
from ..loaded_model import named_model
from ..option_groups import expanded
from ..reporter import Reporter
from ..typed import from_file

if TYPE_CHECKING:
    from ...evaluation import Evaluation
    from ..records import Fields

__all__ = ["evaluate_command"]

_COMPARED = [name for name, metric in METRICS.items() if metric.needs in ("pairs", "sets")]


@expanded
def evaluate_command(
    *,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GENERATED REFERENCE]",
            help="Two folders, zips or pictures, paired by name (`x_superres_01.png` belongs to "
            "`x.png`); for FID also .npz statistics.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME,…",
            help=f"{', '.join(METRICS)}, or all; see below. Repeatable. "
            f"Default: {','.join(DEFAULT_METRICS)}, without lpips if its network cannot be had.",
            autocompletion=completion.metrics,
        ),
    ] = None,
    model: ModelOnData,
    compared: Compared,
    networks: Networks,
    written: Written,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object on stdout.", rich_help_panel=RESULTS),
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure a model on data, or pictures against pictures.

    There are three forms: a model is measured on data (--data), two folders are compared, or the
    JSON lines of a restoring command are read from a pipe (--reference). A model is compared with a
    baseline (bicubic, grey copy, mean fill) and with the mean of all M candidates, with paired
    standard errors. --protocol sr4, repair and colour measure whole pictures at their own size.
    --model telea or navier-stokes measures a fill of OpenCV in a model's place.

    On a terminal the results are a table. In a pipe they are tab-separated lines with a header.

    Example: caflow evaluate --task superres --data faces.zip --protocol table1 --report out/
    """
    console = Console(quiet, verbose)
    metrics = metric or []
    model, compared, written = settled(pictures or [], model, compared, written)
    model = _with_fill(model)
    form = form_of(pictures or [], metrics, model, compared)
    start = time.perf_counter()
    identity: Fields = {}
    benchmark = benchmark_of(model) if form == "model" else None
    if benchmark is not None:
        evaluation, found = on_whole_pictures(
            benchmark, metrics, model, compared, networks, written, console
        )
        identity = {"model": found}
    elif form == "model":
        evaluation, loaded = _on_data(metrics, model, compared, networks, written, console)
        identity = {"model": loaded}
    else:
        if from_file("metric"):
            metrics = [name for name in ",".join(metrics).split(",") if name in (*_COMPARED, "all")]
        names = choose_metrics(metrics, _COMPARED, DEFAULT_METRICS)
        check_options(form, model, compared, written)
        evaluation = _compare(
            pictures or [], names, compared, networks, console, leave_out=not metrics
        )
    reporter = Reporter("evaluate", console, as_json)
    _report(evaluation, identity, time.perf_counter() - start, reporter)


def _with_fill(model: ModelOnData) -> ModelOnData:
    """The options with the classical fill that environment or file names, if it is for them.

    CAFLOW_MODEL_INPAINT, and `inpaint` of the user's file, are for what is said to fill holes.
    """
    if model.model is not None:
        return model
    if (model.task, model.protocol) == (None, None):
        name = named_in_environment("superres")
    elif model.task in (None, "inpaint") and model.protocol in (None, "repair"):
        name = named_model(None, "inpaint")
    else:
        name = None
    return replace(model, model=name) if name in FILLS else model


def _on_data(
    metrics: Sequence[str],
    given: ModelOnData,
    compared: Compared,
    networks: Networks,
    written: Written,
    console: Console,
) -> tuple[Evaluation, dict[str, str]]:
    """Measure a model on data; also return the model's identity."""
    settings = model_settings(given, metrics)
    check_options("model", given, compared, written)
    check_there(given.data or "")
    if settings.search:
        return _searched(settings, given, networks, written, console)

    from ...evaluation import evaluate
    from ..loaded_model import load_model

    with console.progress() as display:
        own = None if settings.protocol is None else settings.protocol.model
        loaded = load_model(given.model, given.device, console, settings.task, own)
        evaluation = evaluate(
            loaded.model,
            given.data or "",
            metrics=settings.metrics,
            split=settings.split,
            limit=settings.limit,
            tau=settings.tau,
            candidates=settings.candidates,
            keep=settings.keep,
            seed=given.seed,
            noise_samples=given.noise_samples,
            rank=settings.ranks,
            batch_size=given.batch_size,
            weights=networks.weights(leave_out=not metrics and settings.protocol is None),
            save_images=written.save_images,
            report=written.report,
            skip_existing=written.skip_existing,
            save_stats=networks.save_stats,
            identity=loaded.identity,
            protocol=settings.protocol,
            progress=measuring(display),
        )
    return evaluation, loaded.identity


def _searched(
    settings: ModelSettings,
    given: ModelOnData,
    networks: Networks,
    written: Written,
    console: Console,
) -> tuple[Evaluation, dict[str, str]]:
    """Search the model's defaults, and write them where that is asked for."""
    from ...checkpoint.defaults import check_new_file
    from ..outputs import check_writable

    if written.write_defaults is not None:
        check_new_file(written.write_defaults)
        check_writable(Path(written.write_defaults), "--write-defaults")

    from ...evaluation.defaults import search_defaults, write_defaults
    from ...evaluation.result import Failure
    from ..loaded_model import load_model

    loaded = load_model(given.model, given.device, console, settings.task)
    [keep], [rank] = settings.keep, settings.ranks
    with console.progress() as display:
        found = search_defaults(
            loaded.model,
            given.data or "",
            settings.search,
            metrics=settings.metrics,
            tau=None if settings.tau is None else settings.tau[0],
            candidates=None if settings.candidates is None else settings.candidates[0],
            keep=keep,
            rank=rank,
            limit=settings.limit,
            seed=given.seed,
            noise_samples=given.noise_samples,
            batch_size=given.batch_size,
            weights=networks.weights(leave_out=False),
            identity=loaded.identity,
            progress=measuring(display),
        )
    for choice in (found.tau, found.rank):
        if choice is not None:
            console.note(str(choice))
    if written.write_defaults is not None:
        found.evaluation.settings["search"]["written"] = None
        try:
            write_defaults(loaded.path, written.write_defaults, found, loaded.sha256)
        except CaflowError as error:  # what was measured is printed all the same
            found.evaluation.failed.append(Failure(written.write_defaults, error))
        else:
            found.evaluation.settings["search"]["written"] = written.write_defaults
            console.note(f"wrote {written.write_defaults}")
    return found.evaluation, loaded.identity


def _compare(
    pictures: Sequence[str],
    metrics: Sequence[str],
    compared: Compared,
    networks: Networks,
    console: Console,
    *,
    leave_out: bool,
) -> Evaluation:
    """Compare two sets of pictures, or the outputs named by JSON lines on stdin and the truth."""
    from ...evaluation.picture_sets import check_pictures

    for path in pictures or [compared.reference or ""]:
        check_pictures(Path(path))
    weights = networks.weights(leave_out=leave_out)
    with console.progress() as display:
        bar = display.add_task("comparing", total=None)

        def progress(done: int, total: int) -> None:
            text = f"{done} of {total} pictures" if total else f"{done} pictures"
            display.update(bar, completed=done, total=total or None, description=text)

        if pictures:
            from ...evaluation import compare

            return compare(
                pictures[0],
                pictures[1],
                metrics,
                resize=compared.resize,
                weights=weights,
                save_stats=networks.save_stats,
                progress=progress,
            )
        from ...evaluation import compare_lines

        return compare_lines(
            sys.stdin,
            compared.reference or "",
            metrics,
            resize=compared.resize,
            weights=weights,
            save_stats=networks.save_stats,
            progress=progress,
        )


def _report(evaluation: Evaluation, identity: Fields, elapsed: float, reporter: Reporter) -> None:
    from ..evaluation_table import table_lines

    console = reporter.console
    for note in evaluation.notes:
        console.note(f"note: {note}")
    fields = {**identity, **evaluation.as_json(), "elapsed_s": round(elapsed, 3)}
    reporter.result(fields, table_lines(evaluation))
    console.detail(f"{evaluation.images} pictures in {elapsed:.1f} s")
    for _, error in evaluation.failed:
        console.error(error)
    if evaluation.failed:
        raise typer.Exit(EXIT_FAILED)
