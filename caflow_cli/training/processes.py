"""Agreement among the processes of a run. With one process there is nothing to agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..devices import wide_device
from ..errors import CaflowError

__all__ = ["on_main_process", "sum_over_processes"]


def sum_over_processes(accelerator: Accelerator, values: Sequence[float]) -> list[float]:
    """Sums over all processes, the same numbers on each. All of them must call it."""
    if accelerator.num_processes == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=wide_device(accelerator.device))
    total: list[float] = accelerator.reduce(tensor, reduction="sum").tolist()
    return total


def on_main_process(accelerator: Accelerator, function: Callable[[], object]) -> None:
    """Call `function` on the main process while the others wait.

    A `CaflowError` that it raises is raised on every process: a full disk must not leave the others
    waiting forever.
    """
    failure: CaflowError | None = None
    if accelerator.is_main_process:
        try:
            function()
        except CaflowError as error:
            failure = error
    if accelerator.num_processes > 1:
        said = [None if failure is None else (failure.message, failure.hint, failure.exit_code)]
        broadcast_object_list(said)
        if failure is None and said[0] is not None:
            failure = CaflowError(*said[0])
    if failure is not None:
        raise failure
