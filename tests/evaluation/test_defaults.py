"""Defaults that are searched on validation pictures and written into a new model file."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
from dataclasses import replace

import helpers
import pytest
import torch
from safetensors import safe_open

from caflow_cli.checkpoint import origins, read_info
from caflow_cli.checkpoint.tensors import read_tensors
from caflow_cli.config import RULES, Config
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import defaults
from caflow_cli.evaluation.defaults import FoundDefaults, search_defaults, write_defaults
from caflow_cli.evaluation.estimates import Estimate
from caflow_cli.evaluation.rank_search import Measured, RankChoice
from caflow_cli.evaluation.result import Evaluation, Failure, Result
from caflow_cli.evaluation.settings import Cell
from caflow_cli.evaluation.temperature_search import (
    TemperatureChoice,
    choose_temperature,
    searched,
)
from caflow_cli.images import write_png
from caflow_cli.model import CAFlow
from caflow_cli.sampling import Sampling
from caflow_cli.temperature import Temperature

SHAPE = Temperature.of("0.9/0.7/0.5")
needs_lpips = pytest.mark.skipif(
    os.environ.get("CAFLOW_LPIPS_WEIGHTS") is None, reason="CAFLOW_LPIPS_WEIGHTS is not set"
)


def estimate(mean):
    return Estimate(mean, 0.1, 7)


def found(tau=SHAPE, rank="consensus"):
    measured = {
        name: Measured(estimate(9), estimate(0.2), None if name == "likelihood" else estimate(-1))
        for name in RULES
    }
    return FoundDefaults(
        None if tau is None else TemperatureChoice(tau, estimate(9), estimate(0.2), 8.5, 1, 1),
        None if rank is None else RankChoice(rank, SHAPE, 10, 1, measured),
        Evaluation("model", 7, ["rmse", "lpips"], []),
        {"data": "faces.zip", "split": "val"},
    )


@pytest.fixture
def packed(small_model, tmp_path):
    """A model file with convolutions in bfloat16, and a record."""
    path = tmp_path / "packed.safetensors"
    small_model.save(path, {"images": 3, "domain": {"pictures": 2}}, bf16_convs=True)
    return path


def test_the_copy_has_the_same_tensors_and_the_new_defaults(packed, tmp_path):
    before = packed.read_bytes()
    target = tmp_path / "tuned.safetensors"
    write_defaults(packed, target, found(), hashlib.sha256(before).hexdigest())
    assert packed.read_bytes() == before
    own, copy = read_tensors(packed), read_tensors(target)
    assert own.keys() == copy.keys()
    assert torch.bfloat16 in {tensor.dtype for tensor in copy.values()}
    for name, tensor in own.items():
        assert copy[name].dtype == tensor.dtype
        assert torch.equal(copy[name], tensor)
    was, now = read_info(packed), read_info(target)
    task = replace(was.config.task, tau=(0.9, 0.7, 0.5), rank="consensus")
    assert now.config == Config(was.config.flow, task)
    filled = Sampling(rank="best").of(CAFlow.load(target).config)
    assert (filled.temperature, filled.rank) == (SHAPE, "consensus")
    record = now.training.pop("defaults")
    assert now.training == was.training
    assert record == found().as_json()
    for part, choice in (("tau", [0.9, 0.7, 0.5]), ("rank", "consensus")):
        assert record[part][part] == choice
        assert (record[part]["data"], record[part]["split"], record[part]["pictures"]) == (
            "faces.zip",
            "val",
            7,
        )
        assert record[part]["rule"].startswith("the lowest lpips")
    assert record["tau"]["lpips"] == {"mean": 0.2, "standard_error": 0.1, "count": 7}


def test_one_search_leaves_the_others_part(packed, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    write_defaults(packed, first, found(rank=None))
    assert read_info(first).config.task.rank == "likelihood"
    write_defaults(first, second, found(tau=None, rank="typical"))
    info = read_info(second)
    assert (info.config.task.tau, info.config.task.rank) == ((0.9, 0.7, 0.5), "typical")
    assert info.training["defaults"].keys() == {"tau", "rank"}
    said = origins(info.config, info.training).sentences()
    assert said["tau"].startswith("0.9/0.7/0.5: the lowest lpips whose rmse")
    assert said["rank"].endswith("on 7 pictures of val/ of faces.zip")
    third = tmp_path / "third.safetensors"
    write_defaults(second, third, found(tau=Temperature.of(0.8), rank=None))
    assert read_info(third).config.task.tau == 0.8  # a number, as configs write one


def test_nothing_is_replaced_or_written_by_halves(packed, tmp_path):
    before = packed.read_bytes()
    link = tmp_path / "link.safetensors"
    link.symlink_to(packed)
    dangling = tmp_path / "dangling.safetensors"
    dangling.symlink_to(tmp_path / "nowhere")
    for target in (packed, link, dangling):
        with pytest.raises(CaflowError, match="exists, and no model is replaced") as caught:
            write_defaults(packed, target, found())
        assert caught.value.exit_code == 2
    new = tmp_path / "new.safetensors"
    with pytest.raises(CaflowError, match="has changed since it was loaded") as caught:
        write_defaults(packed, new, found(), "0" * 64)
    assert caught.value.exit_code == 3
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(before[:-10])
    with pytest.raises(CaflowError):
        write_defaults(broken, new, found())
    with pytest.raises(CaflowError, match="cannot write"):
        write_defaults(packed, tmp_path / "no" / "new.safetensors", found())
    with pytest.raises(CaflowError, match=r"does not end in \.safetensors"):
        write_defaults(packed, tmp_path / "new.bin", found())
    assert packed.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {
        *("packed.safetensors", "link.safetensors", "dangling.safetensors", "broken.safetensors")
    }


def test_tensors_are_copied_bit_for_bit(packed, tmp_path):
    """Both files have the same bytes of tensors behind their headers."""
    target = tmp_path / "tuned.safetensors"
    write_defaults(packed, target, found())
    with safe_open(packed, "pt") as own, safe_open(target, "pt") as copy:
        assert list(own.keys()) == list(copy.keys())
    bodies = []
    for path in (packed, target):
        data = path.read_bytes()
        bodies.append(data[8 + int.from_bytes(data[:8], "little") :])
    assert bodies[0] == bodies[1]


# --- the search -----------------------------------------------------------------------------------


@pytest.fixture
def with_val(true_pictures, tmp_path):
    """Two pictures in `val/`; those of `test/` cannot be read."""
    data = tmp_path / "faces"
    (data / "val").mkdir(parents=True)
    (data / "test").mkdir()
    for name in ("p0.png", "p1.png"):
        shutil.copy(true_pictures / "test" / name, data / "val" / name)
    (data / "test" / "p2.png").write_bytes(b"no picture")
    return data


@needs_lpips
def test_rules_are_measured_at_the_temperature_that_was_found(models_32, with_val):
    calls = []
    result = search_defaults(
        models_32["superres"],
        with_val,
        candidates=3,
        identity={"id": "m", "sha256": "s"},
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [*((done, 28) for done in range(1, 29)), (1, 2), (2, 2)]
    rows = [row for row in result.evaluation.results if row.what == "model"]
    temperatures, rules = rows[:14], rows[14:]
    assert [row.cell.tau for row in temperatures] == searched(models_32["superres"].config.flow)
    assert {row.cell.m for row in temperatures} == {1}
    assert [row.cell.rank for row in rules] == list(RULES)
    assert {(row.cell.tau, row.cell.m) for row in rules} == {(result.tau.tau, 3)}
    record = result.evaluation.as_json()["search"]
    assert record == result.as_json()
    for part in ("tau", "rank"):
        about = {key: record[part][key] for key in ("data", "split", "pictures", "seed", "model")}
        assert about == {
            "data": "faces",
            "split": "val",
            "pictures": 2,
            "seed": 0,
            "model": {"id": "m", "sha256": "s"},
        }
    assert record["rank"]["candidates"] == 3
    assert len([row for row in result.evaluation.results if row.what == "bicubic"]) == 1


@needs_lpips
def test_a_search_measures_what_the_models_training_held_out(models_32, with_val):
    model = copy.copy(models_32["superres"])
    model.split_seed = 1
    assert (
        search_defaults(model, with_val, ["rank"], candidates=2).measured_on["split_seed"] is None
    )
    for name in ("val", "test"):
        shutil.rmtree(with_val / name, ignore_errors=True)
    images = helpers.smooth_image(9, 3, 32, seed=9).permute(0, 2, 3, 1).numpy()
    for index, image in enumerate(images):
        write_png(with_val / f"{index}.png", image)
    seen = []
    measured = search_defaults(
        model, with_val, ["rank"], candidates=2, progress=lambda *of: seen.append(of)
    )
    assert seen == [(1, 1)]
    assert measured.as_json()["rank"]["split_seed"] == 1


@needs_lpips
def test_rules_alone_are_measured_at_the_models_own_temperature(models_32, with_val):
    model = models_32["superres"]
    result = search_defaults(model, with_val, ["rank"], candidates=2, limit=1)
    assert result.tau is None
    assert result.rank.tau == Sampling().of(model.config).temperature
    assert result.rank.rank == "likelihood"  # one picture proves nothing
    assert search_defaults(model, with_val, ["rank"], tau=0.3, candidates=2).rank.tau == 0.3


def test_what_fits_no_search_is_refused(models_32, with_val):
    model = models_32["superres"]
    for settings, message in (
        ({"search": ["beauty"]}, "cannot search"),
        ({"search": []}, "cannot search"),
        ({"tau": 0.5}, "both say the temperature"),
        ({"candidates": 1}, "to keep 1 of 1 candidates is no choice"),
    ):
        with pytest.raises(CaflowError, match=message) as caught:
            search_defaults(model, with_val, **settings)
        assert caught.value.exit_code == 2


def part(tau, rmse, lpips, *failed, note="few"):
    values = {
        "rmse": Estimate(rmse, 0.1, 3 - len(failed)),
        "lpips": Estimate(lpips, 0.1, 3 - len(failed)),
    }
    failures = [Failure(name, CaflowError(f"{name} ran away", "lower")) for name in failed]
    return Evaluation(
        "model",
        3 - len(failed),
        [],
        [Result("bicubic", {}), Result("model", values, Cell(tau, 1, 1))],
        settings={"params": {"taus": [tau.as_json()]}},
        failed=failures,
        notes=[note],
    )


def test_a_picture_that_fails_in_both_searches_is_named_once():
    joined = defaults._joined([part(SHAPE, 9, 0.1, "p.png"), part(SHAPE, 9, 0.1, "p.png")])
    assert [failure.name for failure in joined.failed] == ["p.png"]
    assert joined.notes == ["few"]
    assert [row.what for row in joined.results] == ["bicubic", "model", "model"]


def test_a_temperature_whose_draws_run_away_is_left_out_and_no_picture_is_lost():
    cold, warm, hot = (Temperature.of(tau) for tau in (0.5, 0.8, 1.2))
    parts = {
        cold: part(cold, 10, 0.2, "damaged.png"),
        warm: part(warm, 10.1, 0.05, "damaged.png", "p.png"),
        Temperature.of(0.6): part(Temperature.of(0.6), 10.2, 0.1, "damaged.png"),
    }

    def measure(tau, progress):
        assert progress is None
        if tau not in parts:
            raise CaflowError("no picture could be measured", "lower")
        return parts[tau]

    found = defaults._swept([hot, *parts], measure, None)
    assert [failure.name for failure in found.failed] == ["damaged.png"]
    assert found.notes == [
        "few",
        "tau 1.2: no picture could be measured",
        "tau 0.8: left out, because pictures failed (1): p.png ran away",
    ]
    assert found.settings["params"]["taus"] == [[1.2], [0.5], [0.8], [0.6]]
    choice = choose_temperature(found.results)
    assert (choice.tau, choice.lpips.count) == (0.6, 2)
    with pytest.raises(CaflowError, match="no picture could be measured"):
        defaults._swept([hot], measure, None)


def test_an_error_of_usage_ends_a_search_at_once():
    def measure(tau, progress):
        calls.append(tau)
        raise CaflowError("no such metric", "--metric", 2)

    calls = []
    with pytest.raises(CaflowError, match="no such metric"):
        defaults._swept([SHAPE, SHAPE], measure, None)
    assert len(calls) == 1
