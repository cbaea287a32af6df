"""`caflow models pull` against a Hub on this machine, with the real client, in real processes."""

from __future__ import annotations

import json
import os
import random
import struct
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from cli.process import assert_refused
from cli.results import lines_of
from local_hub import WEIGHTS, sha256

from caflow_cli.hub.manifest import manifest_path

REPO = "user/faces"
DATA = random.Random(1).randbytes(600_000)
OTHER = random.Random(2).randbytes(300_000)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "hf" / "hub" / "models--user--faces"


def leftovers(cache: Path) -> list[str]:
    """Blobs that no complete download stands for."""
    return [p.name for p in cache.glob("blobs/*") if sha256(p.read_bytes()) != p.name]


def pulled(result) -> Path:
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b""
    return Path(result.stdout.decode().rstrip("\n"))


def test_a_model_is_downloaded_once(hub, run, cache):
    commit = hub.repository(REPO, DATA).refs["main"]
    path = pulled(run("models", "pull", REPO))
    assert path.read_bytes() == DATA
    assert path == cache / "snapshots" / commit / WEIGHTS
    assert [r.sent for r in hub.downloads()] == [len(DATA)]

    hub.requests.clear()
    (line,) = lines_of(run("models", "pull", REPO, "--json"))
    assert line == {
        "schema": 2,
        "command": "models pull",
        "input": REPO,
        "status": "ok",
        "path": str(path),
        "sha256": sha256(DATA),
        "commit": commit,
    }
    assert hub.downloads() == []
    # At a commit there is nothing to ask.
    hub.requests.clear()
    assert pulled(run("models", "pull", f"{REPO}@{commit}")) == path
    assert hub.requests == []


def test_a_download_that_breaks_off_comes_whole(hub, run):
    hub.repository(REPO, DATA)
    hub.cuts = [450_000]
    assert pulled(run("models", "pull", REPO)).read_bytes() == DATA


def test_a_wrong_checksum_is_refused(hub, run):
    hub.repository(REPO, DATA)
    hub.damaged = True
    assert_refused(run("models", "pull", REPO), 3, f"the weights of '{REPO}' have sha256")
    assert len(hub.downloads()) == 2  # once more after a mismatch
    hub.damaged = False
    assert pulled(run("models", "pull", REPO)).read_bytes() == DATA


REFUSED = [
    ("user/nothing", "has no repository 'user/nothing' for you", "hf auth login"),
    ("user/private", "has no repository 'user/private' for you", "hf auth login"),
    ("user/gated", "who have agreed to its terms", "hf auth login"),
    (f"{REPO}@v9", f"the Hub has '{REPO}', but not as '{REPO}@v9'", f"pull {REPO}"),
    ("user/empty", "'user/empty' holds no caflow model", "caflow models push"),
    ("user/na--me", "is not the name of a Hub repository", "user/name"),
    ("faces-superres-x5", "no model 'faces-superres-x5'", "faces-superres-x4"),
]


def test_what_the_hub_does_not_give(hub, run):
    hub.repository(REPO, DATA)
    hub.repository("user/private", DATA, private=True)
    hub.repository("user/gated", DATA, gated=True)
    hub.repository("user/empty").commit({"README.md": b"x"})
    names = [name for name, _, _ in REFUSED]
    result = run("models", "pull", names[0])
    assert_refused(result, 3, REFUSED[0][1])
    # One that fails stops no other.
    result = run("models", "pull", *names, REPO, "--json")
    assert result.returncode == 3
    *failed, done = lines_of(result)
    assert done["sha256"] == sha256(DATA)
    lines = iter(result.stderr.decode().splitlines())
    for (name, message, hint), record in zip(REFUSED, failed, strict=True):
        assert record["input"] == name
        assert record["status"] == "error"
        assert record["error"]["code"] == 3
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
    refused = run("models", "pull", "user/private", HF_TOKEN="hf_old")
    assert refused.returncode == 0  # what is cached stays usable
    assert b"from the cache" in refused.stderr


def test_a_branch_that_moved_gives_the_new_file_and_a_commit_the_old(hub, run):
    repository = hub.repository(REPO, DATA)
    old = repository.refs["main"]
    first = pulled(run("models", "pull", REPO))
    repository.commit({WEIGHTS: OTHER})
    second, pinned = (
        Path(line) for line in run("models", "pull", REPO, f"{REPO}@{old}").stdout.decode().split()
    )
    assert second.read_bytes() == OTHER
    assert pinned == first
    assert pinned.read_bytes() == DATA
    # And the branch is the new file without a network, too.
    assert pulled(run("models", "pull", REPO, HF_HUB_OFFLINE="1")) == second
    # A commit of the card alone downloads nothing.
    repository.commit({"README.md": b"x"})
    hub.requests.clear()
    third = pulled(run("models", "pull", REPO))
    assert third.read_bytes() == OTHER
    assert third.parent.name == repository.refs["main"]
    assert hub.downloads() == []


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("quiet", [False, True])
def test_progress_is_for_terminals(hub, start, quiet):
    import fcntl
    import pty
    import termios

    hub.repository(REPO, DATA)
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    process = start("models", "pull", REPO, *(["-q"] if quiet else []), stderr=end)
    os.close(end)
    stdout, _ = process.communicate(timeout=120)
    assert Path(stdout.decode().rstrip()).read_bytes() == DATA
    shown = b""
    with suppress(OSError):  # the other end is closed, and all is read
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    if quiet:
        assert shown == b""
    else:
        assert "100%" in shown.decode()


def test_offline(hub, run):
    hub.repository(REPO, DATA)
    offline = {"HF_HUB_OFFLINE": "1"}
    result = run("models", "pull", REPO, **offline)
    assert_refused(result, 3, "HF_HUB_OFFLINE is set")
    assert hub.requests == []
    path = pulled(run("models", "pull", REPO))
    hub.requests.clear()
    assert pulled(run("models", "pull", REPO, **offline)) == path
    assert hub.requests == []


def test_a_hub_that_cannot_be_reached(hub, run):
    hub.repository(REPO, DATA)
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    result = run("models", "pull", REPO, **nowhere)
    assert_refused(result, 3, f"cannot download '{REPO}'")
    assert "check the network" in result.stderr.decode()
    path = pulled(run("models", "pull", REPO))
    result = run("models", "pull", REPO, **nowhere)
    assert result.returncode == 0
    assert result.stdout.decode() == f"{path}\n"
    (note,) = result.stderr.decode().splitlines()
    assert note.startswith(f"{REPO}: from the cache")


def test_a_changed_file_in_the_cache_is_noticed_and_pulled_again(hub, run):
    hub.repository(REPO, DATA)
    path = pulled(run("models", "pull", REPO))
    path.write_bytes(DATA[:-1] + b"!")
    offline = run("superres", "example:face", "--model", REPO, HF_HUB_OFFLINE="1")
    assert_refused(offline, 3, f"the weights of '{REPO}' have sha256")
    assert f"caflow models pull {REPO}" in offline.stderr.decode()
    assert pulled(run("models", "pull", REPO)).read_bytes() == DATA


def test_two_processes_at_once_download_once(hub, start, cache):
    hub.repository(REPO, DATA)
    hub.slow = 1.0
    processes = [start("models", "pull", REPO) for _ in range(2)]
    outcomes = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outcomes
    assert outcomes[0] == outcomes[1]
    assert Path(outcomes[0][0].decode().rstrip()).read_bytes() == DATA
    assert [r.sent for r in hub.downloads()] == [len(DATA)]
    assert leftovers(cache) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of processes")
def test_a_full_disk(hub, run):
    repository = hub.repository(REPO, OTHER)
    old = pulled(run("models", "pull", REPO))
    repository.commit({WEIGHTS: DATA})
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))"
    result = run("models", "pull", REPO, before=limit)
    assert_refused(result, 3, f"cannot download '{REPO}': ")
    assert "free some space" in result.stderr.decode()
    assert old.read_bytes() == OTHER
    assert pulled(run("models", "pull", REPO)).read_bytes() == DATA


def test_a_cache_that_cannot_be_written(hub, run, tmp_path):
    hub.repository(REPO, DATA)
    (tmp_path / "hf").write_bytes(b"a file")
    result = run("models", "pull", REPO)
    assert_refused(result, 3, f"cannot download '{REPO}'")
    assert "HF_HOME" in result.stderr.decode()


@pytest.fixture
def manifest(tmp_path):
    """`manifest(**fields)`: code that makes that the manifest, with one entry `distant`."""

    def write(**fields) -> str:
        models = json.loads(manifest_path().read_text(encoding="utf-8"))["models"]
        entry = models["faces-superres-x4"]
        del entry["file"]
        entry |= {"repo_id": REPO, "revision": "v1", "default": False}
        entry |= {"sha256": sha256(DATA), "bytes": len(DATA)}
        content = {"schema": 1, "models": {"distant": entry | fields}}
        (tmp_path / "manifest.json").write_text(json.dumps(content))
        return (
            "import pathlib, caflow_cli.hub.manifest as manifest\n"
            "manifest.manifest_path = lambda: pathlib.Path('manifest.json')"
        )

    return write


def test_an_entry_of_the_manifest_comes_from_the_hub_once(hub, run, manifest):
    repository = hub.repository(REPO)
    repository.commit({"small.safetensors": DATA}, "v1")
    code = manifest(filename="small.safetensors")
    path = pulled(run("models", "pull", "distant", before=code))
    assert path.read_bytes() == DATA
    assert path.name == "small.safetensors"
    # The manifest says what it must be: there is nothing to ask.
    hub.requests.clear()
    assert pulled(run("models", "pull", "distant", before=code)) == path
    assert hub.requests == []
    # A file that is to be bundled, and is not, comes from the Hub as well.
    code = manifest(filename="small.safetensors", file="absent.safetensors")
    assert pulled(run("models", "pull", "distant", before=code)) == path


def test_other_weights_than_the_manifests_are_not_downloaded(hub, run, manifest):
    hub.repository(REPO).commit({WEIGHTS: OTHER}, "v1")
    result = run("models", "pull", "distant", before=manifest())
    assert_refused(result, 3, f"expected {sha256(DATA)[:12]}")
    assert hub.downloads() == []
    # Nor used, where they are cached.
    path = pulled(run("models", "pull", f"{REPO}@v1"))
    result = run("models", "pull", "distant", before=manifest(), HF_HUB_OFFLINE="1")
    assert_refused(result, 3, "HF_HUB_OFFLINE is set")
    assert path.read_bytes() == OTHER


def test_another_size_than_the_manifests_is_not_downloaded(hub, run, manifest):
    hub.repository(REPO).commit({WEIGHTS: DATA}, "v1")
    result = run("models", "pull", "distant", before=manifest(bytes=10))
    assert_refused(result, 3, f"have {len(DATA)} bytes, expected 10")
    assert hub.downloads() == []


def test_bundled_models_ask_no_network(hub, run):
    result = run("models", "pull", "faces-superres-x4")
    assert pulled(result).name == "faces-superres-x4.safetensors"
    assert hub.requests == []
