"""Measuring a model by its protocol, through the package's own functions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import caflow_cli as caflow
from caflow_cli.config import FlowConfig
from caflow_cli.data.examples import open_split
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import Evaluation, Result, Weights
from caflow_cli.evaluation.examples import Example as Problem
from caflow_cli.evaluation.examples import make_example, side_of
from caflow_cli.evaluation.measure import SEED_STEP
from caflow_cli.evaluation.protocols import BASELINES
from caflow_cli.inference.score import task_of
from caflow_cli.model import read_info
from caflow_cli.paths import sha256_of
from caflow_cli.sampling import SEEDS, Sampling
from caflow_cli.version import __version__
from model_cards.blotches import blotches
from model_cards.far import far_draws
from model_cards.record import Figure, Figures, Latent, Point, Protocol, Record
from model_cards.round_trips import pairs_of, returns
from model_cards.shown import progress

TAUS = (0.0, 0.5, 0.7, 0.8, 0.9, 1.0)  # of the curve
PAIRS = ("lpips", "rmse", "psnr", "ssim", "consistency", "seam")
SETS = ("kid", "coverage")
_BATCH = 10  # pictures that are encoded together
_NOISE_SEED = 0  # of the noise under test pictures whose latents are measured


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    data: Path
    pictures: int = 100
    curve_draws: int = 2
    conditions: int = 10  # of draws at high temperatures
    draws: int = 10  # of each of them
    noise_samples: int = 8
    seed: int = 0


def measure(model_id: str, path: Path, plan: Plan) -> Record:
    """Measure a model file on the pictures of `test/`.

    Raises:
        CaflowError: The file is no model, or the data or LPIPS's trunk are not to be had.
    """
    begun = time.process_time()
    info, digest = read_info(path), sha256_of(path)
    model = caflow.load(str(path))
    own = Sampling(rank="best").of(model.config)
    assert own.candidates is not None, "`of` fills it in"
    m, tau = own.candidates, own.temperature

    def evaluate(name: str, metrics: Sequence[str], **settings: Any) -> Evaluation:
        return caflow.evaluate(
            model,
            plan.data,
            metrics,
            split="test",
            limit=plan.pictures,
            seed=plan.seed,
            weights=Weights(extractor="alexnet"),
            progress=progress(name),
            **settings,
        )

    rules = ("likelihood", own.rank)
    main = evaluate(
        f"tau {tau}, {m} candidates",
        (*PAIRS, *SETS, "diversity", "calibration"),
        tau=tau,
        candidates=(1, m),
        keep=(1, m),
        rank=rules,
    )
    if main.failed:
        name, error = main.failed[0]
        raise CaflowError(f"{name}: {error.message}", error.hint)
    everything = _row(main, m, m)
    bits = evaluate("bits/dim", ["bpd"], noise_samples=plan.noise_samples).results[-1]
    curve = [_point(evaluate, warmth, plan) for warmth in TAUS]
    baseline = BASELINES.get(task_of(model).name)
    problems = list(problems_of(model, plan))
    returned = 0
    for some in _batches(problems):
        returned += sum(returns(model, [p.truth for p in some], some))
    return Record(
        id=model_id,
        sha256=digest,
        bytes=path.stat().st_size,
        version=__version__,
        task=model.config.task.name,
        parameters=sum(info.parameters.values()),
        flow=info.config.to_dict()["flow"],
        training={name: value for name, value in info.training.items() if name != "domain"},
        protocol=Protocol(
            data=plan.data.name,
            split="test",
            pictures=main.images,
            size=model.config.task.size,
            tau=str(tau),
            candidates=m,
            rank=own.rank,
            seed=plan.seed,
            noise_samples=plan.noise_samples,
            curve_draws=plan.curve_draws,
        ),
        baseline=baseline,
        baseline_values={}
        if baseline is None
        else _figures(next(r for r in main.results if r.what == baseline)),
        likeliest=_of_pictures(_row(main, m, 1)),
        best={} if own.rank == "likelihood" else _of_pictures(_row(main, m, 1, own.rank)),
        first=_of_pictures(_row(main, 1, 1)),
        all=_figures(everything),
        own_coverage=everything.extra["coverage:alexnet_own"],
        central_50=Figure(**everything.extra["coverage_50"]),
        bits_per_dim=_figures(bits)["bpd"],
        noise_error=bits.extra["noise_standard_error"],
        curve=curve,
        returned=returned,
        far=far_draws(model, problems[: plan.conditions], plan.draws, plan.seed),
        latents=latents(model, problems),
        blotches=_blotches(model, problems, own, plan),
        core_seconds=time.process_time() - begun,
    )


def _blotches(
    model: caflow.CAFlow, problems: Sequence[Problem], own: Sampling, plan: Plan
) -> float | None:
    """`blotches` of what the model's own rule chooses; None of a model that makes no colours."""
    if model.config.task.name != "colorize":
        return None
    return blotches(
        (
            caflow.restore(
                model,
                problem.input,
                tau=own.temperature,
                candidates=own.candidates,
                seed=(plan.seed + SEED_STEP * problem.index) % SEEDS,
                rank=own.rank,
            )
            .kept[0]
            .image,
            problem.truth,
        )
        for problem in problems
    )


def _point(evaluate: Callable[..., Evaluation], tau: float, plan: Plan) -> Point:
    """Single draws at a temperature. A picture whose draw runs away is left out, and counted."""
    metrics = (*PAIRS, "kid", *(["diversity"] if plan.curve_draws > 1 else []))
    m = plan.curve_draws
    name = f"single draws at tau {tau:g}"
    try:
        found = evaluate(name, metrics, tau=tau, candidates=m, keep=m)
    except CaflowError:  # of every picture
        return Point(f"{tau:g}", {}, plan.pictures)
    return Point(f"{tau:g}", _figures(_row(found, m, m)), len(found.failed))


def _row(found: Evaluation, m: int, n: int, rank: str = "likelihood") -> Result:
    """The model's row of one setting."""
    return next(
        result
        for result in found.results
        if result.what == "model"
        and result.cell is not None
        and (result.cell.m, result.cell.n, result.cell.rank) == (m, n, rank)
    )


def _figures(result: Result) -> Figures:
    return {name: Figure(**value.as_json()) for name, value in result.values.items()}


def _of_pictures(result: Result) -> Figures:
    """Those of the kept pictures; the others are of all M, whatever is kept."""
    names = ("diversity", "calibration")
    return {name: value for name, value in _figures(result).items() if name not in names}


def problems_of(model: caflow.CAFlow, plan: Plan) -> Iterator[Problem]:
    """The pictures that `evaluate` measures, as it poses them."""
    task = task_of(model)
    side, paired = side_of(model.config.task), not task.derives_condition
    with open_split(plan.data, "test", side, role="pairs" if paired else "images") as reader:
        count = min(plan.pictures, len(reader.names))
        for index in range(count):
            yield make_example(task, reader, index)


def _batches(problems: Sequence[Problem]) -> Iterator[Sequence[Problem]]:
    for first in range(0, len(problems), _BATCH):
        yield problems[first : first + _BATCH]


@torch.no_grad()
def latents(model: caflow.CAFlow, problems: Sequence[Problem]) -> list[Latent]:
    """Moments of each z_j^i of the true pictures w + u, u uniform: what the model was fitted to.

    Empty where a net draws u (variational dequantization), which has another one.
    """
    if model.config.flow.dequantization != "uniform":
        return []
    show, generator = progress("latents"), torch.Generator().manual_seed(_NOISE_SEED)
    parts: list[list[torch.Tensor]] = []
    done = 0
    for some in _batches(problems):
        cond, targets = pairs_of(model, [p.truth for p in some], some)
        noise = torch.rand(targets.shape, generator=generator, dtype=torch.float64)
        parts.append(model.encode(targets.double() + noise, cond)[0])
        done += len(some)
        show(done, len(problems))
    names = latent_names(model.config.flow)
    return [
        Latent(name, *moments(torch.cat(z)))
        for name, z in zip(names, zip(*parts, strict=True), strict=True)
    ]


def latent_names(flow: FlowConfig) -> list[str]:
    """z_j^i in the order of `encode`."""
    finest = flow.scales - 1
    names, i, last = [], finest, -1
    for scale in flow.latent_scales:
        j = finest - scale
        if j >= last or flow.conditional == "dual-glow":  # the next F_i begins
            i = j
        names.append(f"z_{j}^{i}")
        last = j
    return names


def moments(z: torch.Tensor) -> tuple[float, float, float]:
    """Mean, variance, and correlation of horizontal neighbours, over all of (B, C, H, W)."""
    mean = z.mean()
    centred = z - mean
    variance = centred.square().mean()
    together = (centred[..., :-1] * centred[..., 1:]).mean()
    return float(mean), float(variance), float(together / variance)
