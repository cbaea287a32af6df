"""Whether pictures come back from `encode` and `decode` as the same 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import caflow_cli as caflow
from caflow_cli.evaluation.examples import Example as Problem
from caflow_cli.flows import to_uint8
from caflow_cli.inference.score import task_of, to_batch
from caflow_cli.tasks import Picture

__all__ = ["pairs_of", "returns"]


def pairs_of(
    model: caflow.CAFlow, pictures: Sequence[Picture], problems: Sequence[Problem]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Conditions and targets as they are scored, uint8 (B, C, H, W)."""
    task = task_of(model)
    pairs = [task.reduce(p.input, w, p.mask) for w, p in zip(pictures, problems, strict=True)]
    cond, targets = (to_batch(side) for side in zip(*pairs, strict=True))
    return cond, targets


@torch.no_grad()
def returns(
    model: caflow.CAFlow, pictures: Sequence[Picture], problems: Sequence[Problem]
) -> list[bool]:
    """Whether each picture comes back from `encode` and `decode` as the same 8 bits."""
    cond, targets = pairs_of(model, pictures, problems)
    condition = model.encode_condition(cond)
    back, _ = model.decode(model.encode(targets, condition)[0], condition)
    return (to_uint8(back) == targets).flatten(1).all(1).tolist()
