"""A model in use by a command, and the JSON that all commands write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_USAGE, CaflowError

if TYPE_CHECKING:
    from ..inference import Score
    from ..model import CAFlow

__all__ = [
    "JSON_SCHEMA",
    "LoadedModel",
    "error_record",
    "load_model",
    "memory_errors",
    "score_fields",
]

JSON_SCHEMA = 1


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device, and the identity that JSON and provenance state."""

    model: CAFlow
    id: str
    sha256: str

    @property
    def identity(self) -> dict[str, str]:
        return {"id": self.id, "sha256": self.sha256}


def load_model(name: str | None, device: str, task: str | None) -> LoadedModel:
    """Load a model for a command, quietly checking first what needs no weights.

    Args:
        name: As typed; None: the default model of `task`.
        device: As typed.
        task: What the model must do; None: anything.

    Raises:
        CaflowError: Device (2), weights (3), or a model of another task (2).
    """
    from ..hub.resolve import default_model, resolve
    from ..inference import select_device
    from ..model import load_checkpoint, read_info

    target = select_device(device)
    resolved = resolve(name if name is not None else default_model(task or "superres"))
    trained_for = read_info(resolved.path).config.task.name
    if task is not None and trained_for != task:
        raise CaflowError(
            f"model {resolved.id!r} is for {trained_for}, not {task}",
            f"caflow {trained_for}, or another --model",
            EXIT_USAGE,
        )
    model, _ = load_checkpoint(resolved.path)
    return LoadedModel(model.to(target), resolved.id, resolved.sha256)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Out of memory, on whichever device, as the failure of one input."""
    import torch

    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        # The CPU's allocator raises a plain RuntimeError.
        if type(error) is RuntimeError and "alloc" not in str(error):
            raise
        raise CaflowError("not enough memory for this picture", "--batch-size 1") from error


def score_fields(score: Score) -> dict[str, Any]:
    """The score fields of a JSON line."""
    fields = asdict(score)
    if score.standard_error is None:
        del fields["standard_error"]
    return {**fields, "score_exact": True}


def error_record(command: str, name: str, error: CaflowError) -> dict[str, Any]:
    """The JSON line of an input that failed."""
    return {
        "schema": JSON_SCHEMA,
        "command": command,
        "input": name,
        "status": "error",
        "error": {"code": error.exit_code, "message": error.message, "hint": error.hint},
    }
