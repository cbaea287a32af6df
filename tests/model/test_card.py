"""The model card: metadata that the Hub searches, and a text that people read."""

import json

import pytest
import yaml

from caflow_cli.config import Config, FlowConfig, TaskConfig
from caflow_cli.model import Card
from caflow_cli.tasks import TASKS

CONFIG = Config(FlowConfig(scales=2), TaskConfig("superres", factor=4, size=64))


def parts(card):
    """Metadata and text."""
    _, head, text = card.text.split("---\n", 2)
    return yaml.safe_load(head), text


@pytest.mark.parametrize("task", TASKS)
def test_a_card_says_how_a_model_of_its_task_is_used(task):
    config = Config(FlowConfig(cond_channels=TASKS[task].channels[0]), TaskConfig(task, size=32))
    metadata, text = parts(Card(config, "user/name"))
    assert metadata["library_name"] == "caflow"
    assert "normalizing-flow" in metadata["tags"]
    assert len(metadata["tags"]) == 3
    assert text.startswith("\n# name\n")
    assert "--model user/name\n" in text
    assert "32×32" in text
    assert "{" not in text.partition("## Model")[0]  # nothing is left to fill in
    assert json.loads(text.partition("```json")[2].partition("```")[0]) == config.to_dict()


@pytest.mark.parametrize(
    ("license", "stated"),
    [
        ("cc-by-nc-4.0", {"license": "cc-by-nc-4.0"}),
        ("Our Own Terms!", {"license": "other", "license_name": "our-own-terms"}),
        ("", {"license": "other", "license_name": "not-stated"}),
    ],
)
def test_a_license_is_an_identifier_or_has_a_name(license, stated):
    metadata, text = parts(Card(CONFIG, license=license))
    assert {key: metadata[key] for key in stated} == stated
    assert f"- weights: {license or 'not stated'}\n" in text


def test_figures_are_listed_under_their_protocol():
    metrics = {"protocol": "100 faces", "lpips": 0.1234567, "images": 12345, "psnr": {"τ 0": 28.5}}
    text = Card(CONFIG, metrics=metrics, sha256="ab12").text
    section = text.partition("## Measured on exactly this file\n\n")[2].partition("##")[0]
    assert section.strip().splitlines() == [
        "100 faces",
        "",
        "- lpips: 0.123457",
        "- images: 12,345",
        "- psnr: τ 0 28.5",
    ]
    assert "sha256 of `model.safetensors`: `ab12`" in text
