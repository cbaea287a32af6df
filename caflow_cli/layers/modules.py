"""A list of modules of one kind, with a static type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from torch import nn

__all__ = ["Modules"]

_M = TypeVar("_M", bound=nn.Module)


class Modules(nn.ModuleList, Generic[_M]):
    """An `nn.ModuleList` whose elements keep their type. Tensors have the same names."""

    def __iter__(self) -> Iterator[_M]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> _M:  # type: ignore[override]
        return super().__getitem__(index)  # type: ignore[return-value]
