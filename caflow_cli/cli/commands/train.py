"""`caflow train`."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...memory import memory_errors
from .. import options
from ..console import Console
from ..option_groups import expanded
from ..reporter import Reporter
from ..train_config import run_config
from ..train_display import Display, describe_estimate, describe_summary, describe_verdict
from ..train_options import RunOptions

if TYPE_CHECKING:
    from ...training import RunConfig

__all__ = ["train_command"]


@expanded
def train_command(
    context: typer.Context,
    out: Annotated[str, typer.Option("--out", metavar="RUN", help="Folder of the run.")],
    run: RunOptions,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Time a few steps, and print what the run would take."),
    ] = False,
    json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a model on a folder or zip of pictures.

    Writes config.toml, metrics.jsonl, curve.png, samples/, last.safetensors and best.safetensors
    into RUN, and the state from which --resume goes on. After Ctrl-C or SIGTERM the step is
    finished and that state is written; a second Ctrl-C stops at once. Under `accelerate launch -m
    caflow_cli train ...` the command trains on many devices.

    Example: caflow train --task superres --data photos/ --out run --minutes 120
    """
    console = Console(quiet, verbose)
    reporter = Reporter("train", console, json)
    if run.resume or run.config is not None:
        run = _without_defaults(run, context)
    config = run_config(out, run)
    if dry_run:
        _estimate(config, run.resume, reporter)
    else:
        _train(config, run.resume, reporter)


def _without_defaults(run: RunOptions, context: typer.Context) -> RunOptions:
    """The options without those of the user's file, which are for new runs."""
    changes: dict[str, Any] = {}
    for option in fields(run):
        source = context.get_parameter_source(option.name)
        if source is not None and source.name == "DEFAULT_MAP":
            changes[option.name] = option.default
    return replace(run, **changes)


def _train(run: RunConfig, resume: bool, reporter: Reporter) -> None:
    from dataclasses import asdict

    from ...evaluation.verdict import against_baseline
    from ...model import CAFlow
    from ...training import Stopped, train

    console = reporter.console
    with console.progress("{task.percentage:>3.0f}%", "{task.fields[figures]}") as progress:
        parts = 2 * run.optim.accumulate
        smaller = f"--set optim.accumulate={parts}, which makes the same step in {parts} parts"
        try:
            with memory_errors(smaller, "a step of this model"):
                summary = train(run, resume=resume, report=Display(console, progress))
        except Stopped as stop:
            progress.stop()
            console.note(f"{stop.message}\nhint: {stop.hint}")
            # Past Typer, after whose 130 `main` would say again that it was interrupted.
            raise SystemExit(stop.exit_code) from stop
    if not _main_rank():
        return
    best = str(Path(run.out) / "best.safetensors")
    model, held_out = CAFlow.load(Path(best)), run.validation_images
    verdict = against_baseline(model, run.data, limit=held_out, seed=run.seed)
    record = {"status": "ok", **asdict(summary)}
    if verdict is not None:
        record |= {
            "val_rmse": verdict.rmse,
            "baseline": verdict.baseline,
            "baseline_val_rmse": verdict.baseline_rmse,
        }
    reporter.result(record, [best])
    console.note(describe_summary(summary))
    if verdict is not None:
        console.note(describe_verdict(verdict))


def _estimate(run: RunConfig, resume: bool, reporter: Reporter) -> None:
    from dataclasses import asdict

    from ...training.dry_run import estimate

    figures = estimate(run, resume)
    if _main_rank():
        reporter.result({"status": "dry-run", **asdict(figures)}, describe_estimate(figures))


def _main_rank() -> bool:
    return os.environ.get("RANK", "0") == "0"  # as launchers of many processes say
