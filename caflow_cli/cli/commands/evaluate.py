"""`caflow evaluate`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...data.missing import check_there
from ...errors import EXIT_FAILED
from ...evaluation.benchmarks import BENCHMARKS
from ...evaluation.metrics.catalogue import METRICS, choose_metrics
from .. import options
from ..console import Console, measuring
from ..evaluation_benchmark import on_whole_pictures
from ..evaluation_form import check_options, form_of
from ..evaluation_options import (
    DEFAULT_METRICS,
    RESULTS,
    Compared,
    ModelOnData,
    Networks,
    Written,
)
from ..evaluation_settings import model_settings
from ..options import expanded
from ..reporter import Reporter

if TYPE_CHECKING:
    from ...evaluation import Evaluation
    from ..records import Fields

__all__ = ["evaluate_command"]

_COMPARED = [name for name, metric in METRICS.items() if metric.needs in ("pairs", "sets")]


def _metrics(incomplete: str) -> list[str]:
    """What a shell completes, also after a comma."""
    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in (*METRICS, "all")]


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
            autocompletion=_metrics,
        ),
    ] = None,
    model: ModelOnData,
    compared: Compared,
    networks: Networks,
    written: Written,
    json: Annotated[
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

    On a terminal the results are a table. In a pipe they are tab-separated lines with a header.

    Example: caflow evaluate --task superres --data faces.zip --protocol table1 --report out/
    """
    console = Console(quiet, verbose)
    metrics = metric or []
    form = form_of(pictures or [], metrics, model, compared)
    start = time.perf_counter()
    identity: Fields = {}
    benchmark = BENCHMARKS.get(model.protocol or "") if form == "model" else None
    if benchmark is not None:
        evaluation, found = on_whole_pictures(
            benchmark, metrics, model, compared, networks, written, console
        )
        identity = {"model": found}
    elif form == "model":
        evaluation, loaded = _on_data(metrics, model, compared, networks, written, console)
        identity = {"model": loaded}
    else:
        names = choose_metrics(metrics, _COMPARED, DEFAULT_METRICS)
        check_options(form, model, compared, written)
        evaluation = _compare(
            pictures or [], names, compared, networks, console, leave_out=not metrics
        )
    reporter = Reporter("evaluate", console, json)
    _report(evaluation, identity, time.perf_counter() - start, reporter)


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
