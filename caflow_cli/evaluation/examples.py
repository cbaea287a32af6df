"""Derive inputs from true images; baselines; and metrics that need the input."""

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..config import HOLE
from ..data.examples import Examples
from ..errors import EXIT_WEIGHTS, CaflowError, ensure
from ..images import Pixels, in_8_bits, levels_in
from ..perceptual import checkerboard_energy
from ..restoration import to_batch
from ..tasks import Example, Task
from .metrics.pairs import psnr

_FILLS = {"telea": "INPAINT_TELEA", "navier-stokes": "INPAINT_NS"}  # methods of `cv2.inpaint`
_RADIUS = 3  # radius in pixels of `cv2.inpaint`, as in OpenCV's own examples


def make_example(
    task: Task,
    reader: Examples,
    index: int,
    masks: Examples | None = None,
    seed: int = 0,
    inputs: str = "clean",
) -> Example:
    """Derive an example from image `index` of a set, independently of which others are measured.

    The task makes the input (`Task.evaluation_input`), with a hole cut from a mask (`crop_mask`) if
    there are masks; or the set has it, if the task does not derive conditions.

    Raises:
        CaflowError: The image cannot be read, or is too small.
    """
    images = reader.read(index)
    name = reader.names[index]
    count = len(reader.names)
    truth = images[-1]
    height, width = truth.shape[:2]
    if task.role == "pairs":
        other = None
        if count > 1:
            with contextlib.suppress(CaflowError):  # the next pair failed, not this one
                other = reader.read((index + 1) % count)[-1]
        return Example(images[0], truth, other=other)
    ensure(
        min(height, width) >= task.factor,
        f"{name!r} is smaller than {task.factor}x{task.factor}",
        "remove it from --data",
    )
    if inputs != "clean":  # they are compressed, with 8 bits
        truth = in_8_bits(truth)
    mask = None
    if masks is not None:
        place = mask_index(index, count, len(masks.names))
        [stored] = masks.read(place)
        mask = crop_mask(stored, height, width, seed, index)
    return task.evaluation_input(truth, index, inputs, mask)


def run_baseline(task: Task, baseline: str, example: Example) -> Pixels | None:
    """The result of a baseline for an input; None if it needs another pair, and there is none.

    It is the task's own (`Task.baseline_image`); or `telea` or `navier-stokes`, by which OpenCV
    fills a hole.
    """
    if baseline == task.baseline:
        return task.baseline_image(example)
    assert example.hole is not None, "OpenCV fills holes"
    cv2 = load_opencv()
    ensure(
        example.truth.dtype == np.uint8,
        f"{baseline} fills images of 8 bits only",
        "convert the set to 8 bits, or leave the protocol out",
    )
    image = np.ascontiguousarray(example.input)
    method = getattr(cv2, _FILLS[baseline])
    filled = cv2.inpaint(image, example.mask, _RADIUS, method)
    return np.where(example.hole[..., None], filled, image)


def load_opencv() -> Any:
    """Import OpenCV, for `telea` and `navier-stokes`. CaflowError (exit 3) if it is missing."""
    try:
        import cv2
    except ImportError as error:
        raise CaflowError(
            f"{' and '.join(_FILLS)} need OpenCV, which is not installed",
            "pip install opencv-python-headless",
            EXIT_WEIGHTS,
        ) from error
    return cv2


def mask_index(image: int, images: int, masks: int) -> int:
    """The index of an image's mask, both ordered by name. Masks are spread evenly over all images
    of the set, whichever are measured; if there are fewer masks than images, they are reused."""
    if masks > images:
        return image * masks // images
    return image % masks


def crop_mask(
    mask: Pixels,
    height: int,
    width: int,
    seed: int,
    index: int,
) -> Pixels:
    """Tile a mask and crop a part of it: uint8 (height, width), 255 in the holes, else 0.

    SHA-256 of `seed` and the image's `index` determines the corner of the part, independently of
    any library's generator. If nothing in the part is white, the mask's first white pixel is moved
    to its center. The mask is uint8 (H, W) or (H, W, 3), 128 and above in the holes.

    Raises:
        CaflowError: Nothing in the mask is white.
    """
    white = np.atleast_3d(mask)[..., 0] >= HOLE
    ensure(bool(white.any()), "a mask is empty: it has no white pixels", "remove it from --masks")

    def cut(top: int, left: int) -> npt.NDArray[np.bool_]:
        rows = white.take(range(top, top + height), axis=0, mode="wrap")
        return rows.take(range(left, left + width), axis=1, mode="wrap")

    tall, wide = white.shape
    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    top = int.from_bytes(digest[:8], "big")
    left = int.from_bytes(digest[8:16], "big")
    part = cut(top % tall, left % wide)
    if not part.any():
        row, column = np.argwhere(white)[0].tolist()
        above = height // 2
        before = width // 2
        part = cut(row - above, column - before)
    return np.where(part, np.uint8(255), np.uint8(0))


# --- metrics of a candidate that need more than the truth; None if undefined ----------------------


def inconsistency(task: Task, example: Example, candidate: Pixels) -> float | None:
    """The RMSE, in levels, between the input and the input recomputed from a candidate."""
    pair = task.recomputed(example.input, candidate, example.hole)
    if pair is None:
        return None
    recomputed, image = pair
    errors = (recomputed.astype(np.float64) - image) / levels_in(image)
    return float(np.sqrt(np.mean(np.square(errors))))


def psnr_hole(task: Task, example: Example, candidate: Pixels) -> float:
    """`20 log10(255 / rmse)` over the pixels of the hole and their channels, in dB."""
    filled = candidate[example.hole]
    truth = example.truth[example.hole]
    images = to_batch([filled[None]])
    references = to_batch([truth[None]])
    return psnr(images, references).item()


def colorfulness(task: Task, example: Example, candidate: Pixels) -> list[float]:
    """The colorfulness M of the candidate and of the truth (Hasler and Süsstrunk 2003), in levels.

    `M = sqrt(σ_rg² + σ_yb²) + 0.3 sqrt(μ_rg² + μ_yb²)` with `rg = R - G` and `yb = (R + G) / 2 -
    B`, where σ and μ are standard deviation and mean over pixels. It is 0 for gray images.
    """
    both = []
    for image in (candidate, example.truth):
        values = image.astype(np.float64) / levels_in(image)
        red, green, blue = np.moveaxis(values, 2, 0)
        red_green = red - green
        yellow_blue = (red + green) / 2 - blue
        deviation = np.hypot(red_green.std(), yellow_blue.std())
        mean = np.hypot(red_green.mean(), yellow_blue.mean())
        both.append(float(deviation + 0.3 * mean))
    return both


def checkerboard(task: Task, example: Example, candidate: Pixels) -> list[float] | None:
    """The energy of checkerboard artifacts, and that of all fine detail."""
    if min(candidate.shape[:2]) < 32:
        return None
    energies = checkerboard_energy(to_batch([candidate]).float())
    return [energy.item() for energy in energies]


_Metric: TypeAlias = Callable[[Task, Example, Pixels], float | list[float] | None]
EXAMPLE_METRICS: dict[str, _Metric] = {
    "consistency": inconsistency,
    "psnr_hole": psnr_hole,
    "colorfulness": colorfulness,
    "checkerboard": checkerboard,
}
