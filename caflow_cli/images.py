"""Pictures in and out: the one decoding policy, PNG with text chunks, atomic writes."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import threading
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from .errors import CaflowError

__all__ = [
    "SUFFIXES",
    "atomic_write",
    "encode_png",
    "make_folder",
    "read_image",
    "read_text_chunk",
    "write_png",
]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})

# Named, so that no plugin that starts other programs (EPS) ever sees a file.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")
_COMPLETE = "give a complete PNG, JPEG, WebP, BMP or TIFF file"
_ORIENTATION = 0x0112  # EXIF tag
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# `warnings.catch_warnings` swaps process-wide state, and data sets are read by threads.
_open_lock = threading.Lock()


def read_image(source: str | Path | BinaryIO, name: str | None = None) -> npt.NDArray[np.uint8]:
    """A picture as sRGB: uint8 (H, W, 3), 0-255.

    EXIF orientation is applied and an embedded ICC profile converted to sRGB (one that is sRGB up
    to rounding leaves the pixels as they are; a broken one is ignored). Grey of 16 bits is rescaled
    by 255/65535 and rounded; colour of 16 bits keeps its high byte. Palette, grey, 1-bit, CMYK and
    LAB are converted. Alpha is dropped: the stored (un-premultiplied) colours come out, also where
    the picture is transparent.

    Args:
        source: A path, or a binary stream that is read to its end.
        name: What errors call the picture; by default the path or the stream's name.

    Raises:
        CaflowError: (exit 1) missing, a folder, unreadable, empty, truncated, not a picture, an
            animation or several pages, more pixels than Pillow's bomb limit, or values with no
            stated range (floats, 32-bit integers).
    """
    data, label = _read(source, name)
    with _open(data, label) as picture:
        profile = picture.info.get("icc_profile")
        # Asked for after the pixels: a PNG may hold EXIF behind them, TIFF turns itself.
        turn = _TRANSPOSE.get(_orientation(picture))
        rgb = _to_srgb(picture, profile, label)
    return np.array(rgb if turn is None else rgb.transpose(turn))


def _read(source: str | Path | BinaryIO, name: str | None) -> tuple[bytes, str]:
    """All bytes of a source, and what to call it."""
    if isinstance(source, str | Path):
        label = name or str(source)
        try:
            data = Path(source).read_bytes()
        except FileNotFoundError:
            raise CaflowError(f"no file {label!r}", "check the path for a typing error") from None
        except IsADirectoryError:
            raise CaflowError(
                f"{label!r} is a folder", f"name a picture in it: {label}/*"
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CaflowError(
                f"cannot read {label!r}: {reason}", "check the path and its permissions"
            ) from error
    else:
        known = getattr(source, "name", None)
        label = name or (known if isinstance(known, str) else "<stream>")
        try:
            data = source.read()
        except OSError as error:
            raise CaflowError(f"cannot read {label!r}: {error}", _COMPLETE) from error
    if not data:
        raise CaflowError(f"{label!r} is empty (0 bytes)", _COMPLETE)
    return data, label


def _open(data: bytes, label: str) -> Image.Image:
    """The decoded picture, whatever its mode; never one of several frames."""
    try:
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        # Before the pixels: counting pages moves through a TIFF, which then decodes again.
        frames = getattr(picture, "n_frames", 1)
        picture.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise CaflowError(
            f"{label!r} has more than {Image.MAX_IMAGE_PIXELS} pixels",
            "crop or shrink the picture first",
        ) from error
    except UnidentifiedImageError as error:
        raise CaflowError(f"{label!r} is not a picture", _COMPLETE) from error
    except Exception as error:  # plugins raise whatever a broken file leads them to
        raise CaflowError(f"{label!r} is damaged or truncated", _COMPLETE) from error
    # MPO is a camera's JPEG with previews behind the picture.
    if frames > 1 and picture.format != "MPO":
        raise CaflowError(
            f"{label!r} has {frames} frames", "save one frame as a PNG and give that file"
        )
    return picture


def _orientation(picture: Image.Image) -> int:
    try:
        with _open_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF is no reason to refuse the pixels
        return 1


def _to_srgb(picture: Image.Image, profile: bytes | None, label: str) -> Image.Image:
    mode = picture.mode
    if mode == "F" or mode.startswith("I"):
        values = np.asarray(picture)
        low, high = values.min(), values.max()
        if mode == "F" or low < 0 or high > 65535:
            kind = "floats" if mode == "F" else "32-bit integers"
            raise CaflowError(
                f"{label!r} holds {kind}, whose range is not known",
                "save it with 8 or 16 bits a channel",
            )
        picture = Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif mode == "LAB":
        return _transform(picture, ImageCms.createProfile("LAB"))
    elif mode in ("LA", "La", "1"):
        picture = picture.convert("L")
    elif mode not in ("RGB", "L", "CMYK"):
        picture = picture.convert("RGB")
    if profile:
        with contextlib.suppress(OSError, ValueError, ImageCms.PyCMSError):
            return _transform(picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    return picture.convert("RGB")


def _transform(picture: Image.Image, profile: Any) -> Image.Image:
    """The picture from `profile` to sRGB; as it is where the profile is sRGB up to rounding."""
    if picture.mode == "L" and profile.profile.xcolor_space.strip() == "RGB":
        picture = picture.convert("RGB")
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        picture.mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if picture.mode in ("RGB", "L"):
        probe = Image.fromarray(_PROBE).convert(picture.mode)
        moved = ImageCms.applyTransform(probe, transform)
        if moved is not None:
            change = np.asarray(moved, np.int16) - np.asarray(probe.convert("RGB"), np.int16)
            if np.abs(change).max() <= 2:
                return picture.convert("RGB")
    converted = ImageCms.applyTransform(picture, transform)
    assert converted is not None  # only in-place calls give None
    return converted


# Every colour of a 9 x 9 x 9 lattice, as a picture of 27 x 27.
_PROBE = np.stack(np.meshgrid(*[np.linspace(0, 255, 9).astype(np.uint8)] * 3), -1).reshape(
    27, 27, 3
)


def encode_png(image: npt.NDArray[np.uint8], text: dict[str, str] | None = None) -> bytes:
    """A PNG file of uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    Args:
        text: Text chunks by keyword: tEXt, or iTXt for what Latin-1 cannot write.

    Raises:
        ValueError: Another dtype or shape.
    """
    if image.dtype != np.uint8:
        raise ValueError(f"a PNG is written from uint8, not {image.dtype}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] in (3, 4)):
        raise ValueError(f"a picture is (H, W) or (H, W, 1, 3 or 4), not {image.shape}")
    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        chunks.add_text(key, value)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def write_png(path: Path, image: npt.NDArray[np.uint8], text: dict[str, str] | None = None) -> None:
    """Write `encode_png(image, text)` by `atomic_write`, with its errors."""
    atomic_write(path, encode_png(image, text))


def read_text_chunk(path: Path, key: str) -> str | None:
    """The text chunk of that keyword; None where there is none or the file is no PNG.

    Raises:
        CaflowError: As `read_image`, for a file that cannot be read or decoded.
    """
    data, label = _read(path, None)
    with _open(data, label) as picture:
        if not isinstance(picture, PngImagePlugin.PngImageFile):
            return None
        value = picture.text.get(key)
    return None if value is None else str(value)


def make_folder(path: Path) -> None:
    """Create a folder and its parents. CaflowError where that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaflowError(
            f"cannot create the folder {str(path)!r}: {error.strerror}", "choose another -o"
        ) from error


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old one or all of the new one.

    A temporary file in the same folder is written, synced and renamed; it is removed on any error.
    The mode follows the umask. Links are followed; devices and pipes are written directly.

    Raises:
        CaflowError: (exit 1) the path cannot be written.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _write_and_rename(target, data)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise CaflowError(
            f"cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}",
            f"mkdir -p {Path(path).parent}" if missing else "choose another output path",
        ) from error


def _write_and_rename(target: Path, data: bytes) -> None:
    # Opened by hand: `tempfile` would give the file mode 0600.
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
