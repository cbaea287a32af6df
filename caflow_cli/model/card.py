"""The model card: the README.md of a model's Hub repository, made from the template `card.md`."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..config import Config
from ..records import Table
from ..tasks import task_named

_RECORD = {
    "data": "data",
    "guide": "guide, a published network",
    "images": "images seen",
    "steps": "steps",
    "minutes": "minutes",
    "train_bits_per_dim": "bits/dim in training",
    "val_bits_per_dim": "bits/dim in validation",
}


@dataclass(frozen=True)
class Card:
    """The content of a model card.

    `text` is Markdown. In the file it follows the YAML metadata that the Hub indexes.
    """

    config: Config
    repo: str = "user/name"
    license: str = ""  # of the weights: a Hub identifier such as cc-by-nc-4.0, or free text
    data: str = ""  # the training data, and its terms
    training: Table = field(default_factory=dict)  # the model file's record
    metrics: Table = field(default_factory=dict)  # measured on exactly this file
    sha256: str = ""

    @property
    def text(self) -> str:
        import jinja2
        from huggingface_hub import ModelCardData

        task = self.config.task
        kind = task_named(task.name)
        slug = re.sub(r"[^a-z0-9.]+", "-", self.license.lower()).strip("-") or "not-stated"
        known = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.license) is not None
        metadata = ModelCardData(
            license=self.license if known else "other",
            license_name=None if known else slug,
            library_name="caflow",
            pipeline_tag="image-to-image",
            tags=sorted({"caflow", "normalizing-flow", kind.tag}),
        )
        environment = jinja2.Environment(
            trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
        )
        environment.filters["line"] = _line
        source = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
        return environment.from_string(source).render(
            card=self,
            command=kind.usage,
            description=kind.describe(task),
            records=_RECORD,
            metadata=metadata.to_yaml(),
            config=json.dumps(self.config.to_dict(), indent=2),
        )


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_line(part)}" for name, part in value.items())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
