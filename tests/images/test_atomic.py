from __future__ import annotations

import os
import signal
from pathlib import Path

import forked
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.images import atomic_write


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch, step, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*_args: object) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises((CaflowError, KeyboardInterrupt)) as caught:
        atomic_write(path, b"new")
    if isinstance(error, OSError):
        assert caught.value.message == f"cannot write '{path}': No space left on device"
        assert caught.value.exit_code == 1
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a"]


def test_the_rename_is_of_a_whole_file_in_the_same_folder(tmp_path, monkeypatch):
    seen, replace = [], os.replace

    def watch(source: Path, target: Path) -> None:
        seen.append((Path(source).parent, Path(source).read_bytes(), Path(target)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    atomic_write(tmp_path / "a", b"data")
    assert seen == [(tmp_path, b"data", tmp_path / "a")]


def test_writes_where_none_can_be(tmp_path):
    with pytest.raises(CaflowError) as caught:
        atomic_write(tmp_path / "none" / "a.png", b"")
    assert caught.value.message.startswith(f"cannot write '{tmp_path}/none/a.png'")
    assert caught.value.hint == f"mkdir -p {tmp_path}/none"
    with pytest.raises(CaflowError, match="cannot write"):
        atomic_write(tmp_path, b"")
    (tmp_path / "file").touch()
    with pytest.raises(CaflowError, match="cannot write"):
        atomic_write(tmp_path / "file" / "a.png", b"")
    assert names_in(tmp_path) == ["file"]


def test_names_as_long_as_the_system_allows(tmp_path):
    atomic_write(tmp_path / ("é" * 120 + ".png"), b"data")
    assert names_in(tmp_path) == ["é" * 120 + ".png"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"new"


def test_a_device_is_written_not_replaced():
    atomic_write(Path(os.devnull), b"data")
    assert Path(os.devnull).exists()
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_stays(tmp_path, monkeypatch, links):
    if not links:  # as on FAT

        def refuse(*_args: object) -> None:
            raise OSError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a"
    atomic_write(path, b"mine", replace=False)
    assert path.read_bytes() == b"mine"
    with pytest.raises(CaflowError, match="in the meantime") as caught:
        atomic_write(path, b"other", replace=False)
    assert "--overwrite" in caught.value.hint
    assert path.read_bytes() == b"mine"
    assert names_in(tmp_path) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="no locks on open files")
def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_left_alone(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    program = """
import os, signal, sys, time
from pathlib import Path
from caflow_cli.images import atomic_write
def live(_):
    print("writing", flush=True)
    while not os.path.exists("go on"):
        time.sleep(0.01)
if sys.argv[1] == "die": os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "live": os.fsync = live
atomic_write(Path("out", sys.argv[1]), b"data")
"""
    assert forked.run(program, "die", cwd=tmp_path).returncode == -signal.SIGKILL
    (left,) = names_in(out)
    assert left.startswith(".caflow-")
    assert left.endswith(".tmp")
    living = forked.Process(program, "live", cwd=tmp_path)
    assert living.stdout.readline() == b"writing\n"  # and has removed what was left
    (temporary,) = names_in(out)
    assert temporary != left
    assert forked.run(program, "other", cwd=tmp_path).returncode == 0
    assert sorted(names_in(out)) == sorted([temporary, "other"])
    (tmp_path / "go on").touch()
    living.communicate()
    assert sorted(names_in(out)) == ["live", "other"]
    assert (out / "live").read_bytes() == b"data"


@pytest.mark.skipif(os.name != "posix", reason="no locks on open files")
@pytest.mark.parametrize("locks", [True, False])
def test_a_file_that_another_process_takes_for_a_leftover_is_written_again(
    tmp_path, monkeypatch, locks
):
    """It removes the temporary file before it is locked, or locks it first and removes it then."""
    import fcntl

    flock, fsync = fcntl.flock, os.fsync
    rival = []

    def take(descriptor: int, how: int) -> None:
        if not rival:
            (name,) = names_in(tmp_path)
            rival.append((tmp_path / name).open("rb"))
            if locks:
                flock(rival[0], how)
            else:
                (tmp_path / name).unlink()
        flock(descriptor, how)

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        if os.path.samestat(os.fstat(descriptor), os.fstat(rival[0].fileno())):
            Path(rival[0].name).unlink()

    monkeypatch.setattr(fcntl, "flock", take)
    monkeypatch.setattr(os, "fsync", sync)
    atomic_write(tmp_path / "a", b"data")
    rival[0].close()
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"data"
