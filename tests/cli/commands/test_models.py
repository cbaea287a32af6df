"""`caflow models`."""

import json
import shutil
from pathlib import Path

import forked
import pytest

from caflow_cli.assets import WEIGHTS_DIR
from caflow_cli.checkpoint import read_info
from caflow_cli.hub.manifest import load_manifest, manifest_json
from caflow_cli.paths import sha256_of

from ..process import ANEW, assert_refused
from ..results import lines_of, text_of

ID = "faces-superres-x4"
ENTRY = load_manifest()[ID]
FILE = WEIGHTS_DIR / str(ENTRY.file)


def test_list(run):
    entries = load_manifest()
    rows = [line.split("\t") for line in text_of(run("models", "list")).splitlines()]
    assert rows.pop(0) == ["id", "task", "size", "place", "license", "default"]
    assert [row[0] for row in rows] == list(entries)
    assert [ID, "superres", "20.9 MB", "bundled", ENTRY.license] in rows
    defaults = [entry.id for entry in entries.values() if entry.default]
    assert [row[0] for row in rows if row[5:] == ["default"]] == defaults
    lines = lines_of(run("models", "list", "--json"))
    assert [line["id"] for line in lines] == list(entries)
    assert {line["command"] for line in lines} == {"models list"}


def test_info_of_a_bundled_model(run):
    (record,) = lines_of(run("models", "info", ID, "--json"))
    counts = {"A": 2_412_207, "R": 683_440, "T": 1_444_504, "F": 5_172_816}
    assert record["parameters"] == {"total": 9_712_967, **counts}
    assert record["config"] == json.loads(json.dumps(read_info(FILE).config.to_dict()))
    for field in ("task", "sha256", "bytes", "license", "data", "metrics", "default"):
        assert record[field] == getattr(ENTRY, field)
    assert record["training"]["images"] == 41_984
    assert Path(record["card"]).read_text(encoding="utf-8").startswith(f"# {ID}")
    assert ENTRY.sha256 in text_of(run("models", "info", ID))


def test_info_of_a_run_a_file_and_a_copy(run, tmp_path, small_model, gray_file):
    record = {"images": 3, "data": "\x1b[2Jfaces", "optim": {"lr": 1}}
    (tmp_path / "my-run").mkdir()
    small_model.save(tmp_path / "my-run" / "best.safetensors", record)
    (by_folder,) = lines_of(run("models", "info", "my-run", "--json"))
    (by_file,) = lines_of(run("models", "info", "my-run/best.safetensors", "--json"))
    assert (by_folder["id"], by_file["id"]) == ("my-run", "best.safetensors")
    assert by_folder["training"] == by_file["training"] == record
    assert by_file["license"] is None
    assert by_file["parameters"]["total"] == sum(p.numel() for p in small_model.parameters())
    assert by_file["defaults"]["tau"] == {"value": [0.5], "from": "default"}
    (own,) = lines_of(run("models", "info", gray_file, "--json"))
    assert own["defaults"]["tau"] == {"value": [0.85], "from": "config"}
    assert own["defaults"]["candidates"] == {"value": 10, "from": "config"}
    text = text_of(run("models", "info", "my-run", screen=True))
    assert "\x1b" not in text
    assert "\\x1b[2Jfaces" in text
    assert "lr 1" not in text
    assert "data      \x1b[2Jfaces" in text_of(run("models", "info", "my-run"))
    shutil.copy(FILE, tmp_path / "copy.bin")
    (copy,) = lines_of(run("models", "info", "copy.bin", "--json"))
    assert (copy["id"], copy["license"]) == ("copy.bin", ENTRY.license)


@pytest.mark.parametrize("command", ["info", "path"])
def test_a_model_that_is_not_there_is_not_downloaded(run, command):
    assert_refused(run("models", command, "faces-superres-x5"), 3, "no model")
    result = run("models", command, "nobody/nothing@v1")
    assert_refused(result, 3, "'nobody/nothing@v1' is not in the cache")
    assert result.stderr.decode().splitlines()[1] == "hint: caflow models pull nobody/nothing@v1"


def test_verify_goes_on_after_a_failure(run, tmp_path, model_file):
    (tmp_path / "cut.safetensors").write_bytes(model_file.read_bytes()[:-1])
    result = run("models", "verify", "cut.safetensors", "nobody/nothing", model_file, ID)
    assert result.returncode == 3
    names = ("failed\tcut.safetensors", "failed\tnobody/nothing", f"ok\t{model_file}", f"ok\t{ID}")
    assert result.stdout.decode().splitlines() == list(names)
    errors = result.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in errors] == ["error", "hint"] * 2
    assert "readable safetensors" in errors[0]
    (line,) = lines_of(run("models", "verify", ID, "--json"))
    assert (line["status"], line["sha256"]) == ("ok", ENTRY.sha256)


def test_a_bundled_file_that_was_changed_is_refused(tmp_path):
    """In a copy of the package that has that one model."""
    package = tmp_path / "caflow_cli"
    leave_out = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(WEIGHTS_DIR.parents[1], package, ignore=leave_out)
    (package / "assets" / "weights" / str(ENTRY.file)).write_bytes(b"changed")
    (package / "weights_manifest.json").write_text(manifest_json([ENTRY]))
    result = forked.run(ANEW, "models", "verify", cwd=tmp_path)
    assert (result.returncode, result.stdout.decode()) == (3, f"failed\t{ID}\n")
    assert b"sha256" in result.stderr


def test_pack_writes_one_file_and_its_entry(run, tmp_path, model_file):
    shared = ["models", "pack", model_file, "--id", "mine", "-o", "out"]
    result = run(*shared)
    assert (result.returncode, result.stdout) == (0, b"out/mine.safetensors\n")
    digest = sha256_of(tmp_path / "out" / "mine.safetensors")
    assert digest.encode() in result.stderr
    entry = json.loads((tmp_path / "out" / "weights_manifest.json").read_text())["models"]["mine"]
    assert entry["sha256"] == digest
    assert_refused(run(*shared), 2, "there is already a model 'mine'")
    assert run(*shared, "--overwrite", "-q").stderr == b""
    (line,) = lines_of(run(*shared, "--overwrite", "--json"))
    assert line["sha256"] == digest
    assert text_of(run("models", "verify", "out/mine.safetensors")) == "ok\tout/mine.safetensors\n"


@pytest.mark.parametrize("option", ["--license", "--data-terms"])
def test_pack_writes_no_manifest_that_cannot_be_read(run, tmp_path, model_file, option):
    arguments = ["--id", "mine", "-o", "out", option, "one\nline\x1b[2J"]
    refused = run("models", "pack", model_file, *arguments)
    assert_refused(refused, 2, "one\\nline")
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("*.json"))


def test_a_model_of_another_task_or_of_none(run, tmp_path, small_image, model_files):
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04\x95pickle")
    refused = run("superres", small_image, "-o", "out/", "--model", model_files["colorize"])
    assert_refused(refused, 2, "is for colorize, not superres")
    refused = run("superres", small_image, "-o", "out/", "--model", "bad.safetensors")
    assert_refused(refused, 3, "bad.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.safetensors"]
