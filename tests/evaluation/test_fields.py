"""Evaluation of a model of fields, on days of simulated rain."""

import json

import numpy as np
import pytest
from cli.inprocess import program
from scipy.stats import norm
from small_fields import RAIN, fresh, rain

import caflow_cli as caflow
from caflow_cli.config import Config, FlowConfig, Values
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.metrics.fields import FieldContext, measure_field
from caflow_cli.fields.project import means_of, repeated
from caflow_cli.fields.scale import scale_of
from caflow_cli.model import CAFlow


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Three days, one of them for training; the first test day has twice as many fields."""
    root = tmp_path_factory.mktemp("rain")
    for day, first, last in (("train/may", 0, 2), ("test/june", 2, 6), ("test/july", 6, 8)):
        (root / day).mkdir(parents=True)
        for k in range(first, last):
            np.save(root / day / f"{k:02}.npy", rain(8, 8, k))
    return root


@pytest.fixture(scope="module")
def evaluation(days):
    return caflow.evaluate(fresh(), days, tau=(0.7, 1), candidates=8)


def test_every_day_and_the_mean_over_days_have_figures(evaluation):
    names = ["crps", "rank", "member_coverage", "maxima", "maxima_crps", "octave"]
    assert evaluation.metrics == names
    assert evaluation.images == 6
    by_name = {result.label: result for result in evaluation.results}
    for what in ("model, τ 0.7, all 8", "model, τ 1, all 8", "guide, filtered noise"):
        of_days = [by_name[f"{day}: {what}"].values for day in ("july", "june")]
        for name in names:
            mean = np.mean([values[name].mean for values in of_days])
            assert by_name[what].values[name].mean == pytest.approx(mean)
            assert by_name[what].values[name].count == 6
            assert by_name[what].values[name].standard_error > 0
        assert by_name[what].extra["days"] == 2
        assert [values["crps"].count for values in of_days] == [2, 4]
    assert "rank" not in by_name["bicubic"].values
    assert by_name["model, τ 1, all 8"].values["crps"].mean < by_name["bicubic"].values["crps"].mean


def test_json_has_the_unit_and_the_days(evaluation):
    record = evaluation.as_json()
    json.dumps(record, allow_nan=False)
    assert record["form"] == "fields"
    assert record["metrics"]["crps"]["units"] == record["unit"] == "mm/h"
    assert record["days"] == ["july", "june"]
    assert "days: 2" in record["notes"][0]


def test_each_day_chooses_a_tau_for_its_fields_together(tmp_path):
    rng = np.random.default_rng(4)
    for day, spread in (("calm", 1.0), ("rough", 4.0)):
        (tmp_path / day).mkdir()
        for k in range(2):
            level = rng.normal(14, spread, (128, 256)) + repeated(rng.normal(0, 2, (8, 16)), 16)
            coarse = 0.1 * 10 ** (level[::4, ::4] / 10)
            np.save(tmp_path / day / f"{k}.npy", repeated(coarse, 4).astype(np.float32))
    found = caflow.evaluate(fresh(), tmp_path, ["crps"], tau=("auto", 0.8, 1.2), candidates=4)
    record = found.as_json()
    chosen = record["tau_chosen"]
    assert {day: of_day["tau"] for day, of_day in chosen.items()} == {"calm": [0.8], "rough": [1.2]}
    assert chosen["calm"]["areas"] == 2 * 8 * 16
    assert record["params"]["taus"] == ["auto", [0.8], [1.2]]
    by_name = {result.label: result.values["crps"] for result in found.results}
    for day, tau in (("calm", "0.8"), ("rough", "1.2")):
        assert by_name[f"{day}: model, τ auto, all 4"] == by_name[f"{day}: model, τ {tau}, all 4"]
        assert any(note.startswith(f"{day}: τ {tau}, chosen on") for note in found.notes)


def test_the_command_has_a_row_for_every_day(days, tmp_path):
    run = program(tmp_path)
    fresh().save(tmp_path / "rain.safetensors")
    options = ("--model", "rain.safetensors", "--data", days, "-m", 4, "--limit", 2)
    done = run("evaluate", *options, "--metric", "crps,maxima")
    assert done.returncode == 0, done.stderr
    header, *lines = (line.split("\t") for line in done.stdout.decode().splitlines())
    assert header[6:] == ["crps", "crps_se", "maxima", "maxima_se"]
    fields = {line[0]: line[5] for line in lines}
    assert fields["model"] == "2"
    assert fields["july: model, τ 1, all 4"] == "1"
    refused = run("evaluate", *options, "--metric", "lpips")
    assert refused.returncode == 2
    assert b"fields have no lpips" in refused.stderr


def test_a_field_outside_of_the_range_or_too_small_fails_alone(days, tmp_path):
    (tmp_path / "day").mkdir()
    np.save(tmp_path / "day" / "a.npy", rain(8, 8, 8))
    np.save(tmp_path / "day" / "b.npy", np.full((16, 16), 900, np.float32))
    np.save(tmp_path / "day" / "c.npy", np.full((3, 16), 1, np.float32))
    found = caflow.evaluate(fresh(), tmp_path, ["crps"], candidates=4)
    assert found.images == 1
    assert "900 mm/h at row 0" in found.failed["day/b.npy"].message
    assert found.failed["day/c.npy"].message == "a field of 16×3 cells has no area of 4×4"


def test_fields_without_dry_cells_are_measured_with_their_gaps(tmp_path):
    rng = np.random.default_rng(5)
    for split in ("train", "test"):
        (tmp_path / split / "day").mkdir(parents=True)
        for k in range(2):
            warm = repeated(rng.normal(270, 15, (8, 8)), 4) + rng.normal(0, 3, (32, 32))
            warm[:4, :6] = np.nan if k else 260
            np.save(tmp_path / split / "day" / f"{k}.npy", warm.astype(np.float32))
    kelvin = Values("K", "linear", 200, 340)
    found = caflow.evaluate(fresh(kelvin), tmp_path, candidates=6)
    assert found.images == 2
    for result in found.results:
        assert np.isfinite([value.mean for value in result.values.values()]).all()
    by_name = {result.what: result.values for result in found.results}
    assert by_name["model"].keys() == set(found.metrics)
    assert by_name["guide, filtered noise"]["crps"].mean < by_name["bicubic"]["crps"].mean


def test_what_fields_or_images_have_not_is_refused(days):
    for metrics, options in ((["rmse"], {}), ([], {"masks": "x"}), ([], {"candidates": 2})):
        with pytest.raises(CaflowError):
            caflow.evaluate(fresh(), days, metrics, **options)
    small = FlowConfig(scales=1, r_steps=1, t_steps=1, f_steps=1, hidden=8, f_hidden=8)
    with pytest.raises(CaflowError, match="images have no maxima"):
        caflow.evaluate(CAFlow(Config(small)), days, ["maxima"])
    every = caflow.evaluate(fresh(), days, "all", candidates=4, limit=1)
    assert "maxima" in every.metrics


def test_a_perfect_ensemble_is_calibrated():
    """Truth and 40 members of one distribution, with many ties at zero."""
    rng = np.random.default_rng(3)
    totals = {}
    for _ in range(30):
        p = norm.cdf(rng.normal(0, 1, (32, 32)))
        wet = rng.random((41, 32, 32)) < p
        fields = np.where(wet, rng.gamma(1, 3, wet.shape) + 0.1, 0).astype(np.float32)
        truth, members = fields[0], fields[1:]
        likely = p >= 0.5
        means = means_of(np.full((32, 32), 1.0), 4)
        sums, ranks = measure_field(members, truth, FieldContext(scale_of(RAIN), means, 4, likely))
        assert ranks.sum() == pytest.approx(1)
        for name, pair in sums.items():
            totals[name] = np.add(totals.get(name, 0), pair)
    ratios = {name: over / under for name, (over, under) in totals.items()}
    assert ratios["member_coverage"] == pytest.approx(37 / 41, abs=0.01)
    assert ratios["maxima"] == pytest.approx(0.5, abs=0.08)
    assert ratios["octave"] == pytest.approx(1, abs=0.03)


def test_areas_without_heavy_rain_or_with_gaps_have_no_maxima():
    means = np.full((8, 8), 0.5)
    means[1, 2] = 0.71
    truth = np.full((32, 32), 0.5)
    truth[3, 5] = 9.0
    members = np.stack([truth, np.where(truth > 1, 8.0, truth), np.where(truth > 1, 10, truth)])
    known = FieldContext(scale_of(RAIN), means, 4, np.ones((32, 32), bool))
    sums, _ = measure_field(members, truth, known)
    assert sums["maxima"] == [pytest.approx((1 + 0.5) / 3), 1]
    assert sums["maxima_crps"][0] == pytest.approx(2 / 3 - 2 / 3)
    means[0, 0] = np.nan
    truth[:4, :4] = np.nan
    sums, _ = measure_field(members, truth, known)
    assert "maxima" not in sums
    assert "octave" not in sums
    assert sums["crps"][1] == 32 * 32 - 16
