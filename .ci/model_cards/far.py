"""Draws at high temperatures: which run away, and which of the others come back."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import torch

import caflow_cli as caflow
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.examples import Example as Problem
from caflow_cli.evaluation.measure import SEED_STEP
from caflow_cli.flows import to_uint8
from caflow_cli.inference.candidates import Conditioned, Request
from caflow_cli.inference.conditions import OnePiece, read_conditions
from caflow_cli.inference.latents import Latents, in_cells
from caflow_cli.inference.redraw import REDRAWS, decode_noise
from caflow_cli.inference.score import BATCH_PIXELS, task_of, to_batch
from caflow_cli.sampling import SEEDS
from caflow_cli.tasks import Picture
from caflow_cli.temperature import Temperature
from model_cards.record import FarDraws
from model_cards.round_trips import returns
from model_cards.shown import progress

__all__ = ["FAR_TAUS", "Found", "distances_in_deviations", "far_draws", "single_draws"]

FAR_TAUS = (1.0, 1.2)
_BATCH = 10  # pictures that are encoded together


class Found(NamedTuple):
    """A draw that did not run away."""

    image: Picture
    log_prob: float  # of the written picture, one noise draw, nats
    redraws: int  # before it


def far_draws(
    model: caflow.CAFlow, problems: Sequence[Problem], draws: int, seed: int
) -> list[FarDraws]:
    """So many single draws of each of these conditions at each high temperature."""
    return [_at(model, problems, tau, draws, seed) for tau in FAR_TAUS]


def _at(
    model: caflow.CAFlow, problems: Sequence[Problem], tau: float, each: int, seed: int
) -> FarDraws:
    show = progress(f"draws at tau {tau:g}")
    draws: list[list[Found]] = []
    for done, problem in enumerate(problems, 1):
        draws.append(single_draws(model, problem, tau, seed, each))
        show(done, len(problems))
    apart = [
        distance
        for of_one in draws
        for distance in distances_in_deviations([one.log_prob for one in of_one])
    ]
    returned = 0
    for problem, of_one in zip(problems, draws, strict=True):
        for first in range(0, len(of_one), _BATCH):
            some = [one.image for one in of_one[first : first + _BATCH]]
            returned += sum(returns(model, some, [problem] * len(some)))
    found = [one for of_one in draws for one in of_one]
    return FarDraws(
        tau,
        conditions=len(problems),
        draws=each,
        redrawn=sum(one.redraws > 0 for one in found),
        lost=len(problems) * each - len(found),
        farthest=max(apart, default=0.0),
        within_20=sum(distance <= 20 for distance in apart),
        returned=returned,
    )


def single_draws(
    model: caflow.CAFlow, problem: Problem, tau: float, seed: int, draws: int
) -> list[Found]:
    """Draws of one condition, in the order of k, without those that ran away eleven times.

    They are those of `caflow.restore` with `candidates=draws` and `rank="none"`, but for rounding:
    what runs away is drawn again together, where `restore` draws it alone, so that a replay repeats
    its bits.
    """
    first = (seed + SEED_STEP * problem.index) % (SEEDS - draws)
    request = Request.of(task_of(model), problem.input, problem.mask)
    read = read_conditions(model, to_batch([request.parts[0].condition(request.image)]))
    if len(request.parts) > 1 or not isinstance(read, OnePiece):
        return _one_by_one(model, problem, tau, first, draws)
    found: list[Found] = []
    most = max(1, BATCH_PIXELS // (read.size[0] * read.size[1]))
    scorer = Conditioned(model, [request])
    for begin in range(0, draws, most):
        some = range(first + begin, first + min(begin + most, draws))
        sound = _sound(model, read, tau, [Latents(model, k, read.size) for k in some])
        images = [request.composed(0, request.image, picture).copy() for picture, _ in sound]
        scores = scorer.score(images) if images else []
        found += [
            Found(image, score.rank_score, redraws)
            for image, score, (_, redraws) in zip(images, scores, sound, strict=True)
        ]
    return found


@torch.no_grad()
def _sound(
    model: caflow.CAFlow, read: OnePiece, tau: float, latents: Sequence[Latents]
) -> list[tuple[Picture, int]]:
    """Pictures of these generators and how many draws before each ran away."""
    taus = Temperature.of(tau).of_latents(model.config.flow.latent_scales)
    noise = [of_one() for of_one in latents]
    found: dict[int, tuple[Picture, int]] = {}
    waiting = list(range(len(latents)))
    for redraws in range(REDRAWS + 1):
        stacked = [torch.stack(z) for z in zip(*(noise[k] for k in waiting), strict=True)]
        points, cells = decode_noise(
            model,
            read.condition,
            [own * z.to(model.device, model.dtype) for own, z in zip(taus, stacked, strict=True)],
        )
        away = cells.flatten(1).any(1).tolist()
        pictures = to_uint8(points).permute(0, 2, 3, 1).cpu().numpy()
        for place, k in enumerate(waiting):
            if not away[place]:
                found[k] = pictures[place], redraws
                continue
            lost = cells[place].cpu()
            for z, other in zip(noise[k], latents[k].one_by_one(), strict=True):
                torch.where(in_cells(lost, z.shape[-1]), other, z, out=z)
        waiting = [k for place, k in enumerate(waiting) if away[place]]
        if not waiting:
            break
    return [found[k] for k in sorted(found)]


def _one_by_one(
    model: caflow.CAFlow, problem: Problem, tau: float, seed: int, draws: int
) -> list[Found]:
    """The same of large pictures, and of holes in several parts."""
    found: list[Found] = []
    for k in range(draws):
        with contextlib.suppress(CaflowError):  # it ran away eleven times
            kept = caflow.restore(
                model,
                problem.input,
                tau=tau,
                candidates=1,
                keep=1,
                seed=seed + k,
                mask=problem.mask,
                rank="none",
            ).kept
            found += [Found(c.image, c.score.rank_score, c.redraws) for c in kept]
    return found


def distances_in_deviations(values: Sequence[float]) -> list[float]:
    """`|x - median| / (1.4826 median |x - median|)` of each value; 0 where all are equal."""
    if not values:
        return []
    x = torch.tensor(values, dtype=torch.float64)
    apart = (x - x.quantile(0.5)).abs()
    scale = 1.4826 * apart.quantile(0.5)
    return [0.0] * len(values) if scale == 0 else (apart / scale).tolist()
