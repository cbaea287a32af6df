"""`caflow models list|info|path|verify|pack`: results on stdout, checked, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from caflow_cli.assets import WEIGHTS_DIR
from caflow_cli.checkpoint import read_info
from caflow_cli.hub.digest import sha256_of
from caflow_cli.hub.manifest import load_manifest, manifest_json

from .process import assert_refused
from .test_json import lines_of

ID = "faces-superres-x4"
ENTRY = load_manifest()[ID]


@pytest.fixture
def one_bundled(tmp_path: Path, monkeypatch) -> Path:
    """An installation with that one model, in `tmp_path/weights`."""
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(WEIGHTS_DIR / str(ENTRY.file), folder)
    manifest = tmp_path / "weights_manifest.json"
    manifest.write_text(manifest_json([ENTRY]))
    monkeypatch.setattr("caflow_cli.hub.manifest.WEIGHTS_DIR", folder)
    monkeypatch.setattr("caflow_cli.hub.manifest.manifest_path", lambda: manifest)
    return folder


def text_of(result) -> str:
    assert result.returncode == 0, result.stderr
    assert result.stderr == b""
    return result.stdout.decode()


def test_list(run):
    entries = load_manifest()
    rows = [line.split("\t") for line in text_of(run("models", "list")).splitlines()]
    assert [row[0] for row in rows] == list(entries)
    assert rows[list(entries).index(ID)] == [
        ID,
        "superres",
        "15.5 MB",
        "bundled",
        ENTRY.license,
        "default",
    ]
    lines = lines_of(run("models", "list", "--json"))
    assert [line["id"] for line in lines] == list(entries)
    assert {line["command"] for line in lines} == {"models list"}


def test_path(run, model_file):
    assert text_of(run("models", "path", ID)) == f"{WEIGHTS_DIR / str(ENTRY.file)}\n"
    assert text_of(run("models", "path", model_file)) == f"{model_file}\n"
    (line,) = lines_of(run("models", "path", ID, "--json"))
    assert (line["id"], line["sha256"]) == (ID, ENTRY.sha256)


@pytest.mark.parametrize("command", ["info", "path"])
def test_a_model_that_is_not_there(run, one_bundled, command):
    assert_refused(run("models", command, "faces-superres-x5"), 3, "no model")
    (one_bundled / str(ENTRY.file)).unlink()
    assert_refused(run("models", command, ID), 3, "are missing")


@pytest.mark.parametrize("command", ["info", "path"])
def test_nothing_is_downloaded(run, tmp_path, monkeypatch, command):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("caflow_cli.hub.download._ask", lambda source: pytest.fail("asked the Hub"))
    result = run("models", command, "nobody/nothing@v1")
    assert_refused(result, 3, "'nobody/nothing@v1' is not in the cache")
    assert result.stderr.decode().splitlines()[1] == "hint: caflow models pull nobody/nothing@v1"
    result = run("models", "verify", "nobody/nothing")
    assert (result.returncode, result.stdout) == (3, b"failed\tnobody/nothing\n")


def test_info_of_a_bundled_model(run):
    (record,) = lines_of(run("models", "info", ID, "--json"))
    assert record["parameters"] == {
        "total": 7_089_552,
        "R": 266_520,
        "T": 526_488,
        "F": 6_296_544,
    }
    assert record["config"] == read_info(WEIGHTS_DIR / str(ENTRY.file)).config.to_dict()
    for field in ("task", "sha256", "bytes", "license", "data", "metrics", "default"):
        assert record[field] == getattr(ENTRY, field)
    assert record["domain"]["pictures"] == 100
    assert record["training"]["images"] == 214_912
    assert Path(record["card"]).read_text(encoding="utf-8").startswith(f"# {ID}")
    text = text_of(run("models", "info", ID))
    for part in (ENTRY.sha256, ENTRY.license, ENTRY.data, "7,089,552", ENTRY.metrics["protocol"]):
        assert part in text
    assert "tau 0.9: rmse 21.03, lpips 0.09" in text


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
    text = text_of(run("models", "info", "my-run"))
    assert "\x1b" not in text
    assert "\\x1b[2Jfaces" in text
    assert "lr 1" not in text
    assert "lr 1" in text_of(run("models", "info", "my-run", "-v"))


def test_info_of_a_copy_knows_its_terms(run, tmp_path):
    shutil.copy(WEIGHTS_DIR / str(ENTRY.file), tmp_path / "copy.bin")
    (record,) = lines_of(run("models", "info", "copy.bin", "--json"))
    assert (record["id"], record["license"]) == ("copy.bin", ENTRY.license)


def test_verify_checks_all_that_is_here(run, one_bundled):
    assert text_of(run("models", "verify")) == f"ok\t{ID}\n"
    (line,) = lines_of(run("models", "verify", "--json"))
    assert (line["status"], line["sha256"]) == ("ok", ENTRY.sha256)


def test_verify_goes_on_after_a_failure(run, one_bundled, model_file):
    (one_bundled / str(ENTRY.file)).write_bytes(b"changed")
    result = run("models", "verify", ID, "nothing", model_file)
    assert result.returncode == 3
    assert result.stdout.decode() == f"failed\t{ID}\nfailed\tnothing\nok\t{model_file}\n"
    errors = result.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in errors] == ["error", "hint", "error", "hint"]
    assert "sha256" in errors[0]
    lines = lines_of(run("models", "verify", ID, model_file, "--json"))
    assert [line["status"] for line in lines] == ["error", "ok"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda entry: {"bytes": entry.bytes + 1}, "bytes, its file has"),
        (lambda entry: {"config": entry.config | {"flow": {"t_steps": 9}}}, "another config"),
    ],
)
def test_verify_holds_the_manifest_against_the_file(run, one_bundled, change, named):
    manifest = one_bundled.parent / "weights_manifest.json"
    content = json.loads(manifest.read_text())
    content["models"][ID] |= change(ENTRY)
    manifest.write_text(json.dumps(content))
    result = run("models", "verify")
    assert result.returncode == 3
    assert result.stdout.decode() == f"failed\t{ID}\n"
    assert named in result.stderr.decode()


def test_verify_reads_headers(run, tmp_path, model_file):
    content = model_file.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:-1])
    result = run("models", "verify", "cut.safetensors")
    assert result.returncode == 3
    assert "it holds" in result.stderr.decode()


def test_pack(run, tmp_path, model_file):
    shared = ["models", "pack", model_file, "--id", "mine", "-o", "out"]
    result = run(*shared)
    assert (result.returncode, result.stdout) == (0, b"out/mine.safetensors\n")
    assert b"sha256" in result.stderr
    assert run(*shared, "--overwrite", "-q").stderr == b""
    (line,) = lines_of(run(*shared, "--overwrite", "--json"))
    assert line["sha256"] == sha256_of(tmp_path / "out" / "mine.safetensors")
    assert text_of(run("models", "verify", "out/mine.safetensors")) == "ok\tout/mine.safetensors\n"


@pytest.mark.parametrize("option", ["--license", "--data-terms"])
def test_pack_writes_no_manifest_that_cannot_be_read(run, tmp_path, model_file, option):
    arguments = ["--id", "mine", "-o", "out", option, "one\nline\x1b[2J"]
    assert_refused(run("models", "pack", model_file, *arguments), 2, "no manifest can hold this")
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("*.json"))


def test_models_commands_import_no_torch(tmp_path):
    probe = (
        "import sys\n"
        "from caflow_cli.cli import main\n"
        f"for words in (['list'], ['info', {ID!r}], ['path', {ID!r}], ['verify']):\n"
        "    sys.argv = ['caflow', 'models', *words]\n"
        "    try: main()\n"
        "    except SystemExit as e: print(e.code, 'torch' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == ["0", "False"] * 4
