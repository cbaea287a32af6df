"""Model files that lie, are damaged, or are none: refused by content, before memory is taken."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest
from safetensors.torch import load_file

from caflow_cli.checkpoint import MAX_HEADER, read_header, read_info, strict_json
from caflow_cli.errors import CaflowError
from caflow_cli.model import CAFlow

from .hostile import FOREIGN, assert_refused, parts, record, safetensors, tensor

ONE = tensor([2], 0, 8)
UNREADABLE = "is not a readable safetensors file: "


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (safetensors(b"{", length=MAX_HEADER + 1), "more than"),
        (safetensors(b"{" + b" " * MAX_HEADER), "more than"),
        (safetensors(b"{", length=2**63), "more than"),
        (safetensors(b"{}", length=100), "ends within its header"),
        (safetensors(b'{"a":' + b"[" * 1_000_000), "nested too deeply"),
        (safetensors(b"{]"), "Expecting property name"),
        (safetensors(b'{"\xff": 1}'), "utf-8"),
        (safetensors({"a": 1}), UNREADABLE),
        (safetensors({"a": {**ONE, "more": 1}}, bytes(8)), "not a caflow model"),
        (safetensors({"a": tensor([2], 0, 8, "C64")}, bytes(8)), UNREADABLE),
        (safetensors({"a": tensor([-2], 0, 8)}, bytes(8)), UNREADABLE),
        (safetensors({"a": tensor([1] * 9, 0, 4)}, bytes(4)), "not a caflow model"),
        (safetensors({"a": {**ONE, "data_offsets": [0, 2**64]}}), UNREADABLE),
        (safetensors({"a": {**ONE, "data_offsets": [8, 0]}}, bytes(8)), UNREADABLE),
        (safetensors({"a": tensor([2**40, 2**40], 0, 8)}, bytes(8)), UNREADABLE),
        (safetensors({"a": tensor([2**38], 0, 2**40)}, bytes(8)), UNREADABLE),
        (safetensors({"a": ONE}, bytes(7)), UNREADABLE),
        (safetensors({"a": ONE}, bytes(9)), UNREADABLE),
        (safetensors({"a": ONE, "b": ONE}, bytes(16)), UNREADABLE),
        (safetensors({"a": ONE, "b": tensor([2], 12, 20)}, bytes(20)), UNREADABLE),
        (
            safetensors(b'{"a":%(a)b,"a":%(a)b}' % {b"a": json.dumps(ONE).encode()}, bytes(8)),
            "'a' occurs twice",
        ),
        (safetensors({"__metadata__": {"caflow": 1}}), UNREADABLE),
        (safetensors({"__metadata__": []}), UNREADABLE),
        (safetensors({"\x1b[2J" * 999: 1}), UNREADABLE),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, content, named):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    error = assert_refused(path, named)
    assert error.message.isprintable()


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_safetensors_is_refused_and_never_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    paths = [tmp_path / name for name in ("model.safetensors", "model.pt")]
    for path in paths:
        path.write_bytes(FOREIGN[kind])
        assert_refused(path, "is not safetensors")
    assert sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' occurs twice"),
        ("[NaN]", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
        ("[" * 100_000, "nested too deeply"),
        ("{]", "Expecting"),
        ("", "Expecting value"),
        (b'"\xff"', "utf-8"),
        ('{"KEY": 1, "KEY": 1}'.replace("KEY", "k" * 9999), "occurs twice"),
        ("1e" + "9" * 4999, "is not a finite number"),
    ],
)
def test_json_of_strangers_has_one_meaning_and_finite_numbers(text, named):
    with pytest.raises(ValueError, match=named) as caught:
        strict_json(text)
    assert len(str(caught.value)) < 120


def test_the_content_decides_what_a_file_is(tmp_path, model_file):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(model_file.read_bytes())
    assert read_info(path) == read_info(model_file)
    assert {n: tuple(t.shape) for n, t in load_file(path).items()} == {
        name: info.shape for name, info in read_header(path)[0].items()
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_model_file(tmp_path):
    path = tmp_path / "model.safetensors"
    os.mkfifo(path)
    thread = threading.Thread(target=assert_refused, args=(path, "cannot read"), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert_refused(tmp_path, "cannot read")  # nor is a folder


_LIMITED = """
import resource, sys
from pathlib import Path
from caflow_cli.errors import CaflowError
from caflow_cli.checkpoint import read_info
assert "torch" not in sys.modules
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (200 << 20),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
for name in sys.argv[1:]:
    try:
        read_info(Path(name))
    except CaflowError as error:
        print(error.exit_code, error.message)
    else:
        print("taken for a model:", name)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux says its memory")
def test_memory_is_bounded_whatever_a_file_claims(tmp_path, model_file):
    """In 200 MB of address space beyond the interpreter's own."""
    header, data = parts(model_file)
    contents = []
    for name in ("scales", "t_steps", "hidden", "target_channels"):
        values = record(header)
        values["config"]["flow"][name] = 10**12
        contents.append(
            safetensors({**header, "__metadata__": {"caflow": json.dumps(values)}}, data)
        )
    huge = safetensors({"a": tensor([10**6, 10**6], 0, 4 * 10**12)})
    contents += [
        huge,
        safetensors(b"{", length=MAX_HEADER + 1),
        safetensors(b"{", length=2**39),
        safetensors(b'{"a":' + b"[" * (MAX_HEADER - 6)),
        safetensors(b'{"a":' + b"{}," * (MAX_HEADER // 3 - 6)),
        safetensors(b'{"a":[' + b"{}," * (MAX_HEADER // 3 - 6) + b"{}]}"),
        safetensors(b'{"a":[' + b"0," * (MAX_HEADER // 2 - 6) + b"0]}"),
        safetensors(b'{"a":[' + b"[]," * (MAX_HEADER // 3 - 6) + b"[]]}"),
    ]
    paths = [tmp_path / f"{k}.safetensors" for k in range(len(contents) + 1)]
    for path, content in zip(paths, [*contents, huge], strict=True):
        path.write_bytes(content)
    try:  # a sparse file of the size that it claims
        os.truncate(paths[-1], len(huge) + 4 * 10**12)
    except OSError:  # a file system without files of this size
        paths[-1].unlink()
        paths.pop()
    command = [sys.executable, "-c", _LIMITED, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    paths[-1].unlink()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths)
    assert all(line.startswith("3 ") for line in lines), lines


@hypothesis.settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(data=st.data())
def test_a_damaged_header_is_refused_or_harmless(tmp_path, model_file, data):
    content = bytearray(model_file.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 8 + length - 1))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, 8 + length))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content[:cut])
    try:
        read_info(path)
        CAFlow.load(path)  # a letter of the record changed, say: the tensors are what they were
    except CaflowError as error:
        assert error.exit_code == 3  # noqa: PT017
        assert len(error.message.splitlines()) == len(error.hint.splitlines()) == 1  # noqa: PT017
