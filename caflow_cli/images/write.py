"""Encode images: formats, their limits, and the provenance in files."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, features

from ..config import METADATA
from ..errors import check_usage, ensure
from .atomic import atomic_write
from .color import Pixels, in_srgb, is_gray
from .deep import TiffParts
from .metadata import DESCRIPTION, GPS, MAIN, Metadata, as_exif, rebuilt

# Name on the command line -> suffixes; written files get the first one.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "png": (".png",),
    "webp": (".webp",),
    "jpg": (".jpg", ".jpeg"),
    "tiff": (".tif", ".tiff"),
    "avif": (".avif",),
}
# Keyword of the text chunk in PNG; elsewhere the only key of a JSON object in ImageDescription.
PROVENANCE_KEY = "caflow"

LARGE = 64_000_000  # pixels above which only 8-bit values are held at full size
_MAX_SIDE = {"webp": 16383, "jpg": 65500, "avif": 65535}
_QUALITY = {"jpg": 95, "avif": 90}  # by default
_TIFF_XMP = 700  # TIFF tag
_PNG_XMP = "XML:com.adobe.xmp"  # keyword of a text chunk
# IPTC's digital source type, for other programs: https://cv.iptc.org/newscodes/digitalsourcetype/
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def format_of(path: Path) -> str | None:
    """The format for a path's suffix; None if the suffix is unknown."""
    suffix = path.suffix.lower()
    return next((name for name, suffixes in FORMATS.items() if suffix in suffixes), None)


@dataclass(frozen=True, eq=False)
class Output:
    """What a file is to hold.

    Attributes:
        rgb: uint8 or uint16 (H, W, 3): straight colors, also of transparent pixels.
        alpha: (H, W), of the type of `rgb`, 0 transparent to 255 or 65,535 opaque; None if every
            pixel is opaque.
        gray: Whether an image without color is stored in one channel.
        metadata: The EXIF that a result may keep; None if it cannot be read or has more than 64 kB.
        profile: The ICC profile of `rgb`; None for sRGB.
        tiff: What a TIFF keeps of a TIFF.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    gray: bool = False
    metadata: Metadata | None = field(default_factory=dict)
    profile: bytes | None = None
    tiff: TiffParts | None = None

    @property
    def depth(self) -> int:
        """Bits per channel: 8 or 16."""
        return 8 * self.rgb.dtype.itemsize

    def shown(self) -> Pixels:
        """`rgb` as 8-bit sRGB, for the eye."""
        return in_srgb(self.rgb, self.profile)


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
        check_usage(
            self.metadata in METADATA,
            f"cannot keep metadata {self.metadata!r}",
            "--keep-metadata, or --keep-metadata all",
        )

    @property
    def suffix(self) -> str:
        """The suffix of files, with the dot."""
        return FORMATS[self.format][0]

    @property
    def lossless(self) -> bool:
        """Whether decoding returns the same colors."""
        return self.format not in _QUALITY and (self.format != "webp" or self.quality is None)

    @property
    def has_alpha(self) -> bool:
        """Whether the format stores alpha."""
        return self.format != "jpg"

    def encode(self, output: Output, provenance: str | None = None) -> bytes:
        """Encode an image to the bytes of a file.

        The pixels are sRGB and get no profile, because untagged images are read as sRGB. JPEG has
        no alpha, so the image is composited over white. Of its metadata, `self.metadata` is kept.

        Args:
            output: The image.
            provenance: ASCII JSON, stored in PNG's text chunk `caflow`, else in ImageDescription.

        Raises:
            CaflowError: (exit 1) a side is longer than the format allows.
        """
        image = output.rgb
        alpha = output.alpha
        height, width = image.shape[:2]
        limit = _MAX_SIDE.get(self.format, max(height, width))
        ensure(
            max(height, width) <= limit,
            f"{width}x{height} is too large for {self.format} (at most {limit} per side)",
            "--format png",
        )
        provenance = provenance if self.provenance else None
        kept = {**output.metadata} if output.metadata and self.metadata != "none" else {}
        if self.metadata != "all":
            kept.pop(GPS, None)
        directories = rebuilt(kept)
        if output.gray and is_gray(image):
            image = image[..., :1]
        if alpha is not None and self.has_alpha:
            image = np.dstack([image, alpha])
        elif alpha is not None:
            a = alpha[..., None].astype(np.uint16)
            on_white = a * image + (255 - a) * 255
            image = ((on_white + 127) // 255).astype(np.uint8)
        if self.format == "png":
            return encode_png(image, provenance, directories)
        if provenance:
            description = f'{{"{PROVENANCE_KEY}": {provenance}}}'
            directories.setdefault(MAIN, {})[DESCRIPTION] = description
        options = self._options()
        exif = as_exif(directories)
        if provenance and self.format == "tiff":
            exif[_TIFF_XMP] = _XMP.encode()
        elif provenance:
            options["xmp"] = _XMP.encode()
        if self.format == "tiff" and directories.keys() <= {MAIN}:
            # With further directories, Pillow cannot write compressed pixels.
            options["compression"] = "tiff_adobe_deflate"
        return _saved(image, exif=exif, **options)

    def _options(self) -> dict[str, Any]:
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


def encode_png(
    image: Pixels,
    provenance: str | None = None,
    directories: Metadata | None = None,
) -> bytes:
    """Encode uint8 (H, W), or (H, W, C) with 1 to 4 channels, the last alpha if even, as PNG.

    Args:
        provenance: ASCII JSON for the text chunk `caflow`; XMP is written beside it.
        directories: EXIF, as for `as_exif`.
    """
    options = {"exif": as_exif(directories)} if directories else {}
    texts = PngImagePlugin.PngInfo()
    if provenance:
        texts.add_text(PROVENANCE_KEY, provenance)
        texts.add_itxt(_PNG_XMP, _XMP)
    return _saved(image, format="PNG", pnginfo=texts, **options)


def _saved(image: Pixels, **options: Any) -> bytes:
    if image.shape[2:] == (1,):
        image = image[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, **options)
    return buffer.getvalue()


def write_png(path: Path, image: Pixels) -> None:
    """Write `encode_png(image)` with `atomic_write`; same errors."""
    atomic_write(path, encode_png(image))
