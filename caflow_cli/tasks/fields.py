"""Super-resolution of measured fields: the condition is the field of area means."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .superres import SuperRes

if TYPE_CHECKING:
    from ..config import TaskConfig


class Fields(SuperRes):
    """Describes models of fields, whose members have `factor` times as many cells on each side.

    `restoration/members.py` draws them, and `restoration/fields.py` scores them.
    """

    channels = (1,)
    target_channels = 1
    tau = 1.0
    options: ClassVar[tuple[str, ...]] = ("values",)
    usage = "superres coarse.tif -m 50 -o members.tif"
    verb = "refine"
    baseline = "bicubic"

    @classmethod
    def describe(cls, config: TaskConfig) -> str:
        assert config.values is not None
        s = config.factor
        return (
            f"Draws ensembles of fields in {config.values.unit}, {s} times finer than a field of "
            f"means over {s}×{s} cells. Trained on fields of {config.size}×{config.size} cells."
        )
