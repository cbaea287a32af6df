"""Model files: one safetensors file that describes itself, or a Hub-style folder of two files.

The header's metadata holds `caflow`: JSON of `{"schema": 1, "config": ..., "training": ...}`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import EXIT_WEIGHTS, CaflowError
from .config import Config, parse

if TYPE_CHECKING:
    from .caflow import CAFlow

__all__ = [
    "SCHEMA",
    "CheckpointInfo",
    "from_pretrained",
    "in_bf16",
    "load_checkpoint",
    "read_info",
    "save_checkpoint",
    "save_pretrained",
    "write_tensors",
]

SCHEMA = 1
_KEY = "caflow"
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a model file says of itself, without its tensors."""

    config: Config
    training: dict[str, Any]  # free-form record of the run: images seen, validation bits/dim, ...


def save_checkpoint(
    path: Path,
    model: CAFlow,
    training: dict[str, Any] | None = None,
    *,
    bf16_convs: bool = False,
) -> None:
    """Write a model file, whole or not at all.

    Args:
        path: `*.safetensors`.
        model: Its weights and config.
        training: A record for the header.
        bf16_convs: Store what `in_bf16` says in bfloat16: half the size, a few nats an image.
    """
    tensors = {
        name: _stored(tensor, bf16_convs and in_bf16(name, tensor))
        for name, tensor in model.state_dict().items()
    }
    header = {"schema": SCHEMA, "config": model.config.to_dict(), "training": training or {}}
    write_tensors(path, tensors, {_KEY: json.dumps(header)})


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all, with the permissions of any new file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(save(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise CaflowError(
            f"cannot write {str(path)!r}: {error.strerror or error}", "choose a writable folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def in_bf16(name: str, tensor: Tensor) -> bool:
    """Whether a packed file holds this tensor in bfloat16: the nets' convolutions, but for T's
    finest scale.

    Only convolutions of nets have four dimensions; LU factors have two. What T's finest scale
    rounds, every latent inherits: rounding all nets of a trained model moved scores by up to 8.6
    nats a picture, all but that scale's by 3.4.
    """
    return tensor.ndim == 4 and not name.startswith("T.scales.0.")


def _stored(tensor: Tensor, bf16: bool) -> Tensor:
    return tensor.detach().to("cpu", torch.bfloat16 if bf16 else tensor.dtype).contiguous()


def read_info(path: Path) -> CheckpointInfo:
    """Config and record from a model file's header.

    Raises:
        CaflowError: No such file, not safetensors, not a model of ours, or of another schema.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise CaflowError(
            f"no model file {str(path)!r}", "caflow models list", EXIT_WEIGHTS
        ) from error
    except (SafetensorError, OSError) as error:
        raise CaflowError(
            f"{str(path)!r} is not a readable safetensors file: {_one_line(error)}",
            "download or copy the file again",
            EXIT_WEIGHTS,
        ) from error
    return _parse_header(metadata.get(_KEY), str(path))


def _parse_header(text: str | None, where: str) -> CheckpointInfo:
    hint = "caflow train --out RUN, then caflow models pack RUN, makes such a file"
    if text is None:
        raise CaflowError(f"{where!r} is not a caflow model", hint, EXIT_WEIGHTS)
    try:
        header = json.loads(text)
        schema = header["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise CaflowError(f"{where!r} has a broken caflow header", hint, EXIT_WEIGHTS) from error
    if schema != SCHEMA:
        raise CaflowError(
            f"{where!r} has checkpoint schema {schema!r}; this version reads {SCHEMA}",
            "pip install --upgrade caflow-cli, or pack the model again",
            EXIT_WEIGHTS,
        )
    try:
        config = parse(Config, header.get("config"))
    except CaflowError as error:
        raise CaflowError(f"{where!r}: {error.message}", error.hint, EXIT_WEIGHTS) from error
    return CheckpointInfo(config, header.get("training") or {})


def load_checkpoint(path: Path) -> tuple[CAFlow, CheckpointInfo]:
    """The model of a file, float32, in `eval()`, on the CPU; strict in names and shapes."""
    from .caflow import CAFlow

    info = read_info(path)
    model = CAFlow(info.config)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CaflowError(
            f"cannot read {str(path)!r}: {_one_line(error)}", "copy the file again", EXIT_WEIGHTS
        ) from error
    _load_tensors(model, tensors, str(path))
    return model, info


def _load_tensors(model: CAFlow, tensors: dict[str, Tensor], where: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if wrong:
        raise CaflowError(
            f"{where!r} does not hold the tensors that its config asks for: {wrong[0]!r} is "
            f"{found.get(wrong[0], 'missing')}, expected {expected.get(wrong[0], 'nothing')} "
            f"({len(wrong)} differ)",
            "pack the run again",
            EXIT_WEIGHTS,
        )
    model.load_state_dict(tensors)
    model.eval()


def save_pretrained(model: CAFlow, folder: Path) -> None:
    """`config.json` and `model.safetensors`, as a Hub repository holds them."""
    save_checkpoint(folder / _WEIGHTS, model)
    text = json.dumps({"schema": SCHEMA, "config": model.config.to_dict()}, indent=2)
    (folder / _CONFIG).write_text(text + "\n", encoding="utf-8")


def from_pretrained(
    model_id: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
    **_: Any,
) -> CAFlow:
    """The model of a folder, or of a Hub repository, from its two files."""
    folder = Path(model_id)
    if folder.is_dir():
        weights = folder / _WEIGHTS
    else:
        weights = Path(
            hf_hub_download(
                model_id,
                _WEIGHTS,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        )
    return load_checkpoint(weights)[0]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
