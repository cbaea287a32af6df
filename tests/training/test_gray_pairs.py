"""Pairs whose targets are gray, such as an image of one stain from that of another."""

from __future__ import annotations

import json

import helpers
import numpy as np
import pytest
from workers import tiny

import caflow_cli as caflow
from caflow_cli.config import Config, TaskConfig
from caflow_cli.images import decode, encode_png, in_gray
from caflow_cli.restoration import restore, score
from caflow_cli.tasks import get_task
from caflow_cli.training import train
from caflow_cli.training.resolve import build_config

SMALL = {"r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 8, "f_hidden": 8}


@pytest.fixture
def gray_pairs(tmp_path):
    """Conditions in color, and targets that are gray, of 16x16."""
    for split, count in (("train", 6), ("val", 2)):
        for index, image in enumerate(helpers.smooth_image(count, 3, 16, seed=3)):
            color = image.permute(1, 2, 0).contiguous().numpy()
            for side, pixels in (("A", color), ("B", 255 - in_gray(color))):
                folder = tmp_path / "pairs" / split / side
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{index}.png").write_bytes(encode_png(pixels))
    return tmp_path / "pairs"


def test_a_model_of_gray_targets_gives_gray_results(gray_pairs, tmp_path):
    values = tiny(gray_pairs, tmp_path / "run", flow=SMALL)
    config = build_config(values, ["optim.images=8"], task="paired")
    assert (config.task.gray, config.flow.cond_channels) == (True, 3)
    train(config)
    events = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    notes = [event["text"] for event in events if event["event"] == "note"]
    assert "results are gray, as all targets are: the luminance of three drawn channels" in notes
    model = caflow.load(str(tmp_path / "run" / "best.safetensors"))
    image = decode(gray_pairs / "val/A/0.png")
    for depth in (image.image.values, image.image.values.astype(np.uint16) * 257):
        found = restore(model, depth, tau=1, candidates=2, keep=2)
        for candidate in found.kept:
            assert np.ptp(candidate.image.astype(int), axis=2).max() == 0
            again = score(model, depth, candidate.image)
            assert again.log_likelihood == pytest.approx(candidate.score.log_likelihood, abs=1e-6)


def test_what_is_stated_counts_and_targets_in_color_give_colors(gray_pairs, tmp_path):
    stated = tiny(gray_pairs, tmp_path / "run", flow=SMALL, task={"size": 16, "gray": False})
    assert not build_config(stated, [], task="paired").task.gray
    start = build_config({**stated, "task": {"size": 16}}, [], task="paired")
    colored = {**stated, "data": str(gray_pairs), "task": {"size": 16}}
    for image in (gray_pairs / "train").rglob("B/*.png"):
        image.write_bytes((image.parents[1] / "A" / image.name).read_bytes())
    assert start.task.gray
    assert not build_config(colored, [], task="paired", start=start).task.gray
    with pytest.raises(caflow.CaflowError, match="superres has no such option"):
        get_task(Config(task=TaskConfig(gray=True)))
