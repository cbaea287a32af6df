"""Samples and scores of every bundled model, at length:

    python -m tests.soak.numbers --samples 10000 --pairs 200 --json numbers.json

Every model draws its share of the samples, at temperatures from 0 to 1.2 in turn. Each goes through
`encode` and `decode` and must come back as the same 8 bits, twice: as the candidate that it is
written and scored as, composed with its condition; and raw, as `sample` draws it, which may
contradict the condition. Nothing may be non-finite.
Then groups of ten candidates, as `caflow` draws them, are scored in float32 and in float64: how far
the scores are apart, and whether the order is the same for candidates that are 0.1 nats apart or
more. Exit code 1 where a promise is not kept.

Conditions are the bundled example pictures, mirrored and shifted; `--data ID=FOLDER|ZIP` gives a
model the test pictures of a data set.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from caflow_cli.assets import example_path
from caflow_cli.data import load_pairs, load_split
from caflow_cli.flows import to_uint8
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.hub.resolve import load
from caflow_cli.images import read_image
from caflow_cli.model import CAFlow, Condition
from caflow_cli.tasks import get_task, held_out_conditions
from caflow_cli.tasks.base import grey, resize

from ..helpers import settled

TAUS = tuple(round(0.1 * k, 1) for k in range(13))
GROUP = 10  # candidates of one condition that are ranked
CLOSE = 0.1  # nats: candidates nearer to each other may change places
APART = 0.02  # nats: what is promised of float32
EXAMPLES = {"superres": "face_64", "inpaint": "face_64", "colorize": "room_64", "paired": "map"}


@dataclass
class Samples:
    """Of one model: how often what must not be was."""

    drawn: int = 0
    seconds: float = 0.0
    non_finite: int = 0  # samples with any such pixel, latent, or log-likelihood
    changed: int = 0  # candidates that did not come back as the same 8 bits
    changed_raw: int = 0  # raw draws that did not
    changed_values: int = 0  # and how many values of both
    farthest: float = 0.0  # of decode(encode(w)) from the centre of its bin; 0.5 is its edge
    forward_backward: float = 0.0  # nats between the two directions' log-densities, at most
    by_tau: dict[str, int] = field(default_factory=dict)


@dataclass
class Scores:
    """Of one model: float32 against float64."""

    pairs: int = 0
    worst: float = 0.0  # nats
    quantiles: dict[str, float] = field(default_factory=dict)
    compared: int = 0  # candidates of one condition, two by two
    close: int = 0  # of them nearer than CLOSE
    swapped: int = 0  # of the others, in another order
    groups: int = 0
    same_best: int = 0  # groups of which the best candidate is the same one


def conditions(model: CAFlow, data: str | None, count: int) -> Tensor:
    """uint8 (at most `count`, C, H, W): of a data set, or made of an example picture."""
    task, config = get_task(model.config), model.config
    size = config.task.size
    if data is not None and not task.derives_condition:
        return load_pairs(
            data, "test", size, cond_channels=config.flow.cond_channels, limit=count
        ).conditions
    if data is not None:
        targets = load_split(data, "test", size, limit=count).images
    else:
        targets = _shifted(read_image(example_path(EXAMPLES[task.name])), size, count)
    if task.derives_condition:
        return held_out_conditions(task, targets)
    if config.flow.cond_channels == 1:
        rows = [grey(t.permute(1, 2, 0).numpy()) for t in targets]
        return torch.from_numpy(np.stack(rows))[:, None]
    return targets


def _shifted(picture: np.ndarray, size: int, count: int) -> Tensor:
    """Windows of a picture a quarter larger, every second mirrored."""
    large = resize(picture, size * 5 // 4, size * 5 // 4)
    rng = np.random.default_rng(0)
    rows = []
    for k in range(count):
        top, left = rng.integers(0, large.shape[0] - size + 1, 2)
        window = large[top : top + size, left : left + size]
        rows.append(window[:, ::-1] if k % 2 else window)
    return torch.from_numpy(np.stack(rows).transpose(0, 3, 1, 2).copy())


def _batches(total: int, size: int) -> Iterator[range]:
    for start in range(0, total, size):
        yield range(start, min(start + size, total))


class Trip(NamedTuple):
    """Of images through `encode` and `decode`."""

    finite: Tensor  # (B,)
    wrong: Tensor  # (B,): values that came back as others
    apart: float  # the farthest from the centre of its bin
    gap: float  # nats between the two directions' log-densities, at most


def round_trip(model: CAFlow, images: Tensor, encoding: Condition) -> Trip:
    latents, forward = model.encode(images, encoding)
    back, backward = model.decode(latents, encoding)
    log_prob = model.log_prob(images, encoding)
    finite = torch.stack([p.isfinite().flatten(1).all(1) for p in (back, *latents)]).all(0)
    finite &= torch.stack([v.isfinite() for v in (forward, backward, log_prob)]).all(0)
    return Trip(
        finite=finite,
        wrong=(to_uint8(back) != images).flatten(1).sum(1),
        apart=float((back.double() - images.double() - 0.5).abs().max()),
        gap=float((forward - backward).abs().max()),
    )


@torch.no_grad()
def sample_at_length(model: CAFlow, conds: Tensor, count: int, batch: int, tell: Any) -> Samples:
    """Draw, round, encode, decode, score."""
    found = Samples()
    start = time.monotonic()
    for number, rows in enumerate(_batches(count, batch)):
        tau = TAUS[number % len(TAUS)]
        cond = conds[[k % len(conds) for k in rows]]
        encoding = model.encode_condition(cond)
        draws = model.sample(encoding, tau, 1, seed=list(rows))[:, 0]
        finite = draws.isfinite().flatten(1).all(1)
        raw = to_uint8(draws)
        written = settled(get_task(model.config), cond, raw)
        trips = [round_trip(model, raw, encoding)]
        if not torch.equal(written, raw):
            trips.append(round_trip(model, written, encoding))
        for trip in trips:
            finite &= trip.finite
            found.changed_values += int(trip.wrong.sum())
            found.farthest = max(found.farthest, trip.apart)
            found.forward_backward = max(found.forward_backward, trip.gap)
        found.changed_raw += int((trips[0].wrong > 0).sum())
        found.changed += int((trips[-1].wrong > 0).sum())
        found.drawn += len(rows)
        found.by_tau[str(tau)] = found.by_tau.get(str(tau), 0) + len(rows)
        found.non_finite += int((~finite).sum())
        tell(f"{found.drawn} of {count} samples")
    found.seconds = round(time.monotonic() - start, 1)
    return found


@torch.no_grad()
def score_twice(model: CAFlow, conds: Tensor, pairs: int, tell: Any) -> Scores:
    """Groups of candidates in float32 and float64."""
    wide = copy.deepcopy(model).double()
    task = get_task(model.config)
    tau = model.config.task.tau if model.config.task.tau is not None else task.tau
    found, differences = Scores(), []
    for rows in _batches(pairs, GROUP):
        cond = conds[[rows.start // GROUP % len(conds)]]
        images = to_uint8(model.sample(cond, tau, len(rows), seed=1_000_003 * rows.start)[0])
        a, b = (m.log_prob(images, cond) for m in (model, wide))
        differences.append((a - b).abs())
        gaps, seen = b[:, None] - b[None], a[:, None] - a[None]
        upper = torch.ones_like(gaps, dtype=torch.bool).triu(1)
        close = gaps.abs() < CLOSE
        found.compared += int(upper.sum())
        found.close += int((upper & close).sum())
        found.swapped += int((upper & ~close & (gaps.sign() != seen.sign())).sum())
        found.groups += 1
        found.same_best += int(a.argmax() == b.argmax())
        tell(f"{rows.stop} of {pairs} scores")
    values = torch.cat(differences)
    found.pairs, found.worst = len(values), float(values.max())
    found.quantiles = {str(q): float(values.quantile(q)) for q in (0.5, 0.9, 0.99)}
    return found


def broken_promises(samples: Samples, scores: Scores) -> list[str]:
    found = []
    if samples.non_finite:
        found.append(f"{samples.non_finite} samples are not finite")
    if samples.changed:
        found.append(f"{samples.changed} candidates do not come back as the same 8 bits")
    if samples.changed_raw:
        found.append(f"{samples.changed_raw} raw draws do not come back as the same 8 bits")
    if not scores.worst <= APART:
        found.append(f"float32 is {scores.worst:.3g} nats from float64, more than {APART}")
    if scores.swapped:
        found.append(f"{scores.swapped} pairs of candidates change places")
    return found


def report(name: str, samples: Samples, scores: Scores, broken: list[str]) -> list[str]:
    """The table's lines of one model."""
    quantiles = ", ".join(f"{float(q):.0%} {v:.2g}" for q, v in scores.quantiles.items())
    rows = {
        "samples": f"{samples.drawn} at tau {TAUS[0]:g} to {TAUS[-1]:g}",
        "non-finite": samples.non_finite,
        "changed by a round trip": f"{samples.changed}, and {samples.changed_raw} raw draws "
        f"({samples.changed_values} values of both)",
        "farthest from a bin's centre": f"{samples.farthest:.4f} levels (its edge: 0.5)",
        "forward against backward": f"{samples.forward_backward:.2g} nats at most",
        "float32 against float64": f"{scores.worst:.2g} nats at most, {quantiles}, of "
        f"{scores.pairs}",
        "candidates in another order": f"{scores.swapped} of {scores.compared - scores.close} "
        f"pairs, {scores.close} nearer than {CLOSE} nats aside",
        "same best candidate": f"{scores.same_best} of {scores.groups} groups of {GROUP}",
    }
    lines = [f"{name}, {samples.seconds:.0f} s of sampling"]
    lines += [f"  {what:30}{value}" for what, value in rows.items()]
    return lines + [f"BROKEN: {text}" for text in broken]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.numbers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--samples", type=int, default=10_000, help="of all models together")
    parser.add_argument("--pairs", type=int, default=200, help="scored twice, of each model")
    parser.add_argument("--models", nargs="+", metavar="ID", help="default: all that are bundled")
    parser.add_argument("--data", action="append", default=[], metavar="ID=PATH")
    parser.add_argument("--conditions", type=int, default=100, help="of each model, at most")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    names = given.models or [id_ for id_, entry in load_manifest().items() if entry.file]
    data = dict(item.split("=", 1) for item in given.data)
    shares = [given.samples // len(names)] * len(names)
    shares[0] += given.samples - sum(shares)
    results: dict[str, Any] = {}
    for name, share in zip(names, shares, strict=True):
        model = load(name)
        conds = conditions(model, data.get(name), given.conditions)

        def tell(text: str, name: str = name) -> None:
            if sys.stderr.isatty():
                print(f"{name}: {text}", end="\r", file=sys.stderr, flush=True)

        samples = sample_at_length(model, conds, share, given.batch, tell)
        scores = score_twice(model, conds, given.pairs, tell)
        broken = broken_promises(samples, scores)
        results[name] = {
            "samples": asdict(samples),
            "scores": asdict(scores),
            "data": Path(data[name]).name if name in data else "examples",
            "broken": broken,
        }
        print("\n".join(report(name, samples, scores, broken)), flush=True)
    if given.json:
        machine = {"torch": torch.__version__, "machine": platform.machine()}
        given.json.write_text(json.dumps({**machine, "models": results}, indent=2) + "\n")
    return 1 if any(result["broken"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
