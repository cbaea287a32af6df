"""Intervals by conformal risk control (Angelopoulos et al., 2022).

A value of an image has the mean m and the standard deviation s over all M candidates. Its interval

    C(λ) = [floor(m - λ (s + 1)), ceil(m + λ (s + 1))], clipped to 0-255

grows with λ. For calibration images i = 1, ..., n with known truth, the share of values of image i
outside of C(λ), its risk L_i(λ), never rises with λ. The calibrated λ is

    min { λ : (Σ_i L_i(λ) + 1) / (n + 1) <= 1 - level }

If the n images and a new one are exchangeable (of the same kind), the expected risk of the new one
is at most 1 - level, whatever the model got wrong. This is an average over images and values, not a
promise for an image or a pixel.
"""

import math

import numpy as np
import numpy.typing as npt

from ..checkpoint import Calibration
from ..config import Extent
from ..errors import check_usage, ensure, usage_error
from ..images import VALUES, Pixels, in_8_bits
from ..restoration import Candidates, moments
from ..restoration.figures import Plane, beside, color_map
from ..sampling import Sampling
from ..tasks import ONE_PASS

Values = npt.NDArray[np.float64]

_PER_UNIT = 100
LAMBDAS: Values = np.arange(255 * _PER_UNIT + 1) / _PER_UNIT  # 0 to 255, where all is covered
_ROUNDING = 1e-9


def interval(found: Candidates) -> tuple[Pixels, Pixels]:
    """The ends of the calibrated intervals of all values: two arrays, uint8 (H, W, 3).

    For images of the same kind as those of the calibration, the expected share of values within
    their intervals, ends included, is at least `calibration.level`. This is an average over images
    and values, not a promise for each image or pixel.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> model = caflow.load("faces-superres-x4")
        >>> low, high = caflow.interval(caflow.restore(model, example_path("face")))
        >>> low.shape, bool((low <= high).all())
        ((64, 64, 3), True)

    Raises:
        CaflowError: (exit 2) the model has no calibration, the candidates were drawn with other
            settings, or they are members of an ensemble of fields; (exit 1) a candidate is missing
            or diverged, they are edited, or were drawn in tiles.
    """
    is_image = not found.request.task.is_ensemble
    check_usage(is_image, "fields have no intervals", "np.quantile(found.values, 0.95, 0)")
    model = found.request.model
    calibration = model.calibration
    sampling = calibrated(found.sampling, calibration, model.identity["id"])
    assert calibration is not None
    ensure(
        len(found.drawn) == sampling.candidates,
        f"no interval: {len(found.drawn)} of {sampling.candidates} candidates are there",
        "draw all of them",
    )
    ensure(found.predicted_note is None, f"no interval: {found.predicted_note}", "another seed")
    for edit in found.request.edits:
        ensure(False, f"no interval: the image is edited ({edit.option})", f"no {edit.option}")
    check_one_pass(found.request.size)
    mean, variance = moments(in_8_bits(candidate.pixels) for candidate in found.ranked)
    return bounds(mean, np.sqrt(variance), calibration.lambd)


def calibrated(sampling: Sampling, calibration: Calibration | None, model: str | None) -> Sampling:
    """Fill in the settings of a model's calibration, for which alone its intervals hold.

    Raises:
        CaflowError: (exit 2) the model, with that id, has no calibration, or a setting that is
            given differs from it.
    """
    command = f"caflow calibrate --model {model} --data DIR"
    if calibration is None:
        raise usage_error(
            f"the model {model!r} has no calibration, so it has no intervals",
            f"{command} -o FILE.safetensors, then --model FILE.safetensors",
        )
    filled = sampling.filled_from(calibration)
    wrong = sampling.unlike(calibration)
    options = " ".join([filled.options, *({"--no-consistent"} & {*wrong})])
    check_usage(
        not wrong,
        f"the intervals of {model!r} are calibrated for {calibration.options}, not {options}",
        f"leave out {' and '.join(wrong)}; or {command} {options} -o FILE.safetensors, then "
        "--model FILE.safetensors",
    )
    return filled


def check_one_pass(size: Extent) -> None:
    """Raise CaflowError for an image that is drawn in tiles, which intervals do not cover."""
    height, width = size
    ensure(
        height * width <= ONE_PASS,
        f"{width}×{height} pixels are drawn in tiles, which have no intervals",
        "crop the image",
    )


def interval_chart(name: str, found: Candidates) -> Pixels:
    """Draw half the width of the intervals, mean over channels, beside the best candidate."""
    low, high = interval(found)
    calibration = found.request.model.calibration
    assert calibration is not None
    values = (high.astype(np.float64) - low).mean(2) / 2
    lines = [
        f"{name}: half-width in levels; on average {100 * calibration.level:g} % of the values of "
        "such images lie within",
        f"mean {values.mean():.2f}, largest {values.max():.1f}",
    ]
    return beside(found.kept[0].shown, color_map(values), lines)


def bounds(mean: Plane, deviation: Plane, lambd: float) -> tuple[Pixels, Pixels]:
    """The lower and the upper ends of all C(λ), uint8 of the shape of `mean`."""
    reach = lambd * (deviation.astype(np.float64) + 1)
    low = np.floor(mean - reach).clip(0, 255)
    high = np.ceil(mean + reach).clip(0, 255)
    return low.astype(np.uint8), high.astype(np.uint8)


def at_depth(low: Pixels, high: Pixels, depth: int) -> tuple[Pixels, Pixels]:
    """The ends as they are written beside images of that depth: with 16 bits, the first and the
    last value of their levels.
    """
    if depth == 8:
        return low, high
    return low.astype(np.uint16) * VALUES, high.astype(np.uint16) * VALUES + (VALUES - 1)


def mean_width(low: Pixels, high: Pixels) -> float:
    """The mean of upper minus lower ends, in levels."""
    return float((high.astype(np.int16) - low).mean())


def risks(truth: Pixels, mean: Plane, deviation: Plane) -> Values:
    """L(λ) of an image for every λ in `LAMBDAS`.

    A whole number x lies outside of C(λ) exactly if λ <= t, with t = (|x - m| - 1) / (s + 1).
    """
    error = np.abs(truth.astype(np.float64) - mean)
    t = (error - 1) / (deviation.astype(np.float64) + 1)
    first = np.floor(t * _PER_UNIT).astype(np.int64) + 1  # index of the least λ that covers x
    counts = np.bincount(first.clip(0).ravel(), minlength=len(LAMBDAS))
    return 1 - np.cumsum(counts) / t.size


def least_images(level: float) -> int:
    """The least n with which any λ fulfills the bound: level / (1 - level), rounded up."""
    return math.ceil(level / (1 - level) - _ROUNDING)


def first_controlled(
    mean_risks: Values,
    images: int,
    level: float,
) -> npt.NDArray[np.intp]:
    """The index of the calibrated λ among increasing values of λ.

    Args:
        mean_risks: (..., K): the mean of L_i(λ) over n images for each of K values of λ, 0 for the
            last one. Leading dimensions are independent calibrations.
        images: n, at least `least_images(level)`.
        level: The wanted share of values within their intervals, between 0 and 1.
    """
    bound = (images + 1) * (1 - level) + _ROUNDING
    fits = images * mean_risks + 1 <= bound
    return np.asarray(np.argmax(fits, axis=-1))
