"""`caflow evaluate`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from ..evaluation.metrics import METRICS, choose_metrics
from ..evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from . import options
from .console import Console

if TYPE_CHECKING:
    from ..data import Split
    from ..evaluation import Evaluation, Weights

__all__ = ["METRIC_HELP", "evaluate_command"]

_FULL = "caflow evaluate --task superres --data faces/ --metric {}"
_PIPE = "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR --metric {}"
_DEFAULT = "lpips,rmse"
_COMPARED = [name for name, metric in METRICS.items() if metric.needs != "model"]

METRIC_HELP = "\n\n".join(
    f"{m.name}: {m.definition}. Range {m.range}; units {m.units}; "
    + {"lower": "lower is better.", "higher": "higher is better.", "nominal": "no direction."}[
        m.better
    ]
    for m in METRICS.values()
)

_MODEL = "A model on data"
_SETS = "Pictures against pictures"
_NETS = "Networks of metrics"
_OUT = "Output"


def evaluate_command(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GENERATED REFERENCE]",
            help="Two folders, zips or pictures, paired by name; .npz of statistics for FID.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME,…",
            help=f"{', '.join(METRICS)}, or all; see below. Repeatable. Default: {_DEFAULT}.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="T", help="Default: the model's.", rich_help_panel=_MODEL),
    ] = None,
    model: options.Model = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="FOLDER|ZIP",
            help="True pictures; pairs in A/ and B/ for paired models.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="train, val or test. Default: test/ where there is one, else every picture.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="COUNT", help="The first so many.", rich_help_panel=_MODEL),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help=f"{', '.join(PROTOCOLS)}: the paper's settings, and its figures beside ours.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    tau: Annotated[
        str | None,
        typer.Option(
            "--tau",
            metavar="T,…",
            help="Temperature; several are a sweep. Default: the model's.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates",
            "-m",
            metavar="M,…",
            help="Candidates to draw; several are a sweep. Default: the model's.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            "-n",
            metavar="N,…",
            help="How many of the likeliest are measured. Default: 1.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="S",
            help="Candidate k of picture r draws from S + 1,000,003 r + k.",
            rich_help_panel=_MODEL,
        ),
    ] = 0,
    noise_samples: options.NoiseSamples = 1,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", metavar="B", help="Candidates at a time.", rich_help_panel=_MODEL
        ),
    ] = None,
    device: options.Device = "auto",
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="DIR",
            help="True pictures for the outputs that JSON lines on stdin name.",
            rich_help_panel=_SETS,
        ),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            "--resize",
            metavar="SIDE",
            help="Bring all pictures to SIDE x SIDE first (Pillow BICUBIC).",
            rich_help_panel=_SETS,
        ),
    ] = None,
    save_stats: Annotated[
        str | None,
        typer.Option(
            "--save-stats",
            metavar="FILE.npz",
            help="Write the reference's FID statistics.",
            rich_help_panel=_NETS,
        ),
    ] = None,
    lpips_weights: Annotated[
        str | None,
        typer.Option(
            "--lpips-weights",
            metavar="FILE",
            help="AlexNet's trunk as safetensors. Default: torch's cache, else a download.",
            envvar="CAFLOW_LPIPS_WEIGHTS",
            rich_help_panel=_NETS,
        ),
    ] = None,
    fid_weights: Annotated[
        str | None,
        typer.Option(
            "--fid-weights",
            metavar="FILE",
            help="torch-fidelity's Inception, sha256 6726825d…. Default likewise.",
            envvar="CAFLOW_FID_WEIGHTS",
            rich_help_panel=_NETS,
        ),
    ] = None,
    extractor: Annotated[
        str,
        typer.Option(
            "--feature-extractor",
            metavar="NAME|module:factory",
            help="Other features for fid and kid, reported under their name: inception-768, "
            "inception-192, inception-64, alexnet, or your own.",
            rich_help_panel=_NETS,
        ),
    ] = "inception",
    save_images: Annotated[
        str | None,
        typer.Option(
            "--save-images",
            metavar="DIR",
            help="Write the kept candidates.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            "--report", metavar="DIR", help="Write a gallery, index.html.", rich_help_panel=_OUT
        ),
    ] = None,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Go on with what an interrupted run left in --save-images or --report.",
            rich_help_panel=_OUT,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object on stdout.", rich_help_panel=_OUT),
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure a model on data, or pictures against pictures.

    Three forms: a model samples (--data); two folders are compared; JSON lines of a restoring
    command come through a pipe (--reference). Beside the model stand a baseline (bicubic, grey
    copy, mean fill) and the mean of all M candidates, with paired standard errors.

    On a terminal the results are a table, in a pipe tab-separated lines with a header.

    Example: caflow evaluate --task superres --data faces.zip --protocol table1 --report out/
    """
    console = Console(quiet, verbose)
    form = _form(pictures or [], data, task, protocol, reference, metric)
    start = time.perf_counter()
    if form == "model":
        assert data is not None
        chosen = get_protocol(protocol) if protocol is not None else None
        settings = _settings(chosen, metric, tau, candidates, keep, limit)
        part = _split(split)
        _check_model_options(resize, limit, batch_size)
        if skip_existing and save_images is None and report is None:
            raise CaflowError(
                "--skip-existing has nothing to go on with", "--save-images DIR", EXIT_USAGE
            )
        task = _task(task, chosen)

        from ..evaluation import evaluate
        from .session import load_model

        loaded = load_model(model, device, console, task)
        with console.progress() as display:
            bar = display.add_task("measuring", total=None)
            evaluation = evaluate(
                loaded.model,
                data,
                **settings,
                split=part,
                seed=seed,
                noise_samples=noise_samples,
                batch_size=batch_size,
                weights=_weights(lpips_weights, fid_weights, extractor),
                save_stats=save_stats,
                identity=loaded.identity,
                progress=lambda done, total: display.update(
                    bar, completed=done, total=total, description=f"{done} of {total} pictures"
                ),
                save_images=save_images,
                report=report,
                skip_existing=skip_existing,
                protocol=chosen,
            )
        identity: dict[str, Any] = {"model": loaded.identity}
    else:
        names = choose_metrics(metric or [], _COMPARED, _DEFAULT.split(","))
        for_models: dict[str, object] = {
            "--save-images": save_images,
            "--report": report,
            "--skip-existing": skip_existing or None,
            "--limit": limit,
            "--split": split,
            "--tau": tau,
            "-m": candidates,
            "-n": keep,
            "--batch-size": batch_size,
        }
        _check_comparison_options(for_models, resize)
        weights = _weights(lpips_weights, fid_weights, extractor)
        with console.progress() as display:
            bar = display.add_task("comparing", total=None)
            shared: dict[str, Any] = {
                "metrics": names,
                "resize": resize,
                "weights": weights,
                "save_stats": save_stats,
                "progress": lambda done, total: display.update(
                    bar,
                    completed=done,
                    total=total or None,
                    description=f"{done} of {total} pictures" if total else f"{done} pictures",
                ),
            }
            if form == "sets":
                from ..evaluation import compare

                assert pictures is not None
                evaluation = compare(pictures[0], pictures[1], **shared)
            else:
                from ..evaluation import compare_lines

                evaluation = compare_lines(sys.stdin, reference or "", **shared)
        identity = {}
    _print(console, evaluation, identity, as_json, time.perf_counter() - start)


def _form(
    pictures: list[str],
    data: str | None,
    task: str | None,
    protocol: str | None,
    reference: str | None,
    metric: list[str] | None,
) -> str:
    """model, sets or lines: by what was given, all else refused with a complete command."""
    names = ",".join(metric or [_DEFAULT])

    def refuse(message: str, hint: str) -> CaflowError:
        return CaflowError(message, hint.format(names), EXIT_USAGE)

    on_data = data is not None or task is not None or protocol is not None
    if pictures:
        if on_data or reference is not None:
            raise refuse("two folders are compared, or a model sampled, not both", _FULL)
        if len(pictures) != 2:
            raise refuse(
                f"{len(pictures)} sets of pictures, not two",
                "caflow evaluate GENERATED REFERENCE --metric {}",
            )
        return "sets"
    if on_data:
        if reference is not None:
            raise refuse("--reference is for JSON lines, not for a model", _FULL)
        if data is None:
            raise refuse("no data to measure on", f"{_FULL.partition(' --data')[0]} --data DIR")
        return "model"
    if reference is None:
        raise refuse("nothing to evaluate", _FULL)
    if sys.stdin is None or sys.stdin.isatty():
        raise refuse("--reference needs JSON lines on stdin", _PIPE)
    return "lines"


def _task(task: str | None, protocol: Protocol | None) -> str | None:
    if protocol is not None:
        if task not in (None, protocol.task):
            raise CaflowError(
                f"protocol {protocol.name} is of {protocol.task}, not {task}",
                f"--task {protocol.task}",
                EXIT_USAGE,
            )
        return protocol.task
    if task is not None:
        from ..tasks import task_named

        task_named(task)
    return task


def _settings(
    protocol: Protocol | None,
    metric: list[str] | None,
    tau: str | None,
    candidates: str | None,
    keep: str | None,
    limit: int | None,
) -> dict[str, Any]:
    """What is measured: the flags, else the protocol's, else the defaults."""
    metrics = choose_metrics(
        [*(metric or []), *(protocol.metrics if protocol else ())], METRICS, _DEFAULT.split(",")
    )
    found: dict[str, Any] = {
        "metrics": metrics,
        "tau": _numbers(tau, "--tau", float),
        "candidates": _numbers(candidates, "-m", int),
        "keep": _numbers(keep, "-n", int) or [1],
        "limit": limit,
    }
    if protocol is not None:
        for name, own in (
            ("tau", [protocol.tau]),
            ("candidates", [protocol.candidates]),
            ("limit", protocol.images),
        ):
            if found[name] is None:
                found[name] = own
        if keep is None:
            found["keep"] = list(protocol.keep)
    return found


def _numbers(text: str | None, option: str, kind: type[float] | type[int]) -> list[Any] | None:
    """A comma list."""
    if text is None:
        return None
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        example = "0,0.5,1" if kind is float else "1,10,30"
        raise CaflowError(f"{option} is {text!r}", f"{option} {example}", EXIT_USAGE) from error


def _split(name: str | None) -> Split | None:
    splits: dict[str | None, Split | None] = {
        None: None,
        "train": "train",
        "val": "val",
        "test": "test",
    }
    if name not in splits:
        raise CaflowError(f"unknown split {name!r}", "--split test", EXIT_USAGE)
    return splits[name]


def _check_model_options(resize: int | None, limit: int | None, batch_size: int | None) -> None:
    if resize is not None:
        raise CaflowError(
            "--resize is for sets of pictures; data is brought to the model's size",
            "leave out --resize",
            EXIT_USAGE,
        )
    for name, value in (("--limit", limit), ("--batch-size", batch_size)):
        if value is not None and value < 1:
            raise CaflowError(f"{name} is {value}", f"{name} 10", EXIT_USAGE)


def _check_comparison_options(for_models: dict[str, object], resize: int | None) -> None:
    given = [name for name, value in for_models.items() if value is not None]
    if given:
        raise CaflowError(f"{given[0]} is for a model on data", _FULL.format(_DEFAULT), EXIT_USAGE)
    if resize is not None and not 1 <= resize <= 4096:
        raise CaflowError(f"--resize is {resize}", "--resize 256", EXIT_USAGE)


def _weights(lpips: str | None, fid: str | None, extractor: str) -> Weights:
    from ..evaluation import Weights

    return Weights(lpips, fid, extractor)


def _print(
    console: Console,
    evaluation: Evaluation,
    identity: dict[str, Any],
    as_json: bool,
    elapsed: float,
) -> None:
    from .evaluation_table import rich_table, tab_separated
    from .records import SCHEMA

    for note in evaluation.notes:
        console.note(f"note: {note}")
    if as_json:
        head = {"schema": SCHEMA, "command": "evaluate", **identity}
        console.json({**head, **evaluation.as_json(), "elapsed_s": round(elapsed, 3)})
    elif sys.stdout is not None and sys.stdout.isatty():
        console.result(rich_table(evaluation))
    else:
        for line in tab_separated(evaluation):
            console.result(line)
    console.detail(f"{evaluation.images} pictures in {elapsed:.1f} s")
    for _, error in evaluation.failed:
        console.error(error)
    if evaluation.failed:
        raise typer.Exit(EXIT_FAILED)
