"""`caflow models verify`."""

from __future__ import annotations

import json

import pytest

from ...results import lines_of, text_of
from .entry import ENTRY, ID


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
