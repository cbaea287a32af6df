"""A part of an image, restored at its own scale: `--crop X,Y,WxH`, and `crop` in Python."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeAlias

from ..config import Extent
from ..errors import check_usage, ensure, usage_error
from ..records import plain, short
from .color import Pixels
from .values import Input

Crop: TypeAlias = tuple[int, int, int, int]  # left, top, width and height, in pixels
Place: TypeAlias = tuple[slice, slice]  # rows and columns

WHOLE: Place = (slice(None), slice(None))


def crop_of(typed: str) -> Crop:
    """Parse `X,Y,WxH`; CaflowError (exit 2) if it is no part of any image."""
    match = re.fullmatch(r"(\d{1,9}),(\d{1,9}),0*([1-9]\d{0,8})[xX×]0*([1-9]\d{0,8})", typed)
    if match is None:
        raise usage_error(
            f"--crop is {typed!r}",
            "--crop 100,200,640x480: pixels from the left and the top, width x height",
        )
    left, top, width, height = map(int, match.groups())
    return left, top, width, height


def stated(crop: object) -> Crop:
    """A part as Python or a record states it; CaflowError (exit 2) unless it has four numbers."""
    found = plain(crop)
    numbers = [*map(plain, found)] if isinstance(found, list | tuple) else []
    check_usage(
        [*map(type, numbers)] == [int] * 4,
        f"crop is {short(crop)}",
        "crop=(left, top, width, height), in pixels",
    )
    left, top, width, height = numbers
    return left, top, width, height


def place_of(crop: Crop, size: Extent) -> Place:
    """Where a part lies in an image of that height and width; CaflowError (exit 1) unless in it."""
    left, top, width, height = crop
    ensure(
        0 <= left < left + width <= size[1] and 0 <= top < top + height <= size[0],
        f"--crop {left},{top},{width}x{height} is not inside of the image, {size[1]}x{size[0]}",
        f"--crop 0,0,{min(max(width, 1), size[1])}x{min(max(height, 1), size[0])}, or another part",
    )
    return slice(top, top + height), slice(left, left + width)


def cropped(
    image: Input, crop: Crop, mask: Pixels | None = None
) -> tuple[Input, Pixels | None, Place]:
    """A part of an image, with the same part of all that travels with it; that of its mask; and
    its place.
    """
    whole = image.image
    place = place_of(crop, whole.size)

    planes = (whole.values, whole.alpha, whole.infrared)
    values, alpha, infrared = (None if plane is None else plane[place].copy() for plane in planes)
    assert values is not None
    tiff = None if image.tiff is None else image.tiff.of_another_size()
    at = None if whole.place is None else whole.place.cut(*place)
    part = replace(whole, values=values, alpha=alpha, infrared=infrared, place=at)
    own = None if mask is None else mask[place]
    most = image.most if image.most is not None else whole.values.max().item()
    return replace(image, image=part, tiff=tiff, crop=crop, most=most), own, place
