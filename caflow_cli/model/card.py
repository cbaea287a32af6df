"""The model card: the README.md that a model's Hub repository shows."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from ..config import Config

__all__ = ["Card"]

# Of each task: a tag of the Hub, what a model does, a command.
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
_NATIVE = (
    "Turns an image of any size into another of that size: trained on parts of pairs, of "
    "{size}×{size} pixels."
)
_DEGRADED = (
    " Its training inputs were blurred, noisy, compressed and shrunk by several kernels, as well "
    "as clean."
)
_RECORD = {
    "data": "data",
    "images": "images seen",
    "steps": "steps",
    "minutes": "minutes",
    "train_bits_per_dim": "bits/dim in training",
    "val_bits_per_dim": "bits/dim in validation",
}
_TEXT = """\
---
{metadata}
---

# {name}

{sentence}

A conditional normalizing flow (CAFLOW, [Batzolis et al., 2021]\
(https://arxiv.org/abs/2106.02531)): it samples plausible images `w` for an input `y`, and states \
the log-likelihood `log p(w|y)` of any.

## Use

```sh
pip install caflow-cli
{command}
```

```python
import caflow_cli as caflow

model = caflow.load("{repo}")
```

Once downloaded, it works without a network; `{repo}@COMMIT` pins it. Detail is sampled, not \
recovered: never identify a person by it.

## Terms

- weights: {license}
- training data: {data}
{training}{metrics}
## Model
{digest}
```json
{config}
```
"""


@dataclass(frozen=True)
class Card:
    """The content of a model card.

    `text` is Markdown. In the file it follows the metadata (YAML) that the Hub searches.
    """

    config: Config
    repo: str = "user/name"
    license: str = ""  # of the weights: an identifier of the Hub's, as cc-by-nc-4.0, or words
    data: str = ""  # the training data, and its terms
    training: dict[str, Any] = field(default_factory=dict)  # the model file's record
    metrics: dict[str, Any] = field(default_factory=dict)  # measured on exactly this file
    sha256: str = ""

    @property
    def text(self) -> str:
        from huggingface_hub import ModelCardData

        task = self.config.task
        tag, sentence, command = _TASKS[task.name]
        sentence = _NATIVE if task.native else sentence
        sizes = {"factor": task.factor, "size": task.size, "small": task.size // task.factor}
        slug = re.sub(r"[^a-z0-9.]+", "-", self.license.lower()).strip("-") or "not-stated"
        known = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.license) is not None
        metadata = ModelCardData(
            license=self.license if known else "other",
            license_name=None if known else slug,
            library_name="caflow",
            pipeline_tag="image-to-image",
            tags=sorted({"caflow", "normalizing-flow", tag}),
        )
        figures = {name: value for name, value in self.metrics.items() if name != "protocol"}
        return _TEXT.format(
            metadata=metadata.to_yaml(),
            name=self.repo.partition("/")[2],
            sentence=sentence.format(**sizes) + (_DEGRADED if task.degrade == "photo" else ""),
            command=command.format(repo=self.repo),
            repo=self.repo,
            license=_line(self.license or "not stated"),
            data=_line(self.data or "not stated; its terms may bind the weights"),
            training=_section("Training", {v: self.training.get(k) for k, v in _RECORD.items()}),
            metrics=_section(
                "Measured on exactly this file", figures, self.metrics.get("protocol")
            ),
            digest=f"\nsha256 of `model.safetensors`: `{self.sha256}`\n" if self.sha256 else "",
            config=json.dumps(self.config.to_dict(), indent=2),
        )


def _section(title: str, values: dict[str, Any], opening: str | None = None) -> str:
    """A section with a line for each value that is known; empty without any."""
    lines = [f"- {name}: {_line(value)}" for name, value in values.items() if value is not None]
    text = "\n".join([*([opening, ""] if opening else []), *lines])
    return f"\n## {title}\n\n{text}\n" if text else ""


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_line(part)}" for name, part in value.items())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
