"""`caflow superres`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from . import options
from .console import Console

if TYPE_CHECKING:
    from ..inference import Candidate, Candidates
    from .plan import Job
    from .session import LoadedModel

__all__ = ["superres_command"]

_TASK = "superres"


def superres_command(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Pictures; `-` for stdin; `example:face`."),
    ],
    tau: Annotated[
        float | None,
        typer.Option(
            "--tau",
            metavar="T",
            help="Temperature: lower is smoother. Default: the model's, else 0.5.",
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            "-m",
            metavar="M",
            help="Candidates to draw. Default: the model's, else 10.",
        ),
    ] = None,
    keep: Annotated[
        int, typer.Option("--keep", "-n", metavar="N", help="How many of the best to write.")
    ] = 1,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="PATH|DIR/|-", help="File, folder, or `-` for stdout."
        ),
    ] = None,
    model: options.Model = None,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", metavar="B", help="Candidates at a time. Default: by size."),
    ] = None,
    noise_samples: options.NoiseSamples = 1,
    rank: Annotated[
        str, typer.Option("--rank", metavar="BY", help="likelihood, or none: the order of drawing.")
    ] = "likelihood",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Enlarge pictures: draw M candidates, rank them by log-likelihood, write the best N.

    `face.png` becomes `face_superres.png`, with N > 1 `face_superres_01.png` and so on, best first.
    A high likelihood is not quality: at T < 1 it favours smooth pictures.

    Example: caflow superres face.png --tau 0.5 -m 10 -n 1
    """
    console = Console(quiet, verbose)
    if keep < 1 or (candidates is not None and keep > candidates):
        # Known without torch, and so common that it should not wait for it.
        raise CaflowError(
            f"cannot keep {keep} of {candidates or 'the'} candidates",
            f"-m {max(1, keep)} -n {max(1, keep)}",
            EXIT_USAGE,
        )
    if output == "-" and as_json:
        raise CaflowError("-o - and --json both want stdout", "use one of them", EXIT_USAGE)

    from .plan import plan

    planned = plan(images, label=_TASK, output=output, keep=keep, overwrite=overwrite)
    jobs = planned.jobs

    from ..inference import check_sampling
    from .session import error_record, load_model, memory_errors

    sampling: dict[str, Any] = {
        "tau": tau,
        "candidates": candidates,
        "keep": keep,
        "seed": seed,
        "batch_size": batch_size,
        "noise_samples": noise_samples,
        "rank": rank,
    }
    check_sampling(**sampling)
    loaded = load_model(model, device, _TASK)
    failed = False
    with console.progress("{task.completed}/{task.total}", results=True) as progress:
        bar = progress.add_task(_TASK, total=len(jobs))
        for job in jobs:
            try:
                with memory_errors():
                    _run(job, loaded, sampling, console, as_json)
            except CaflowError as error:
                if error.exit_code != EXIT_FAILED:
                    raise
                failed = True
                console.error(error)
                if as_json:
                    console.json(error_record(_TASK, job.name, error))
            progress.advance(bar)
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _run(
    job: Job, loaded: LoadedModel, sampling: dict[str, Any], console: Console, as_json: bool
) -> None:
    from ..images import encode_png, make_folder, write_png
    from ..inference import restore

    start = time.perf_counter()
    result = restore(loaded.model, job.source.read().rgb, **sampling)
    written: list[dict[str, Any]] = []
    for candidate in result.kept:
        text = {"caflow": json.dumps(_provenance(candidate, result, loaded), ensure_ascii=False)}
        if not job.outputs:
            console.binary(encode_png(candidate.image, text))
            continue
        path = job.outputs[candidate.rank - 1]
        make_folder(path.parent)
        write_png(path, candidate.image, text)
        written.append({"path": str(path), **_fields(candidate)})
        if not as_json:
            console.result(str(path))
    elapsed = time.perf_counter() - start
    best = result.kept[0].score
    console.detail(
        f"{job.name}: best of {len(result.ranked)} has {best.log_likelihood:.1f} nats, "
        f"{best.bits_per_dim:.3f} bits/dim, {elapsed:.2f} s"
    )
    if as_json:
        console.json(_record(job, result, loaded, sampling, written, elapsed))


def _fields(candidate: Candidate) -> dict[str, Any]:
    from .session import score_fields

    return {"rank": candidate.rank, "seed": candidate.seed, **score_fields(candidate.score)}


def _record(
    job: Job,
    result: Candidates,
    loaded: LoadedModel,
    sampling: dict[str, Any],
    written: list[dict[str, Any]],
    elapsed: float,
) -> dict[str, Any]:
    from .session import JSON_SCHEMA

    return {
        "schema": JSON_SCHEMA,
        "command": _TASK,
        "input": job.name,
        "status": "ok",
        "model": loaded.identity,
        "params": {**sampling, "tau": result.tau, "candidates": len(result.ranked)},
        "estimator": result.estimator,
        "outputs": written,
        "candidates": [{"k": c.k, **_fields(c)} for c in result.ranked],
        "elapsed_s": round(elapsed, 3),
    }


def _provenance(candidate: Candidate, result: Candidates, loaded: LoadedModel) -> dict[str, Any]:
    """What the PNG says of itself. Pictures travel: no local path is in it."""
    from .. import __version__

    return {
        "schema": 1,
        "version": __version__,
        "task": _TASK,
        "model": loaded.identity,
        "tau": result.tau,
        "seed": candidate.seed,
        "rank": candidate.rank,
        "candidates": len(result.ranked),
        "log_likelihood": candidate.score.log_likelihood,
        "bits_per_dim": candidate.score.bits_per_dim,
        "estimator": result.estimator,
    }
