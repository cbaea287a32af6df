"""Save and load models: as files, as folders in the Hub's layout, and on the Hub."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, TypeVar, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..checkpoint import (
    CALIBRATION,
    Calibration,
    CheckpointInfo,
    TensorInfo,
    calibration_in,
    config_json,
    metadata_of,
    read_info,
)
from ..config import Config
from ..data.split import HoldOut
from ..devices import Uninitialized, memory_format
from ..errors import EXIT_WEIGHTS, CaflowError, ensure, reason_of
from ..guides import NET
from ..images import atomic_write, make_folder
from ..records import Table
from .card import Card

BITS = 6  # significant bits of a packed convolution
_DENSITY = "density."  # prefix of parameter names, omitted in files
_NOISE = "Q."
_M = TypeVar("_M", bound="Pretrained")
_WEIGHTS = "model.safetensors"  # as a Hub repository names them
_CONFIG = "config.json"
_CARD = "README.md"


class Pretrained(nn.Module):
    """The methods of `CAFlow` that read and write models."""

    config: Config
    record: Mapping[str, Any] = MappingProxyType({})  # the training record in the model's file

    @property
    def calibration(self) -> Calibration | None:
        """How its intervals are calibrated, if they are; CaflowError (exit 3) if that is invalid.

        `hub.resolve.load` adds it to the record if the manifest states it.
        """
        return calibration_in(self.record)

    @property
    def split_seed(self) -> int:
        """The seed that determined the held-out images in training; 0 if the record has none."""
        seed = self.record.get("seed")
        return seed if type(seed) is int and 0 <= seed < 2**32 else 0

    @property
    def hold_out(self) -> HoldOut | None:
        """How many images were held out in training; None if the record does not state it."""
        rule = self.record.get("hold_out")
        return rule if rule in get_args(HoldOut) else None

    def save(self, path: Path, training: Table | None = None, *, bf16_convs: bool = False) -> None:
        """Write a model file, atomically.

        Args:
            path: `*.safetensors`.
            training: A training record for the header.
            bf16_convs: Store net convolutions in bfloat16, which halves the size and changes scores
                by a few nats per image.
        """
        tensors = self.state_dict()
        atomic_write(path, checkpoint_bytes(tensors, self.config, training, bf16_convs=bf16_convs))

    @classmethod
    def load(cls: type[_M], path: Path, info: CheckpointInfo | None = None) -> _M:
        """Load a model file: float32, in `eval()`, on the CPU. `info` is its header, if it is read.

        Raises:
            CaflowError: (exit 3) as for `read_info` and `without_values`; or a value is not finite,
                or a permutation is invalid.
        """
        info = info or read_info(path)
        with torch.inference_mode(False):  # inference tensors could never get gradients
            model = without_values(cls, info, path)
            model.load_state_dict(_read_tensors(path, info, model.state_dict()), assign=True)
            model.to(memory_format=memory_format(torch.device("cpu")))  # type: ignore[call-overload]
        model.record = info.training
        return model.eval()

    def save_pretrained(
        self, folder: str | Path, *, model_card_kwargs: Table | None = None
    ) -> None:
        """Write `model.safetensors`, `config.json` and, unless there is one, a model card.

        Args:
            folder: Made if it is missing; `caflow_cli.load` takes it.
            model_card_kwargs: `license`, `data` and `metrics` for the card.
        """
        folder = Path(folder)
        make_folder(folder)
        # A calibration holds for exactly the weights that it was measured with.
        record = {key: value for key, value in self.record.items() if key != CALIBRATION}
        self.save(folder / _WEIGHTS, record)
        (folder / _CONFIG).write_text(config_json(self.config), encoding="utf-8")
        if not (folder / _CARD).exists():
            text = Card(self.config, **(model_card_kwargs or {})).text
            (folder / _CARD).write_text(text, encoding="utf-8")

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        branch: str | None = None,
        token: str | None = None,
        commit_message: str = "Add a caflow model",
        model_card_kwargs: Table | None = None,
    ) -> str:
        """Commit what `save_pretrained` writes to a repository of the Hub.

        Args:
            repo_id: `user/name`; created if new.
            private: Whether a new repository is private. Default: as the Hub does.
            branch: Default: the main one.
            token: Default: that of `hf auth login`.
            commit_message: Of the commit.
            model_card_kwargs: As for `save_pretrained`.

        Returns:
            The URL of the commit.

        Errors are those of `huggingface_hub`.
        """
        from huggingface_hub import HfApi  # imported here, because it takes a quarter of a second

        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        has_card = api.file_exists(repo_id, _CARD, revision=branch)
        card = {"repo": repo_id, **(model_card_kwargs or {})}
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, model_card_kwargs=card)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=commit_message,
                revision=branch,
                ignore_patterns=[_CARD] if has_card else None,
            )
        return str(commit.commit_url)


def checkpoint_bytes(
    tensors: dict[str, Tensor],
    config: Config,
    training: Table | None = None,
    *,
    bf16_convs: bool = False,
    bits: int = BITS,
) -> bytes:
    """Serialize a model to the bytes of a file.

    Args:
        tensors: By their names in files (`CAFlow.state_dict`).
        config: The config of the model.
        training: A training record for the header.
        bf16_convs: Store net convolutions in bfloat16, except for those of T's finest scale.
        bits: Significant bits of these tensors. Of `photos-superres-x4`, 6, 5 and 4 bits reduce
            the zipped size by 12, 20 and 27 %. 6 bits cost 0.003 bits/dim, 5 bits 0.007.
    """
    stored = {}
    published = published_prefix(config)
    for name, tensor in tensors.items():
        value = tensor.cpu()
        # Only net convolutions have four dimensions; LU factors have two. Rounding in T's finest
        # scale affects every latent: with it, scores of a trained model changed by up to 8.6 nats
        # per image (at 8 significant bits), without it by up to 3.4.
        exact = name.startswith(("T.scales.0.", *published))
        if bf16_convs and value.ndim == 4 and not exact:
            # Round to this many significant bits, because further bits would not compress.
            mantissa, exponent = torch.frexp(value)
            mantissa = (mantissa * 2**bits).round() / 2**bits
            value = torch.ldexp(mantissa, exponent).bfloat16()
        stored[name] = value.contiguous()
    return save(stored, metadata_of(config, training or {}))


def published_prefix(config: Config) -> tuple[str, ...]:
    """The prefix of the tensors of a published network (`External`), if the model has one.

    They are stored as in the network's file, and only spandrel can compare them with a config.
    """
    return () if config.flow.guide_spec.trains else (f"A.guide.{NET}",)


def without_values(cls: type[_M], info: CheckpointInfo, path: Path) -> _M:
    """Build a file's model on the "meta" device, and compare its tensors with the file's.

    The tensors of a published network are not compared.

    Raises:
        CaflowError: (exit 3) names, shapes or dtypes differ from what the config requires.
    """
    with torch.device("meta"), Uninitialized():
        model = cls(info.config)
    if not info.known:
        _check_tensors(model.state_dict(), info, path)
    return model


def _check_tensors(wanted: Mapping[str, Tensor], info: CheckpointInfo, path: Path) -> None:
    """Compare the tensors of a file with those that its config requires."""
    published = set() if info.config.flow.guide_spec.trains else _published(info, path)
    for name in sorted(wanted.keys() | (info.tensors.keys() - published)):
        stored = info.tensors.get(name)
        tensor = wanted.get(name)
        if (
            stored is None
            or tensor is None
            or stored.shape != tensor.shape
            or stored.dtype not in _types_of(tensor)
        ):
            raise _misfit(path, name, stored, tensor)


def _published(info: CheckpointInfo, path: Path) -> set[str]:
    """The tensors of the published network that is the guide; CaflowError if there are none."""
    prefix = published_prefix(info.config)
    published = {name for name in info.tensors if name.startswith(prefix)}
    ensure(
        bool(published),
        f"{str(path)!r} does not have the tensors of its guide",
        "pack the run again",
        EXIT_WEIGHTS,
    )
    return published


def _types_of(tensor: Tensor) -> tuple[str, ...]:
    """The types in which a tensor of a model may be stored, the usual one first."""
    types = {torch.bool: ("BOOL",), torch.int64: ("I64",)}.get(tensor.dtype, ("F32", "F64"))
    # Only net convolutions, which have four dimensions, may be bfloat16.
    return (*types, "BF16") if tensor.ndim == 4 else types


def _misfit(path: Path, name: str, stored: TensorInfo | None, tensor: Tensor | None) -> CaflowError:
    """The error for a tensor of a file that is not the one of the model."""
    found: object = "missing" if stored is None else stored.shape
    expected: object = "nothing" if tensor is None else tuple(tensor.shape)
    if stored is not None and tensor is not None and found == expected:
        found = f"of type {stored.dtype}"
        expected = _types_of(tensor)[0]
    return CaflowError(
        f"{str(path)!r} does not have the tensors that its config requires: {name[:80]!r} is "
        f"{found}, expected {expected}",
        "pack the run again",
        EXIT_WEIGHTS,
    )


def _read_tensors(
    path: Path, info: CheckpointInfo, wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Read the tensors of a file whose header has been checked, in the dtypes of the model."""
    try:
        # Copy, because a tensor that is read may be memory-mapped to the file.
        tensors = {
            name: tensor.to(wanted.get(name, tensor).dtype, copy=True)
            for name, tensor in load_file(path).items()
        }
    except (SafetensorError, OSError) as error:
        raise CaflowError(
            f"cannot read {str(path)!r}: {reason_of(error)}",
            "copy the file again",
            EXIT_WEIGHTS,
        ) from error
    if not info.known:
        _check_values(tensors, path)
    return tensors


def _check_values(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Reject values that are not finite and invalid permutations: they would fail much later."""
    hint = "download or copy the file again, or pack an earlier state of the run"
    for name, tensor in tensors.items():
        fits = bool(tensor.isfinite().all())
        what = "values that are not finite"
        if name.endswith(".permutation"):
            fits = torch.equal(tensor.sort().values, torch.arange(len(tensor)))
            what = "no permutation"
        ensure(fits, f"{str(path)!r} holds {what} in {name!r}", hint, EXIT_WEIGHTS)


def to_file_names(_module: nn.Module, state: Table, prefix: str, _metadata: Table) -> None:
    """Remove the prefix `density`, which names in model files and saved states do not have."""
    for name in list(state):
        if name.startswith(prefix + _DENSITY):
            state[prefix + name.removeprefix(prefix + _DENSITY)] = state.pop(name)


def from_file_names(_module: nn.Module, state: Table, prefix: str, *_: object) -> None:
    """The inverse of `to_file_names`."""
    for name in list(state):
        if name.startswith(prefix) and not name.startswith(prefix + _NOISE):
            state[prefix + _DENSITY + name.removeprefix(prefix)] = state.pop(name)
