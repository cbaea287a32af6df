"""Super-resolution of measured fields: the condition is the field of area means."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ensure
from ..fields.project import means_of, repeated
from ..fields.scale import Linear, scale_of
from ..images.profile import Array
from ..images.values import Input, Raster, Unit, unit_of
from .base import Pair, WholeImage
from .sizes import check_size, check_target, extend

if TYPE_CHECKING:
    from ..config import Config, Extent, TaskConfig

_DRY = -5.0  # dB of dry cells where missing ones are filled


@dataclass(frozen=True, kw_only=True)
class Fields(WholeImage):
    """Draws ensembles of fields with `factor` times as many cells on each side, and exact means.

    Images are float32 (H, W, 1) in the unit, NaN where missing. A condition has two channels: g of
    the means on the model's scale, `filled` where they are missing and padded by reflection, -inf
    where dry; and 1 where cells are left out, since they are missing or padding.
    """

    factor: int
    multiple: int  # of the sides of what the model draws
    scale: Linear  # of its values

    name = "superres"
    channels = (2,)
    target_channels = 1
    tau = 1.0
    is_ensemble = True
    one_pass = 2**24
    role = "fields"
    options: ClassVar[tuple[str, ...]] = ("values",)
    command = "superres"
    usage = "superres coarse.tif -m 50 -o members.tif"
    verb = "refine"
    tag = "super-resolution"
    example = "rain"
    baseline = "bicubic"

    @classmethod
    def of(cls, config: Config) -> Fields:
        factor = config.task.factor
        assert config.task.values is not None
        multiple = math.lcm(config.flow.multiple, factor)
        return cls(factor=factor, multiple=multiple, scale=scale_of(config.task.values))

    @classmethod
    def describe(cls, config: TaskConfig) -> str:
        assert config.values is not None
        s = config.factor
        return (
            f"Draws ensembles of fields in {config.values.unit}, {s} times finer than a field of "
            f"means over {s}×{s} cells. Trained on fields of {config.size}×{config.size} cells."
        )

    @property
    def unit(self) -> str:  # type: ignore[override]
        return self.scale.known.unit

    @property
    def chooses_tau(self) -> bool:  # type: ignore[override]
        return self.scale.has_dry

    def accepted(self, image: Input) -> Input:
        """The field without slightly negative rain, if it has the model's unit, and values in its
        range."""
        image = replace(image, image=self.scale.cleared(image.image))
        self.scale.check_range(image.image)
        self.scale.check_declared(image.image)
        values = image.image.values
        check_size(values, self.model_size(values), self.one_pass, "crop it into parts")
        return image

    def scale_for(self, bits: int, unit: Unit | None = None) -> Linear:
        self.scale.check_unit(unit, "the target")
        return scale_of(self.scale.known, unit)

    def note(self, image: Raster, mask: Array | None) -> str | None:
        notes = []
        if not unit_of(image).name:
            notes.append(f"states no unit, and is taken to be in {self.unit}")
        if missing := int(np.isnan(image.values).sum()):
            said = ", as its file declares" if image.declared else ""
            notes.append(f"missing values: {missing}{said}")
        if image.cleared:
            notes.append(f"slightly negative values set to 0: {image.cleared}")
        return "; ".join(notes) or None

    def coarsened(self, x: Array) -> tuple[Array, Input]:
        """A fine field, (H, W), cropped to whole areas, with its dry cells at 0; and its means."""
        height, width = x.shape
        area = f"{self.factor}×{self.factor}"
        has_area = min(x.shape) >= self.factor
        ensure(has_area, f"a field of {width}×{height} cells has no area of {area}", "remove it")
        height, width = (side - side % self.factor for side in x.shape)
        fine = x[:height, :width]
        fine = np.where(self.scale.is_wet(fine) | np.isnan(fine), fine, np.float32(0))
        means = means_of(fine, self.factor).astype(np.float32)
        return fine, Input(Raster(means[..., None], unit=Unit(self.unit)))

    def training_points(self, target: Array, steps: Array, noise: Array) -> tuple[Array, Array]:
        """Points of a crop of a field, and of its condition, as `FieldAnchor` takes it.

        Values with steps, and dry cells, get the noise; the condition has the means of the stored
        values. Where these are missing, the target is dry, and the condition filled.

        Args:
            target: float32 (1, size, size) in the unit.
            steps: Their width, and 1 if they are in dB, else 0.
            noise: Uniform in [0, 1), (1, size, size).

        Returns:
            v, float32 (1, size, size), and y, (2, size, size).
        """
        s = self.factor
        step, in_db = steps
        means = self.scale.levels(means_of(target, s), s * s)
        left_out = repeated(np.isnan(means), s)
        level = repeated(filled(means[0], self.scale.has_dry)[None], s)
        unit = Unit(step=float(step), step_in="db" if in_db else "linear")
        v, _ = replace(self.scale, unit=unit).points(target, noise)
        v = np.where(np.isneginf(level) | left_out, noise - 1, v)
        y = np.concatenate([level, left_out])
        return v.astype(np.float32), y.astype(np.float32)

    def scaled_size(self, image: Array) -> Extent:
        height, width = image.shape[:2]
        return self.factor * height, self.factor * width

    def condition(self, image: Array) -> Array:
        height, width = (side // self.factor for side in self.model_size(image))
        g = self.scale.levels(image[..., 0], self.factor**2)
        left_out = np.ones((height, width))
        left_out[: g.shape[0], : g.shape[1]] = np.isnan(g)
        level = extend(filled(g, self.scale.has_dry), (height, width))
        return repeated(np.stack([level, left_out]), self.factor).transpose(1, 2, 0)

    def compose(self, image: Array, sample: Array) -> Array:
        """The sample, in the unit, with exactly the means of the field: (factor h, factor w, 1)."""
        x = super().compose(image, sample)
        return self.scale.project(x[..., 0], image[..., 0])[..., None]

    def reduce(self, image: Array, target: Array) -> Pair:
        """The condition, and the target of the padded size; what neither has is left out."""
        check_target(image, target, self.scaled_size(image), f"{self.factor} times the condition")
        height, width = target.shape[:2]
        x = np.full((*self.model_size(image), 1), np.nan)
        x[:height, :width] = target
        x[:height, :width][repeated(np.isnan(image[..., 0]), self.factor)] = np.nan
        condition = self.condition(image)
        condition[..., 1:] = np.isnan(x)
        return condition, x

    def counts(self, image: Array, target: Array) -> dict[str, Any]:
        _, x = self.reduce(image, target)
        return self.scale.counts(x)


def filled(g: Array, has_dry: bool) -> Array:
    """A coarse field, (h, w), with its missing cells filled by reflection at the edges of holes.

    A cell gets a mean over the four directions along its row and column, with weights 1/distance²:
    of the values that lie as far behind the hole's edge as the cell lies before it, or at the edge,
    if there are none. So the fill is continuous, no value lies beyond the known ones, and the field
    is as rough in large holes as around them.

    Args:
        g: On the model's scale, NaN where missing, -inf where dry. If all cells are missing, they
            become dry, or 0.
        has_dry: Whether cells can be dry. These count as -5 dB, as in the guide's interpolation,
            and what is filled with these alone is dry.
    """
    missing = np.isnan(g)
    if not missing.any():
        return g
    if missing.all():
        return np.full_like(g, -np.inf if has_dry else 0)
    level = np.maximum(g - _DRY, 0) if has_dry else g
    while np.isnan(level).any():  # a second time where the whole row and column are missing
        level = _reflected(level)
    if has_dry:
        level = np.where(level > 0, level + _DRY, -np.inf)
    return np.where(missing, level, g)


def _reflected(x: Array) -> Array:
    """One pass of `filled`; NaN where no cell of the row and the column is known."""
    total, weights = np.zeros_like(x), np.zeros_like(x)
    for turns in range(4):
        turned = np.rot90(x, turns)
        column = np.arange(turned.shape[1])
        edge = np.maximum.accumulate(np.where(np.isnan(turned), -1, column), 1)  # to the left
        distance = np.maximum(column - edge, 1)
        behind = np.take_along_axis(turned, np.maximum(edge - distance + 1, 0), 1)
        has_mirror = (edge - distance >= -1) & ~np.isnan(behind)
        value = np.where(has_mirror, behind, np.take_along_axis(turned, np.maximum(edge, 0), 1))
        weight = np.where(edge < 0, 0, 1 / distance**2)
        total += np.rot90(np.where(edge < 0, 0, weight * value), -turns)
        weights += np.rot90(weight, -turns)
    mean = np.divide(total, weights, out=np.full_like(x, np.nan), where=weights > 0)
    return np.where(np.isnan(x), mean, x)
