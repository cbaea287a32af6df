"""How an example is shown in training: crops, colors, orientations, masks of holes, and noise."""

import math
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..config import HOLE
from ..data.examples import open_split
from ..data.split import HoldOut, Split, mask_errors
from ..errors import ensure
from ..images import Pixels, gray, resize, white
from ..records import Table

_NATIVE = 0.67  # share of crops at native scale
_SHRINK = 4.0  # how much others shrink at most
Framing = tuple[float, float, float]  # of a `crop`: share, left, top
CENTER: Framing = (0.0, 0.5 - 1e-9, 0.5 - 1e-9)  # slightly less than half, to round down
_REACH = 3  # support of LANCZOS, in pixels of the result


class _Masks(list[Any]):
    """Masks packed into bits, each with its own shape (H, W); item i is bool, true = white."""

    def __getitem__(self, index: Any) -> Any:
        bits, shape = super().__getitem__(index)
        return np.unpackbits(bits, count=math.prod(shape)).view(np.bool_).reshape(shape)


def load_masks(data: str, split: Split, seed: int = 0, hold_out: HoldOut = "2%") -> _Masks:
    """Load the masks of a split, white (128 and above) in the holes. Black masks are left out.

    Raises:
        CaflowError: As for `open_split`; a mask is damaged, or all are black.
    """
    found = _Masks()
    held: Table = {"seed": seed, "hold_out": hold_out}
    with mask_errors(), open_split(data, split, role="masks", **held) as masks:
        for row in range(len(masks)):
            white = masks.read(row)[0][..., 0] >= HOLE
            if white.any():
                found.append((np.packbits(white), white.shape))
    ensure(
        bool(found),
        f"masks: there are no white pixels in {data!r}",
        "paint holes white, and all else black",
    )
    return found


def recolored(image: Pixels, generator: torch.Generator) -> Pixels:
    """Change the colors of an image at random, with its edges and textures unchanged.

    Channels are permuted with probability 1/2. Independently, with probability 1/2, chroma, the
    difference of each channel from luma, is scaled by exp(u), u uniform in [-0.4, 0.9], and then,
    with probability 1/2, values are raised to the power exp(v), v uniform in [-0.3, 0.3].

    Shapes: (H, W, 3), uint8 or uint16 -> the same.
    """
    permutes, scales, chroma, bends, power = torch.rand(5, generator=generator).tolist()
    if permutes < 0.5:
        image = image[..., torch.randperm(3, generator=generator).tolist()]
    if scales < 0.5:
        peak = white(image)
        luma = gray(image)[..., None].astype(np.float32)
        values = (luma + (image - luma) * math.exp(-0.4 + 1.3 * chroma)).clip(0, peak)
        if bends < 0.5:
            values = peak * (values / peak) ** math.exp(-0.3 + 0.6 * power)
        image = np.rint(values).astype(image.dtype)
    return image


def crop(image: Pixels, size: int, share: float, left: float, top: float) -> Pixels:
    """Crop a square from an image of any size, after shrinking it by a factor (Pillow LANCZOS).

    Only the region that the crop needs is resized. The result equals a crop of the whole shrunk
    image, at subpixel positions, too.

    Args:
        image: (H, W, C).
        size: Side of the result.
        share: In [0, 1]. The image is shrunk by the factor `most ** share`, where most is 4, or
            less if a smaller image requires it.
        left, top: The crop's position, as shares of the free range, in [0, 1).
    """
    height, width = image.shape[:2]
    shrink = max(1.0, min(_SHRINK, min(height, width) / size)) ** share
    if shrink == 1:
        x = int(left * (width - size + 1))
        y = int(top * (height - size + 1))
        return image[y : y + size, x : x + size]
    span = size * shrink
    x = left * (width - span)
    y = top * (height - span)
    margin = int(_REACH * shrink) + 2
    first_x = max(0, int(x) - margin)
    first_y = max(0, int(y) - margin)
    last_x = int(x + span) + margin
    last_y = int(y + span) + margin
    part = np.ascontiguousarray(image[first_y:last_y, first_x:last_x])
    x -= first_x
    y -= first_y
    box = (x, y, x + span, y + span)
    return resize(part, size, size, Image.Resampling.LANCZOS, box)


def draw_crop(bits: np.random.Philox) -> Framing:
    """Draw share, left and top of a `crop`, from four words of the generator.

    67 % of the crops are at native scale. The others are from the image shrunk by a factor s, with
    log s uniform between 0 and its maximum.
    """
    kind, scale, left, top = (int(word) / 2**64 for word in bits.random_raw(4))
    return 0.0 if kind < _NATIVE else scale, left, top


def oriented(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image (C, H, W) in one of eight orientations: bit 0 of the number mirrors it, bit 1 turns
    it upside down, and bit 2 transposes the result."""
    if orientation & 1:
        image = image[:, :, ::-1]
    if orientation & 2:
        image = image[:, ::-1]
    return image.transpose(0, 2, 1) if orientation & 4 else image


def bits_of(seed: int, stream: int, counter: int) -> np.random.Philox:
    # The generator increments the lowest of the counter's four words.
    return np.random.Philox(key=[seed, stream], counter=[0, 0, 0, counter])


def words(bits: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
    """Draw integers below 2^16 in the given shape, four from each 64-bit word."""
    count = math.prod(shape)
    words = bits.random_raw(-(-count // 4)).astype("<u8", copy=False)
    return words.view("<u2")[:count].reshape(shape)
