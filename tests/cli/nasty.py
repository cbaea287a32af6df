"""A folder of pictures that programs stumble over, made from nothing."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from image_files import encoded, linear_profile, png_of_16_bits, tiff_of_16_bits
from PIL import Image, ImageCms

# A picture without symmetry, 8 wide and 6 high, so that a turn shows.
PHOTO = (
    np.add.outer(np.arange(6) * 20, np.arange(8) * 12)[..., None] + np.array([10, 40, 0])
).astype(np.uint8)
ALPHA = np.tile(np.array([0, 0, 60, 200, 255, 255, 255, 255], np.uint8), (6, 1))


@dataclass(frozen=True)
class Case:
    """One file: what it is, how it is made, what must become of it.

    Attributes:
        what: For the table.
        make: Writes it.
        error: A part of the message; None where it must succeed; "" where it is left out.
        size: Of the input as it is seen, width and height.
        alpha: Whether the result is transparent somewhere.
    """

    what: str
    make: Callable[[Path], object]
    error: str | None = None
    size: tuple[int, int] = (8, 6)
    alpha: bool = False


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def picture(image: np.ndarray | Image.Image, format: str = "PNG", **options) -> Callable:
    return content(encoded(image, format, **options))


def frames(format: str, count: int = 3) -> Callable[[Path], object]:
    images = [Image.fromarray(np.roll(PHOTO, shift, 0)) for shift in range(count)]
    return picture(images[0], format, save_all=True, append_images=images[1:])


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def exif(orientation: int) -> Image.Exif:
    result = Image.Exif()
    result[0x0112] = orientation
    return result


def with_alpha(image: np.ndarray, mode: str = "RGBA") -> Image.Image:
    result = Image.fromarray(image).convert(mode[:-1])
    result.putalpha(Image.fromarray(ALPHA))
    return result


def unreadable(path: Path) -> None:
    path.write_bytes(encoded(PHOTO))
    path.chmod(0)


def cut(format: str, **options) -> Callable[[Path], object]:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = encoded(noise, format, **options)
    return content(data[: len(data) // 2])


def bomb() -> bytes:
    """A PNG that says it has 60,000 × 60,000 pixels."""
    data = bytearray(encoded(PHOTO))
    struct.pack_into(">II", data, 16, 60_000, 60_000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


def deep(channels: int) -> np.ndarray:
    stored = PHOTO.astype(np.uint16) * 257
    alpha = ALPHA.astype(np.uint16)[..., None] * 257
    return np.concatenate([stored, alpha], 2)[..., :channels]


def premultiplied() -> bytes:
    straight = deep(4).astype(np.uint32)
    straight[..., :3] = straight[..., :3] * straight[..., 3:] // 65535
    return tiff_of_16_bits(straight.astype(np.uint16), "<", 1)


def large(path: Path) -> None:
    """A photo of 5,472 × 3,648 pixels, 20 million."""
    Image.fromarray(PHOTO).resize((5472, 3648)).save(path, quality=60)


PALETTE = Image.fromarray(PHOTO).quantize(16)
GREY = Image.fromarray(PHOTO).convert("L")
LAB = ImageCms.applyTransform(
    Image.fromarray(PHOTO),
    ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    ),
)

# By path in the folder.
CASES: dict[str, Case] = {
    # names and places
    "-dash.png": Case("a name with a leading dash", picture(PHOTO)),
    "100% 'sure' & $HOME.png": Case("quotes, spaces and shell signs in a name", picture(PHOTO)),
    "two\nlines.png": Case("a line break in a name", picture(PHOTO)),
    "фото ß 日本.png": Case("a name in Unicode", picture(PHOTO)),
    os.fsdecode(b"latin-1 \xe9.png"): Case("a name that is not UTF-8", picture(PHOTO)),
    "x" * 245 + ".png": Case("a name too long to be lengthened", picture(PHOTO), "cannot write"),
    "img2.png": Case("img2.png, before …", picture(PHOTO)),
    "img10.png": Case("… img10.png", picture(PHOTO)),
    "UPPER.PNG": Case("a suffix in capitals", picture(PHOTO)),
    "same.jpg": Case("same.jpg …", picture(PHOTO, "JPEG")),
    "same.png": Case("… beside same.png", picture(PHOTO)),
    "folder.png/inside.png": Case("a picture in a folder called folder.png", picture(PHOTO)),
    "link.png": Case("a link to a picture", link("img2.png")),
    "loop": Case("a link to the folder itself", link("."), ""),
    "self.png": Case("a link to itself", link("self.png"), "cannot read"),
    "gone.png": Case("a link to nothing", link("nowhere.png"), "no file"),
    "pipe.png": Case("a named pipe", os.mkfifo, "not a regular file"),
    "secret.png": Case("an unreadable file", unreadable, "cannot read"),
    ".hidden.png": Case("a hidden file", picture(PHOTO), ""),
    "notes.txt": Case("a text", content(b"buy milk"), ""),
    "img2_superres.png": Case("an earlier result, beside its picture", picture(PHOTO), ""),
    # what the suffix does not say
    "jpeg.png": Case("a JPEG called .png", picture(PHOTO, "JPEG")),
    "text.jpg": Case("a text called .jpg", content(b"<html>404</html>"), "not an image"),
    "empty.png": Case("an empty file", content(b""), "empty (0 bytes)"),
    "zeros.png": Case("zeros", content(bytes(4096)), "not an image"),
    "cut.png": Case("a truncated PNG", cut("PNG"), "damaged or truncated"),
    "cut.jpg": Case("a truncated JPEG", cut("JPEG"), "damaged or truncated"),
    "cut.webp": Case("a truncated WebP", cut("WEBP"), "damaged or truncated"),
    "cut.tif": Case("a truncated TIFF", cut("TIFF", compression="tiff_lzw"), "damaged or"),
    "cut.gif": Case("a truncated GIF", cut("GIF"), "damaged or truncated"),
    # size
    "bomb.png": Case("a PNG that claims 60,000 × 60,000 pixels", content(bomb()), "pixels"),
    "20-megapixel.jpg": Case("a photo of 5,472 × 3,648 pixels", large, "pixels"),
    "one.png": Case("one pixel", picture(PHOTO[:1, :1]), size=(1, 1)),
    "thin.png": Case("one pixel wide", picture(PHOTO[:, :1]), size=(1, 6)),
    # transparency
    "alpha.png": Case("RGBA", picture(with_alpha(PHOTO)), alpha=True),
    "alpha-16.png": Case("RGBA of 16 bits", content(png_of_16_bits(deep(4), 6)), alpha=True),
    "alpha-grey.png": Case("grey with alpha", picture(with_alpha(PHOTO, "LA")), alpha=True),
    "alpha-opaque.png": Case("RGBA, opaque", picture(Image.fromarray(PHOTO).convert("RGBA"))),
    "alpha-nothing.png": Case(
        "RGBA, transparent throughout",
        picture(np.dstack([PHOTO, np.zeros((6, 8), np.uint8)])),
        alpha=True,
    ),
    "alpha-palette.png": Case(
        "a palette with transparent entries",
        picture(PALETTE, transparency=bytes(range(0, 256, 16))),
        alpha=True,
    ),
    "alpha-premultiplied.tif": Case(
        "TIFF, alpha premultiplied, 16 bits", content(premultiplied()), alpha=True
    ),
    "alpha.webp": Case(
        "WebP with alpha", picture(with_alpha(PHOTO), "WEBP", lossless=True), alpha=True
    ),
    # colour
    "grey.png": Case("grey", picture(GREY)),
    "grey-16.png": Case("grey of 16 bits", picture(deep(1)[..., 0])),
    "colour-16.png": Case("colour of 16 bits, PNG", content(png_of_16_bits(deep(3), 2))),
    "colour-16.tif": Case("colour of 16 bits, TIFF", content(tiff_of_16_bits(deep(3), ">"))),
    "planes-16.tif": Case(
        "TIFF of 16 bits, plane by plane",
        content(tiff_of_16_bits(deep(3), planar=True)),
        "plane by plane",
    ),
    "floats.tif": Case(
        "a TIFF of floats", picture(PHOTO[..., 0] / np.float32(255), "TIFF"), "floats"
    ),
    "bits.png": Case("1 bit", picture(GREY.convert("1"))),
    "palette.png": Case("a palette", picture(PALETTE)),
    "still.gif": Case("a GIF of one frame", picture(PALETTE, "GIF")),
    "cmyk.jpg": Case("CMYK", picture(Image.fromarray(PHOTO).convert("CMYK"), "JPEG")),
    "lab.tif": Case("LAB", picture(LAB, "TIFF")),
    "linear.png": Case(
        "an ICC profile without gamma", picture(PHOTO, icc_profile=linear_profile())
    ),
    "profile.png": Case("a broken ICC profile", picture(PHOTO, icc_profile=b"no profile")),
    # metadata, frames
    "turned.jpg": Case("EXIF orientation 6", picture(PHOTO, "JPEG", exif=exif(6)), size=(6, 8)),
    "exif.png": Case("broken EXIF", picture(PHOTO, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "camera.jpg": Case(
        "a camera's JPEG with a preview",
        frames("MPO", 2),
    ),
    **{
        f"frames.{suffix}": Case(
            f"{what} of three",
            frames(format),
        )
        for suffix, format, what in (
            ("gif", "GIF", "a GIF"),
            ("png", "PNG", "an animated PNG"),
            ("webp", "WEBP", "an animated WebP"),
            ("tif", "TIFF", "TIFF pages"),
        )
    },
}


def make_folder(root: Path) -> None:
    """All cases, under `root`."""
    for name, case in CASES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        case.make(path)
