"""What a restoring command is asked: its options, checked against the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..config import Config
from ..errors import check_usage
from ..hub.resolve import Resolved, with_calibration
from ..model import calibration_in, read_info
from ..sampling import Sampling
from ..tasks import Task
from .console import Console
from .edits import Editing
from .intervals import Intervals
from .masking import Masking
from .options import Drawing


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of a command, and the model of images for which no other is chosen."""

    drawing: Drawing
    masking: Masking | None  # None: the command has no such options
    editing: Editing
    beside: Intervals | None  # what is written beside a result
    console: Console
    default: Resolved
    config: Config  # of the default model

    @cached_property
    def task(self) -> Task:
        """The task of the model; CaflowError (exit 2) if the model does not support an option."""
        record: Mapping[str, Any] = {}
        if self.beside is not None:
            record = with_calibration(self.default, read_info(self.default.path).training)
        sampling = self.settings(self.config, record, self.default.id)
        task = sampling.task(self.config)
        if self.masking is not None:  # without a mask, inpaint fills what is transparent
            transparent = task.needs_mask and self.console.command == task.command
            task.check_mask(self.masking.mask is not None or transparent)
        self.editing.check(task)
        check_usage(
            self.drawing.uncertainty is None or sampling.candidates != 1,
            "--uncertainty needs more than one candidate",
            "-m 10",
        )
        return task

    def settings(self, config: Config, record: Mapping[str, Any], id: str | None) -> Sampling:
        """The settings for a model: M is filled in for sheets, which compare candidates."""
        sampling = self.drawing.sampling
        if self.beside is not None:
            sampling = self.beside.settings(sampling, calibration_in(record), id)
        if self.drawing.sheets:
            sampling = replace(sampling, candidates=sampling.most(config))
        return sampling
