"""Files from strangers: readers, files that they read, and ways to damage these."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from caflow_cli.config import Config, FlowConfig, TaskConfig
from caflow_cli.data.examples import keep, open_split
from caflow_cli.errors import CaflowError
from caflow_cli.hub.manifest import load_manifest, manifest_path
from caflow_cli.images import decode, encode_png, read_image, read_provenance
from caflow_cli.model import CAFlow
from caflow_cli.records import read_toml
from caflow_cli.training.config import to_toml
from caflow_cli.training.resolve import build_config

from ..image_files import linear_profile, png_of_16_bits, tiff_of_16_bits

_ENDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_NUMBERS = (0, 1, -1, 2, 3, 64, 2**31, 2**53, 2**64, 10**30, 0.5, -0.0, 1e308, 1e-320)
_TEXTS = ("", "superres", "shared", "../x", "F32", "F64", "\ud800", "x" * 5000)
_VALUES: tuple[Any, ...] = (None, True, False, *_NUMBERS, *_TEXTS, [], {}, [[[]]], [0] * 50)
_TOKENS = (*(b"../", b"\0", b"{", b"}", b"[", b'"', b"null"), b"-1", b"1e999", b"NaN", b"\xff")


def mutated(seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """One of the seeds, changed in one place to a few."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 8, 64))
        kind = rng.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + 1] = rng.randbytes(1)
        elif kind == 2:
            size = rng.choice((1, 2, 4))
            value = rng.choice(_ENDS) & (1 << 8 * size) - 1
            data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length] * rng.choice((1, 2, 20))
        elif kind == 5:
            del data[at:]
        elif kind == 6:
            other = rng.choice(seeds)
            start = rng.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        else:
            data[at:at] = rng.choice(_TOKENS)
    return bytes(data)


def resealed_png(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks put right, so that what was changed is read."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, at = bytearray(data[:8]), 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(out)


def other_json(data: bytes, rng: random.Random) -> bytes:
    """A JSON text with one of its values, keys or items changed; other bytes as they are."""
    try:
        value = json.loads(data)
        for _ in range(rng.choice((1, 1, 2))):
            value = _other(value, rng)
        return json.dumps(value).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return data


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, str) and value.startswith("{") and rng.random() < 0.9:
        return other_json(value.encode(), rng).decode(errors="replace")
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return copy.deepcopy(rng.choice(_VALUES))  # what is changed next must not be the table
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = rng.choice(keys)
    kind = rng.randrange(8)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value[str(rng.choice(_VALUES))] = value[key]
    elif kind == 1:
        value += [value[key]] * rng.choice((1, 100))
    elif kind == 2 and isinstance(value[key], int | float):
        value[key] = value[key] * rng.choice((-1, 0, 2, 0.5, 1000))
    else:
        value[key] = _other(value[key], rng)
    return value


def other_safetensors(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file with its header changed as by `other_json`."""
    (length,) = struct.unpack_from("<Q", data.ljust(8, b"\0"))
    if length > len(data) - 8:
        return data
    header = other_json(data[8 : 8 + length], rng)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


_PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Target:
    """A reader, and files that it can read."""

    read: Callable[[Path], object]  # CaflowError is how it refuses a file
    seeds: Callable[[], list[bytes]]
    reseal: Callable[[bytes], bytes] = bytes  # puts right what is noticed first: checksums
    change: Callable[[bytes, random.Random], bytes] | None = None  # by the format
    full: int = 400  # how many damaged files `-m soak` tries

    def damaged(self, seeds: Sequence[bytes], rng: random.Random) -> bytes:
        """One of the files, changed."""
        if self.change is not None and rng.random() < 0.6:
            return self.change(rng.choice(seeds), rng)
        data = mutated(seeds, rng)
        return self.reseal(data) if rng.random() < 0.75 else data


def finding(target: Target, data: bytes, folder: Path) -> str | None:
    """Where a reader failed otherwise than by `CaflowError`, and with what; None: it did not."""
    path = folder / "file"
    path.write_bytes(data)
    try:
        target.read(path)
    except CaflowError as error:
        for text in (error.message, error.hint):
            if not text or "\n" in text:
                return f"CaflowError of {text!r}"
    except (Exception, RecursionError, MemoryError) as error:
        trace = error.__traceback__
        place = ""
        while trace is not None:
            code = trace.tb_frame.f_code
            if "caflow_cli" in code.co_filename:
                place = f"{Path(code.co_filename).name}:{code.co_name}"
            trace = trace.tb_next
        return f"{type(error).__name__} in {place}"
    return None


def _read_image(path: Path) -> None:
    provenance = read_provenance(path)
    assert provenance is None or isinstance(provenance, dict)
    found = read_image(path)
    assert found.dtype == np.uint8
    assert found.shape[2] == 3


def _images() -> list[bytes]:
    photo = Image.fromarray(_PIXELS)
    alpha = photo.convert("RGBA")
    alpha.putalpha(100)
    deep = _PIXELS.astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = '{"caflow": {"model": {"id": "x", "sha256": "0"}}}'
    several = {"save_all": True, "append_images": [photo.rotate(90)]}
    kinds: list[tuple[Image.Image, str, dict]] = [
        (photo, "PNG", {"icc_profile": linear_profile()[:1024]}),
        (alpha, "PNG", {"exif": exif}),
        (photo.convert("P"), "PNG", {"transparency": 3}),
        (photo, "JPEG", {"exif": exif}),
        (photo.convert("CMYK"), "JPEG", {"progressive": True}),
        (photo, "TIFF", {"compression": "tiff_lzw"}),
        (photo, "TIFF", {"compression": "tiff_adobe_deflate", "exif": exif}),
        (alpha, "WEBP", {"lossless": True, "exif": exif}),
        *((photo, format, several) for format in ("PNG", "MPO", "WEBP", "GIF")),
        *((photo, format, {}) for format in ("BMP", "PPM", "JPEG2000")),
    ]
    files = [
        png_of_16_bits(deep, 2, (1, 2, 3)),
        tiff_of_16_bits(deep, ">"),
        tiff_of_16_bits(deep, "<", planar=True),
        encode_png(_PIXELS, '{"model": {"id": "x", "sha256": "0"}}'),
    ]
    for image, format, options in kinds:
        buffer = io.BytesIO()
        with contextlib.suppress(OSError, KeyError):  # a Pillow that was built without the format
            image.save(buffer, format, **options)
            files.append(buffer.getvalue())
    return files


def _read_full(path: Path) -> None:
    provenance = read_provenance(path)
    assert provenance is None or isinstance(provenance, dict)
    with path.open("rb") as file:
        found = decode(file)
    assert found.image.values.dtype in (np.uint8, np.uint16, np.float32)
    assert found.image.shown.shape == found.image.values.shape


def _deep_tiffs() -> list[bytes]:
    values = np.random.default_rng(1).integers(0, 65536, (21, 33, 4), dtype=np.uint16)
    gray = values[..., 0]
    rgb = values[..., :3]
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    kinds: list[tuple[np.ndarray, dict]] = [
        (gray, {"compression": "lzw", "predictor": True}),
        (rgb, {"compression": "zlib", "predictor": True, "rowsperstrip": 4}),
        (rgb, {"compression": "zstd", "tile": (16, 16), "iccprofile": linear_profile()}),
        (values, {"compression": "packbits", "extrasamples": ["unspecified"]}),
        (values, {"extrasamples": ["assocalpha"], "bigtiff": True}),
        (planes, {"planarconfig": "separate", "photometric": "rgb", "compression": "lzw"}),
        ((rgb / 65535).astype(np.float32), {"compression": "zlib", "predictor": 3}),
        (rgb, {"description": "of", "resolution": (300, 300), "extratags": [(274, 3, 1, 6, True)]}),
    ]
    files = []
    for image, options in kinds:
        buffer = io.BytesIO()
        options = {
            "metadata": None,
            "photometric": "minisblack" if image is gray else "rgb",
        } | options
        tifffile.imwrite(buffer, image, **options)
        files.append(buffer.getvalue())
    two = io.BytesIO()
    with tifffile.TiffWriter(two) as writer:  # a chain of directories
        for _ in range(3):
            writer.write(gray, metadata=None, photometric="minisblack")
    return [*files, two.getvalue(), tiff_of_16_bits(rgb, ">")]


def _deep_pngs() -> list[bytes]:
    values = np.random.default_rng(1).integers(0, 65536, (21, 33, 4), dtype=np.uint16)
    return [
        png_of_16_bits(values[..., :1], 0, (7,)),
        png_of_16_bits(values[..., :3], 2, (1, 2, 3)),
        png_of_16_bits(values[..., :2], 4),
        png_of_16_bits(values, 6),
    ]


def _read_zip(path: Path) -> None:
    archive = path.with_suffix(".zip")
    archive.write_bytes(path.read_bytes())
    refused = []
    for role in ("images", "pairs"):
        try:
            with open_split(archive, "train", 4, role=role) as examples:
                keep(examples, 2**30, str(archive))
        except CaflowError as error:
            refused.append(error)
    if len(refused) == 2:
        raise refused[0]


def _zips() -> list[bytes]:
    files = []
    for name, method in (
        ("{}.png", zipfile.ZIP_STORED),
        ("фото/{}.png", zipfile.ZIP_DEFLATED),
        ("train/{}.png", zipfile.ZIP_DEFLATED),
        ("set/A/{}.png", zipfile.ZIP_BZIP2),
        ("{}.png", zipfile.ZIP_LZMA),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for role in ("A", "B") if "A" in name else ("",):
                for k in range(4):
                    archive.writestr(name.replace("A", role).format(k), encode_png(_PIXELS))
        files.append(buffer.getvalue())
    return files


_FLOW = FlowConfig(scales=1, r_steps=1, t_steps=1, f_steps=1, hidden=1, f_hidden=1)


def _models() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        CAFlow(Config(_FLOW, TaskConfig(size=8))).save(Path(folder) / "x", {"images": 1})
        return [(Path(folder) / "x").read_bytes()]


def _manifests() -> list[bytes]:
    return [manifest_path().read_bytes(), b'{"schema": 1, "models": {}}']


def _read_run_config(path: Path) -> None:
    values = {"optim": {}, **read_toml(path)}
    if isinstance(values["optim"], dict) and not {"images", "minutes"} & values["optim"].keys():
        values["optim"]["images"] = 1
    run = build_config({"data": "no/such/data", "out": "out", "hold_out": "20+", **values})
    path.write_text(to_toml(run), encoding="utf-8")
    assert build_config(read_toml(path)) == run


def _run_configs() -> list[bytes]:
    flow = {"hidden": [4, 8, 16], "conditional": "shared"}
    values = {"data": "d", "out": "o", "optim": {"minutes": 2.5}, "flow": flow}
    return [to_toml(build_config(values)).encode(), b'data = "d"\n[task]\nname = "colorize"\n']


TARGETS = {
    "image": Target(_read_image, _images, resealed_png),
    "deep-tiff": Target(_read_full, _deep_tiffs, full=2000),
    "deep-png": Target(_read_full, _deep_pngs, resealed_png, full=1000),
    "zip": Target(_read_zip, _zips),
    "model": Target(CAFlow.load, _models, change=other_safetensors),
    "manifest": Target(load_manifest, _manifests, change=other_json),
    "run-config": Target(_read_run_config, _run_configs),
}
