"""Opening of pictures, with all refusals that need no decoded pixels."""

from __future__ import annotations

import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from ..errors import CaflowError

__all__ = [
    "MAX_BYTES",
    "damaged",
    "load_pixels",
    "no_file",
    "open_picture",
    "quietly",
    "read_source",
]

# Named, so that no plugin that starts other programs (EPS) ever sees a file.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
_COMPLETE = "give a complete PNG, JPEG, WebP, BMP or TIFF file"
_BITS_PER_SAMPLE, _PLANAR_CONFIGURATION = 258, 284  # TIFF tags
# Errors raised say it; a program that asks for Pillow's log still gets it.
logging.getLogger("PIL").addHandler(logging.NullHandler())
MAX_BYTES = 2**30  # more than the pixel limit needs at 64 bits a pixel
# `warnings.catch_warnings` swaps process-wide state, and data sets are read by threads.
_warnings_lock = threading.Lock()


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress warnings about damaged metadata; raise those about decompression bombs."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


class _Mute:
    """A context without stderr for the whole process, because C code writes there.

    Several threads may be in it. The first to enter silences stderr, and the last to leave restores
    it.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._kept: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                with suppress(OSError):  # a closed stderr, or no descriptor to be had
                    self._divert()

    def _divert(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            self._kept = os.dup(2)
            os.dup2(nowhere, 2)
        finally:
            os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._kept is not None:
                os.dup2(self._kept, 2)
                os.close(self._kept)
                self._kept = None


_mute = _Mute()


def load_pixels(picture: Image.Image) -> None:
    """Decode the pixels, without libtiff's messages about damaged files. Errors are Pillow's."""
    if getattr(picture, "use_load_libtiff", False):
        with _mute:
            picture.load()
    else:
        picture.load()


def no_file(label: str) -> CaflowError:
    """The error of a file that does not exist."""
    return CaflowError(f"no file {label!r}", "check the path for a typing error")


def damaged(label: str) -> CaflowError:
    return CaflowError(f"{label!r} is damaged or truncated", _COMPLETE)


def read_source(source: str | Path | BinaryIO, name: str | None) -> tuple[bytes, str]:
    """Read all bytes of a source; also return its name. CaflowError (exit 1) if that fails."""
    if isinstance(source, str | Path):
        label = name or str(source)
        try:
            with Path(source).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise no_file(label) from None
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
            data = source.read(MAX_BYTES + 1)
        except OSError as error:
            raise CaflowError(f"cannot read {label!r}: {error}", _COMPLETE) from error
    if not data:
        raise CaflowError(f"{label!r} is empty (0 bytes)", _COMPLETE)
    if len(data) > MAX_BYTES:
        raise CaflowError(
            f"{label!r} has more than {MAX_BYTES >> 20} MiB", "crop or shrink the picture first"
        )
    return data, label


def open_picture(data: bytes, label: str, frame: int | None = None) -> tuple[Image.Image, int]:
    """Open a picture at one of its frames, without decoding; also return the number of frames.

    Args:
        frame: From 1. It has no effect on still pictures. None: refuse animations and several
            pages.

    Raises:
        CaflowError: (exit 1) it is not a picture or is damaged, has too many pixels, or has no such
            frame.
    """
    try:
        with quietly():
            picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        # Before the pixels: counting pages moves through a TIFF, which then decodes again.
        frames = getattr(picture, "n_frames", 1)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise CaflowError(
            f"{label!r} has more than {Image.MAX_IMAGE_PIXELS} pixels",
            "crop or shrink the picture first",
        ) from error
    except UnidentifiedImageError as error:
        if data.startswith(_MAGIC):
            raise damaged(label) from error
        raise CaflowError(
            f"{label!r} is not a picture", "convert it to PNG, JPEG, WebP, BMP, TIFF or GIF"
        ) from error
    except Exception as error:  # plugins raise whatever a broken file leads them to
        raise damaged(label) from error
    if _deep_planes(picture):
        raise CaflowError(
            f"{label!r} stores 16-bit colours plane by plane, uncompressed",
            "save it with interleaved pixels, or compressed",
        )
    # MPO is a camera's JPEG with previews behind the picture.
    if frames == 1 or picture.format == "MPO":
        return picture, frames
    if frame is None:
        raise CaflowError(f"{label!r} has {frames} frames", f"--frame N takes one, 1 to {frames}")
    if frame > frames:
        raise CaflowError(f"{label!r} has {frames} frames, no frame {frame}", f"--frame {frames}")
    try:
        picture.seek(frame - 1)
    except Exception as error:
        raise damaged(label) from error
    return picture, frames


def _deep_planes(picture: Image.Image) -> bool:
    """Whether a TIFF has 16-bit planes, which Pillow reads as 8-bit ones and decodes to noise."""
    return (
        isinstance(picture, TiffImagePlugin.TiffImageFile)
        and picture.tag_v2.get(_PLANAR_CONFIGURATION) == 2
        and max(picture.tag_v2.get(_BITS_PER_SAMPLE, (8,))) > 8
        and not picture.use_load_libtiff
    )
