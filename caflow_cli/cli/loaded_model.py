"""A model that a command uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_USAGE, EXIT_WEIGHTS, CaflowError
from .environment import model_of_environment

if TYPE_CHECKING:
    from ..inference import Domain
    from ..model import CAFlow
    from .console import Console

__all__ = ["LoadedModel", "load_model"]


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device, and the identity that JSON and provenance state."""

    model: CAFlow
    id: str
    sha256: str
    path: Path
    domain: Domain | None  # what it was trained on, where its file says

    @property
    def needs_mask(self) -> bool:
        """Whether its task needs a mask with each picture."""
        from ..inference import task_of

        return task_of(self.model).needs_mask

    @property
    def identity(self) -> dict[str, str]:
        """Its id and the digest of its file, as JSON and provenance state them."""
        return {"id": self.id, "sha256": self.sha256}


def load_model(
    name: str | None,
    device: str,
    console: Console,
    task: str | None = None,
) -> LoadedModel:
    """Load a model for a command, after the checks that need no weights.

    Args:
        name: As typed. None: of `task`, or of superres, what the environment names, else the
            user's file, else the default.
        device: As typed.
        console: Gets a note if the Hub could not be reached. `-q` hides the progress bar of a
            download.
        task: The task that the model must have; None: any task.

    Raises:
        CaflowError: Device (2), weights (3), or a model of another task (2).
    """
    from ..checkpoint import read_info
    from ..config import FILLS
    from ..devices import keep_memory, select_device
    from ..hub.client import hide_progress
    from ..hub.resolve import default_model, resolve
    from ..inference import Domain
    from ..model import CAFlow
    from ..tasks import TASKS
    from .user_config import model_of_config

    name = name or model_of_environment(task) or model_of_config(task or "superres")
    if name in FILLS:
        raise CaflowError(
            f"{name} is a classical fill: it draws no candidates and has no likelihood",
            f"caflow inpaint IMAGE --mask FILE --model {name}, or another --model",
            EXIT_USAGE,
        )
    target = select_device(device)
    keep_memory()
    if console.quiet:
        hide_progress()
    resolved = resolve(name if name is not None else default_model(task or "superres"))
    if resolved.unreachable:
        console.note(f"{resolved.id}: from the cache, because {resolved.unreachable}")
    trained_for = read_info(resolved.path).config.task.name
    if trained_for not in TASKS:
        raise CaflowError(
            f"model {resolved.id!r} is for {trained_for[:40]!r}, which this version does not know",
            "pip install --upgrade caflow-cli, or another --model",
            EXIT_WEIGHTS,
        )
    if task is not None and trained_for != task:
        raise CaflowError(
            f"model {resolved.id!r} is for {trained_for}, not {task}",
            f"caflow {'sample --cond' if trained_for == 'paired' else trained_for}, "
            "or another --model",
            EXIT_USAGE,
        )
    model, info = CAFlow.load(resolved.path), read_info(resolved.path)
    domain = Domain.from_record(info.training.get("domain"))
    return LoadedModel(model.to(target), resolved.id, resolved.sha256, resolved.path, domain)
