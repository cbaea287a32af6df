"""An evaluation on whole pictures: `--protocol sr4|repair|colour`, or a classical fill as model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config import FILLS
from ..data.missing import check_there, of_masks
from ..errors import EXIT_USAGE, CaflowError
from ..evaluation.benchmarks import BENCHMARKS, CENTRE, Benchmark
from ..evaluation.metrics.catalogue import METRICS, choose_metrics
from .console import measuring
from .evaluation_options import Compared, ModelOnData, Networks, Written
from .evaluation_settings import model_settings
from .typed import as_typed, from_file

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from ..model import CAFlow
    from .console import Console

__all__ = ["benchmark_of", "on_whole_pictures"]

# Options that mean nothing here, and of which those of the user's file are left out: always, and
# beside a classical fill.
_SEARCHES = ("search_tau", "search_rank", "keep")
_MODELS = (*_SEARCHES, "tau", "candidates", "rank", "noise_samples", "batch_size")


def benchmark_of(given: ModelOnData) -> Benchmark | None:
    """The benchmark that the options mean; None: a model on data of its own size.

    Raises:
        CaflowError: (exit 2) a classical fill is to do what it cannot.
    """
    benchmark = None if given.protocol is None else BENCHMARKS.get(given.protocol)
    if given.model not in FILLS:
        return benchmark
    if given.protocol is not None and (benchmark is None or benchmark.task != "inpaint"):
        raise CaflowError(
            f"{given.model} only fills holes, and is not for protocol {given.protocol}",
            "--protocol repair --masks DIR, or leave --protocol out",
            EXIT_USAGE,
        )
    return benchmark or CENTRE


def on_whole_pictures(
    benchmark: Benchmark,
    metrics: Sequence[str],
    given: ModelOnData,
    compared: Compared,
    networks: Networks,
    written: Written,
    console: Console,
) -> tuple[Evaluation, dict[str, str | None]]:
    """Measure a model or a classical fill; also return its identity.

    Raises:
        CaflowError: An option is not for this (2), or as for `run_benchmark`.
    """
    given = as_typed(given, _MODELS if given.model in FILLS else _SEARCHES)
    networks = as_typed(networks, ("save_stats",))
    written = as_typed(written, ("report", "skip_existing", "write_defaults"))
    _check(benchmark, given, compared, networks, written)
    inpainting = benchmark.task == "inpaint"
    offered = [
        name
        for name, metric in METRICS.items()
        if metric.needs in ("pairs", "benchmark") and (name != "psnr_hole" or inpainting)
    ]
    if from_file("metric"):
        metrics = [name for name in ",".join(metrics).split(",") if name in (*offered, "all")]
    named = [*metrics, *benchmark.metrics]
    chosen = choose_metrics(named, offered, ("lpips", "psnr", "psnr_hole", "seconds"))
    settings = model_settings(given, ["rmse"], benchmark)
    check_there(given.data or "")
    if given.masks is not None:
        with of_masks("--masks "):
            check_there(given.masks)

    from ..evaluation import run_benchmark
    from .loaded_model import load_model

    model: CAFlow | str
    identity: dict[str, str | None]
    if given.model in FILLS:
        model, identity = given.model, {"id": given.model, "sha256": None}
    else:
        loaded = load_model(given.model, given.device, console, benchmark.task)
        model, identity = loaded.model, {**loaded.identity}
    with console.progress() as display:
        evaluation = run_benchmark(
            benchmark,
            model,
            given.data or "",
            chosen,
            masks=given.masks,
            split=settings.split,
            limit=settings.limit,
            tau=settings.tau,
            candidates=settings.candidates,
            seed=given.seed,
            noise_samples=given.noise_samples,
            rank=settings.ranks,
            batch_size=given.batch_size,
            weights=networks.weights(leave_out=not named),
            save_images=written.save_images,
            progress=measuring(display),
        )
    return evaluation, identity


def _check(
    benchmark: Benchmark,
    given: ModelOnData,
    compared: Compared,
    networks: Networks,
    written: Written,
) -> None:
    """Refuse options that mean nothing here. CaflowError (exit 2)."""
    refused: dict[str, object] = {
        "--resize": compared.resize,
        "--report": written.report,
        "--skip-existing": written.skip_existing or None,
        "--save-stats": networks.save_stats,
        "--write-defaults": written.write_defaults,
        "--search-tau": given.search_tau or None,
        "--search-rank": given.search_rank or None,
        "-n": None if given.keep in (None, "1") else given.keep,
    }
    for name, value in refused.items():
        if value is not None:
            raise CaflowError(
                f"{name} is not for whole pictures, of which the best candidate is measured",
                "--save-images DIR to see them" if name == "--report" else f"leave {name} out",
                EXIT_USAGE,
            )
    if given.model in FILLS:
        drawn: dict[str, object] = {
            "--tau": given.tau,
            "-m": given.candidates,
            "--rank": given.rank,
            "--noise-samples": None if given.noise_samples == 1 else given.noise_samples,
            "--batch-size": given.batch_size,
        }
        for name, value in drawn.items():
            if value is not None:
                raise CaflowError(
                    f"{given.model} draws no candidates, so {name} means nothing",
                    f"leave {name} out",
                    EXIT_USAGE,
                )
    if (benchmark.name == "repair") != (given.masks is not None):
        raise CaflowError(
            "protocol repair needs masks of damage"
            if given.masks is None
            else "--masks is for --protocol repair",
            "--masks DIR, white where a hole is" if given.masks is None else "leave --masks out",
            EXIT_USAGE,
        )
    for name, number in (("--limit", given.limit), ("--batch-size", given.batch_size)):
        if number is not None and number < 1:
            raise CaflowError(f"{name} is {number}", f"{name} 10", EXIT_USAGE)
