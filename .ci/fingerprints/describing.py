"""What is compared of a file: its content apart from its bytes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import xarray
from PIL import Image

JSON = dict[str, Any]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:20]


def described(data: bytes, path: Path | None = None, plain: Callable[[str], str] = str) -> JSON:
    """What is compared of a file: of an image its pixels apart from its bytes and provenance."""
    suffix = path.suffix if path else ""
    if suffix == ".safetensors":
        with contextlib.suppress(ValueError):
            return {"tensors": tensors_of(data)}
    if suffix in (".json", ".jsonl"):
        text = plain(data.decode())
        whole = suffix == ".json"
        return {"json": json.loads(text) if whole else [json.loads(s) for s in text.splitlines()]}
    if suffix in (".toml", ".html", ".lock", ".txt", ".zip", ".npz", ".md", ".tsv"):
        return {"present": True}
    if path is not None and path.name == "curve.png":
        return {"present": True}
    if suffix in FIELDS and (field := FIELDS[suffix](data)):
        return field
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            info = dict(image.info)
            found: JSON = {
                "bytes": digest(data),
                "pixels": digest(np.asarray(image).tobytes()),
                "size": list(image.size),
                "mode": image.mode,
                "format": image.format,
                "icc": digest(info["icc_profile"]) if "icc_profile" in info else None,
            }
            for key, value in sorted(info.items()):
                if isinstance(value, str) and value.startswith("{"):
                    found[f"text {key}"] = json.loads(value)
            return found
    except OSError:
        return {"bytes": digest(data)}


def numbers_of(values: Any) -> JSON:
    """Of an array: a digest, and figures from which one sees how far another one is."""
    array = np.ascontiguousarray(values)
    found: JSON = {"digest": digest(array.tobytes()), "shape": [*array.shape]}
    found["type"] = str(array.dtype)
    if array.size and array.dtype.kind in "iuf":
        finite = array[np.isfinite(array)].astype(float)
        found["missing"] = array.size - finite.size
        found["sum"], found["largest"] = float(finite.sum()), float(finite.max(initial=0))
    return found


def _tiff(data: bytes) -> JSON:
    """Of a TIFF that states a unit: bands, and tags; of others nothing."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = {str(tag.code): tag.value for page in file.pages for tag in page.tags.values()}
        if not (tags.keys() & {"42112"} or '"unit"' in str(tags.get("270"))):
            return {}
        bands = file.asarray()
    bands = bands if bands.ndim == 3 else bands[None]
    stored = {"273", "279", "324", "325"}  # where bytes are, and how many
    return {
        "bands": [numbers_of(band) for band in bands],
        "tags": {code: _read(value) for code, value in tags.items() if code not in stored},
    }


def _netcdf(data: bytes) -> JSON:
    """Of a NetCDF file: every variable as it is stored, with its attributes."""
    with xarray.open_dataset(io.BytesIO(data), engine="h5netcdf", decode_cf=False) as file:
        variables = {
            str(name): {
                "dims": [*variable.dims],
                "attributes": {key: _read(value) for key, value in variable.attrs.items()},
                **numbers_of(variable.values),
            }
            for name, variable in file.variables.items()
        }
        return {"variables": variables, "attributes": {k: _read(v) for k, v in file.attrs.items()}}


def _npy(data: bytes) -> JSON:
    values = np.load(io.BytesIO(data))
    return {"bands": [numbers_of(band) for band in (values if values.ndim == 3 else values[None])]}


def _read(value: Any) -> Any:
    """A value as JSON; texts that are JSON are read."""
    if isinstance(value, str) and value.startswith("{"):
        return json.loads(value)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_read(item) for item in value]
    return value if isinstance(value, int) else str(value)  # NaN is equal to NaN


FIELDS: dict[str, Callable[[bytes], JSON]] = {
    **{".tif": _tiff, ".tiff": _tiff},
    **{".nc": _netcdf, ".npy": _npy},
}


def tensors_of(data: bytes) -> JSON:
    """Of a safetensors file: one digest of all values, their number, and the metadata."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    total = hashlib.sha256()
    for name, entry in sorted(header.items()):
        start, end = entry["data_offsets"]
        total.update(f"{name}{entry['dtype']}{entry['shape']}".encode())
        total.update(data[8 + size + start : 8 + size + end])
    read = {k: json.loads(v) if v.startswith("{") else v for k, v in metadata.items()}
    return {"digest": total.hexdigest()[:20], "count": len(header), "metadata": read}
