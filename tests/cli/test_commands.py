"""The program as a process: streams, exit codes, files."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import helpers
import numpy as np
import pytest
import typer.main
from PIL import Image, UnidentifiedImageError

from caflow_cli.cli.app import app
from caflow_cli.images import read_provenance
from caflow_cli.model import CAFlow
from caflow_cli.version import __version__

from .process import ENTRY, assert_refused, caflow


@pytest.fixture(scope="module")
def small_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "small.png"
    values = np.add.outer(np.arange(8) * 20, np.arange(8) * 5)[..., None] + [0, 20, 40]
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


# --- what needs no model ------------------------------------------------------------------------


def command_paths() -> list[list[str]]:
    """The words of every command: `["models", "list"]`."""
    commands = typer.main.get_command(app).commands
    return [
        [name, *child]
        for name, command in commands.items()
        for child in ([[c] for c in command.commands] if hasattr(command, "commands") else [[]])
    ]


def test_help_and_usage_errors_come_without_torch(tmp_path):
    """Of every command, in one process; then the version, as a process of its own."""
    probe = (
        "import json, sys\n"
        "from caflow_cli.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['caflow', *arguments]\n"
        "    try: main()\n"
        "    except SystemExit as e: print(e.code, 'torch' in sys.modules, file=sys.stderr)\n"
    )
    helps = [[], *command_paths()]
    wrong = [
        ["superres", "x.png", "--frobnicate"],
        ["superres", "x.png", "--tau", "-1"],
        ["colorize", "x.png", "-m", "1", "-n", "2"],
        ["inpaint", "x.png"],
        ["sample", "--cond", "x.png", "-o", "-", "--json"],
        ["superres", "a/x.png", "b/x.png", "-o", "out/"],
        ["score", "--cond", "x", "--target", "y", "--noise-samples", "0"],
    ]
    calls = [[*words, "--help"] for words in helps] + wrong
    result = subprocess.run(
        [sys.executable, "-c", probe, json.dumps(calls)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    codes = [line for line in result.stderr.splitlines() if line.endswith(("True", "False"))]
    assert codes == ["0 False"] * len(helps) + ["2 False"] * len(wrong)
    version = caflow("--version", cwd=tmp_path)
    assert version.stdout.decode() == f"caflow {__version__}\n"


def test_every_command_has_help_with_an_example(run):
    for command in command_paths():
        result = run(*command, "--help")
        assert result.returncode == 0
        assert f"Example: caflow {' '.join(command)}" in result.stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["superres"], "IMAGE"),
        (["superres", "x.png", "--frobnicate"], "--frobnicate"),
        (["superres", "x.png", "--tau", "warm"], "--tau"),
        (["superres", "x.png", "--tau", "-1"], "tau is -1.0"),
        (["superres", "x.png", "-m", "2", "-n", "3"], "cannot keep 3 of 2"),
        (["superres", "x.png", "-m", "0", "-n", "0"], "cannot draw 0"),
        (["superres", "x.png", "--device", "abacus"], "'abacus'"),
        (["superres", "x.png", "--device", "cuda:77"], "'cuda:77'"),
        (["superres", "x.png", "--seed", "-5"], "seed -5"),
        (["superres", "x.png", "--rank", "beauty"], "'beauty'"),
        (["superres", "x.png", "--noise-samples", "0"], "0 noise samples"),
        (["superres", "x.png", "-o", "out.gif"], "'out.gif'"),
        (["superres", "x.png", "y.png", "-o", "out.png"], "one file for 2 inputs"),
        (["superres", "x.png", "-n", "2", "-o", "-"], "one picture, not 2"),
        (["superres", "x.png", "-o", "-", "--json"], "stdout"),
        (["superres", "example:cat"], "'cat'"),
        (["superres", "a/x.png", "b/x.png", "-o", "out/"], "would both be written"),
        (["score", "--cond", "x.png"], "--target"),
        (["score", "--cond", "x", "--target", "y", "--noise-samples", "0"], "0 noise samples"),
        (["superres", "."], "no pictures in the folder '.'"),
        (["superres", "*.tif"], "no file matches '*.tif'"),
        (["superres", ""], "'' is no picture"),
        (["superres", "x" * 250 + ".png"], "cannot write"),
        (["superres", "x.png", "-o", "/dev/null/x.png"], "no writable folder"),
        (["train", "--out", "r"], "no data"),
        (["train", "--out", "r", "--resume"], "no run to resume in 'r'"),
        (["train", "--out", "r", "--resume", "--seed", "3"], "--seed"),
        (["train", "--out", "r", "--data", "d", "--minutes", "nan"], "optim.minutes is nan"),
        (["train", "--out", "r", "--data", "d"], "budget"),
        (["train", "--out", "r", "--data", "d", "--images", "9", "--preset", "huge"], "'huge'"),
        (["train", "--out", "r", "--data", "d", "--images", "9", "--set", "optim.x=1"], "optim.x"),
        (["train", "--out", "r", "--data", "d", "--images", "9"], "'d'"),
        (["paint"], "paint"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(run, tmp_path, arguments, message):
    result = run(*arguments)
    assert_refused(result, 2, message)
    assert not list(tmp_path.iterdir())


LONG = "x" * 300  # no file can have that name


@pytest.mark.parametrize(
    "line",
    [
        "superres LONG",
        "superres LONG x.png --model MODEL",
        "superres LONG/x.png --model MODEL",
        "superres x.png -o LONG",
        "superres x.png -o LONG/",
        "superres x.png --grid LONG.png",
        "superres x.png --model LONG",
        "inpaint x.png --mask LONG",
        "score --cond LONG --target x.png --model MODEL",
        "score --cond x.png --target LONG --model MODEL",
        "score --cond x.png --target x.png --map LONG.png",
        "evaluate LONG x.png --metric rmse",
        "evaluate . LONG --metric rmse",
        "evaluate LONG.npz . --metric fid",
        "evaluate --data LONG --metric rmse --model MODEL",
        "evaluate --data . --model MODEL --metric rmse --split all --save-images LONG",
        "evaluate --data . --model MODEL --metric rmse --split all --report LONG",
        "train --data LONG --out run --images 9",
        "train --data . --out LONG --images 9",
        "train --out LONG --resume",
        "train --config LONG --out run",
        "train --data . --out run --images 9 --init-from LONG",
        "models info LONG",
        "models verify LONG",
        "models pack LONG --id a",
        "models pack MODEL --id a -o LONG",
        "models push LONG user/x",
    ],
)
def test_a_name_too_long_for_a_file_is_an_error_with_a_hint(run, tmp_path, model_file, line):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    result = run(*line.replace("LONG", LONG).replace("MODEL", str(model_file)).split())
    assert result.returncode in (1, 2, 3), result.stderr
    said = result.stderr.decode()
    assert "error: " in said
    assert "hint: " in said
    assert "this is a defect" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize("name", ["./missing", "../runs", "a--b/c", "x" * 300])
def test_a_model_that_is_nowhere_exits_3(run, monkeypatch, small_picture, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = run("superres", small_picture, "-o", "o/", "--model", name)
    assert_refused(result, 3, name[:20])


def test_a_full_stdout_is_one_error(tmp_path):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = subprocess.run(
            [sys.executable, "-c", ENTRY, "models", "list"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.returncode == 1
    assert result.stderr.startswith("error: cannot write to stdout: ")


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95pickle", b"\xff" * 64])
def test_unreadable_weights_exit_3(run, tmp_path, small_picture, content):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(content)
    result = run("superres", small_picture, "--model", bad, "-o", "out/")
    assert_refused(result, 3, "bad.safetensors")
    result = run("superres", small_picture, "--model", "none.safetensors")
    assert_refused(result, 3, "none.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.safetensors"]


def test_a_checkpoint_of_another_schema_exits_3(run, tmp_path, small_picture, model_file):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(model_file, framework="pt") as file:
        header = json.loads(file.metadata()["caflow"])
    path = tmp_path / "next.safetensors"
    save_file(load_file(model_file), path, {"caflow": json.dumps({**header, "schema": 2})})
    result = run("superres", small_picture, "--model", path)
    assert_refused(result, 3, "schema 2")


def test_a_model_of_a_task_that_there_is_not_exits_3(run, tmp_path, small_picture, small_model):
    model = copy.copy(small_model)
    model.config = helpers.task_config("superres")
    model.config = dataclasses.replace(
        model.config, task=dataclasses.replace(model.config.task, name="upscale")
    )
    model.save(tmp_path / "next.safetensors")
    result = run("superres", small_picture, "--model", "next.safetensors")
    assert_refused(result, 3, "'upscale', no task of this version")


def test_a_model_of_another_task_exits_2(run, tmp_path, small_picture, model_file):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(model_file, framework="pt") as file:
        header = json.loads(file.metadata()["caflow"])
    header["config"]["task"]["name"] = "colorize"
    path = tmp_path / "grey.safetensors"
    save_file(load_file(model_file), path, {"caflow": json.dumps(header)})
    result = run("superres", small_picture, "--model", path)
    assert_refused(result, 2, "is for colorize, not superres")


# --- superres -----------------------------------------------------------------------------------


def test_superres_prints_the_paths_it_wrote(run, tmp_path, small_picture, model_file):
    result = run(
        "superres",
        small_picture,
        "-m",
        3,
        "-n",
        2,
        "-o",
        "out/",
        "--model",
        model_file,
    )
    assert result.returncode == 0, result.stderr
    written = ["out/small_superres_01.png", "out/small_superres_02.png"]
    assert result.stdout.decode().splitlines() == written
    assert result.stderr == b""
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png")) == written
    for path in written:
        assert Image.open(tmp_path / path).size == (32, 32)


def test_compile_compiles_what_draws(run, tmp_path, small_picture, model_file, monkeypatch):
    refused = run("superres", small_picture, "--model", "none", "--compile", CXX="no-such-compiler")
    assert_refused(refused, 2, "no C++ compiler 'no-such-compiler'")
    used = []
    whole = CAFlow.compile_inference
    monkeypatch.setattr(
        CAFlow, "compile_inference", lambda self: (used.append(self), whole(self, "eager"))
    )
    arguments = ["superres", small_picture, "--model", model_file, "-m", 2, "--json"]
    plain = run(*arguments, "-o", "plain.png")
    assert not used
    compiled = run(*arguments, "-o", "compiled.png", "--compile")
    assert plain.returncode == compiled.returncode == 0, compiled.stderr
    assert len(used) == 1
    scores = [json.loads(r.stdout)["outputs"][0]["log_likelihood"] for r in (plain, compiled)]
    assert scores[0] == pytest.approx(scores[1], abs=0.05)  # of pictures a level apart at most


def test_the_default_output_lies_beside_the_input(run, tmp_path, small_picture, model_file):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a b.png").write_bytes(small_picture.read_bytes())
    result = run("superres", "in/a b.png", "-m", 1, "--model", model_file)
    assert result.stdout.decode() == "in/a b_superres.png\n"
    assert (folder / "a b_superres.png").exists()


def test_pictures_flow_through_pipes(tmp_path, small_picture, model_file):
    shared = ("-m", 2, "--model", model_file)
    piped = caflow(
        "superres", "-", "-o", "-", *shared, cwd=tmp_path, stdin=small_picture.read_bytes()
    )
    assert piped.returncode == 0
    assert piped.stderr == b""
    assert not list(tmp_path.iterdir())
    caflow("superres", small_picture, "-o", "file.png", *shared, cwd=tmp_path)
    assert piped.stdout == (tmp_path / "file.png").read_bytes()
    assert Image.open(io.BytesIO(piped.stdout)).size == (32, 32)


def test_existing_outputs_are_kept_unless_told_otherwise(run, tmp_path, small_picture, model_file):
    out = tmp_path / "x.png"
    out.write_bytes(b"precious")
    shared = ("superres", small_picture, "-m", 1, "-o", "x.png", "--model", model_file)
    assert_refused(run(*shared), 2, "'x.png' exists")
    assert out.read_bytes() == b"precious"
    assert run(*shared, "--overwrite").returncode == 0
    assert Image.open(out).size == (32, 32)


def test_an_output_is_never_an_input(run, tmp_path, small_picture, model_file):
    copy = tmp_path / "y.png"
    copy.write_bytes(small_picture.read_bytes())
    result = run("superres", "y.png", "-o", "y.png", "--overwrite", "--model", model_file)
    assert_refused(result, 2, "is an input")
    assert copy.read_bytes() == small_picture.read_bytes()


def test_what_a_picture_skips_is_no_warning(run, tmp_path, model_file):
    """A TIFF whose description is said to be longer than the file: Pillow warns, and reads on."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "TIFF", description="hello world")
    entry = struct.pack("<HHI", 270, 2, 12)
    assert entry in buffer.getvalue()
    data = buffer.getvalue().replace(entry, struct.pack("<HHI", 270, 2, 999_999))
    (tmp_path / "x.tif").write_bytes(data)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            Image.open(tmp_path / "x.tif").load()
        except UnidentifiedImageError:
            pytest.skip("a Pillow that refuses it")
        assert heard
        heard.clear()
        result = run("superres", "x.tif", "-m", 1, "--model", model_file)
    assert result.returncode == 0
    assert [str(w.message) for w in heard if "PIL" in w.filename] == []


def test_one_bad_picture_does_not_stop_the_others(run, tmp_path, small_picture, model_file):
    good = small_picture.read_bytes()
    contents = {
        "1.png": good,
        "2.png": b"",
        "3.png": good[: len(good) // 2],
        "4.png": b"not an image",
        "5.png": good,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "6.png").mkdir()
    inputs = [*contents, "6.png", "7.png"]
    result = run("superres", *inputs, "-m", 1, "-o", "out/", "--json", "--model", model_file)
    assert result.returncode == 1
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(r["input"], r["status"]) for r in records] == [
        (name, "ok" if name in ("1.png", "5.png") else "error") for name in inputs
    ]
    stderr = result.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in stderr] == ["error", "hint"] * 5
    for record in records:
        if record["status"] == "error":
            assert record["error"]["code"] == 1
            assert record["input"] in record["error"]["message"]
            assert record["error"]["hint"]
    outputs = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert outputs == ["1_superres.png", "5_superres.png"]
    for name, content in contents.items():
        assert (tmp_path / name).read_bytes() == content


def test_one_bad_file_in_a_folder_of_ten_leaves_nine_outputs(
    run, tmp_path, small_picture, model_file
):
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(10):
        (folder / f"{index}.png").write_bytes(small_picture.read_bytes())
    (folder / "4.png").write_bytes(b"broken")
    result = run("superres", "in", "-o", "out", "-m", 1, "--model", model_file)
    assert result.returncode == 1
    written = [f"out/{index}_superres.png" for index in range(10) if index != 4]
    assert result.stdout.decode().splitlines() == written
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [Path(w).name for w in written]
    assert result.stderr.decode().startswith("error: 'in/4.png' ")


def test_json_holds_every_candidate_and_the_written_ones(run, tmp_path, small_picture, model_file):
    result = run(
        *("superres", small_picture, "-m", 4, "-n", 2, "--seed", 9, "--tau", 0.8),
        *("-o", "out/", "--noise-samples", 2, "--json", "--model", model_file),
    )
    (line,) = result.stdout.splitlines()
    record = json.loads(line)
    assert record["schema"] == 1
    assert record["command"] == "superres"
    assert record["input"] == str(small_picture)
    assert record["model"]["id"] == "small.safetensors"
    assert record["model"]["sha256"] == hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert record["params"]["tau"] == 0.8
    assert record["params"]["candidates"] == 4
    assert record["estimator"]["noise_samples"] == 2
    assert record["estimator"]["dequantization"] == "uniform"
    assert record["elapsed_s"] > 0
    assert [c["rank"] for c in record["candidates"]] == [1, 2, 3, 4]
    assert sorted(c["seed"] for c in record["candidates"]) == [9, 10, 11, 12]
    assert [o["rank"] for o in record["outputs"]] == [1, 2]
    for output, candidate in zip(record["outputs"], record["candidates"], strict=False):
        assert Path(tmp_path, output["path"]).exists()
        assert output["log_likelihood"] == candidate["log_likelihood"]
        assert output["standard_error"] > 0
        bits = -output["log_likelihood"] / (32 * 32 * 3 * np.log(2))
        assert output["bits_per_dim"] == pytest.approx(bits)
        assert output["score_domain"] == "image"
        assert output["scored_size"] == [32, 32]
        assert output["score_exact"] is True


def test_provenance_names_model_and_seed_but_no_path(run, tmp_path, small_picture, model_file):
    run("superres", small_picture, "-m", 2, "-o", "x.png", "--model", model_file)
    record = read_provenance(tmp_path / "x.png")
    assert record["model"]["id"] == "small.safetensors"
    assert record["rank"] == 1
    assert record["seed"] in (0, 1)
    assert "/" not in json.dumps(record)


def test_an_unwritable_folder_is_one_error(run, tmp_path, small_picture, model_file):
    (tmp_path / "file").write_bytes(b"")
    result = run("superres", small_picture, "-o", "file/x.png", "--model", model_file)
    assert_refused(result, 2, "'file' is no writable folder")


# --- score --------------------------------------------------------------------------------------


def test_score_repeats_the_number_of_every_written_file(run, tmp_path, small_picture, model_file):
    result = run(
        *("superres", small_picture, "-m", 3, "-n", 3, "-o", "out/", "--json"),
        *("--model", model_file),
    )
    for output in json.loads(result.stdout)["outputs"]:
        arguments = ("score", "--cond", small_picture, "--target", output["path"])
        text = run(*arguments, "--model", model_file)
        nats, bits, target = text.stdout.decode().rstrip("\n").split("\t")
        assert float(nats) == pytest.approx(output["log_likelihood"], abs=1e-2)
        assert float(bits) == pytest.approx(output["bits_per_dim"], abs=1e-5)
        assert target == output["path"]
    # The target names a file's model: found if CAFLOW_MODEL is that one, else to be named.
    assert_refused(run(*arguments), 2, "made with model 'small.safetensors'")
    found = run(*arguments, CAFLOW_MODEL=str(model_file))
    assert found.stdout == text.stdout


def test_score_as_json(run, tmp_path, small_picture, model_file):
    target = tmp_path / "t.png"
    Image.open(small_picture).resize((32, 32)).save(target)
    result = run(
        *("score", "--cond", small_picture, "--target", target, "--json", "--noise-samples", 4),
        CAFLOW_MODEL=str(model_file),
    )
    record = json.loads(result.stdout)
    assert record["status"] == "ok"
    assert record["cond"] == str(small_picture)
    assert record["target"] == str(target)
    assert record["model"]["id"] == "small.safetensors"
    assert record["standard_error"] > 0
    assert record["log_likelihood"] < 0


def test_score_refuses_a_target_that_is_not_exactly_larger(
    run, tmp_path, small_picture, model_file
):
    target = tmp_path / "t.png"
    Image.open(small_picture).resize((33, 32)).save(target)
    result = run("score", "--cond", small_picture, "--target", target, "--model", model_file)
    assert_refused(result, 1, "33x32")


# --- models and train ---------------------------------------------------------------------------


def test_models_list_and_pack(run, tmp_path, model_file):
    listed = run("models", "list").stdout.decode().splitlines()
    assert any(line.startswith("faces-superres-x4\tsuperres\t") for line in listed)
    packed = run("models", "pack", model_file, "--id", "mine")
    assert packed.stdout.decode() == "mine.safetensors\n"
    again = run("models", "pack", model_file, "--id", "mine")
    assert_refused(again, 2, "there is a model 'mine'")
    entry = json.loads((tmp_path / "weights_manifest.json").read_text())["models"]["mine"]
    digest = hashlib.sha256((tmp_path / "mine.safetensors").read_bytes()).hexdigest()
    assert entry["sha256"] == digest


def test_train_pack_restore_as_a_user_would(run, tmp_path, small_picture):
    generator = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(12):
        corners = generator.uniform(0, 255, (2, 2, 3)).astype(np.uint8)
        image = Image.fromarray(corners).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(tmp_path / "photos" / f"{index}.png")
    architecture = [
        f"flow.{key}"
        for key in (
            "scales=2",
            *("r_steps=1", "t_steps=1", "f_steps=1"),
            *("hidden=8", "f_hidden=8", "trunk=8"),
        )
    ]
    settings = [x for s in (*architecture, "task.size=32") for x in ("--set", s)]
    trained = run(
        *("train", "--data", "photos", "--out", "run", "--images", 64, "--batch-size", 8),
        *settings,
    )
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.decode() == "run/best.safetensors\n"
    assert "validation" in trained.stderr.decode()
    again = run("train", "--data", "photos", "--out", "run", "--images", 64)
    assert_refused(again, 2, "holds a run already")
    restored = run("superres", small_picture, "-o", "x.png", "--model", "run")
    assert restored.returncode == 0, restored.stderr
    resumed = run("train", "--out", "run", "--resume", "--images", 128)
    assert resumed.returncode == 0, resumed.stderr
    last = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 16


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_exits_130_and_leaves_nothing_half_written(
    tmp_path, small_picture, model_file, number
):
    inputs = []
    for index in range(60):
        path = tmp_path / f"{index}.png"
        path.write_bytes(small_picture.read_bytes())
        inputs.append(path.name)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            ENTRY,
            "superres",
            *inputs,
            "-o",
            "out/",
            "--model",
            str(model_file),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell's background jobs ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.stdout.readline()  # the first picture is written
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in stderr
    for path in (tmp_path / "out").iterdir():
        assert path.suffix == ".png"
        Image.open(path).load()


def test_an_interrupt_says_so(run, monkeypatch):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("caflow_cli.cli.superres.restore_pictures", interrupted)
    result = run("superres", "x.png")
    assert (result.returncode, result.stdout, result.stderr) == (130, b"", b"interrupted\n")


def test_a_draw_that_is_not_finite_is_an_error_not_a_picture(
    run, tmp_path, small_picture, model_file
):
    result = run(
        *("superres", small_picture, "--tau", "1e39", "-o", "x.png", "--model", model_file),
    )
    assert_refused(result, 1, "no finite draw")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_closed_pipe_is_a_success(tmp_path, small_picture, model_file):
    inputs = []
    for index in range(4):
        path = tmp_path / f"{index}.png"
        path.write_bytes(small_picture.read_bytes())
        inputs.append(path.name)
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "superres", *inputs, "-m", "1", "--model", str(model_file)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    process.stdout.readline()
    process.stdout.close()
    stderr = process.stderr.read()
    assert process.wait(timeout=60) == 0
    assert stderr == b""


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
@pytest.mark.parametrize("arguments", [["superres", "--help"], ["--help"], ["--version"]])
def test_help_into_a_closed_pipe_is_a_success(tmp_path, arguments):
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, "-c", ENTRY, *arguments],
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    assert (result.returncode, result.stderr) == (0, b"")
