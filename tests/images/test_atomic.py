from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.images import atomic_write


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_writes_respect_the_umask(tmp_path, umask, mode):
    old = os.umask(umask)
    try:
        atomic_write(tmp_path / "a", b"1")
        atomic_write(tmp_path / "a", b"2")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    assert (tmp_path / "a").read_bytes() == b"2"
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(CaflowError) as caught:
        atomic_write(path, b"new")
    assert caught.value.message == f"cannot write '{path}': No space left on device"
    assert caught.value.hint
    assert caught.value.exit_code == 1
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a", b"new")
    assert names_in(tmp_path) == []


def test_the_rename_is_of_a_whole_file_in_the_same_folder(tmp_path, monkeypatch):
    seen = []
    replace = os.replace

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
    assert (tmp_path / ("é" * 120 + ".png")).read_bytes() == b"data"


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
    program = (
        "import os, signal, sys; from caflow_cli.images import atomic_write\n"
        "if sys.argv[2] == 'die': os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "if sys.argv[2] == 'live': os.fsync = lambda _: print('writing', flush=True) or input()\n"
        "from pathlib import Path; atomic_write(Path(sys.argv[1]) / sys.argv[2], b'data')"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run([*command, "die"]).returncode == -signal.SIGKILL
    (left,) = names_in(tmp_path)
    assert left.startswith(".caflow-")
    assert left.endswith(".tmp")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command, "live"], **pipes) as living:
        assert living.stdout.readline() == b"writing\n"  # and has removed what was left
        (temporary,) = names_in(tmp_path)
        assert temporary != left
        subprocess.run([*command, "other"], check=True)
        assert sorted(names_in(tmp_path)) == sorted([temporary, "other"])
        living.communicate(b"\n", timeout=60)
    assert sorted(names_in(tmp_path)) == ["live", "other"]
    assert (tmp_path / "live").read_bytes() == b"data"
