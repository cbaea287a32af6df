"""The program: help, exit codes, errors, interrupts, and streams that are closed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from PIL import Image

from .inprocess import command_paths
from .process import ENTRY

TRAIN, MODEL = ["train", "--out", "run"], "faces-superres-x4"
PACED = "from caflow_cli.cli.console import Console; Console.pause = 0; "


def test_help_usage_errors_and_what_is_missing_come_without_torch(tmp_path):
    """Of every command, in one process."""
    probe = (
        "import json, sys\n"
        "from caflow_cli.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['caflow', *arguments]\n"
        "    try: main()\n"
        "    except SystemExit as e: code = e.code\n"
        "    loaded = [name for name in ('gradio', 'numpy', 'torch') if name in sys.modules]\n"
        "    print('code', code, *loaded, file=sys.stderr)\n"
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "config.toml").write_text('tau = "0.9/0.7/0.5"\nrank = "consensus"\n')
    helps = [[*words, "--help"] for words in [[], *command_paths()]]
    helps += [["models", *words] for words in (["list"], ["info", MODEL], ["path", MODEL])]
    wrong = [
        ["superres"],
        ["paint"],
        ["score", "--cond", "x.png"],
        ["superres", "x.png", "--frobnicate"],
        ["superres", "x.png", "--tau", "-1"],
        ["colorize", "x.png", "-m", "1", "-n", "2"],
        ["sample", "--cond", "x.png", "-o", "-", "--json"],
        ["superres", "a/x.png", "b/x.png", "-o", "out/"],
        ["score", "--cond", "x", "--target", "y", "--noise-samples", "0"],
        *([*TRAIN, "--images", "9", "--data", data] for data in ("gone", "gone.tar", "gone.zip")),
        [*TRAIN, "--data", "."],  # no budget
        [*TRAIN, "--data", ".", "--images", "9", "--set", "optim.lr=fast"],
        [*TRAIN, "--data", ".", "--images", "9", "--preset", "huge"],
        [*TRAIN, "--data", ".", "--images", "9", "--task", "inpaint", "--set", "masks=gone"],
        ["evaluate", "--data", "gone"],
        ["evaluate", "--data", ".", "--protocol", "repair", "--masks", "gone"],
        ["evaluate", "gone", "."],
        ["evaluate", ".", "gone"],
        ["inpaint", "x.png", "--mask", "gone.png"],
    ]
    missing = [
        ["superres", "gone.png"],
        ["inpaint", "gone.png"],
        ["sample", "--cond", "gone.png", "--model", "maps-aerial"],
        ["score", "--cond", "gone.png", "--target", "x.png"],
        ["score", "--cond", "example:face", "--target", "gone.png"],
    ]
    unknown = [
        ["superres", "x.png", "--model", "gone.safetensors"],
        ["colorize", "x.png", "--model", "gone"],
    ]
    calls = helps + wrong + missing + unknown
    result = subprocess.run(
        [sys.executable, "-c", probe, json.dumps(calls)],
        cwd=tmp_path,
        env={**os.environ, "CAFLOW_CONFIG": "config.toml"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    lines = result.stderr.splitlines()
    found = [line for line in lines if line.startswith("code ")]
    assert found[: len(helps) - 3] == ["code 0"] * (len(helps) - 3)
    codes = zip((0, 2, 1, 3), (helps, wrong, missing, unknown), strict=True)
    assert [line.removesuffix(" numpy") for line in found] == [
        f"code {code}" for code, some in codes for _ in some
    ]
    assert lines.count("error: no file 'gone.png'") == len(missing)


LONG = "x" * 300  # no file can have that name


@pytest.mark.parametrize(
    "line",
    [
        "superres LONG",
        "superres x.png -o LONG",
        "superres x.png --model LONG",
        "inpaint x.png --mask LONG",
        "score --cond x.png --target LONG --model MODEL",
        "evaluate LONG x.png --metric rmse",
        "evaluate --data . --model MODEL --metric rmse --split all --save-images LONG",
        "train --data LONG --out run --images 9",
        "train --data . --out LONG --images 9",
        "train --data . --out run --images 9 --init-from LONG",
        "models info LONG",
        "models pack MODEL --id a -o LONG",
    ],
)
def test_a_name_too_long_for_a_file_is_an_error_with_a_hint(run, tmp_path, model_file, line):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    result = run(*line.replace("LONG", LONG).replace("MODEL", str(model_file)).split())
    assert result.returncode in (1, 2, 3), result.stderr
    said = result.stderr.decode()
    assert "error: " in said
    assert "hint: " in said
    assert "this is a bug" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def several(folder: Path, image: Path, count: int) -> list[str]:
    """The names of so many copies of an image."""
    names = [f"{index}.png" for index in range(count)]
    for name in names:
        (folder / name).write_bytes(image.read_bytes())
    return names


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_exits_130_and_leaves_nothing_half_written(tmp_path, small_image, model_file):
    inputs = several(tmp_path, small_image, 60)
    arguments = ["superres", *inputs, "-o", "out/", "--model", model_file]
    busy = "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); "
    process = forked.Process(busy + ENTRY, *arguments, cwd=tmp_path)
    process.stdout.readline()  # the first image is written
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()  # for threads of libraries nobody waits
    assert (process.returncode, stderr) == (130, b"interrupted\n")
    for path in (tmp_path / "out").iterdir():
        assert path.suffix == ".png"
        Image.open(path).load()


@pytest.mark.parametrize(("before", "flags"), [("", []), (PACED, []), (PACED, ["--quiet"])])
def test_a_long_draw_tells_its_progress_where_no_bar_is_shown(
    tmp_path, small_image, model_file, before, flags
):
    inputs = several(tmp_path, small_image, 2)
    arguments = ["superres", *inputs, "-m", "1", "--model", model_file, *flags]
    done = forked.run(before + ENTRY, *arguments, cwd=tmp_path)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert lines[-1:] == (["2 of 2 images"] if before and not flags else [])


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_closed_pipe_is_a_success(tmp_path, small_image, model_file):
    inputs = several(tmp_path, small_image, 4)
    arguments = ["superres", *inputs, "-m", "1", "--model", model_file]
    process = forked.Process(ENTRY, *arguments, cwd=tmp_path)
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read()
    assert process.wait() == 0
    assert stderr == b""


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess:
    """A shell command in which `$CAFLOW` is the program."""
    program = f"{sys.executable} -c '{ENTRY.replace(chr(39), chr(34))}'"
    return subprocess.run(
        ["bash", "-c", command.replace("caflow", program)],
        cwd=cwd,
        capture_output=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "100"},
    )


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
@pytest.mark.parametrize(
    ("command", "codes", "stderr"),
    [
        ("caflow models list | true", "0", ""),
        ("caflow models list >&-", "0", ""),
        ("caflow superres 'none*' 2>&-", "2", ""),
        ("caflow superres 'none*' 2>&1 >/dev/null | true", "2", ""),
        ("caflow mask - <&-", "1", "stdin"),
        pytest.param(
            *("caflow models list >/dev/full", "1", "cannot write to stdout: No space left"),
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full"),
        ),
    ],
)
def test_streams_that_are_closed(tmp_path, command, codes, stderr):
    done = shell(f"{command}; echo ${{PIPESTATUS[0]}} >code", tmp_path)
    assert (tmp_path / "code").read_text().split() == [codes]
    assert stderr in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert b"this is a bug" not in done.stderr
    if not stderr:
        assert done.stderr == b""


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    """Or a library's words would be written into it. The file is opened after the command."""
    code = (
        "import atexit, os, sys\n"
        "atexit.register(lambda: os.mkdir(str(os.open('file', os.O_CREAT | os.O_WRONLY))))\n"
        "sys.argv = ['caflow', 'models', 'list']\n"
        "from caflow_cli.cli import main\n"
        "main()"
    )
    command = 'exec "$0" -c "$1" <&- >&- 2>&-'
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(["bash", "-c", command, sys.executable, code], cwd=tmp_path, env=environment)
    (number,) = [int(path.name) for path in tmp_path.iterdir() if path.is_dir()]
    assert number > 2


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("restore", "caflow inpaint IMAGE --mask auto"),
        ("repair", "caflow inpaint IMAGE --mask auto"),
        ("enlarge", "caflow superres IMAGE"),
        ("upscale", "caflow superres IMAGE"),
        ("colourize", "caflow colorize IMAGE"),
        ("denoise", "caflow superres IMAGE --model web-superres-x4, which also enlarges"),
        ("models show", "caflow models info MODEL"),
        ("version", "caflow --version"),
        ("models ls", "caflow models list"),
        ("enlarg", "caflow superres IMAGE"),
        ("suprres", "caflow superres --help"),
        ("models lst", "caflow models list --help"),
        ("models draw", "caflow models --help"),
        ("draw", "caflow --help"),
    ],
)
def test_words_of_other_programs_are_answered_with_a_command(run, word, hint):
    done = run(*word.split(), "old.jpg")
    word = word.split()[-1]
    assert done.returncode == 2
    assert done.stderr.decode() == f"error: No such command '{word}'\nhint: {hint}\n"
