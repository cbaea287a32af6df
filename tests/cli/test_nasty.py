"""A folder of everything that goes wrong, through the program as a user runs it."""

import hashlib
import json
import os
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded, png_of_16_bits
from PIL import Image

from .inprocess import captured
from .scenes import ALPHA, PHOTO

if sys.platform != "linux":
    pytest.skip("pipes, links and names that others do not have", allow_module_level=True)

PHOTO, ALPHA = PHOTO[:6], ALPHA[:6]  # 8 wide and 6 high, so that a turn shows


@dataclass(frozen=True)
class Case:
    """One file: how it is made, and what must become of it."""

    make: Callable[[Path], object]
    error: str | None = None  # a part of the message; None: it must succeed; "": it is left out
    size: tuple[int, int] = (8, 6)  # of the input as it is seen, width and height
    alpha: bool = False  # whether the result is transparent somewhere


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def file_of(image: np.ndarray | Image.Image, format: str = "PNG", **options) -> Callable:
    return content(encoded(image, format, **options))


def frames(format: str) -> Callable[[Path], object]:
    images = [Image.fromarray(np.roll(PHOTO, shift, 0)) for shift in range(3)]
    return file_of(images[0], format, save_all=True, append_images=images[1:])


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def unreadable(path: Path) -> None:
    path.write_bytes(encoded(PHOTO))
    path.chmod(0)


def cut(format: str) -> Callable[[Path], object]:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = encoded(noise, format)
    return content(data[: len(data) // 2])


def bomb() -> bytes:
    """A PNG that says it has 60,000 × 60,000 pixels."""
    data = bytearray(encoded(PHOTO))
    struct.pack_into(">II", data, 16, 60_000, 60_000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


def large(path: Path) -> None:
    """A photo of 5,472 × 3,648 pixels, 20 million."""
    Image.fromarray(PHOTO).resize((5472, 3648)).save(path, quality=60)


TURNED = Image.Exif()
TURNED[0x0112] = 6
DEEP = PHOTO.astype(np.uint16) * 257

# By path in the folder. What kinds of images become is tested with their reader.
CASES: dict[str, Case] = {
    "-dash.png": Case(file_of(PHOTO)),
    "100% 'sure' & $HOME.png": Case(file_of(PHOTO)),
    "two\nlines.png": Case(file_of(PHOTO)),
    "фото ß 日本.png": Case(file_of(PHOTO)),
    os.fsdecode(b"latin-1 \xe9.png"): Case(file_of(PHOTO)),
    "x" * 245 + ".png": Case(file_of(PHOTO), "cannot write"),
    "img2.png": Case(file_of(PHOTO)),
    "img10.png": Case(file_of(PHOTO)),
    "UPPER.PNG": Case(file_of(PHOTO)),
    "same.jpg": Case(file_of(PHOTO, "JPEG")),
    "same.png": Case(file_of(PHOTO)),
    "folder.png/inside.png": Case(file_of(PHOTO)),
    "link.png": Case(link("img2.png")),
    "loop": Case(link("."), ""),
    "self.png": Case(link("self.png"), "cannot read"),
    "gone.png": Case(link("nowhere.png"), "no file"),
    "pipe.png": Case(os.mkfifo, ""),
    "secret.png": Case(unreadable, "cannot read"),
    ".hidden.png": Case(file_of(PHOTO), ""),
    "notes.txt": Case(content(b"buy milk"), ""),
    "img2_superres.png": Case(file_of(PHOTO), ""),
    # what the suffix does not say
    "jpeg.png": Case(file_of(PHOTO, "JPEG")),
    "text.jpg": Case(content(b"<html>404</html>"), "not an image"),
    "empty.png": Case(content(b""), "empty (0 bytes)"),
    **{f"cut.{kind}": Case(cut(kind), "damaged or truncated") for kind in ("png", "webp", "tiff")},
    "bomb.png": Case(content(bomb()), "pixels"),
    "20-megapixel.jpg": Case(large, "pixels"),
    "floats.tif": Case(file_of(PHOTO[..., 0] * np.float32(3), "TIFF"), "floats"),
    # kinds
    "one.png": Case(file_of(PHOTO[:1, :1]), size=(1, 1)),
    "thin.png": Case(file_of(PHOTO[:, :1]), size=(1, 6)),
    "alpha.png": Case(file_of(np.dstack([PHOTO, ALPHA])), alpha=True),
    "alpha-nothing.png": Case(file_of(np.dstack([PHOTO, 0 * ALPHA])), alpha=True),
    "alpha-opaque.png": Case(file_of(np.dstack([PHOTO, 0 * ALPHA + 255]))),
    "gray.png": Case(file_of(PHOTO[..., 0])),
    "gray-16.png": Case(file_of(DEEP[..., 0])),
    "color-16.png": Case(content(png_of_16_bits(DEEP, 2))),
    "palette.gif": Case(file_of(Image.fromarray(PHOTO).quantize(16), "GIF")),
    "cmyk.jpg": Case(file_of(Image.fromarray(PHOTO).convert("CMYK"), "JPEG")),
    "profile.png": Case(file_of(PHOTO, icc_profile=b"no profile")),
    "exif.png": Case(file_of(PHOTO, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "turned.jpg": Case(file_of(PHOTO, "JPEG", exif=TURNED), size=(6, 8)),
    "frames.png": Case(frames("PNG")),
    "pages.tif": Case(frames("TIFF")),
}


def tree(root: Path) -> dict[str, str]:
    """Every path under a folder: its kind, and the digest of what it holds."""
    found = {}
    for path in root.rglob("*"):
        if path.is_symlink():
            state = f"link to {path.readlink()}"
        elif path.is_file() and os.access(path, os.R_OK):
            state = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            state = "folder" if path.is_dir() else "pipe, or unreadable"
        found[os.path.relpath(path, root)] = f"{state} {path.lstat().st_mtime_ns}"
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory, model_file):
    """The folder, what was in it before, the result, and its lines by input."""
    root = tmp_path_factory.mktemp("nasty")
    for name, case in CASES.items():
        path = root / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        case.make(path)
    before = tree(root / "in")
    shared = ("superres", "in", "-r", "-o", "out/", "-m", 1, "--json", "--model", model_file)
    result = captured(root, *shared)
    lines = map(json.loads, result.stdout.splitlines())
    return root, before, result, {os.path.relpath(line["input"], "in"): line for line in lines}


def test_every_file_gives_an_image_or_a_reason(run):
    root, _, result, lines = run
    assert result.returncode == 1
    assert lines.keys() == {name for name, case in CASES.items() if case.error != ""}
    for name, line in lines.items():
        case = CASES[name]
        if name == "secret.png" and os.access(root / "in" / name, os.R_OK):
            continue  # root reads everything
        if case.error:
            assert case.error in line["error"]["message"], line
            assert line["error"]["hint"]
            assert line["error"]["code"] == 1
            continue
        assert line["status"] == "ok", line
        (output,) = line["outputs"]
        assert Path(output["path"]).parent == Path("out") / Path(name).parent
        with Image.open(root / output["path"]) as image:
            assert image.size == (4 * case.size[0], 4 * case.size[1]), name
            gray = "I;16" if "16" in name else "L"
            colors = gray if "gray" in name else "RGB"
            assert image.mode == colors + ("A" if case.alpha else ""), name
        assert output["score_exact"] is not case.alpha


def test_nothing_is_changed_lost_or_left_behind(run):
    root, before, _, lines = run
    assert tree(root / "in") == before
    written = {
        root / output["path"] for line in lines.values() for output in line.get("outputs", [])
    }
    assert {path for path in (root / "out").rglob("*") if path.is_file()} == written
    assert {path.name for path in root.iterdir()} == {"in", "out"}


def test_messages_are_plain_and_in_natural_order(run):
    _, _, result, lines = run
    assert b"Traceback" not in result.stderr
    assert b"this is a bug" not in result.stderr
    said = result.stderr.decode().splitlines()
    kinds = [line.split(":")[0] for line in said]
    failed = sum(line["status"] == "error" for line in lines.values())
    assert kinds.count("error") == kinds.count("hint") == failed
    assert "in: files of other kinds left out: 2" in said
    assert "results, masks and infrared channels of other inputs left out: 1" in said
    inputs = list(lines)
    assert inputs.index("img2.png") + 1 == inputs.index("img10.png")


def test_what_is_the_same_image_is_the_same_sample(run):
    def pixels(name: str) -> np.ndarray:
        return np.asarray(Image.open(run[0] / "out" / name).convert("RGB"))

    for name in (
        *("-dash", "UPPER", "link", "exif", "profile"),
        *("alpha-opaque", "same_png", "folder.png/inside"),
    ):
        np.testing.assert_array_equal(pixels(f"{name}_superres.png"), pixels("img2_superres.png"))
