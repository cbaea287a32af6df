"""Model files: one safetensors file that describes itself, or a Hub-style folder of two files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.utils.sha import sha_fileobj
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import EXIT_WEIGHTS, CaflowError
from ..paths import is_folder
from .info import CheckpointInfo, config_json, metadata_of, read_info

if TYPE_CHECKING:
    from .caflow import CAFlow

__all__ = [
    "checkpoint_bytes",
    "from_pretrained",
    "in_bf16",
    "load_checkpoint",
    "save_checkpoint",
    "save_pretrained",
    "write_tensors",
]

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


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
    tensors = _stored_tensors(model, bf16_convs)
    write_tensors(path, tensors, metadata_of(model.config, training or {}))


def checkpoint_bytes(
    model: CAFlow, training: dict[str, Any] | None = None, *, bf16_convs: bool = False
) -> bytes:
    """What `save_checkpoint` writes."""
    return save(_stored_tensors(model, bf16_convs), metadata_of(model.config, training or {}))


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


def _stored_tensors(model: CAFlow, bf16_convs: bool) -> dict[str, Tensor]:
    return {
        name: _stored(tensor, bf16_convs and in_bf16(name, tensor))
        for name, tensor in model.state_dict().items()
    }


def _stored(tensor: Tensor, bf16: bool) -> Tensor:
    return tensor.detach().to("cpu", torch.bfloat16 if bf16 else tensor.dtype).contiguous()


def load_checkpoint(path: Path) -> tuple[CAFlow, CheckpointInfo]:
    """The model of a file, float32, in `eval()`, on the CPU.

    Raises:
        CaflowError: (exit 3) what `read_info` refuses, or a value that no model of ours has: not
            finite, or a permutation that is none.
    """
    info = read_info(path)  # before any memory is taken: the file holds what its config asks for
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CaflowError(
            f"cannot read {str(path)!r}: {_one_line(error)}", "copy the file again", EXIT_WEIGHTS
        ) from error
    for name, tensor in tensors.items():
        _check_values(name, tensor, str(path))
    from .caflow import CAFlow

    model = CAFlow(info.config)
    model.load_state_dict(tensors)
    return model.eval(), info


def _check_values(name: str, tensor: Tensor, where: str) -> None:
    if tensor.is_floating_point():
        sound = bool(tensor.isfinite().all())
    elif name.endswith(".permutation"):
        sound = torch.equal(tensor.sort().values, torch.arange(len(tensor)))
    else:
        return
    if not sound:
        what = "values that are not finite" if tensor.is_floating_point() else "no permutation"
        raise CaflowError(
            f"{where!r} holds {what} in {name!r}",
            "download or copy the file again, or pack an earlier state of the run",
            EXIT_WEIGHTS,
        )


def save_pretrained(model: CAFlow, folder: Path) -> None:
    """`config.json` and `model.safetensors`, as a Hub repository holds them."""
    save_checkpoint(folder / _WEIGHTS, model)
    (folder / _CONFIG).write_text(config_json(model.config), encoding="utf-8")


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
    if is_folder(folder):
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
        _check_digest(weights, model_id)
    return load_checkpoint(weights)[0]


def _check_digest(weights: Path, model_id: str) -> None:
    """The Hub's cache names what a large file's link leads to by its sha256."""
    stated = weights.resolve().name
    with weights.open("rb") as file:
        if len(stated) == 64 and sha_fileobj(file).hex() != stated:
            raise CaflowError(
                f"the cached weights of {model_id!r} have another sha256 than {stated[:12]}…",
                f"caflow models pull {model_id}, or force_download=True",
                EXIT_WEIGHTS,
            )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
