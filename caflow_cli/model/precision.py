"""What scoring and sampling run under."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import torch

__all__ = ["exactly"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


@contextmanager
def _without_tf32() -> Iterator[None]:
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def exactly(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a score or a sampler: no gradients, and no TF32: ten bits make no score."""

    @functools.wraps(function)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with torch.no_grad(), _without_tf32():
            return function(*args, **kwargs)

    return wrapped
