"""The models that the page offers, each loaded at its first use."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch

from ..hub.manifest import bundled_path, load_manifest
from ..hub.resolve import resolve
from ..inference.loaded_model import LoadedModel, task_of_file
from ..model import read_info
from ..sampling import Sampling

__all__ = ["Models"]


class Models:
    """The models that are named, then the bundled ones, the tasks' defaults first.

    A visitor chooses among them and cannot name others, so that a page that others reach opens no
    file and downloads nothing for them.

    Args:
        named: As `--model` takes them; the first one is the page's choice at first.
        device: Of all models.

    Attributes:
        tasks: The task of each model, by id, in the order of the page's list.

    Raises:
        CaflowError: (exit 3) a model that is named is not there.
    """

    def __init__(self, named: Sequence[str], device: torch.device) -> None:
        order = ["superres", "colorize", "inpaint", "paired"]
        bundled = [one for one in load_manifest().values() if bundled_path(one) is not None]
        bundled.sort(key=lambda one: (not one.default, order.index(one.task)))
        found = [resolve(name) for name in [*named, *(one.id for one in bundled)]]
        self._files = {one.id: one for one in reversed(found)}
        self.tasks = {one.id: task_of_file(self._files[one.id].path, one.id) for one in found}
        self._device, self._lock = device, threading.Lock()
        self._loaded: dict[str, LoadedModel] = {}

    def sampling(self, id: str) -> Sampling:
        """How a model draws if nothing is chosen. Only the header of its file is read."""
        return Sampling().of(read_info(self._files[id].path).config)

    def load(self, id: str) -> LoadedModel:
        """The model with that id. CaflowError (exit 3) if its file is damaged."""
        with self._lock:
            if id not in self._loaded:
                one = self._files[id]
                self._loaded[id] = LoadedModel.read(one.path, one.id, one.sha256, self._device)
            return self._loaded[id]
