"""Cards, manifest and tables say what was measured of the bundled files (`.ci/models`)."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / ".ci"))

from model_cards import fields, measure, pages  # noqa: E402  (found by the line above)

from caflow_cli.intervals import CalibrationImages  # noqa: E402

MODEL = "faces-superres-x4"


@pytest.fixture
def place(tmp_path):
    """A copy of the checkout, as far as cards need it."""
    for name in ("README.md", "docs/models.md", "weights_manifest.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs" / "models", tmp_path / "docs" / "models")
    copied, own = pages.Place(tmp_path), pages.Place(ROOT)
    folder = copied.weights("x").parent
    folder.mkdir(parents=True)
    for path in own.weights("x").parent.iterdir():
        if path.suffix == ".md":
            shutil.copy(path, folder)
        else:
            (folder / path.name).symlink_to(path)
    return copied


def test_cards_manifest_and_tables_agree_with_the_records():
    assert pages.check(pages.Place(ROOT)) == []


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/models.md",
        "weights_manifest.json",
        f"caflow_cli/assets/weights/{MODEL}.md",
    ],
)
def test_a_figure_that_was_changed_by_hand_is_found_and_written_again(place, name):
    page = place.root / name
    text = page.read_text("utf-8")
    page.write_text(text.replace("0.37", "0.47"), "utf-8")
    assert page.read_text("utf-8") != text
    assert pages.check(place) == [f"{name} differs from the records (.ci/models write)"]
    assert pages.write(place) == [page]
    assert page.read_text("utf-8") == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.update(sha256="0" * 64), "is of another file than its manifest"),
        (lambda record: record["protocol"].update(images=3), "is not of 100 images"),
    ],
)
def test_a_record_is_of_the_bundled_file_and_of_all_images(place, change, message):
    record = json.loads(place.record(MODEL).read_text("utf-8"))
    change(record)
    pages.save(place.record(MODEL), record)
    assert message in pages.check(place)[0]


def test_every_bundled_model_has_a_record_and_words_and_no_other_has(place):
    orphan = place.record("gone-x4")
    orphan.write_text("{}", "utf-8")
    assert "gone-x4.json is of no bundled model" in pages.check(place)[0]
    orphan.unlink()
    place.record(MODEL).rename(place.root / "kept.json")
    assert f"{MODEL} has no record" in pages.check(place)[0]
    (place.root / "kept.json").rename(place.record(MODEL))
    words = place.words(MODEL)
    words.write_text(words.read_text("utf-8").replace("fails =", "fail ="), "utf-8")
    assert "says nothing of fails" in pages.check(place)[0]


def test_a_measured_model_has_all_that_a_card_shows(
    models_32, true_images, tmp_path, flat_trunk, monkeypatch
):
    model_file = tmp_path / "tiny-x4.safetensors"
    models_32["superres"].save(model_file)
    monkeypatch.setenv("CAFLOW_LPIPS_WEIGHTS", str(flat_trunk))
    record = measure.measure("tiny-x4", model_file, true_images, 2, (0.0, 0.5), 2)
    record = json.loads(json.dumps(record))
    assert record["protocol"]["images"] == record["returned"] == 2
    assert record["baseline"] == "bicubic"
    assert [point["tau"] for point in record["curve"]] == ["0", "0.5"]
    assert [far["conditions"] * far["draws"] for far in record["far"]] == [4, 4]
    words = {"does": "enlarges", "truths": "noise", "tau": "the first", "fails": "All **faces**."}
    entry = {"data": "noise", "license": "none"}
    calibration = {
        "tau": [0.9, 0.5],
        "candidates": 10,
        "consistent": True,
        "lambda": 2.5,
        "images": 1200,
        "width": 40.0,
        "data": "val/",
    }
    check = {
        "truths": "noise",
        "images": 2,
        "coverage": 0.9,
        "standard_error": 0.01,
        "width": 41.0,
        "quantiles": [0.8, 0.96],
    }
    intervals = {"calibration": calibration, "checks": [check]}
    model = {
        "record": record,
        "words": words,
        "whole": None,
        "intervals": intervals,
        "entry": entry,
    }
    card = pages.card_text(model)
    value = record["likeliest"]["rmse"]
    assert f"| {value['mean']:.2f} ± {value['standard_error']:.2f} |" in card
    for text in (
        "All **faces**.",
        "2 of 2 test images",
        "at τ 0.5",
        "λ 2.5 at τ 0.9/0.5 with 10 candidates, `--consistent`, calibrated on 1,200 images (val/)",
        "90.0 ± 1.0 % of the values lie within, at a mean width of 41.0 levels",
        "over images are 80 and 96 %",
    ):
        assert text in card
    assert pages.table_cells(model, "x.md")["to compare"].startswith("bicubic: RMSE ")
    assert pages.metrics(model)["single draws"].keys() >= {"rmse", "lpips", "diversity"}


def test_coverages_of_one_calibration_stand_side_by_side(true_images, tmp_path):
    known = tmp_path / "intervals.json"
    path = pages.Place(ROOT).weights(MODEL)
    images = CalibrationImages(data=true_images, split="test", limit=1)
    for truths in ("one", "another", "one"):
        pages.save(known, measure.measure_intervals(path, images, truths, known))
    record = json.loads(known.read_text("utf-8"))
    assert [check["truths"] for check in record["checks"]] == ["another", "one"]
    record["calibration"]["lambda"] += 1
    pages.save(known, record)
    record = measure.measure_intervals(path, images, "one", known)
    assert [check["truths"] for check in record["checks"]] == ["one"]


def test_protocols_of_one_task_stand_side_by_side(
    models_32, true_images, tmp_path, flat_trunk, monkeypatch
):
    model_file = tmp_path / "tiny-x4.safetensors"
    models_32["superres"].save(model_file)
    monkeypatch.setenv("CAFLOW_LPIPS_WEIGHTS", str(flat_trunk))
    known = tmp_path / "tiny-x4.whole.json"
    data = true_images / "test"
    for protocol, settings in (
        ("sr4", {}),
        ("sr-space", {"taus": [0.9], "candidates": 2, "keep": 2, "consistent": True}),
    ):
        record = measure.measure_whole(
            model_file, data, known, protocol=protocol, limit=1, **settings
        )
        pages.save(known, record)
    assert record["protocol"] == "sr4"
    assert [one["name"] for one in record["sets"]] == ["test", "test, sr-space, consistent"]
    rows = [row["what"] for row in record["sets"][1]["rows"]]
    assert rows[:2] == ["bicubic", "model, τ 0.9, all 2"]
    assert "diversity_score" in record["sets"][1]["rows"][1]["values"]


def test_a_record_of_fields_is_made_of_what_the_benchmark_measured():
    """From its own columns without ratios, that of the bundled model is made again."""
    place = pages.Place(ROOT)
    known = json.loads(place.record("rain-superres-x4").read_text("utf-8"))
    measured = {
        group["group"]: {
            name: {key: value for key, value in figures.items() if "ratio" not in key}
            for name, figures in group["columns"].items()
        }
        for group in known["groups"]
    }
    emptied = [{**group, "columns": {}} for group in known["groups"]]
    file = place.weights(known["id"])
    made = fields.record_with({**known, "sha256": "", "groups": emptied}, file, measured, {})
    for group, expected in zip(made.pop("groups"), known.pop("groups"), strict=True):
        assert list(group["columns"]) == list(expected["columns"])
        for name, figures in expected["columns"].items():
            assert group["columns"][name] == pytest.approx(figures, rel=1e-5)
    assert made == known
    renamed = fields.record_with({**known, "groups": emptied}, file, measured, {"model": "five"})
    assert "model" not in renamed["groups"][0]["columns"]
