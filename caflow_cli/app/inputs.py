"""The inputs of the page: fields, an image, what is painted on it; and their limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..config import HOLE, Tau, Temperature
from ..errors import check_usage, ensure
from ..images import Input, Pixels, decode, read_size, write_png
from ..restoration import thumbnail
from ..sampling import Sampling
from ..tasks import Task

COLOR_CANVAS = 640  # longer side of the canvas of known colors, in pixels, at most
_SHOWN = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP")  # formats that browsers show
_PREVIEW = ".caflow-preview.png"
KEEP = "#2f9e44"  # the color of the brush that erases marks
UNTOUCHED = 1  # what is neither painted (255) nor erased (0) by hand


@dataclass(frozen=True, eq=False)
class Marks:
    """What the canvas of an image shows below what is painted on it now: uint8 (H, W) each."""

    image: str  # its path
    found: Pixels  # 255 where damage was found, else 0
    hand: Pixels  # 255 where it was painted before, 0 where it was erased, else UNTOUCHED


@dataclass(frozen=True, eq=False)
class Fields:
    """The values of the page's fields; None for an empty field."""

    model: str
    image: str | None = None  # path of the upload
    layers: Sequence[Pixels] = ()  # painted layers, uint8 (h, w, 4), in the size of the canvas
    marks: Marks | None = None  # what the canvas shows below the layers
    snap: bool = False  # whether what is painted becomes the damage below it
    tau: Tau | None = None
    candidates: int | None = None
    keep: int | None = None
    seed: int | None = None

    def hand(self, height: int, width: int) -> Pixels:
        """What is painted and erased by hand on an image of that size, see `Marks.hand`."""
        marks = self.marked
        untouched = np.full((height, width), UNTOUCHED, np.uint8)
        return painted_mask(self.layers, untouched if marks is None else marks.hand)

    @property
    def marked(self) -> Marks | None:
        """The marks of the image, if they are still of this one."""
        return self.marks if self.marks and self.marks.image == self.image else None

    @property
    def sampling(self) -> Sampling:
        """The sampling settings in these fields."""
        return Sampling(self.tau, self.candidates, keep=self.kept, seed=self.seed or 0)

    @property
    def kept(self) -> int:
        """N; it need not be valid."""
        return 1 if self.keep is None else self.keep


@dataclass(frozen=True)
class Limits:
    """Limits of one request, which the page displays."""

    megapixels: float = 4.0  # per result, in 10^6 pixels
    megabytes: int = 20  # per upload, in 2^20 bytes
    candidates: int = 64  # per image, over all draws
    visitors: int = 16  # in the queue; also how many visitors' results are kept

    def check_candidates(self, count: int | None) -> None:
        """Raise CaflowError for more candidates than the page may draw."""
        check_usage(
            count is None or count <= self.candidates,
            f"{count} candidates are more than the limit of {self.candidates}",
            f"draw up to {self.candidates} per image",
        )


def temperature_at(default: Temperature, variety: float) -> Temperature:
    """The temperature for a position v in [-1, 1] of the slider, whose middle is the default.

        tau = (1 + v) tau_default                                     v <= 0
        tau = tau_default + v (max(1, tau_default) - tau_default)     v > 0

    for each value of a shape. So the left end is 0, and the right end at least 1.
    """
    values = []
    for value in default.values:
        end = 0.0 if variety < 0 else max(1.0, value)
        values.append(round(value + abs(variety) * (end - value), 6))
    return Temperature(tuple(values))


def read_upload(
    path: Path,
    limits: Limits,
    task: Task,
) -> Input:
    """Read an image as the commands do; CaflowError if it, or its result, would be too large."""
    ensure(path.is_file(), "the image is no longer here", "add it again")
    hint = "crop or shrink the image first, or start the app with"
    ensure(
        path.stat().st_size <= limits.megabytes << 20,
        f"{path.name!r} has more than {limits.megabytes} MB",
        f"{hint} --max-megabytes",
    )
    height, width = read_size(path, path.name)
    result = height, width
    if not task.needs_mask:
        result = task.model_size(np.broadcast_to(np.uint8(0), (height, width, 3)))
    made = "" if result == (height, width) else f" make {result[1]}x{result[0]}, which"
    ensure(
        max(height * width, math.prod(result)) <= limits.megapixels * 1e6,
        f"{path.name!r}: {width}x{height} pixels{made} are more than "
        f"{limits.megapixels:g} megapixels",
        f"{hint} --max-megapixels",
    )
    return decode(path, path.name)


def displayed(path: str, image: Input) -> str:
    """The path of what the page shows of an upload: the file itself, or a PNG beside it."""
    if image.format in _SHOWN:
        return path
    preview = Path(path + _PREVIEW)
    write_png(preview, image.image.shown)
    return str(preview)


def uploaded(path: str) -> str:
    """The path of the upload of which a path is `displayed`."""
    return path.removesuffix(_PREVIEW)


def shrunk(image: Pixels, side: int) -> Pixels:
    """The image if its longer side is at most `side`, else downsampled to that."""
    return thumbnail(image, side) if max(image.shape) > side else image


def painted_mask(layers: Sequence[Pixels], hand: Pixels) -> Pixels:
    """What is painted on top of what was before, see `Marks.hand`, as the same.

    A pixel of which `FILL` covers half or more is in the hole, one of which `KEEP` does is not, and
    any other one is as before.
    """
    hole = hand.copy()
    height, width = hand.shape
    for layer in layers:
        kept = layer[..., 1] > layer[..., 0]  # more green than red
        for stroke, value in ((~kept, 255), (kept, 0)):
            alpha = Image.fromarray(layer[..., 3] * stroke)
            alpha = alpha.resize((width, height), Image.Resampling.BOX)
            hole[np.array(alpha) >= HOLE] = value
    return hole


def painted_colors(
    layers: Sequence[Pixels],
    height: int,
    width: int,
) -> Pixels | None:
    """Make known colors from painted layers: uint8 (height, width, 4), opaque where half or more is
    covered, else transparent. None if nothing is painted.
    """
    strokes = Image.new("RGBA", (width, height))
    for layer in layers:
        strokes.alpha_composite(
            Image.fromarray(layer).resize(strokes.size, Image.Resampling.NEAREST)
        )
    pixels = np.array(strokes)
    covered = pixels[..., 3] >= HOLE
    pixels[~covered] = 0
    pixels[covered, 3] = 255
    return pixels if covered.any() else None
