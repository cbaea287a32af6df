"""Inputs of the page: fields, an image, a painted hole, a drawn map; and their limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import check_usage, ensure
from ..images import Decoded, decode, read_header
from ..sampling import Sampling
from ..tasks import Pixels, Task

RED = "#ff2d55"  # colour of the brush that paints holes


@dataclass(frozen=True, eq=False)
class Fields:
    """The values of the page's fields; None for an empty field."""

    model: str
    image: str | None = None  # path of the upload
    layers: Sequence[Pixels] = ()  # painted layers, uint8 (h, w, 4), in the size of the canvas
    tau: str | None = None
    candidates: int | None = None
    keep: int | None = None
    seed: int | None = None

    @property
    def sampling(self) -> Sampling:
        """The sampling settings in these fields."""
        keep = 1 if self.keep is None else self.keep
        return Sampling(self.tau, self.candidates, keep, self.seed or 0)


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


def read_upload(path: Path, limits: Limits, task: Task) -> Decoded:
    """Read an image as the commands do; CaflowError if it, or its result, would be too large."""
    smaller = "crop or shrink the image first, or start the app with"
    ensure(
        path.stat().st_size <= limits.megabytes << 20,
        f"{path.name!r} has more than {limits.megabytes} MB",
        f"{smaller} --max-megabytes",
    )
    given = made = read_header(path, path.name).size
    if not task.needs_mask:
        made = task.model_size(np.broadcast_to(np.uint8(0), (*given, 3)))
    larger = f" make {made[1]}x{made[0]}, which" if made != given else ""
    ensure(
        max(math.prod(given), math.prod(made)) <= limits.megapixels * 1e6,
        f"{path.name!r}: {given[1]}x{given[0]} pixels{larger} are more than "
        f"{limits.megapixels:g} megapixels",
        f"{smaller} --max-megapixels",
    )
    return decode(path, path.name)


def painted_hole(layers: Sequence[Pixels], height: int, width: int) -> Pixels:
    """Make a mask from painted layers: uint8 (height, width), 255 where half or more is covered."""
    covered = np.zeros((height, width), bool)
    for layer in layers:
        alpha = Image.fromarray(np.ascontiguousarray(layer[..., 3]))
        covered |= np.array(alpha.resize((width, height), Image.Resampling.BOX)) >= 128
    ensure(bool(covered.any()), "there is no hole to fill", "paint over the area to fill")
    return covered.astype(np.uint8) * 255


def drawn_map(layers: Sequence[Pixels], below: Pixels) -> Decoded:
    """Composite painted layers, resized, over an image, uint8 (H, W, 3)."""
    flat = Image.fromarray(below).convert("RGBA")
    for layer in layers:
        drawn = Image.fromarray(layer).resize(flat.size, Image.Resampling.BOX)
        flat = Image.alpha_composite(flat, drawn)
    return Decoded(np.array(flat.convert("RGB")), None, "PNG")
