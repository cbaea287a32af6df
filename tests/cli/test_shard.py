"""`--shard K/N`: processes that share the inputs of one command."""

import json
from pathlib import Path

import pytest

from .inprocess import captured
from .process import assert_refused
from .scenes import save


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "in"
    for number in range(5):
        save(folder / f"{number}.png", 8, 8, seed=number)
    return folder


@pytest.fixture(scope="module")
def command(folder, model_file) -> list[object]:
    return ["superres", folder, "-o", "out", "-m", 1, "--json", "--model", model_file]


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").iterdir())}


def inputs(lines: bytes) -> list[str]:
    return [Path(json.loads(line)["input"]).name for line in lines.splitlines()]


@pytest.fixture(scope="module")
def alone(command, tmp_path_factory) -> dict[str, bytes]:
    """What one process writes."""
    cwd = tmp_path_factory.mktemp("alone")
    assert captured(cwd, *command).returncode == 0
    return written(cwd)


def test_two_shares_write_each_output_once(run, command, alone, tmp_path):
    """The second one is planned when the first one's outputs are there already."""
    first, second = (run(*command, "--shard", f"{k}/2") for k in (1, 2))
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert inputs(first.stdout) == ["0.png", "2.png", "4.png"]
    assert inputs(second.stdout) == ["1.png", "3.png"]
    assert written(tmp_path) == alone
    again = run(*command, "--shard", "2/2")
    assert_refused(again, 2, "1_superres.png' exists")


def test_the_variables_of_a_launcher_say_which_share(run, command, alone, tmp_path):
    """As of torchrun and Slurm."""
    done = [run(*command, RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    assert [one.returncode for one in done] == [0, 0]
    assert sorted(inputs(b"".join(one.stdout for one in done))) == [f"{k}.png" for k in range(5)]
    for k, one in enumerate(done, 1):
        assert f"--shard {k}/2, from RANK and WORLD_SIZE\n".encode() in one.stderr
    assert written(tmp_path) == alone


def test_an_empty_share_needs_no_model(run, command, tmp_path):
    done = run(*command[:-1], "./none", "--shard", "6/6")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", ["0/2", "3/2", "2", "1/0", "a/b", "-1/2", ""])
def test_what_is_no_share_is_refused(run, command, share):
    assert_refused(run(*command, "--shard", share), 2, f"--shard is {share!r}")


@pytest.mark.parametrize(
    "more",
    [["in", "--grid", "g.png"], ["in", "--uncertainty", "u.png"], ["-"], ["in/0.png", "-o", "-"]],
)
def test_what_needs_all_inputs_is_refused(run, tmp_path, more):
    save(tmp_path / "in" / "0.png", 8, 8)
    for k in (1, 2):
        result = run("superres", *more, "--shard", f"{k}/2", "--model", "./none")
        assert_refused(result, 2, "need one process, not shards")


def test_pairs_are_shared(run, folder, command, alone, model_file, tmp_path):
    (tmp_path / "out").mkdir()
    for name, data in alone.items():
        (tmp_path / "out" / name).write_bytes(data)
    shared = ["score", "--cond", folder, "--target", "out", "--model", model_file]
    lines, *shares = (
        run(*shared, *more).stdout.splitlines()
        for more in ([], ["--shard", "1/2"], ["--shard", "2/2"], ["--shard", "6/6"])
    )
    assert shares == [lines[0::2], lines[1::2], []]
