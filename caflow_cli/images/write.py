"""Encode images: formats, their limits, and the provenance in files."""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, features
from PIL.PngImagePlugin import putchunk

from ..errors import check_usage, ensure
from .atomic import atomic_write
from .colour import Pixels, strips

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
DESCRIPTION = 0x010E  # EXIF tag
_TIFF_XMP = 700
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


@dataclass(frozen=True)
class Encoder:
    """Encodes results in one format.

    Attributes:
        format: A key of `FORMATS`.
        quality: 1 to 100. Default 95 for JPEG and 90 for AVIF, which always have full colour
            resolution (4:4:4). WebP is lossless unless a quality is given.
        provenance: Whether to write provenance, and XMP beside it.

    Raises:
        CaflowError: (exit 2) the format is unknown, Pillow cannot write it here, or it does not
            support this quality.
    """

    format: str = "png"
    quality: int | None = None
    provenance: bool = True

    def __post_init__(self) -> None:
        known = ", ".join(FORMATS)
        q = self.quality
        for fits, message, hint in (
            (self.format in FORMATS, f"unknown format {self.format!r}", f"--format {known}"),
            (
                self.format != "avif" or bool(features.check("avif")),
                "this installation of Pillow cannot write AVIF",
                "pip install -U pillow",
            ),
            (
                q is None or self.format in _MAX_SIDE,
                f"{self.format} is lossless and has no quality",
                f"--format jpg --quality {q}",
            ),
            (q is None or 1 <= q <= 100, f"quality {q} is out of range", "--quality 1 to 100"),
        ):
            check_usage(fits, message, hint)

    @property
    def suffix(self) -> str:
        """The suffix of files, with the dot."""
        return FORMATS[self.format][0]

    @property
    def lossless(self) -> bool:
        """Whether decoding returns the same colours."""
        return self.format not in _QUALITY and (self.format != "webp" or self.quality is None)

    @property
    def has_alpha(self) -> bool:
        """Whether the format stores alpha."""
        return self.format != "jpg"

    def encode(
        self, image: Pixels, alpha: Pixels | None = None, provenance: str | None = None
    ) -> bytes:
        """Encode uint8 (H, W, 3), with straight alpha (H, W) if any, to the bytes of a file.

        The pixels are sRGB and get no profile, because untagged images are read as sRGB. JPEG has
        no alpha, so the image is composited over white.

        Args:
            provenance: ASCII JSON, stored in PNG's text chunk `caflow`, else in ImageDescription.

        Raises:
            CaflowError: (exit 1) a side is longer than the format allows.
        """
        height, width = image.shape[:2]
        limit = _MAX_SIDE.get(self.format, max(height, width))
        ensure(
            max(height, width) <= limit,
            f"{width}x{height} is too large for {self.format} (at most {limit} per side)",
            "--format png",
        )
        provenance = provenance if self.provenance else None
        if self.format == "png" and height * width > LARGE:
            return _png_in_strips(image, alpha, provenance)
        if alpha is not None and self.has_alpha:
            image = np.dstack([image, alpha])
        elif alpha is not None:
            a = alpha[..., None].astype(np.uint16)
            on_white = a * image + (255 - a) * 255
            image = ((on_white + 127) // 255).astype(np.uint8)
        if self.format == "png":
            return encode_png(image, provenance)
        exif = Image.Exif()
        options: dict[str, Any] = {"format": "WEBP", "exif": exif}
        if self.format == "tiff":
            options |= {"format": "TIFF", "compression": "tiff_adobe_deflate"}
        elif self.format in _QUALITY:
            options |= {"format": "AVIF", "quality": self.quality or _QUALITY[self.format]}
            options |= {"subsampling": "4:4:4"}
            if self.format == "jpg":
                options |= {"format": "JPEG", "optimize": True}
        elif self.quality is None:
            options |= {"lossless": True, "exact": True}  # keep colours of transparent pixels
        else:
            options |= {"quality": self.quality, "method": 6}
        if provenance:
            exif[DESCRIPTION] = f'{{"{PROVENANCE_KEY}": {provenance}}}'
            if self.format == "tiff":
                exif[_TIFF_XMP] = _XMP.encode()
            else:
                options["xmp"] = _XMP.encode()
        return _saved(image, **options)


def encode_png(image: Pixels, provenance: str | None = None) -> bytes:
    """Encode uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) as a PNG file.

    Args:
        provenance: ASCII JSON for the text chunk `caflow`; XMP is written beside it.
    """
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    return _saved(image, format="PNG", pnginfo=_png_texts(provenance))


def _png_texts(provenance: str | None) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    if provenance:
        chunks.add_text(PROVENANCE_KEY, provenance)
        chunks.add_itxt(_PNG_XMP, _XMP)
    return chunks


def _png_in_strips(image: Pixels, alpha: Pixels | None, provenance: str | None) -> bytes:
    """Encode (H, W, 3), with alpha (H, W) if any, as PNG without the full copy that Pillow makes.

    Every row is stored as its difference to the one above (filter "up").
    """
    height, width = image.shape[:2]
    buffer = io.BytesIO()
    packer = zlib.compressobj()
    color_type, channels = (2, 3) if alpha is None else (6, 4)
    above = np.zeros((1, width * channels), np.uint8)
    buffer.write(b"\x89PNG\r\n\x1a\n")
    putchunk(buffer, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0))
    for name, data, *_ in _png_texts(provenance).chunks:
        putchunk(buffer, name, data)
    for rows in strips(height, width):
        part = image[rows]
        if alpha is not None:
            part = np.dstack([part, alpha[rows]])
        flat = part.reshape(len(part), -1)
        up = flat - np.vstack([above, flat[:-1]])
        above = flat[-1:]
        filters = np.full((len(flat), 1), 2, np.uint8)
        putchunk(buffer, b"IDAT", packer.compress(np.hstack([filters, up]).tobytes()))
    putchunk(buffer, b"IDAT", packer.flush())
    putchunk(buffer, b"IEND")
    return buffer.getvalue()


def _saved(image: Pixels, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, **options)
    return buffer.getvalue()


def write_png(path: Path, image: Pixels) -> None:
    """Write `encode_png(image)` with `atomic_write`; same errors."""
    atomic_write(path, encode_png(image))
