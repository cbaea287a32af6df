"""Packing: from a run to one small file and its manifest entry."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..assets import WEIGHTS_DIR
from ..errors import EXIT_USAGE, CaflowError
from ..images import atomic_write, locked_folder, make_folder
from ..model import CAFlow, CheckpointInfo, read_info
from ..model.pretrained import BITS, checkpoint_bytes
from ..paths import exists, is_folder
from .manifest import Entry, is_model_id, load_manifest, manifest_json, manifest_path

__all__ = ["MAX_BYTES", "pack"]

MAX_BYTES = 12_000_000  # of a bundled file, as a wheel compresses it


def pack(
    run: Path,
    model_id: str,
    *,
    output: Path = Path(),
    bundle: bool = False,
    default: bool = False,
    overwrite: bool = False,
    data_terms: str = "",
    license_terms: str = "see the training data's terms",
    metrics: dict[str, Any] | None = None,
) -> Entry:
    """Store a run's best averaged weights, with net convolutions in bfloat16, and a manifest entry.

    Args:
        run: Folder of a run, or a model file.
        model_id: Becomes the file's name.
        output: Folder for `ID.safetensors` and the `weights_manifest.json` beside it.
        bundle: Write into this installation's package instead, at most 12 MB as zipped.
            Convolutions keep a significant bit less than `BITS` where these are too many.
        default: Make it the default model of its task, in place of another, whose id the entry
            keeps as `replaces`.
        overwrite: Replace a model with that id.
        data_terms, license_terms: For the manifest.
        metrics: Figures measured on exactly this file. Those of an earlier entry are dropped.

    Raises:
        CaflowError: There is no model, the id is invalid or exists, the folder is not writable, or
            the bundle is too large. Then nothing is written.
    """
    if not is_model_id(model_id):
        raise CaflowError(
            f"{model_id!r} is not a model id", "--id with a-z, 0-9, dots and hyphens", EXIT_USAGE
        )
    folder = WEIGHTS_DIR if bundle else output
    path = folder / f"{model_id}.safetensors"
    manifest = manifest_path() if bundle else folder / manifest_path().name
    if not bundle and manifest.resolve() == manifest_path().resolve():
        raise CaflowError(
            f"{str(manifest)!r} is this installation's own manifest",
            "-o DIR, or --bundle to add a bundled model",
            EXIT_USAGE,
        )
    _entries_without(model_id, path, manifest, overwrite)
    source = run / "best.safetensors" if is_folder(run) else run
    model, info = CAFlow.load(source), read_info(source)
    content = _content(model, info)
    if bundle and _zipped_bytes(content) > MAX_BYTES:
        content = _content(model, info, BITS - 1)
        if (zipped := _zipped_bytes(content)) > MAX_BYTES:
            raise CaflowError(
                f"the packed model has {zipped} bytes as zipped, more than {MAX_BYTES}",
                "leave --bundle out, or train a smaller model",
            )
    entry = Entry(
        id=model_id,
        task=info.config.task.name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        default=default,
        license=license_terms,
        data=data_terms or str(info.training.get("data", "unknown")),
        config=info.config.to_dict(),
        metrics=metrics or {},
        file=path.name,
    )
    manifest_json([entry])  # refuses what no manifest can hold, before the folder is made
    make_folder(folder)
    with locked_folder(manifest.parent):
        # Again, now that no other process can add to it.
        entries = _entries_without(model_id, path, manifest, overwrite)
        if default:
            own = entries.get(model_id)  # packed anew, it keeps what it replaced
            others = [other for other in entries.values() if other.id != model_id]
            before = [other.id for other in others if _is_default(other, entry.task)]
            kept = None if own is None else own.replaces
            entry = replace(entry, replaces=before[0] if before else kept)
            entries = {
                id_: replace(other, default=False) if id_ in before else other
                for id_, other in entries.items()
            }
        entries[model_id] = entry
        text = manifest_json(entries.values())
        atomic_write(path, content, replace=overwrite)
        atomic_write(manifest, text.encode())
    return entry


def _content(model: CAFlow, info: CheckpointInfo, bits: int = BITS) -> bytes:
    return checkpoint_bytes(
        model.state_dict(), info.config, info.training, bf16_convs=True, bits=bits
    )


def _is_default(entry: Entry, task: str) -> bool:
    return entry.default and entry.task == task


def _zipped_bytes(content: bytes) -> int:
    """How many bytes a zip, such as a wheel, needs for a file."""
    return len(zlib.compress(content))


def _entries_without(
    model_id: str, path: Path, manifest: Path, overwrite: bool
) -> dict[str, Entry]:
    """The manifest's entries. CaflowError if the id or its file exists and must stay."""
    entries = load_manifest(manifest) if exists(manifest) else {}
    if not overwrite and (exists(path) or model_id in entries):
        raise CaflowError(
            f"there is already a model {model_id!r} in {str(path.parent)!r}",
            "--overwrite",
            EXIT_USAGE,
        )
    return entries
