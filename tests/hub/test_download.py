"""`caflow models pull` against a Hub on this machine, with the real client, in real processes."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest
from cli.process import assert_refused
from cli.results import lines_of
from local_hub import WEIGHTS, sha256

from caflow_cli.hub.manifest import manifest_path

REPO = "user/faces"
DATA = random.Random(1).randbytes(600_000)
OTHER = random.Random(2).randbytes(300_000)
OFFLINE = {"HF_HUB_OFFLINE": "1"}


def pulled(result) -> Path:
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b""
    return Path(result.stdout.decode().rstrip("\n"))


def test_a_model_is_downloaded_once(hub, run, tmp_path):
    commit = hub.repository(REPO, DATA).refs["main"]
    path = pulled(run("models", "pull", REPO))
    assert path.read_bytes() == DATA
    snapshots = tmp_path / "hf" / "hub" / "models--user--faces" / "snapshots"
    assert path == snapshots / commit / WEIGHTS
    (line,) = lines_of(run("models", "pull", REPO, "--json"))
    assert line["path"] == str(path)
    assert (line["sha256"], line["commit"]) == (sha256(DATA), commit)
    assert len(hub.downloads()) == 1
    # At a commit there is nothing to ask.
    hub.requests.clear()
    assert pulled(run("models", "pull", f"{REPO}@{commit}")) == path
    assert hub.requests == []


def test_a_wrong_checksum_is_refused(hub, run):
    hub.repository(REPO, DATA)
    hub.damaged = True
    assert_refused(run("models", "pull", REPO), 3, f"the weights of '{REPO}' have sha256")
    assert len(hub.downloads()) == 2  # once more after a mismatch
    hub.damaged = False
    assert pulled(run("models", "pull", REPO)).read_bytes() == DATA


def test_weights_of_which_the_hub_states_no_sha256_are_refused(hub, run):
    hub.repository(REPO, DATA)
    hub.plain = True
    refused = run("models", "pull", REPO)
    assert_refused(refused, 3, f"the Hub states no sha256 of the weights of '{REPO}'")
    assert not [one for one in hub.requests if one.method == "GET" and WEIGHTS in one.path]
    hub.plain = False
    assert pulled(run("models", "pull", REPO)).read_bytes() == DATA


NONE = "the Hub has no caflow model '{}', or it is private"
REFUSED = [
    *((name, NONE.format(name), "hf auth login") for name in ("user/nothing", "user/private")),
    *(
        (name, NONE.format(name), "the name")
        for name in (f"{REPO}@v9", "user/empty", "user/na--me")
    ),
    ("user/gated", "requires agreeing to its terms", "hf auth login"),
    ("faces-superres-x5", "no model 'faces-superres-x5'", "faces-superres-x4"),
]


def test_what_the_hub_does_not_give(hub, run):
    hub.repository(REPO, DATA)
    hub.repository("user/private", DATA, private=True)
    hub.repository("user/gated", DATA, gated=True)
    hub.repository("user/empty").commit({"README.md": b"x"})
    # One that fails stops no other.
    result = run("models", "pull", *[name for name, _, _ in REFUSED], REPO, "--json")
    assert result.returncode == 3
    *failed, done = lines_of(result)
    assert done["sha256"] == sha256(DATA)
    lines = iter(result.stderr.decode().splitlines())
    for (name, message, hint), record in zip(REFUSED, failed, strict=True):
        assert (record["input"], record["error"]["code"]) == (name, 3)
        assert message in record["error"]["message"]
        assert hint in record["error"]["hint"]
        assert next(lines) == f"error: {record['error']['message']}"
        assert next(lines) == f"hint: {record['error']['hint']}"
    assert list(lines) == []


def test_a_token_opens_what_is_private_and_stays_on_the_site(hub, run):
    hub.repository("user/private", DATA, private=True)
    result = run("models", "pull", "user/private", HF_TOKEN="hf_writer")
    assert pulled(result).read_bytes() == DATA
    site = [r for r in hub.requests if "resolve" in r.path]
    assert {r.headers["authorization"] for r in site} == {"Bearer hf_writer"}
    assert [r.headers.get("authorization") for r in hub.downloads()] == [None]


def test_a_branch_that_moved_gives_the_new_file_and_a_commit_the_old(hub, run):
    repository = hub.repository(REPO, DATA)
    old = repository.refs["main"]
    first = pulled(run("models", "pull", REPO))
    repository.commit({WEIGHTS: OTHER})
    both = run("models", "pull", REPO, f"{REPO}@{old}").stdout.decode().split()
    second, pinned = map(Path, both)
    assert second.read_bytes() == OTHER
    assert pinned == first
    assert pinned.read_bytes() == DATA
    # A commit of the card alone downloads nothing.
    repository.commit({"README.md": b"x"})
    third = pulled(run("models", "pull", REPO))
    assert third.read_bytes() == OTHER
    assert third.parent.name == repository.refs["main"]
    assert len(hub.downloads()) == 2


def test_a_branch_that_moves_to_a_file_without_sha256_is_refused(hub, run):
    repository = hub.repository(REPO, DATA)
    old = repository.refs["main"]
    pinned = pulled(run("models", "pull", REPO))
    repository.commit({WEIGHTS: OTHER})
    hub.plain = True
    hub.requests.clear()
    refused = run("models", "pull", REPO)
    assert_refused(refused, 3, f"the Hub states no sha256 of the weights of '{REPO}'")
    assert not [one for one in hub.requests if one.method == "GET" and WEIGHTS in one.path]
    # The old one is still there: at its commit, and without a network.
    assert pulled(run("models", "pull", f"{REPO}@{old}")) == pinned
    assert pulled(run("models", "pull", REPO, **OFFLINE)) == pinned


@pytest.mark.parametrize(
    ("network", "message"),
    [(OFFLINE, "HF_HUB_OFFLINE is set"), ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "check the net")],
)
def test_without_a_network_what_is_cached_is_used(hub, run, network, message):
    hub.repository(REPO, DATA)
    result = run("models", "pull", REPO, **network)
    assert_refused(result, 3, f"cannot download '{REPO}'")
    assert message in result.stderr.decode()
    assert hub.requests == []
    path = pulled(run("models", "pull", REPO))
    hub.requests.clear()
    assert pulled(run("models", "pull", REPO, **network)) == path
    assert hub.requests == []


def test_a_changed_file_in_the_cache_is_noticed_and_pulled_again(hub, run):
    hub.repository(REPO, DATA)
    path = pulled(run("models", "pull", REPO))
    path.write_bytes(DATA[:-1] + b"!")
    offline = run("superres", "example:face", "--model", REPO, **OFFLINE)
    assert_refused(offline, 3, f"the weights of '{REPO}' have sha256")
    assert f"caflow models pull {REPO}" in offline.stderr.decode()
    assert pulled(run("models", "pull", REPO)).read_bytes() == DATA


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of processes")
def test_a_full_disk(hub, run, tmp_path):
    repository = hub.repository(REPO, OTHER)
    old = pulled(run("models", "pull", REPO))
    repository.commit({WEIGHTS: DATA})
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))"
    result = run("models", "pull", REPO, before=limit)
    assert_refused(result, 3, f"cannot download '{REPO}': ")
    assert "free some space" in result.stderr.decode()
    assert old.read_bytes() == OTHER
    assert pulled(run("models", "pull", REPO)).read_bytes() == DATA
    (tmp_path / "file").write_bytes(b"x")
    result = run("models", "pull", REPO, HF_HUB_CACHE=str(tmp_path / "file" / "hub"))
    assert_refused(result, 3, f"cannot download '{REPO}': ")
    assert "HF_HOME" in result.stderr.decode()


@pytest.fixture
def pull_entry(run, tmp_path):
    """`pull_entry(**fields)`: pulls `distant`, a manifest's entry on the Hub with these fields."""

    def pull(**fields):
        models = json.loads(manifest_path().read_text(encoding="utf-8"))["models"]
        entry = models["faces-superres-x4"]
        del entry["file"]
        entry |= {"repo_id": REPO, "revision": "v1", "default": False}
        entry |= {"sha256": sha256(DATA), "bytes": len(DATA), **fields}
        (tmp_path / "manifest.json").write_text(
            json.dumps({"schema": 1, "models": {"distant": entry}})
        )
        code = (
            "import pathlib, caflow_cli.hub.manifest as manifest\n"
            "manifest.manifest_path = lambda: pathlib.Path('manifest.json')"
        )
        return run("models", "pull", "distant", before=code)

    return pull


def test_an_entry_of_the_manifest_comes_from_the_hub_once(hub, pull_entry):
    hub.repository(REPO).commit({"small.safetensors": DATA}, "v1")
    path = pulled(pull_entry(filename="small.safetensors"))
    assert path.read_bytes() == DATA
    assert path.name == "small.safetensors"
    # The manifest says what it must be: there is nothing to ask.
    hub.requests.clear()
    # A file that is to be bundled, and is not, comes from the Hub as well.
    again = pull_entry(filename="small.safetensors", file="absent.safetensors")
    assert pulled(again) == path
    assert hub.requests == []


@pytest.mark.parametrize("fields", [{"sha256": sha256(OTHER)}, {"bytes": 10}])
def test_other_weights_than_the_manifests_are_not_downloaded(hub, pull_entry, fields):
    hub.repository(REPO).commit({WEIGHTS: DATA}, "v1")
    wanted = f"expected {fields.get('bytes', len(DATA))} and "
    assert_refused(pull_entry(**fields), 3, wanted)
    assert hub.downloads() == []
