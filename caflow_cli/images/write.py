"""Encode images: formats, and their limits."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from PIL import PngImagePlugin, features

from ..errors import check_usage, ensure
from ..records import Table
from .atomic import atomic_write
from .color import Pixels, is_gray
from .deep import (
    INFRARED,
    STRAIGHT,
    TIFF_XMP,
    encode_png_16,
    encode_tiff,
)
from .metadata import DESCRIPTION, MAIN, Metadata, as_exif, rebuilt
from .profile import Array, convert, is_of_grays
from .provenance import PROVENANCE, XMP, xmp_with
from .refusals import DEEP_HINT, has_deep
from .values import Input, Output, Raster

# Name on the command line -> suffixes; written files get the first one.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "png": (".png",),
    "webp": (".webp",),
    "jpg": (".jpg", ".jpeg"),
    "tiff": (".tif", ".tiff"),
    "avif": (".avif",),
}

LARGE = 64_000_000  # pixels above which only 8-bit values are held at full size
_MAX_SIDE = {"webp": 16383, "jpg": 65500, "avif": 65535}
_IN_COLORS = ("webp", "avif")  # formats that store grays as colors
_QUALITY = {"jpg": 95, "avif": 90}  # by default


def format_of(path: Path) -> str | None:
    """The format for a path's suffix; None if the suffix is unknown."""
    suffix = path.suffix.lower()
    return next((name for name, suffixes in FORMATS.items() if suffix in suffixes), None)


@dataclass(frozen=True)
class Encoder:
    """Encodes results in one format.

    Attributes:
        format: A key of `FORMATS`.
        quality: 1 to 100. Default 95 for JPEG and 90 for AVIF, which always have full color
            resolution (4:4:4). WebP is lossless unless a quality is given.
        provenance: Whether to write provenance, and XMP beside it.
        metadata: What of an input's EXIF is kept: "none", "basic" (dates, camera, exposure, artist,
            copyright, description) or "all" (also the place).

    Raises:
        CaflowError: (exit 2) the format is unknown, Pillow cannot write it here, or it does not
            support this quality.
    """

    format: str = "png"
    quality: int | None = None
    provenance: bool = True
    metadata: str = "none"

    def __post_init__(self) -> None:
        known = ", ".join(FORMATS)
        q = self.quality
        check_usage(
            self.format in FORMATS,
            f"unknown format {self.format!r}",
            f"--format {known}",
        )
        check_usage(
            self.format != "avif" or bool(features.check("avif")),
            "this installation of Pillow cannot write AVIF",
            "pip install -U pillow",
        )
        check_usage(
            q is None or self.format in _MAX_SIDE,
            f"{self.format} is lossless and has no quality",
            f"--format jpg --quality {q}",
        )
        check_usage(
            q is None or 1 <= q <= 100,
            f"quality {q} is out of range",
            "--quality 1 to 100",
        )

    @property
    def lossless(self) -> bool:
        """Whether decoding returns the same colors."""
        return self.format not in _QUALITY and (self.format != "webp" or self.quality is None)

    @property
    def has_alpha(self) -> bool:
        """Whether the format stores alpha."""
        return self.format != "jpg"

    def check_size(self, height: int, width: int) -> None:
        """Raise CaflowError if a side is longer than the format allows."""
        limit = _MAX_SIDE.get(self.format, max(height, width))
        ensure(
            max(height, width) <= limit,
            f"{width}x{height} is too large for {self.format} (at most {limit} per side)",
            "--format png",
        )

    @property
    def suffixes(self) -> Sequence[str]:
        """Those of its files, the first for new ones."""
        return FORMATS[self.format]

    def check(self, source: Input, height: int, width: int) -> None:
        """Raise CaflowError if a result of that size has a side longer than the format allows."""
        self.check_size(height, width)

    def files(self, outputs: Sequence[Output], records: Sequence[Table]) -> Iterator[bytes]:
        """The file of each output, with its provenance."""
        for output, record in zip(outputs, records, strict=True):
            yield self.encode(output, json.dumps(record))

    def encode(self, output: Output, provenance: str | None = None) -> bytes:
        """Encode an image to the bytes of a file.

        sRGB has a profile only if the input has one, because untagged images are read as sRGB. JPEG
        has no alpha, so the image is composited over white. Of its metadata, `self.metadata` is
        kept.

        Args:
            output: The image.
            provenance: ASCII JSON, stored in PNG's text chunk `caflow`, in a TIFF's XMP, else in
                ImageDescription.

        Raises:
            CaflowError: (exit 1) a side is longer than the format allows.
        """
        image = output.image
        if not self._holds(image):
            image = image.seen.rounded(self.bits)
        self.check_size(*image.size)
        provenance = provenance if self.provenance else None
        directories: Metadata = {}
        if output.metadata and self.metadata != "none":
            directories = rebuilt(output.metadata, place=self.metadata == "all")
        if self.bits == 32:
            return self._deep_tiff(output, provenance, directories)
        values = self._channels(image.values, image.alpha, output.gray)
        profile = image.profile if output.srgb is None else _srgb_of(output, values)
        if self.format == "png":
            return encode_png(values, provenance, directories, profile)
        return self._by_pillow(values, provenance, directories, profile)

    def _deep_tiff(self, output: Output, provenance: str | None, directories: Metadata) -> bytes:
        """Encode an image as TIFF, at its own depth, with infrared as its file had it."""
        image = output.image
        on_page = output.tiff is not None and output.tiff.infrared_page
        more = image.infrared if image.alpha is None and not on_page else image.alpha
        values = self._channels(image.values, more, output.gray)
        profile = image.profile if output.srgb is None else _srgb_of(output, values)
        kind = INFRARED if image.alpha is None else STRAIGHT
        xmp = xmp_with(provenance).encode() if provenance else b""
        page = image.infrared if on_page else None
        return encode_tiff(values, kind, output.tiff, profile, xmp, directories, page)

    def _by_pillow(
        self,
        image: Array,
        provenance: str | None,
        directories: Metadata,
        profile: bytes | None,
    ) -> bytes:
        """Encode (H, W, C) as any format but PNG."""
        options = self._options()
        if self.format == "jpg" and image.shape[0] * image.shape[1] > LARGE:
            options["optimize"] = False  # which holds all coefficients: 6 bytes a pixel
        if self.format in _IN_COLORS and is_of_grays(profile):
            grays = convert(np.repeat(image[..., :1], 3, 2), profile, None)
            image, profile = np.dstack([grays, image[..., 1:]]), None
        if profile:
            options["icc_profile"] = profile
        exif = as_exif(directories)
        if self.format == "tiff":
            if provenance:
                exif[TIFF_XMP] = xmp_with(provenance).encode()
            if directories.keys() <= {MAIN}:
                # With further directories, Pillow cannot write compressed pixels.
                options["compression"] = "tiff_adobe_deflate"
        elif provenance:
            exif[DESCRIPTION] = f'{{"{PROVENANCE}": {provenance}}}'
            options["xmp"] = XMP.encode()
        return _saved(image, exif=exif, **options)

    @property
    def bits(self) -> int:
        """The most bits per channel that are stored: 8, 16, or 32, which are floats."""
        return {"png": 16, "tiff": 32}.get(self.format, 8) if has_deep() else 8

    def _holds(self, image: Raster) -> bool:
        """Whether values are stored as they are; else as levels."""
        is_signed = image.values.dtype.kind == "i"
        return image.bits <= self.bits and (not is_signed or self.bits == 32)

    def losses(self, source: Input) -> list[str]:
        """What results of an image do not keep, each as a clause."""
        image = source.image
        kept = "those of gray and RGB in PNG and TIFF stay"
        how = kept if has_deep() else f"{DEEP_HINT} keeps them"
        grays = self.format in _IN_COLORS and is_of_grays(image.profile)
        stays = image.seen.profile == image.profile or image.bits == self.bits == 32
        lost = [
            (source.deep, f"its 16 bits per channel are read as 8; {how}"),
            (
                image.seen.bits > self.bits,
                f"{self.format} holds 8 bits per channel, so its 16 are rounded",
            ),
            (
                image.value_range is not None and not self._holds(image),
                f"{self.format} does not hold its range: black is 0, and white the largest value",
            ),
            (source.unread, source.unread),
            (source.converted or grays or not stays, "its colors are converted to sRGB"),
            (
                image.alpha is not None and not self.has_alpha,
                f"composited on white, because {self.format} has no alpha",
            ),
            (
                image.infrared is not None and self.bits < 32,
                "the band beside its colors is not kept; --format tiff keeps it",
            ),
            (
                self.bits == 32 and source.format == "TIFF" and not source.tiff,
                "the result is compressed by Deflate, not as the input",
            ),
            (
                self.metadata != "none" and source.metadata is None,
                "its EXIF is unreadable or above 64 kB, and is not kept",
            ),
        ]
        return [what for is_lost, what in lost if is_lost]

    def _channels(self, values: Array, more: Array | None, gray: bool) -> Array:
        """What is stored: (H, W, C), the colors or one gray, and then one channel more."""
        if gray and is_gray(values):
            values = values[..., :1]
        if more is None:
            return values
        return np.dstack([values, more]) if self.has_alpha else _on_white(values, more)

    def _options(self) -> Table:
        """The arguments of `Image.save` for TIFF, JPEG, WebP and AVIF."""
        quality = self.quality or _QUALITY.get(self.format)
        if self.format == "jpg":
            return {
                "format": "JPEG",
                "quality": quality,
                "subsampling": "4:4:4",
                "optimize": True,
            }
        if self.format == "tiff":
            return {"format": "TIFF"}
        if self.format == "avif":
            return {"format": "AVIF", "quality": quality, "subsampling": "4:4:4"}
        if quality is None:
            # Keep the colors of transparent pixels.
            return {"format": "WEBP", "lossless": True, "exact": True}
        return {"format": "WEBP", "quality": quality, "method": 6}


def _srgb_of(output: Output, values: Array) -> bytes | None:
    """The profile of an image whose file has one of sRGB, unless that is of grays and this not."""
    is_alike = is_of_grays(output.srgb) == (values.shape[2] < 3)
    return output.srgb if output.image.profile is None and is_alike else output.image.profile


def _on_white(image: Pixels, alpha: Pixels) -> Pixels:
    """Composite (H, W, C) of 8 bits over white."""
    a = alpha[..., None].astype(np.uint16)
    return np.asarray((a * image + (255 - a) * 255 + 127) // 255, np.uint8)


def encode_png(
    image: Pixels,
    provenance: str | None = None,
    directories: Metadata | None = None,
    profile: bytes | None = None,
) -> bytes:
    """Encode (H, W), or (H, W, C) with 1 to 4 channels, the last alpha if even, as PNG.

    Args:
        image: uint8, or with the extra `deep` uint16.
        provenance: ASCII JSON for the text chunk `caflow`; XMP is written beside it.
        directories: EXIF, as for `as_exif`.
        profile: The ICC profile.
    """
    options: dict[str, Any] = {"exif": as_exif(directories)} if directories else {}
    if profile:
        options["icc_profile"] = profile
    texts = PngImagePlugin.PngInfo()
    if provenance:
        texts.add_text(PROVENANCE, provenance)
        texts.add_itxt("XML:com.adobe.xmp", XMP)
    options |= {"format": "PNG", "pnginfo": texts}
    if image.dtype == np.uint16:
        return encode_png_16(image, _saved(np.zeros((1, 1), np.uint8), **options))
    return _saved(image, **options)


def _saved(image: Pixels, **options: Any) -> bytes:
    if image.shape[2:] == (1,):
        image = image[..., 0]
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, **options)
    return buffer.getvalue()


def write_png(path: Path, image: Pixels) -> None:
    """Write `encode_png(image)` with `atomic_write`; same errors."""
    atomic_write(path, encode_png(image))
