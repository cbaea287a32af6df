"""Models as files, as folders in the form of the Hub, and on the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.utils.sha import sha_fileobj
from torch import nn

from ..checkpoint import Card, config_json, read_info
from ..checkpoint.tensors import read_tensors, write_checkpoint
from ..config import Config
from ..errors import EXIT_WEIGHTS, CaflowError
from ..paths import is_folder

__all__ = ["ModelFiles"]

_M = TypeVar("_M", bound="ModelFiles")
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"  # as a Hub repository names them


class ModelFiles(nn.Module, PyTorchModelHubMixin):
    """The methods of `CAFlow` that read and write models."""

    config: Config
    split_seed: int = 0  # of the training that its file records: it says what that held out

    def save(
        self, path: Path, training: dict[str, Any] | None = None, *, bf16_convs: bool = False
    ) -> None:
        """Write a model file, whole or not at all.

        Args:
            path: `*.safetensors`.
            training: A record for the header.
            bf16_convs: Store net convolutions in bfloat16. This halves the size and costs a few
                nats for each image.
        """
        write_checkpoint(path, self.state_dict(), self.config, training, bf16_convs=bf16_convs)

    @classmethod
    def load(cls: type[_M], path: Path) -> _M:
        """Load a model file: float32, in `eval()`, on the CPU. `read_info` reads its record.

        Raises:
            CaflowError: (exit 3) as for `read_info` and `read_tensors`.
        """
        info = read_info(path)  # before any memory is taken: the file holds what its config asks
        with torch.inference_mode(False):  # such weights could never be differentiated by
            tensors = read_tensors(path)
            model = cls(info.config)
            model.load_state_dict(tensors)
        model.split_seed = _split_seed(info.training)
        return model.eval()

    def push_to_hub(
        self, repo_id: str, *, model_card_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> str:
        """Commit `config.json`, `model.safetensors` and, if there is none yet, a model card.

        Args:
            repo_id: `user/name`; created if new.
            model_card_kwargs: `license`, `data` and `metrics` for the card.
            kwargs: As for `PyTorchModelHubMixin`: `private`, `branch`, `commit_message`, `token`,
                ...

        Returns:
            The URL of the commit.
        """
        card = {"repo": repo_id, **(model_card_kwargs or {})}
        return super().push_to_hub(repo_id, model_card_kwargs=card, **kwargs)

    def generate_model_card(self, **card: Any) -> ModelCard:
        """Write the card of this model; `card` has fields of `checkpoint.Card`."""
        return ModelCard(Card(self.config, **card).text)

    def _save_pretrained(self, save_directory: Path) -> None:
        self.save(save_directory / _WEIGHTS)
        (save_directory / _CONFIG).write_text(config_json(self.config), encoding="utf-8")

    @classmethod
    def _from_pretrained(
        cls: type[_M],
        *,
        model_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        **_: Any,
    ) -> _M:
        """Load the model of a folder or a Hub repository, from its two files."""
        if is_folder(Path(model_id)):
            return cls.load(Path(model_id) / _WEIGHTS)
        weights = hf_hub_download(
            model_id,
            _WEIGHTS,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )
        _check_digest(Path(weights), model_id)
        return cls.load(Path(weights))


def _split_seed(training: Mapping[str, Any]) -> int:
    """The seed of a training record; 0 where it has none."""
    seed = training.get("seed")
    return seed if type(seed) is int and 0 <= seed < 2**32 else 0


def _check_digest(weights: Path, model_id: str) -> None:
    """Check the sha256 of a cached file, which the Hub's cache has as the target's name."""
    stated = weights.resolve().name
    with weights.open("rb") as file:
        if len(stated) == 64 and sha_fileobj(file).hex() != stated:
            raise CaflowError(
                f"the cached weights of {model_id!r} have another sha256 than {stated[:12]}…",
                f"caflow models pull {model_id}, or force_download=True",
                EXIT_WEIGHTS,
            )
