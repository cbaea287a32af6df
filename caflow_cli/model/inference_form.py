"""The form of a module that inference runs, with everything computed that weights determine."""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Generic, TypeVar

from torch import nn

from ..layers import fold, nets_in_bf16

__all__ = ["InferenceForm"]

_M = TypeVar("_M", bound=nn.Module)
_unknown = itertools.count()


class InferenceForm(Generic[_M]):
    """The folded form of a module (`layers.fold`), with a check that it is up to date.

    Folded modules also take float64 values. Then affine maps are float64, and nets do not change.
    """

    def __init__(self, trained: _M) -> None:
        modules = list(trained.modules())
        # The tables that hold the tensors: to look all modules up by name takes longer than R(y).
        self._tables = [t for m in modules for t in (m._parameters, m._buffers) if t]
        # All held, so that what replaces one cannot have its identity or its memory.
        self._trained = trained
        self._children = [(m._modules, list(m._modules.values())) for m in modules if m._modules]
        self._tensors = [tensor for table in self._tables for tensor in table.values()]
        self._state = self._read()
        self.module: _M = fold(trained)  # type: ignore[assignment]

    def _read(self) -> list[tuple[int, int, int]]:
        # In-place changes count versions up; `to` brings other memory, assignment other tensors.
        try:
            return [
                (id(tensor), tensor._version, tensor.data_ptr())
                for table in self._tables
                for tensor in table.values()
                if tensor is not None
            ]
        except RuntimeError:  # tensors made in inference mode count no versions: never up to date
            return [(next(_unknown), 0, 0)]

    @cached_property
    def in_bf16(self) -> _M:
        """`module` with nets in bfloat16."""
        return nets_in_bf16(self.module)

    def is_of(self, trained: nn.Module) -> bool:
        """Whether it is the folded form of `module`, and no weight or module has changed since."""
        return (
            trained is self._trained
            and all(list(table.values()) == children for table, children in self._children)
            and self._read() == self._state
        )
