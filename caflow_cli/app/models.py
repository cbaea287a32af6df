"""The models that the page offers, each loaded at its first use."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..hub.manifest import bundled_path, load_manifest
from ..hub.resolve import Resolved, resolve
from ..inference.loaded_model import LoadedModel, task_of_file
from ..model import read_info
from ..sampling import Sampling

__all__ = ["Models", "Offered"]

_TASKS = {
    "superres": "enlarge",
    "colorize": "colour",
    "inpaint": "fill a hole",
    "paired": "translate",
}


@dataclass(frozen=True)
class Offered:
    """A model that may be chosen."""

    resolved: Resolved
    task: str

    @property
    def title(self) -> str:
        """Its name in the list."""
        return f"{self.resolved.id} ({_TASKS[self.task]})"


class Models:
    """The bundled models, the tasks' defaults first, and those that are named.

    A visitor chooses among them and cannot name others, so that a page that others reach opens no
    file and downloads nothing for them.

    Args:
        named: As `--model` takes them; the first one is the page's choice at first.
        device: Of all models.

    Raises:
        CaflowError: (exit 3) a model that is named is not there.
    """

    def __init__(self, named: Sequence[str], device: torch.device) -> None:
        entries = [one for one in load_manifest().values() if bundled_path(one) is not None]
        tasks = list(_TASKS)
        entries.sort(key=lambda one: (not one.default, tasks.index(one.task)))
        bundled = [one.id for one in entries]
        found = [resolve(name) for name in [*named, *bundled]]
        self._offered = {
            one.id: Offered(one, task_of_file(one.path, one.id)) for one in reversed(found)
        }
        self._order = list(dict.fromkeys(one.id for one in found))
        self._device, self._lock = device, threading.Lock()
        self._loaded: dict[str, LoadedModel] = {}

    @property
    def offered(self) -> list[Offered]:
        """All of them, in the order of the list."""
        return [self._offered[id] for id in self._order]

    def task(self, id: str) -> str:
        """The name of a model's task."""
        return self._offered[id].task

    def sampling(self, id: str) -> Sampling:
        """How a model draws if nothing is chosen. Only the header of its file is read."""
        return Sampling().of(read_info(self._offered[id].resolved.path).config)

    def load(self, id: str) -> LoadedModel:
        """The model with that id, as it is offered. CaflowError (exit 3) if its file is damaged."""
        with self._lock:
            if id not in self._loaded:
                one = self._offered[id].resolved
                self._loaded[id] = LoadedModel.read(one.path, one.id, one.sha256, self._device)
            return self._loaded[id]
