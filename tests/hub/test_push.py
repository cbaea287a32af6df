"""`caflow models push` to a Hub on this machine, and what comes back from there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import forked
import pytest
import yaml
from cli.process import assert_refused
from cli.results import lines_of
from local_hub import WEIGHTS, sha256

from caflow_cli.model import config_json

REPO = "user/faces"
TOKEN = {"HF_TOKEN": "hf_writer"}
TERMS = ("--license", "cc-by-nc-4.0", "--data-terms", "pictures of our own")


def metadata(card: str) -> dict:
    head, _, _ = card.removeprefix("---\n").partition("\n---\n")
    return yaml.safe_load(head)


@pytest.fixture
def there(hub, model_file, small_model):
    """A repository as a push makes it, with a card of its owner's own words."""
    config = config_json(small_model.config).encode()
    repository = hub.repository(REPO, model_file.read_bytes())
    repository.commit({"config.json": config, "README.md": b"my own words"})
    return repository


def test_what_is_pushed_comes_back(hub, run, model_file, small_model):
    result = run("models", "push", model_file, "--repo", REPO, *TERMS, "--json", **TOKEN)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b""
    (pushed,) = lines_of(result)
    data = model_file.read_bytes()
    repository = hub.repositories[REPO]
    files = repository.commits[repository.refs["main"]]
    assert pushed == {
        "schema": 2,
        "command": "models push",
        "input": str(model_file),
        "status": "ok",
        "repo_id": REPO,
        "revision": "main",
        "commit": repository.refs["main"],
        "url": f"{hub.endpoint}/{REPO}/commit/{repository.refs['main']}",
        "sha256": sha256(data),
        "bytes": len(data),
        "files": [WEIGHTS, "config.json", "README.md"],
    }
    assert files[WEIGHTS] == data
    assert json.loads(files["config.json"])["config"] == small_model.config.to_dict()
    card = files["README.md"].decode()
    assert metadata(card) == {
        "library_name": "caflow",
        "license": "cc-by-nc-4.0",
        "pipeline_tag": "image-to-image",
        "tags": ["caflow", "normalizing-flow", "super-resolution"],
    }
    for text in (f"--model {REPO}", "pictures of our own", sha256(data), '"f_steps": 1'):
        assert text in card
    # One commit: never a repository with weights of one model and a config of another.
    assert [r.path for r in hub.requests if "/commit/" in r.path] == [
        f"/api/models/{REPO}/commit/main"
    ]

    result = run("superres", "example:face", "-m", "1", "--model", REPO, "--json")
    assert result.returncode == 0, result.stderr.decode()
    assert json.loads(result.stdout)["model"] == {"id": REPO, "sha256": sha256(data)}
    (cached,) = run("models", "pull", REPO, HF_HUB_OFFLINE="1").stdout.decode().splitlines()
    assert Path(cached).read_bytes() == data

    # What was downloaded is rechecked, without asking the Hub.
    hub.requests.clear()
    name = f"{REPO}@{pushed['commit']}"
    assert f"ok\t{name}" in run("models", "verify").stdout.decode().splitlines()
    Path(cached).write_bytes(data[:-1] + b"!")
    result = run("models", "verify")
    assert result.returncode == 3
    assert f"failed\t{name}" in result.stdout.decode().splitlines()
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
    before = there.refs["main"]
    result = run(
        "models", "push", model_files["colorize"], "--repo", REPO, "--revision", "v2", **TOKEN
    )
    assert result.returncode == 0, result.stderr.decode()
    assert there.refs["main"] == before
    new = there.commits[there.refs["v2"]]
    assert new[WEIGHTS] == model_files["colorize"].read_bytes()
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
    offline = run("models", "push", other, "--repo", REPO, HF_HUB_OFFLINE="1", **TOKEN)
    assert_refused(offline, 3, "HF_HUB_OFFLINE is set")
    assert there.refs == before


def test_what_is_not_pushed(hub, run, model_file, tmp_path):
    result = run("models", "push", model_file, "--repo", REPO, "--dry-run")
    assert metadata(result.stdout.decode())["license"] == "other"
    (line,) = lines_of(run("models", "push", model_file, "--repo", REPO, "--dry-run", "--json"))
    assert line["card"].rstrip("\n") == result.stdout.decode().rstrip("\n")
    assert_refused(
        run("models", "push", model_file, "--repo", "faces"), 2, "'faces' is not the name"
    )
    (tmp_path / "x.safetensors").write_bytes(b"x" * 100)
    assert_refused(run("models", "push", "x.safetensors", "--repo", REPO), 3, "x.safetensors")
    assert hub.requests == []


def test_terms_and_figures_of_a_manifest_are_on_the_card(hub, run):
    result = run("models", "push", "faces-superres-x4", "--repo", REPO, "--dry-run")
    card = result.stdout.decode()
    assert metadata(card)["license_name"] == "non-commercial-research-as-the-data-s"
    assert "FFHQ (CC BY-NC-SA 4.0)" in card
    assert "tau 0.9/0.7/0.5" in card
    assert "lpips 0.064" in card
    assert hub.requests == []


IN_PYTHON = """
import sys, torch, caflow_cli as caflow
from pathlib import Path
from caflow_cli.model import read_info
from caflow_cli.model import CAFlow

model = CAFlow.load(Path(sys.argv[1]))
url = model.push_to_hub("user/python", private=True, model_card_kwargs={"license": "mit"})
again = caflow.CAFlow.from_pretrained("user/python", revision=url.rpartition("/")[2])
assert again.config == model.config and not again.training
for name, tensor in model.state_dict().items():
    assert torch.equal(again.state_dict()[name], tensor), name
assert caflow.load("user/python").config == model.config

(blob,) = Path(sys.argv[2]).glob("models--user--python/blobs/" + "?" * 64)
blob.write_bytes(blob.read_bytes()[:-1] + b"!")
try:
    caflow.CAFlow.from_pretrained("user/python")
except caflow.CaflowError as error:
    print(error.exit_code, error.message)
assert caflow.load("user/python").config == model.config  # downloaded once more
caflow.CAFlow.from_pretrained("user/python")
"""


def test_the_python_interface(hub, hub_environment, model_file, tmp_path):
    environment = {**os.environ, **hub_environment, **TOKEN}
    cache = hub_environment["HF_HUB_CACHE"]
    done = forked.run(IN_PYTHON, model_file, cache, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in said] == ["3"], said
    repository = hub.repositories["user/python"]
    assert repository.private
    card = repository.commits[repository.refs["main"]]["README.md"].decode()
    assert metadata(card)["license"] == "mit"
    assert "caflow superres small.png --model user/python" in card
