"""What the benchmarks of models of fields share: windows, draws, and sums of figures."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from caflow_cli.evaluation.metrics.fields import FieldContext, Sums
from caflow_cli.evaluation.peers import Draw, wet_probability
from caflow_cli.images.profile import Array
from caflow_cli.model import CAFlow
from caflow_cli.restoration import Conditions, Request, encode, prepare
from caflow_cli.sampling import Sampling
from caflow_cli.tasks import get_task
from caflow_cli.tasks.fields import Fields

_SEED_STEP = 1_000_003


@dataclass(frozen=True, eq=False)
class Case:
    """A window, its coarse field, and what the model says of that."""

    request: Request
    conditions: Conditions
    truth: Array
    what: FieldContext


def cases_of(model: CAFlow, windows: Iterable[Array], tau: str | None) -> list[Case]:
    task = get_task(model.config)
    assert isinstance(task, Fields)
    cases = []
    for x in windows:
        truth, coarse = task.coarsened(x)
        request = prepare(model, coarse, None, Sampling(tau=tau))
        conditions = encode([request])
        likely = wet_probability(request, conditions) >= 0.5
        what = FieldContext(task.scale, request.image[..., 0], task.factor, likely)
        cases.append(Case(request, conditions, truth, what))
    return cases


def totals(
    draw: Draw,
    cases: Sequence[Case],
    m: int,
    measure: Callable[[Array, Array, FieldContext], Sums],
) -> dict[str, float]:
    """Ratios of the sums that `measure` finds in all cases, and milliseconds of a member."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    seconds = 0.0
    for number, case in enumerate(cases):
        settings = replace(case.request.sampling, seed=_SEED_STEP * number, candidates=m, keep=m)
        began = time.process_time()
        members = draw(replace(case.request, sampling=settings), case.conditions)
        seconds += time.process_time() - began
        for name, pair in measure(members, case.truth, case.what).items():
            sums[name] = [a + b for a, b in zip(sums[name], pair, strict=True)]
    found = {name: total / of for name, (total, of) in sums.items() if of}
    return found | {"milliseconds": 1000 * seconds / len(cases) / m}


def parser_of(text: str, members: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--tau")
    parser.add_argument("--every", type=int, default=1, help="of the windows")
    parser.add_argument("-m", "--members", type=int, default=members)
    parser.add_argument("--json", type=Path)
    return parser


def report(
    every: dict[str, dict[str, dict[str, float]]], group: str, method: str, found: dict[str, float]
) -> None:
    """Keep and print the figures of a method on a group of windows, such as a day or a tile."""
    every.setdefault(group, {})[method] = found
    print(group, method, *(f"{k} {v:.4g}" for k, v in found.items()), flush=True)


def save(path: Path | None, every: dict[str, dict[str, dict[str, float]]]) -> None:
    if path:
        path.write_text(json.dumps(every, indent=1))
