"""`caflow models info`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from caflow_cli.assets import WEIGHTS_DIR
from caflow_cli.checkpoint import read_info

from ...results import lines_of, text_of
from .entry import ENTRY, ID


def test_info_of_a_bundled_model(run):
    (record,) = lines_of(run("models", "info", ID, "--json"))
    assert record["parameters"] == {
        "total": 8_531_847,
        "A": 1_231_087,
        "R": 683_440,
        "T": 1_444_504,
        "F": 5_172_816,
    }
    config = read_info(WEIGHTS_DIR / str(ENTRY.file)).config.to_dict()
    assert record["config"] == json.loads(json.dumps(config))
    for field in ("task", "sha256", "bytes", "license", "data", "metrics", "default"):
        assert record[field] == getattr(ENTRY, field)
    assert record["domain"]["pictures"] == 100
    assert record["training"]["images"] == 41_984
    assert Path(record["card"]).read_text(encoding="utf-8").startswith(f"# {ID}")
    text = text_of(run("models", "info", ID))
    for part in (ENTRY.sha256, ENTRY.license, ENTRY.data, "8,531,847", ENTRY.metrics["protocol"]):
        assert part in text
    assert "lpips 0.0643" in text


def test_info_of_a_file_and_of_a_run(run, tmp_path, small_model):
    folder = tmp_path / "my-run"
    folder.mkdir()
    record = {"images": 3, "data": "\x1b[2Jfaces", "optim": {"lr": 1}}
    small_model.save(folder / "best.safetensors", record)
    (by_folder,) = lines_of(run("models", "info", "my-run", "--json"))
    (by_file,) = lines_of(run("models", "info", "my-run/best.safetensors", "--json"))
    assert (by_folder["id"], by_file["id"]) == ("my-run", "best.safetensors")
    assert by_folder["training"] == by_file["training"] == record
    assert by_file["license"] is None
    total = sum(p.numel() for p in small_model.parameters())
    assert by_file["parameters"]["total"] == total
    assert by_file["defaults"] == {
        "tau": {"value": [0.5], "from": "default"},
        "candidates": {"value": 10, "from": "default"},
        "rank": {"value": "likelihood", "from": "default"},
    }
    text = text_of(run("models", "info", "my-run"))
    assert "tau          0.5, as of any model of its task\n" in text
    assert "\x1b" not in text
    assert "\\x1b[2Jfaces" in text
    assert "lr 1" not in text
    assert "lr 1" in text_of(run("models", "info", "my-run", "-v"))


def test_info_of_a_copy_knows_its_terms(run, tmp_path):
    shutil.copy(WEIGHTS_DIR / str(ENTRY.file), tmp_path / "copy.bin")
    (record,) = lines_of(run("models", "info", "copy.bin", "--json"))
    assert (record["id"], record["license"]) == ("copy.bin", ENTRY.license)


def test_a_default_of_the_config_is_told_as_that(run, grey_file):
    (record,) = lines_of(run("models", "info", grey_file, "--json"))
    assert record["defaults"]["tau"] == {"value": [0.85], "from": "config"}
    assert record["defaults"]["candidates"] == {"value": 10, "from": "config"}
    assert "tau          0.85, of its config\n" in text_of(run("models", "info", grey_file))
