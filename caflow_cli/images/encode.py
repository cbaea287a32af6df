"""Encoding: the formats that are written, and their limits."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from ..errors import EXIT_USAGE, CaflowError
from .alpha import over_white
from .atomic import atomic_write
from .provenance import PNG_KEY, to_description
from .xmp import PNG_XMP, XMP

__all__ = ["FORMATS", "Encoder", "encode_png", "format_of", "write_png"]

# Name on the command line -> suffixes, the first being the one that is given.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "png": (".png",),
    "webp": (".webp",),
    "jpg": (".jpg", ".jpeg"),
    "tiff": (".tif", ".tiff"),
}
_MAX_SIDE = {"webp": 16383, "jpg": 65500}  # what the formats can say
_JPEG_QUALITY = 95
_DESCRIPTION = 0x010E  # EXIF and TIFF tag ImageDescription
_XMP = 700  # TIFF tag


def format_of(path: Path) -> str | None:
    """The format that a path's suffix names; None for any other suffix."""
    suffix = path.suffix.lower()
    return next((name for name, suffixes in FORMATS.items() if suffix in suffixes), None)


@dataclass(frozen=True)
class Encoder:
    """The format of results.

    Attributes:
        format: A key of `FORMATS`.
        quality: 1 to 100. For JPEG, default 95, always with full colour resolution (4:4:4); a WebP
            is lossless unless it has one.
        provenance: Whether it is written, and XMP beside it.

    Raises:
        CaflowError: (exit 2) there is no such format, or the format does not take a quality.
    """

    format: str = "png"
    quality: int | None = None
    provenance: bool = True

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise CaflowError(
                f"unknown format {self.format!r}", f"--format {', '.join(FORMATS)}", EXIT_USAGE
            )
        if self.quality is None:
            return
        if self.format not in ("jpg", "webp"):
            raise CaflowError(
                f"{self.format} is lossless and has no quality",
                f"--format jpg --quality {self.quality}",
                EXIT_USAGE,
            )
        if not 1 <= self.quality <= 100:
            raise CaflowError(
                f"quality {self.quality} is out of range", "--quality 1 to 100", EXIT_USAGE
            )

    @property
    def suffix(self) -> str:
        return FORMATS[self.format][0]

    @property
    def lossless(self) -> bool:
        """Whether decoding returns the same colours."""
        return self.format != "jpg" and not (self.format == "webp" and self.quality is not None)

    @property
    def has_alpha(self) -> bool:
        return self.format != "jpg"

    def encode(
        self,
        image: npt.NDArray[np.uint8],
        alpha: npt.NDArray[np.uint8] | None = None,
        provenance: str | None = None,
    ) -> bytes:
        """Encode uint8 (H, W, 3), with straight alpha (H, W) if any, to the bytes of a file.

        The pixels are sRGB. They carry no profile, because untagged pictures are read as sRGB. JPEG
        has no alpha, so the picture is laid on white.

        Args:
            provenance: ASCII JSON; in PNG the text chunk `caflow`, elsewhere ImageDescription.

        Raises:
            CaflowError: (exit 1) the picture has more pixels than the format allows.
        """
        height, width = image.shape[:2]
        limit = _MAX_SIDE.get(self.format)
        if limit is not None and max(height, width) > limit:
            raise CaflowError(
                f"{width}x{height} is more than {self.format} can hold ({limit} a side)",
                "--format png",
            )
        if not self.provenance:
            provenance = None
        xmp = XMP.encode() if provenance else None
        if alpha is not None:
            image = np.dstack([image, alpha]) if self.has_alpha else over_white(image, alpha)
        if self.format == "png":
            text = {PNG_KEY: provenance, PNG_XMP: XMP} if provenance else None
            return encode_png(image, text)
        exif = Image.Exif()
        if provenance:
            exif[_DESCRIPTION] = to_description(provenance)
        more = {"exif": exif, **({"xmp": xmp} if xmp else {})}
        buffer = io.BytesIO()
        picture = Image.fromarray(np.ascontiguousarray(image))
        if self.format == "tiff":
            if xmp:
                exif[_XMP] = xmp
            picture.save(buffer, "TIFF", compression="tiff_adobe_deflate", exif=exif)
        elif self.format == "jpg":
            quality = self.quality or _JPEG_QUALITY
            picture.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True, **more)
        elif self.quality is None:
            # `exact`: colours are kept under transparent pixels too.
            picture.save(buffer, "WEBP", lossless=True, exact=True, **more)
        else:
            picture.save(buffer, "WEBP", quality=self.quality, method=6, **more)
        return buffer.getvalue()


def encode_png(image: npt.NDArray[np.uint8], text: Mapping[str, str] | None = None) -> bytes:
    """Encode uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) as a PNG file.

    Args:
        text: Text chunks by keyword: tEXt, or iTXt if Latin-1 is not enough, and for XMP.

    Raises:
        ValueError: The dtype or the shape is another.
    """
    if image.dtype != np.uint8:
        raise ValueError(f"a PNG is written from uint8, not {image.dtype}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] in (3, 4)):
        raise ValueError(f"a picture is (H, W) or (H, W, 1, 3 or 4), not {image.shape}")
    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        (chunks.add_itxt if key == PNG_XMP else chunks.add_text)(key, value)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def write_png(
    path: Path, image: npt.NDArray[np.uint8], text: Mapping[str, str] | None = None
) -> None:
    """Write `encode_png(image, text)` with `atomic_write`; same errors."""
    atomic_write(path, encode_png(image, text))
