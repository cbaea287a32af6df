"""The model card: the README.md that a model's Hub repository shows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from ..config import Config, TaskConfig

__all__ = ["Card"]

# How a model of each task is used: a tag of the Hub, a sentence, a command.
_TASKS = {
    "superres": (
        "super-resolution",
        "Enlarges images {factor} times: trained on {small}×{small} to {size}×{size} pixels.",
        "caflow superres small.png --model {repo}",
    ),
    "colorize": (
        "image-colorization",
        "Colorizes grey images: colour is made at {size}×{size} pixels, under full luminance.",
        "caflow colorize grey.png --model {repo}",
    ),
    "inpaint": (
        "image-inpainting",
        "Fills holes in images: trained on {size}×{size} pixels.",
        "caflow inpaint photo.png --mask hole.png --model {repo}",
    ),
    "paired": (
        "image-to-image",
        "Turns one image into another: trained on pairs of {size}×{size} pixels.",
        "caflow sample --cond input.png --model {repo}",
    ),
}
# The sentence of a paired model that learned from parts of images.
_NATIVE = (
    "Turns an image of any size into another of that size: trained on parts of pairs, of "
    "{size}×{size} pixels."
)
_RECORD = {
    "data": "data",
    "images": "images seen",
    "steps": "steps",
    "minutes": "minutes",
    "train_bits_per_dim": "bits/dim in training",
    "val_bits_per_dim": "bits/dim in validation",
    "val_picture_loss": "loss of draws in validation",
}


@dataclass(frozen=True)
class Card:
    """The content of a model card.

    `text` is Markdown. In the file it follows the metadata (YAML) that the Hub searches.
    """

    config: Config
    repo: str = "user/name"
    license: str = ""  # of the weights: an identifier of the Hub's, as cc-by-nc-4.0, or words
    data: str = ""  # what they were trained on, and its terms
    training: dict[str, Any] = field(default_factory=dict)  # the model file's record
    metrics: dict[str, Any] = field(default_factory=dict)  # measured on exactly this file
    sha256: str = ""

    @property
    def text(self) -> str:
        sections = [
            self._opening(),
            self._use(),
            self._terms(),
            _section("Training", _bullets(self._record())),
            _section("Measured on exactly this file", self._measured()),
            self._model(),
        ]
        return f"---\n{self._metadata()}\n---\n\n" + "\n".join(s for s in sections if s)

    def _metadata(self) -> str:
        from huggingface_hub import ModelCardData

        task = _TASKS[self.config.task.name][0]
        terms: dict[str, Any] = {"license": self.license}
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.license):
            slug = re.sub(r"[^a-z0-9.]+", "-", self.license.lower()).strip("-")
            terms = {"license": "other", "license_name": slug or "not-stated"}
        data = ModelCardData(
            library_name="caflow",
            pipeline_tag="image-to-image",
            tags=sorted({"caflow", "normalizing-flow", task}),
            **terms,
        )
        return data.to_yaml()

    def _fill(self, text: str) -> str:
        task: TaskConfig = self.config.task
        return text.format(
            repo=self.repo, factor=task.factor, size=task.size, small=task.size // task.factor
        )

    def _opening(self) -> str:
        task = self.config.task
        sentence = self._fill(_NATIVE if task.native else _TASKS[task.name][1])
        if task.degrade == "photo":
            sentence += (
                " It learned from inputs that were blurred, noisy, compressed and shrunk by "
                "several kernels, as well as from clean ones."
            )
        return (
            f"# {self.repo.partition('/')[2]}\n\n{sentence}\n\n"
            "A conditional normalizing flow (CAFLOW, [Batzolis et al., 2021]"
            "(https://arxiv.org/abs/2106.02531)): it draws many plausible images `w` for an "
            "input `y`, and states the log-likelihood `log p(w|y)` of any given one.\n"
        )

    def _use(self) -> str:
        command = self._fill(_TASKS[self.config.task.name][2])
        return (
            "## Use\n\n"
            f"```sh\npip install caflow-cli\n{command}\n```\n\n"
            "```python\nimport caflow_cli as caflow\n\n"
            f'model = caflow.load("{self.repo}")\n```\n\n'
            "Once downloaded, it works without a network; `@COMMIT` behind the name pins it. "
            "Detail is drawn, not recovered: never identify a person by it.\n"
        )

    def _terms(self) -> str:
        stated = {
            "weights": self.license or "not stated",
            "training data": self.data or "not stated; its terms may bind the weights",
        }
        return _section("Terms", _bullets(stated))

    def _record(self) -> dict[str, Any]:
        named = {name: self.training.get(key) for key, name in _RECORD.items()}
        return {name: value for name, value in named.items() if value is not None}

    def _measured(self) -> str:
        figures = {name: value for name, value in self.metrics.items() if name != "protocol"}
        protocol = self.metrics.get("protocol")
        return (f"{protocol}\n\n" if protocol else "") + _bullets(figures)

    def _model(self) -> str:
        digest = f"sha256 of `model.safetensors`: `{self.sha256}`\n\n" if self.sha256 else ""
        config = json.dumps(self.config.to_dict(), indent=2)
        return _section("Model", f"{digest}```json\n{config}\n```\n")


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _bullets(values: dict[str, Any]) -> str:
    return "".join(f"- {name}: {_line(value)}\n" for name, value in values.items())


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_line(part)}" for name, part in value.items())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
