"""A model with the identity that JSON and provenance state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import EXIT_WEIGHTS, CaflowError
from ..images import Decoded
from ..model import CAFlow, read_info
from ..tasks import TASKS, Picture
from .domain import Domain, Statistics

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
    """A model on its device, and the identity that JSON and provenance state."""

    model: CAFlow
    id: str
    sha256: str
    path: Path
    domain: Domain | None  # what it was trained on, where its file says

    @classmethod
    def read(cls, path: Path, id: str, sha256: str, device: torch.device) -> LoadedModel:
        """Read a model's file, whose digest is known.

        Raises:
            CaflowError: (exit 3) as for `task_of_file`.
        """
        task_of_file(path, id)
        model = CAFlow.load(path).to(device)
        domain = Domain.from_record(read_info(path).training.get("domain"))
        return cls(model, id, sha256, path, domain)

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
        """Whether its task needs a mask with each picture."""
        return TASKS[self.task].needs_mask

    def as_seen(self, picture: Decoded) -> Picture:
        """The colours of a picture that go into its condition.

        If the picture is to be enlarged, colours of nearly transparent edges are replaced.
        """
        return picture.seen(faint=self.task == "superres")

    def far_note(self, statistics: Statistics) -> str | None:
        """The note about a picture unlike those of the training; None: it is not far from them.

        Args:
            statistics: Of the picture's condition.
        """
        if self.domain is None or not self.domain.is_far(statistics):
            return None
        return (
            f"this picture is unlike those that {self.id} learned from: its distance is "
            f"{self.domain.distance(statistics):.1f}, that of the {self.domain.pictures} "
            f"validation pictures at most {self.domain.farthest:.1f}"
        )
