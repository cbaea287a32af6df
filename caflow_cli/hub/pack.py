"""From a run to one small file and its manifest entry."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..assets import WEIGHTS_DIR
from ..errors import EXIT_USAGE, CaflowError
from ..images import atomic_write
from ..model import load_checkpoint, save_checkpoint
from ..model.checkpoint import sha256_of
from .manifest import MANIFEST_SCHEMA, Entry, load_manifest, manifest_path

__all__ = ["MAX_BYTES", "pack"]

MAX_BYTES = 16_000_000  # of a bundled file


def pack(
    run: Path,
    model_id: str,
    *,
    output: Path = Path(),
    bundle: bool = False,
    default: bool = False,
    data_terms: str = "",
    license_terms: str = "see the training data's terms",
    metrics: dict[str, Any] | None = None,
) -> Entry:
    """Store a run's best EMA weights, net convolutions in bfloat16, with a manifest entry.

    Args:
        run: Folder of a run, or a model file.
        model_id: Becomes the file's name.
        output: Folder for `ID.safetensors` and the `weights_manifest.json` beside it.
        bundle: Write into this installation's package instead, at most 16 MB.
        default: The task's model where none is named.
        data_terms, license_terms: For the manifest.
        metrics: Measured on exactly this file; an entry's earlier ones are dropped.

    Raises:
        CaflowError: No model there, an unusable id, or a bundle that is too large.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", model_id):
        raise CaflowError(
            f"{model_id!r} is no model id", "--id with a-z, 0-9, dots and hyphens", EXIT_USAGE
        )
    source = run / "best.safetensors" if run.is_dir() else run
    model, info = load_checkpoint(source)
    folder = WEIGHTS_DIR if bundle else output
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model_id}.safetensors"
    temporary = folder / f".{model_id}.packing"
    try:
        save_checkpoint(temporary, model, info.training, bf16_convs=True)
        size = temporary.stat().st_size
        if bundle and size > MAX_BYTES:
            raise CaflowError(
                f"the packed model has {size} bytes, more than {MAX_BYTES}",
                "leave --bundle out, or train a smaller model",
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

    entry = Entry(
        id=model_id,
        task=info.config.task.name,
        file=path.name,
        sha256=sha256_of(path),
        bytes=size,
        default=default,
        license=license_terms,
        data=data_terms or str(info.training.get("data", "unknown")),
        config=info.config.to_dict(),
        metrics=metrics or {},
    )
    manifest = manifest_path() if bundle else folder / manifest_path().name
    entries = load_manifest(manifest) if manifest.exists() else {}
    entries[model_id] = entry
    atomic_write(manifest, _to_json(entries).encode())
    return entry


def _to_json(entries: dict[str, Entry]) -> str:
    models = {}
    for entry in entries.values():
        fields = asdict(entry)
        models[fields.pop("id")] = fields
    content = {"schema": MANIFEST_SCHEMA, "models": models}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
