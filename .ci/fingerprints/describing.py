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
