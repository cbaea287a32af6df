"""The folded forms of a model's parts, which inference uses."""

from __future__ import annotations

import itertools
from typing import TypeVar

import torch
from torch import nn

from ..layers import fold, nets_in_bf16

_M = TypeVar("_M", bound=nn.Module)
_unknown = itertools.count()


class _Form:
    """The folded form of a module (`layers.fold`), with a check that it is up to date.

    Folded modules also accept float64 values; affine maps then use float64, and nets float32.
    """

    def __init__(self, trained: nn.Module) -> None:
        modules = list(trained.modules())
        # The dicts of tensors: looking all modules up by name takes longer than computing R(y).
        self.tables = [t for m in modules for t in (m._parameters, m._buffers) if t]
        # Keep references to all, so that a replacement cannot get the same id or memory address.
        self.trained = trained
        self.children = [(m._modules, list(m._modules.values())) for m in modules if m._modules]
        self.tensors = [tensor for table in self.tables for tensor in table.values()]
        self.state = self.versions()
        self.module = fold(trained)
        self.rough: nn.Module | None = None  # with nets in bfloat16, made on demand

    def versions(self) -> list[tuple[int, int, int]]:
        # In-place changes increment versions; `to` changes the memory, assignment the tensor.
        try:
            return [
                (id(tensor), tensor._version, tensor.data_ptr())
                for table in self.tables
                for tensor in table.values()
                if tensor is not None
            ]
        except RuntimeError:  # tensors made in inference mode have no version: never up to date
            return [(next(_unknown), 0, 0)]

    def is_of(self, trained: nn.Module) -> bool:
        """Whether this is the form of `trained`, and no weight or module has changed since."""
        return (
            trained is self.trained
            and all(list(table.values()) == children for table, children in self.children)
            and self.versions() == self.state
        )


class InferenceForms:
    """The folded forms of a model's parts, made on first use and again after changes.

    A copy starts empty.
    """

    def __init__(self) -> None:
        self._forms: dict[int, _Form] = {}

    def __reduce__(self) -> tuple[type[InferenceForms], tuple[()]]:
        return InferenceForms, ()

    def of(self, trained: _M, bf16: bool = False) -> _M:
        """The folded form of a module; in training, or if gradients are enabled, the module itself.

        `bf16` selects nets in bfloat16, in the folded form only.
        """
        if trained.training or torch.is_grad_enabled():
            return trained
        form = self._forms.get(id(trained))
        if form is None or not form.is_of(trained):
            form = _Form(trained)
            self._forms[id(trained)] = form
        if bf16 and form.rough is None:
            form.rough = nets_in_bf16(form.module)
        return form.rough if bf16 else form.module  # type: ignore[return-value]
