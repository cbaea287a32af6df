"""Film grain in filled holes, which are smoother than the film around them: an edit."""

from __future__ import annotations

import functools
from itertools import combinations
from typing import Annotated, Any, ClassVar, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from ..images import Pixels, levels_in, white
from ..images.artifacts import cells
from ..records import Count
from ..tasks.holes import spots_in

Levels: TypeAlias = npt.NDArray[np.float32]  # on the scale of 8 bits
Hole: TypeAlias = npt.NDArray[np.bool_]

_CELL = 32  # pixels: side of the squares of a hole that get the grain of one block each
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601
_MIXED = np.asarray(0.56 + 0.44 * np.eye(3), np.float32)  # of film
_TINT = 2.0  # levels; colors of a tinted print are that close to a curve
_LEAST = 0.6  # levels; noise that is weaker is mostly that of rounding


class _Added(TypedDict):
    deviation: Annotated[
        float,
        "Standard deviation of the image's grain, in levels of 0-255.",
        (("exclusiveMinimum", 0),),
    ]
    spots: Annotated[Count, "How many connected parts of the hole got some."]


class Grain:
    """Add the grain that filled holes lack, if the known part of the image has grain.

        w + a n,   a = sqrt(max(0, power around the hole - power of w) / power of the block)

    n is random-phase noise (Galerne, Gousseau and Morel, 2011): one of the flattest known blocks of
    the tone around the hole, or of the image if none is near, or, if the image has no grain, a
    drawn one of its colors, minus a quadratic polynomial, convolved with one white noise in all
    channels. The powers are those of fine detail, so edges and textures get little grain or none,
    and highlights no more than they have.

    It is an edit, see `edits.Edit`.

    Args:
        image: The image with its hole, uint8 or uint16 (H, W, 3).
        hole: bool (H, W).
        strength: The standard deviation that the grain of a hole is to have, in levels of 0-255,
            whether the image has grain or not; None: as much as it has around the hole.

    Attributes:
        deviation: The standard deviation of the image's grain, or `strength`, in levels of 0-255;
            None if it has none, and `apply` changes nothing.
        spots: The number of connected parts of the hole that get grain.
    """

    field: ClassVar[str] = "grain"
    option: ClassVar[str] = "--grain"
    line: ClassVar[Any] = Annotated[
        _Added,
        "inpaint --grain auto: the film grain that was added to the fill after it was drawn and "
        "scored. Omitted if none was.",
    ]

    def __init__(self, image: Pixels, hole: Hole, strength: float | None = None) -> None:
        flattest, colors = _flattest_blocks(image, hole)
        self._hole = hole
        self._strength = strength
        self.deviation = strength
        if strength is None and flattest is not None:
            self.deviation = round(float(flattest.std()), 3)
        self._blocks = {} if self.deviation is None else _blocks_of(image, hole, flattest, colors)
        self.spots = len(spots_in(hole)) if self._blocks else 0

    @property
    def changes(self) -> bool:
        return self.spots > 0

    def apply(self, image: Pixels, seed: int) -> Pixels:
        result = image.copy()
        for (top, left), block in self._blocks.items():
            cell = _around(top, left, 0)
            filled = self._hole[cell]
            height, width = filled.shape
            near = _around(top, left, 24)
            down = top - near[0].start
            right = left - near[1].start
            inside = (slice(down, down + height), slice(right, right + width))
            levels = _levels(image[near])
            own = float((_fine(block)[3:-3, 3:-3] ** 2).mean())
            if self._strength is None:
                wanted = _power_around(levels, self._hole[near], own)[inside]
            else:
                wanted = np.full((height, width), own * (self._strength / block.std()) ** 2)
            lacking = wanted - _power(levels, self._hole[near])[inside]
            noise = _random_phase(block, np.random.default_rng([seed, top, left]))
            added = np.sqrt(lacking.clip(0) / own)[..., None] * noise[:height, :width]
            changed = image[cell] + added * levels_in(image)
            result[cell][filled] = (
                np.rint(changed).clip(0, white(image)).astype(image.dtype)[filled]
            )
        return result

    def as_json(self) -> dict[str, Any]:
        return {"deviation": self.deviation, "spots": self.spots}


def _flattest_blocks(image: Pixels, hole: Hole) -> tuple[Levels | None, Levels]:
    """The flattest known blocks of an image with grain, the flattest first: (B, 16, 16, 3); None if
    it has none. And how the channels of its grain vary together, (3, 3), or would.

    Grain is a floor, so the flattest blocks have it, too. It differs from texture and the noise of
    sensors: it is strong, its channels differ unless the image is gray or tinted, its spectrum
    falls, and it has no direction.
    """
    side = 16
    tint = _tint(image, hole)
    blocks, _ = _known_blocks(image, hole, side, step=max(8, int(np.sqrt(hole.size / 16_384))))
    if len(blocks) < 12:
        return None, _MIXED if tint is None else tint
    window = np.outer(np.hanning(side), np.hanning(side))[..., None]
    spectra = np.fft.fft2(blocks * window, axes=(1, 2)) / np.sqrt((window**2).sum())
    fine = np.sqrt((np.abs(spectra[:, _middle(side)]) ** 2).mean((1, 2)))
    flattest = np.argsort(fine)[: max(6, len(fine) // 12)]
    spectra = spectra[flattest]
    is_grain = np.percentile(fine, 5) > 2.8 and _are_of_grain(spectra, tint is not None)
    own = spectra[:, _middle(side)].reshape(-1, 3)
    together = np.asarray((own.conj().T @ own).real / len(own), np.float32)
    if tint is None:
        tint = together if together.trace() > 3 * _LEAST**2 else _MIXED
    return blocks[flattest] if is_grain else None, tint


def _tint(image: Pixels, hole: Hole) -> Levels | None:
    """How the channels of a gray or tinted image vary together, (3, 3); None if it has colors."""
    step = max(1, int(np.sqrt(hole.size / 2**20)))
    known = ~cells(hole[::step, ::step], 8).any((1, 3))
    planes = _levels(image[::step, ::step]).transpose(2, 0, 1)
    means = np.stack([cells(plane, 8).mean((1, 3))[known] for plane in planes], -1)
    tones = means @ _LUMA / 255
    curves = tones[:, None] ** np.arange(4)
    error = means - curves @ np.linalg.lstsq(curves, means, rcond=None)[0]
    if len(means) < 12 or np.square(error).mean() > _TINT**2:
        return None
    means -= means.mean(0)
    together = means.T @ means
    flat = together.trace() < len(means)
    return np.ones_like(together) if flat else np.asarray(together, np.float32)


def _blocks_of(
    image: Pixels, hole: Hole, flattest: Levels | None, colors: Levels
) -> dict[tuple[int, int], Levels]:
    """The block of grain for each cell with a hole, by its first row and column."""
    blocks = {}
    for top, left in (np.unique(np.argwhere(hole) // _CELL, axis=0) * _CELL).tolist():
        if flattest is None:
            block = _drawn_block(colors)
        else:
            near = _block(image, hole, top, left, most=1.8 * float(flattest.std()))
            block = flattest[len(flattest) // 2] if near is None else near
        blocks[top, left] = block
    return blocks


def _drawn_block(colors: Levels) -> Levels:
    """A block of simulated grain, for an image without: Gaussian, blurred by 0.8 pixels, whose
    channels vary together in proportion to `colors`."""
    from scipy import ndimage

    fields = np.random.default_rng(0).standard_normal((32, 32, 3))
    fields = ndimage.gaussian_filter(fields, (0.8, 0.8, 0), mode="wrap")
    values, vectors = np.linalg.eigh(colors / colors.trace())
    return np.asarray(fields @ (vectors * np.sqrt(values.clip(0))).T, np.float32)


def _middle(side: int) -> npt.NDArray[np.bool_]:
    """The middle frequencies of blocks, 0.15 to 0.36 cycles per pixel: (side, side)."""
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    return np.asarray((radius >= 0.15) & (radius < 0.36))


def _are_of_grain(spectra: npt.NDArray[np.complexfloating], is_tinted: bool) -> bool:
    """Whether spectra, (B, side, side, 3), fall, have no direction, and differ between channels if
    the image has colors."""
    side = spectra.shape[1]
    y, x = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    middle = _middle(side)
    power = (np.abs(spectra) ** 2).mean((0, 3))
    directions = []
    for angle in np.arange(4) * np.pi / 4:
        along = np.abs(np.cos(np.arctan2(y, x) - angle)) > np.cos(np.pi / 8)
        directions.append(power[middle & along].mean())
    coherence = []
    for a, b in combinations(spectra[:, middle].reshape(-1, 3).T, 2):
        coherence.append(
            (a * b.conj()).real.sum()
            / np.sqrt((a * a.conj()).real.sum() * (b * b.conj()).real.sum())
        )
    return bool(
        (is_tinted or np.mean(coherence) < 0.77)
        and power[np.hypot(x, y) >= 0.36].mean() < 0.45 * power[middle].mean()
        and max(directions) < 2 * min(directions)
    )


def _around(top: int, left: int, margin: int) -> tuple[slice, slice]:
    rows = slice(max(0, top - margin), top + _CELL + margin)
    return rows, slice(max(0, left - margin), left + _CELL + margin)


def _levels(image: Pixels) -> Levels:
    return np.asarray(image / np.float32(levels_in(image)), np.float32)


def _known_blocks(image: Pixels, hole: Hole, side: int, step: int) -> tuple[Levels, Levels]:
    """Blocks outside the hole with at most 1 % clipped values, minus their quadratic polynomials:
    (B, side, side, 3); and their mean luma: (B,)."""
    if min(hole.shape) < side:
        return np.empty((0, side, side, 3), np.float32), np.empty(0, np.float32)
    view = np.lib.stride_tricks.sliding_window_view
    known = ~view(hole, (side, side))[::step, ::step].any((2, 3))
    blocks = view(image, (side, side), axis=(0, 1))[::step, ::step][known]
    levels = _levels(blocks).reshape(-1, 3, side**2)
    levels = levels[((levels < 1) | (levels >= 254)).mean(-1).max(-1) < 0.01]
    basis = _polynomials(side)
    rest = np.asarray(levels - (levels @ basis) @ basis.T, np.float32)
    tones = np.asarray(levels.mean(-1) @ _LUMA, np.float32)
    return rest.transpose(0, 2, 1).reshape(-1, side, side, 3), tones


@functools.cache
def _polynomials(side: int) -> Levels:
    """An orthonormal basis of the quadratic polynomials on a square: (side², 6)."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, side, dtype=np.float32)] * 2, indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    return np.linalg.qr(terms.reshape(-1, 6))[0]


def _block(image: Pixels, hole: Hole, top: int, left: int, most: float) -> Levels | None:
    """One of the flattest blocks of the tone beside a cell's hole: (side, side, 3); None without.

    Tones may differ by the range of the grain, four deviations. A least variance is low by chance,
    so it is the median of the blocks with at most 1.5 times the least.
    """
    from scipy import ndimage

    near = _around(top, left, margin=96)
    image = image[near]
    hole = hole[near]
    if hole.all():
        return None
    rows, columns = ndimage.distance_transform_edt(
        hole, return_distances=False, return_indices=True
    )
    cell = np.zeros_like(hole)
    cell[top - near[0].start :, left - near[1].start :][:_CELL, :_CELL] = True
    tone = np.median(_levels(image)[rows[cell & hole], columns[cell & hole]] @ _LUMA)
    for side in (32, 24, 16):
        blocks, tones = _known_blocks(image, hole, side, step=side // 2)
        deviations = blocks.std((1, 2, 3))
        fits = (np.abs(tones - tone) <= 4 * deviations) & (deviations <= most)
        if fits.any():
            flat = np.flatnonzero(fits & (deviations <= np.sqrt(1.5) * deviations[fits].min()))
            median = flat[np.argsort(deviations[flat])[len(flat) // 2]]
            return np.array(blocks[median])  # a view would keep all of them
    return None


def _power(levels: Levels, hole: Hole) -> Levels:
    """The power of the fill's fine detail around each pixel, without the grain beside it."""
    from scipy import ndimage

    known = (~hole).astype(np.float32)
    weight = ndimage.gaussian_filter(known, 1.2).clip(1e-3)[..., None]
    smooth = ndimage.gaussian_filter(levels * known[..., None], (1.2, 1.2, 0)) / weight
    power = (_fine(np.where(hole[..., None], levels, smooth)) ** 2).mean(-1) * hole
    total = ndimage.gaussian_filter(hole.astype(np.float32), 4).clip(1e-6)
    return np.asarray(ndimage.gaussian_filter(power, 4) / total)


def _power_around(levels: Levels, hole: Hole, own: float) -> Levels:
    """The power of the grain around each pixel of the hole: that of the fine detail of known pixels
    nearby, at most 1.5 times that of the block, because edges and textures have more."""
    from scipy import ndimage

    known = ~ndimage.binary_dilation(hole, iterations=2)
    power = (_fine(levels) ** 2).mean(-1).clip(0, 6 * own)
    weight = ndimage.gaussian_filter(known.astype(np.float32), 4, truncate=6)
    found = ndimage.gaussian_filter(power * known, 4, truncate=6) / weight.clip(1e-6)
    return np.asarray(np.where(weight > 1e-5, found, own).clip(0, 1.5 * own), np.float32)


def _fine(levels: Levels) -> Levels:
    from scipy import ndimage  # imported here, as enlargement does without it

    return np.asarray(levels - ndimage.gaussian_filter(levels, (1.2, 1.2, 0), truncate=3))


def _random_phase(block: Levels, generator: np.random.Generator) -> Levels:
    """Noise with the spectrum of a block, without low frequencies, whose seams would be seen:
    (_CELL, _CELL, 3)."""
    from scipy import ndimage

    block = block - ndimage.gaussian_filter(block, (2.5, 2.5, 0))
    size = _CELL + len(block)
    ramp = np.hanning(len(block) + 2)[1:-1]
    kernel = block * np.sqrt(np.outer(ramp, ramp))[..., None] / ramp.sum()
    white = np.fft.rfft2(generator.standard_normal((size, size)))[..., None]
    spectrum = white * np.fft.rfft2(kernel, (size, size), axes=(0, 1))
    noise = np.fft.irfft2(spectrum, (size, size), axes=(0, 1))
    return np.asarray(noise[:_CELL, :_CELL], np.float32)
