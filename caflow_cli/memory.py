"""Errors for lack of memory, in any part of the program and on any device."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import CaflowError

__all__ = ["is_out_of_memory", "memory_errors"]

# PyTorch's allocators raise a plain RuntimeError, and the loader of libraries an ImportError.
_SAID = (
    "alloc memory",
    "allocate",
    "bad_alloc",
    "bad alloc",
    "failed to map segment",
    "not enough memory",
    "out of memory",
    "paging file",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one of its causes, says that there was no memory left."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
            return True
        text = str(cause).lower()
        if isinstance(cause, RuntimeError | ImportError) and any(said in text for said in _SAID):
            return True
        # Where Python has no memory for the MemoryError either.
        if isinstance(cause, SystemError) and "without exception set" in text:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@contextmanager
def memory_errors(hint: str, what: str = "this picture") -> Iterator[None]:
    """Turn errors for lack of memory into a CaflowError; `hint` says how to use less."""
    try:
        yield
    except CaflowError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise CaflowError(f"not enough memory for {what}", hint) from error
