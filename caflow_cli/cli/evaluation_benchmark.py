"""An evaluation on whole pictures: `--protocol sr4|repair|colour`, or a classical fill as model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..data.missing import check_there, of_masks
from ..errors import EXIT_USAGE, CaflowError
from ..evaluation.benchmarks import Benchmark
from ..evaluation.metrics.catalogue import METRICS, choose_metrics
from .console import measuring
from .evaluation_options import Compared, ModelOnData, Networks, Written
from .evaluation_settings import model_settings

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from .console import Console

__all__ = ["on_whole_pictures"]


def on_whole_pictures(
    benchmark: Benchmark,
    metrics: Sequence[str],
    given: ModelOnData,
    compared: Compared,
    networks: Networks,
    written: Written,
    console: Console,
) -> tuple[Evaluation, dict[str, str | None]]:
    """Measure a model; also return its identity.

    Raises:
        CaflowError: An option is not for this (2), or as for `run_benchmark`.
    """
    _check(benchmark, given, compared, networks, written)
    inpainting = benchmark.task == "inpaint"
    offered = [
        name
        for name, metric in METRICS.items()
        if metric.needs in ("pairs", "benchmark") and (name != "psnr_hole" or inpainting)
    ]
    named = [*metrics, *benchmark.metrics]
    chosen = choose_metrics(named, offered, ("lpips", "psnr", "psnr_hole", "seconds"))
    settings = model_settings(given, ["rmse"], benchmark)
    check_there(given.data or "")
    if given.masks is not None:
        with of_masks("--masks "):
            check_there(given.masks)

    from ..evaluation import run_benchmark
    from .loaded_model import load_model

    loaded = load_model(given.model, given.device, console, benchmark.task)
    with console.progress() as display:
        evaluation = run_benchmark(
            benchmark,
            loaded.model,
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
    return evaluation, {**loaded.identity}


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
        "-n": None if given.keep in (None, "1") else given.keep,
    }
    for name, value in refused.items():
        if value is not None:
            raise CaflowError(
                f"{name} is not for whole pictures, of which the best candidate is measured",
                "--save-images DIR to see them" if name == "--report" else f"leave {name} out",
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
