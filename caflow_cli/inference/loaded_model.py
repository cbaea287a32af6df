"""A model with the identity that JSON and provenance state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import EXIT_WEIGHTS, CaflowError
from ..images import Decoded
from ..model import CAFlow, read_info
from ..tasks import TASKS, Pixels
from .domain import Statistics, far_note

__all__ = ["LoadedModel", "task_of_file"]


def task_of_file(path: Path, id: str) -> str:
    """The name of the task that a model's file is for. Only the header is read.

    Args:
        path: The file.
        id: Its name in messages.

    Raises:
        CaflowError: (exit 3) the file is no model, or one for a task of a later version.
    """
    name = read_info(path).config.task.name
    if name not in TASKS:
        raise CaflowError(
            f"model {id!r} is for {name[:40]!r}, which this version does not know",
            "pip install --upgrade caflow-cli, or another --model",
            EXIT_WEIGHTS,
        )
    return name


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device, the identity that JSON and provenance state, and its file's record."""

    model: CAFlow
    id: str
    sha256: str
    training: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path, id: str, sha256: str, device: torch.device) -> LoadedModel:
        """Read a model's file, whose digest is known.

        Raises:
            CaflowError: (exit 3) as for `task_of_file`.
        """
        task_of_file(path, id)
        model = CAFlow.load(path).to(device)
        model.identity = {"id": id, "sha256": sha256}
        return cls(model, id, sha256, read_info(path).training)

    @property
    def identity(self) -> dict[str, str]:
        """Its id and the digest of its file, as JSON and provenance state them."""
        return {"id": self.id, "sha256": self.sha256}

    @property
    def task(self) -> str:
        """The name of the task that it was trained for."""
        return self.model.config.task.name

    @property
    def needs_mask(self) -> bool:
        """Whether its task needs a mask with each image."""
        return TASKS[self.task].needs_mask

    def as_seen(self, image: Decoded) -> Pixels:
        """The colours of an image that go into its condition.

        If the image is to be enlarged, colours of nearly transparent edges are replaced.
        """
        return image.seen(faint=self.task == "superres")

    def far_note(self, statistics: Statistics) -> str | None:
        """As `domain.far_note`, of an image's condition."""
        return far_note(self.training, self.id, statistics)
