"""Packing a run, pushing it to a Hub on this machine, and what comes back from there."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path

import forked
import pytest
import torch
import yaml
from cli.process import assert_refused
from cli.results import lines_of
from local_hub import WEIGHTS, sha256
from PIL import Image

from caflow_cli.checkpoint import config_json, read_info
from caflow_cli.errors import CaflowError
from caflow_cli.hub.manifest import load_manifest, manifest_path
from caflow_cli.hub.publish import pack
from caflow_cli.model import CAFlow
from caflow_cli.model.pretrained import checkpoint_bytes
from caflow_cli.paths import sha256_of


def test_packing_writes_a_smaller_file_and_its_entry(model_file, tmp_path):
    entry = pack(model_file, "tiny-x4", tmp_path)
    path = tmp_path / "tiny-x4.safetensors"
    assert entry.bytes == path.stat().st_size < model_file.stat().st_size
    assert entry.sha256 == sha256_of(path)
    assert load_manifest(tmp_path / "weights_manifest.json") == {"tiny-x4": entry}
    packed = CAFlow.load(path)
    for (name, a), b in zip(
        packed.state_dict().items(), CAFlow.load(model_file).state_dict().values(), strict=True
    ):
        if a.ndim == 4:
            torch.testing.assert_close(a, b, rtol=2**-5, atol=0)
        else:
            assert torch.equal(a, b), name


def test_packing_again_replaces_one_entry_and_keeps_the_others(model_file, tmp_path):
    first = pack(model_file, "first", tmp_path)
    pack(model_file, "second", tmp_path)
    with pytest.raises(CaflowError, match="there is already a model 'second'"):
        pack(model_file, "second", tmp_path)
    again = pack(model_file, "second", tmp_path, default=True, overwrite=True, data_terms="ours")
    entries = load_manifest(tmp_path / "weights_manifest.json")
    assert entries == {"first": first, "second": again}
    assert again.data == "ours"
    third = pack(model_file, "third", tmp_path, default=True)
    entries = load_manifest(tmp_path / "weights_manifest.json")
    no_default = dataclasses.replace(again, default=False)
    assert entries == {"first": first, "second": no_default, "third": third}


def test_packing_never_touches_the_installations_own_manifest(model_file):
    before = manifest_path().read_bytes()
    with pytest.raises(CaflowError, match="own manifest") as caught:
        pack(model_file, "mine", manifest_path().parent)
    assert caught.value.exit_code == 2
    assert manifest_path().read_bytes() == before
    assert not (manifest_path().parent / "mine.safetensors").exists()


def test_a_broken_manifest_stops_packing_before_it_writes(model_file, tmp_path):
    (tmp_path / "weights_manifest.json").write_text("{")
    with pytest.raises(CaflowError, match="unusable manifest"):
        pack(model_file, "mine", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["weights_manifest.json"]


def test_a_bundled_file_is_beside_the_others_and_its_entry_in_the_package(
    model_file, tmp_path, monkeypatch
):
    weights = tmp_path / "assets" / "weights"
    manifest = tmp_path / "weights_manifest.json"
    monkeypatch.setattr("caflow_cli.hub.publish.WEIGHTS_DIR", weights)
    monkeypatch.setattr("caflow_cli.hub.publish.manifest_path", lambda: manifest)
    entry = pack(model_file, "mine", weights)
    assert (weights / "mine.safetensors").stat().st_size == entry.bytes
    assert load_manifest(manifest)["mine"] == entry
    assert sorted(path.name for path in tmp_path.iterdir()) == ["assets", manifest.name]


def test_a_bundle_that_is_too_large_keeps_fewer_bits_or_is_not_written(model_file, tmp_path):
    model, info = CAFlow.load(model_file), read_info(model_file)
    record = {**info.training, "license": "mit"}
    for bits in (6, 5, 4):
        expected = checkpoint_bytes(
            model.state_dict(), info.config, record, bf16_convs=True, bits=bits
        )
        size = len(zlib.compress(expected))
        pack(model_file, f"{bits}-bits", tmp_path, limit=size, license_terms="mit")
        assert (tmp_path / f"{bits}-bits.safetensors").read_bytes() == expected
    with pytest.raises(CaflowError, match="more than"):
        pack(model_file, "c", tmp_path, limit=size - 1, license_terms="mit")
    assert not (tmp_path / "c.safetensors").exists()


def test_a_packed_file_states_its_license_wherever_it_is(hub, run, model_file, tmp_path):
    pack(model_file, "mine", tmp_path / "packed", license_terms="cc-by-sa-4.0")
    (tmp_path / "packed" / "mine.safetensors").rename(tmp_path / "alone.safetensors")
    (facts,) = lines_of(run("models", "info", "alone.safetensors", "--json"))
    assert (facts["license"], facts["data"]) == ("cc-by-sa-4.0", None)
    run("models", "push", "alone.safetensors", "--repo", REPO, **TOKEN)
    repository = hub.repositories[REPO]
    card = repository.commits[repository.refs["main"]]["README.md"].decode()
    assert metadata(card)["license"] == "cc-by-sa-4.0"


REPO = "user/faces"
TOKEN = {"HF_TOKEN": "hf_writer"}
TERMS = ("--license", "cc-by-nc-4.0", "--data-terms", "images of our own")


def metadata(card: str) -> dict:
    head, _, _ = card.removeprefix("---\n").partition("\n---\n")
    return yaml.safe_load(head)


@pytest.fixture
def there(hub, model_file):
    """A repository as a push makes it, with a card of its owner's own words."""
    config = config_json(CAFlow.load(model_file).config).encode()
    repository = hub.repository(REPO, model_file.read_bytes())
    repository.commit({"config.json": config, "README.md": b"my own words"})
    return repository


def test_what_is_pushed_comes_back(hub, run, model_file, tmp_path):
    result = run("models", "push", model_file, "--repo", REPO, *TERMS, "--json", **TOKEN)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b""
    (pushed,) = lines_of(result)
    data = model_file.read_bytes()
    repository = hub.repositories[REPO]
    files = repository.commits[repository.refs["main"]]
    assert pushed["commit"] == repository.refs["main"]
    assert pushed["url"] == f"{hub.endpoint}/{REPO}/commit/{pushed['commit']}"
    assert (pushed["sha256"], pushed["bytes"]) == (sha256(data), len(data))
    assert pushed["files"] == [WEIGHTS, "config.json", "README.md"]
    assert files[WEIGHTS] == data
    assert json.loads(files["config.json"])["config"] == CAFlow.load(model_file).config.to_dict()
    card = files["README.md"].decode()
    assert metadata(card) == {
        "library_name": "caflow",
        "license": "cc-by-nc-4.0",
        "pipeline_tag": "image-to-image",
        "tags": ["caflow", "normalizing-flow", "super-resolution"],
    }
    for text in (f"--model {REPO}", "images of our own", sha256(data), '"f_steps": 1'):
        assert text in card
    # One commit: never a repository with weights of one model and a config of another.
    assert [r.path for r in hub.requests if "/commit/" in r.path] == [
        f"/api/models/{REPO}/commit/main"
    ]

    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    result = run("superres", "x.png", "-m", "1", "--model", REPO, "--json")
    assert result.returncode == 0, result.stderr.decode()
    assert json.loads(result.stdout)["model"] == {"id": REPO, "sha256": sha256(data)}
    (cached,) = run("models", "pull", REPO, HF_HUB_OFFLINE="1").stdout.decode().splitlines()
    assert Path(cached).read_bytes() == data

    # What was downloaded is rechecked, without asking the Hub.
    hub.requests.clear()
    name = f"{REPO}@{pushed['commit']}"
    assert run("models", "verify", name).stdout.decode() == f"ok\t{name}\n"
    Path(cached).write_bytes(data[:-1] + b"!")
    result = run("models", "verify", name)
    assert result.returncode == 3
    assert result.stdout.decode() == f"failed\t{name}\n"
    assert f"hint: caflow models pull {name}" in result.stderr.decode()
    assert hub.requests == []


def test_a_card_that_is_there_is_kept(hub, run, there, model_file):
    before = there.refs["main"]
    again = run("models", "push", model_file, "--repo", REPO, **TOKEN)
    assert again.returncode == 0
    assert again.stderr.decode().startswith("the repository's README.md is kept")
    # Nothing is new: no empty commit.
    assert again.stdout.decode() == f"{hub.endpoint}/{REPO}/commit/{before}\n"
    run("models", "push", model_file, "--repo", REPO, "--overwrite", **TOKEN)
    files = there.commits[there.refs["main"]]
    assert metadata(files["README.md"].decode())["license_name"] == "not-stated"


def test_a_branch_of_its_own(hub, run, there, model_files):
    before, other = there.refs["main"], model_files["colorize"]
    result = run("models", "push", other, "--repo", REPO, "--revision", "v2", **TOKEN)
    assert result.returncode == 0, result.stderr.decode()
    assert there.refs["main"] == before
    new = there.commits[there.refs["v2"]]
    assert new[WEIGHTS] == other.read_bytes()
    assert json.loads(new["config.json"])["config"]["task"]["name"] == "colorize"


def test_private_is_private(hub, run, there, model_file):
    result = run("models", "push", model_file, "--repo", "user/mine", "--private", **TOKEN)
    assert result.returncode == 0, result.stderr.decode()
    assert hub.repositories["user/mine"].private
    before = dict(there.refs)
    hub.requests.clear()
    result = run("models", "push", model_file, "--repo", REPO, "--private", **TOKEN)
    assert_refused(result, 3, f"'{REPO}' exists and is public")
    assert there.refs == before
    assert not [r for r in hub.requests if r.method == "PUT"]


def test_a_push_that_fails_leaves_no_half(hub, run, there, model_files):
    before = dict(there.refs)
    other = model_files["colorize"]
    hub.failing = {f"PUT {sha256(other.read_bytes())}": 403}
    result = run("models", "push", other, "--repo", REPO, **TOKEN)
    assert_refused(result, 3, f"cannot push to '{REPO}'")
    assert there.refs == before
    assert hub.failing == {}

    nobody = run("models", "push", other, "--repo", REPO)
    assert_refused(nobody, 3, "the Hub")
    assert "hf auth login" in nobody.stderr.decode()
    another = run("models", "push", other, "--repo", "else/where", **TOKEN)
    assert_refused(another, 3, "refuses your token")
    assert there.refs == before


def test_what_is_not_pushed(hub, run, model_file, tmp_path):
    (line,) = lines_of(run("models", "push", model_file, "--repo", REPO, "--dry-run", "--json"))
    assert metadata(line["card"])["license"] == "other"
    result = run("models", "push", model_file, "--repo", "faces")
    assert_refused(result, 2, "'faces' is not the name")
    (tmp_path / "x.safetensors").write_bytes(b"x" * 100)
    assert_refused(run("models", "push", "x.safetensors", "--repo", REPO), 3, "x.safetensors")
    assert hub.requests == []


IN_PYTHON = """
import sys, torch, caflow_cli as caflow
from pathlib import Path

model = caflow.CAFlow.load(Path(sys.argv[1]))
url = model.push_to_hub("user/python", private=True, model_card_kwargs={"license": "mit"})
again = caflow.load("user/python@" + url.rpartition("/")[2])
assert again.config == model.config and not again.training
for name, tensor in model.state_dict().items():
    assert torch.equal(again.state_dict()[name], tensor), name

(blob,) = Path(sys.argv[2]).glob("models--user--python/blobs/" + "?" * 64)
whole = blob.read_bytes()
blob.write_bytes(whole[:-1] + b"!")
assert caflow.load("user/python").config == model.config  # downloaded once more
assert blob.read_bytes() == whole
model.push_to_hub("user/python", model_card_kwargs={"license": "apache-2.0"})  # keeps the card
"""


def test_the_python_interface(hub, hub_environment, model_file, tmp_path):
    cache, environment = hub_environment["HF_HUB_CACHE"], {**hub_environment, **TOKEN}
    done = forked.run(IN_PYTHON, model_file, cache, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["user/python"]
    assert repository.private
    card = repository.commits[repository.refs["main"]]["README.md"].decode()
    assert metadata(card)["license"] == "mit"
    assert "caflow superres small.png --model user/python" in card
