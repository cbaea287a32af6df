"""The estimate of what a run takes."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image
from workers import tiny

from caflow_cli.errors import CaflowError
from caflow_cli.model import CAFlow
from caflow_cli.training.config import to_toml
from caflow_cli.training.dry_run import estimate
from caflow_cli.training.optimise import Optimiser
from caflow_cli.training.settings import apply_settings


def test_an_estimate_times_the_guide_alone_and_all_together(pictures, tmp_path, monkeypatch):
    """By a clock that only steps move: the guide's by one second, the whole model's by ten."""
    clock = [0.0]
    step = Optimiser.step

    def timed(self, batch, lr):
        clock[0] += 10 if self.phases.current.whole_model else 1
        return step(self, batch, lr)

    monkeypatch.setattr(Optimiser, "step", timed)
    monkeypatch.setattr("caflow_cli.training.dry_run.time.perf_counter", lambda: clock[0])
    settings = ["flow.guide=8", "optim.guide_first=0.5"]
    run = apply_settings(tiny(pictures, tmp_path / "x"), settings)
    found = estimate(run)
    assert (found.steps, found.images) == (10, 80)
    assert found.minutes * 60 == pytest.approx(5 * 1 + 5 * 10)
    assert found.images_per_second == pytest.approx(8 / 10)
    assert found.pictures == {"train": 24, "val": 8, "test": 1}
    model = CAFlow(replace(CAFlow().config, flow=run.flow))
    assert list(found.parameters) == ["A", "R", "T", "F", "Q", "total"]
    assert found.parameters["total"] == sum(p.numel() for p in model.parameters())
    assert found.parameters["total"] == sum(list(found.parameters.values())[:-1])
    assert found.parameters["A"] > 0 == found.parameters["Q"]
    found = estimate(replace(run, optim=replace(run.optim, images=None, minutes=10.0)))
    assert found.steps == 300 + 30
    assert not (tmp_path / "x").exists()


def photographs(folder, **counts):
    """Splits of pictures with a million pixels each."""
    stream = BytesIO()
    Image.new("RGB", (1000, 1000)).save(stream, "PNG")
    for split, count in counts.items():
        (folder / split).mkdir(parents=True)
        for index in range(count):
            (folder / split / f"{index}.png").write_bytes(stream.getvalue())
    return folder


def test_memory_counts_photographs_whole(tmp_path):
    """Of 100 pictures a batch is decoded, and all are counted."""
    data = photographs(tmp_path / "data", train=98, val=1, test=1)
    few = tiny(data, tmp_path / "run")
    found = [
        estimate(apply_settings(few, [f"data_memory_gb={bound}", *settings])).memory_gb
        for settings in (["crop=random"], ["crop=whole"])
        for bound in (2.0, 0.0)
    ]
    whole = 99 * 3_000_000 / 2**30
    assert found[0] - found[1] == pytest.approx(whole, abs=0.06)
    assert found[2] - found[3] == pytest.approx(0, abs=0.06)


def test_each_split_is_in_memory_or_mapped_by_itself(tmp_path):
    """Sixty pictures have 0.17 GiB, forty 0.11."""
    data = photographs(tmp_path / "data", train=60, val=40, test=1)
    few, size = tiny(data, tmp_path / "run", crop="random"), 3_000_000 / 2**30
    both, val, none = (
        estimate(apply_settings(few, [f"data_memory_gb={bound}"])).memory_gb
        for bound in (0.2, 0.15, 0.0)
    )
    assert both - none == pytest.approx(100 * size, abs=0.06)
    assert val - none == pytest.approx(40 * size, abs=0.06)


def test_what_a_run_refuses_of_its_folder_is_refused_before(pictures, tmp_path):
    run = apply_settings(tiny(pictures, tmp_path / "run"), [])
    (tmp_path / "run" / "state" / "step-00000005").mkdir(parents=True)
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    (tmp_path / "run" / "config.toml").write_text(to_toml(run))
    with pytest.raises(CaflowError, match="holds a run already") as caught:
        estimate(run)
    assert caught.value.exit_code == 2
    with pytest.raises(CaflowError, match=r"seed is 1, .* began with 0"):
        estimate(replace(run, seed=1), resume=True)
    assert not (tmp_path / "run" / ".lock").exists()
