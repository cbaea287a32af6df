"""`.ci/fingerprint`: what it takes for a difference, of fields, pixels and files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray
from PIL import Image, PngImagePlugin
from safetensors.numpy import save

ROOT = Path(__file__).parents[1]


@pytest.fixture
def comparing(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    from fingerprints import comparing

    return comparing


@pytest.fixture
def described(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    from fingerprints.describing import described

    return described


@pytest.fixture
def found(comparing, tmp_path):
    """`found(a, b, *rules, where)`: the differences, as text, by these rules."""

    def differences(a, b, *rules, where="/score"):
        path = tmp_path / "allowed.txt"
        path.write_text("# a comment\n\n" + "\n".join(rules))
        allowed = comparing.Allowed(path)
        return [f"{place} {what}" for place, what in comparing.differences(a, b, where, allowed)]

    return differences


def png(values: np.ndarray, text: str | None = None) -> bytes:
    file, info = io.BytesIO(), PngImagePlugin.PngInfo()
    if text is not None:
        info.add_text("caflow", text)
    Image.fromarray(values).save(file, "PNG", pnginfo=info)
    return file.getvalue()


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [
        ({"x": 1}, {"x": 1}, None),
        ({"x": 1}, {"x": 2}, "/score/x is 2, was 1"),
        ({"x": 1.0}, {"x": 1.0 + 1e-12}, "/score/x is 1.000000000001, was 1.0"),
        ({"x": 1}, {}, "/score/x is gone; was 1"),
        ({}, {"x": 1}, "/score/x is new: 1"),
        ({"x": [1, 2]}, {"x": [1]}, "/score/x has 1 items, not 2"),
        ({"x": [{"y": "a"}]}, {"x": [{"y": "b"}]}, '/score/x/0/y is "b", was "a"'),
        ({"x": None}, {"x": 0}, "/score/x is 0, was null"),
        ({"message": "a", "elapsed_s": 1}, {"message": "b", "hint": "c"}, None),
    ],
)
def test_json_is_compared_field_by_field(found, a, b, difference):
    assert found(a, b) == ([] if difference is None else [difference])


def test_metrics_may_move_by_a_ten_thousandth_and_scores_may_not(found):
    near, far = {"rmse": 20.001}, {"rmse": 20.01}
    assert found({"rmse": 20.0}, near, where="/evaluate") == []
    assert found({"rmse": 20.0}, far, where="/evaluate") == ["/evaluate/rmse is 20.01, was 20.0"]
    assert len(found({"rmse": 20.0}, near)) == 1


def test_allowed_patterns_are_of_a_field_anywhere_or_of_a_place(found, comparing, tmp_path):
    before = {"case": {"gone": 1, "kept": {"gone": 2}, "old name": 3}}
    after = {"case": {"kept": {}, "new name": 3, "more": 4}}
    assert len(found(before, after)) == 5
    rules = ["removed gone  # anywhere", "renamed old?name new?name", "added /score/*/more"]
    assert found(before, after, *rules) == []
    there = ["removed /score/case/gone", *rules[1:]]
    assert found(before, after, *there) == ["/score/case/kept/gone is gone; was 2"]
    assert found(before, after, "changed /score/case*") == []
    # A field that was renamed is still compared.
    other = {"case": {**after["case"], "new name": 5}}
    assert found(before, other, *rules) == ["/score/case/new name is 5, was 3"]
    for line in ("remove x", "renamed x", "added x y"):
        (tmp_path / "wrong.txt").write_text(line)
        with pytest.raises(SystemExit, match="not a rule"):
            comparing.Allowed(tmp_path / "wrong.txt")


def test_pixels_are_compared_apart_from_bytes_and_provenance(found, described):
    values = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    other = values.copy()
    other[0, 0, 0] += 1
    image, changed = described(png(values)), described(png(other))
    assert image["size"] == [4, 4]
    assert {line.split()[0] for line in found(image, changed)} == {"/score/bytes", "/score/pixels"}
    # Bytes differ with the provenance, which is compared by itself.
    ours, theirs = (described(png(values, json.dumps({"seed": n}))) for n in (1, 2))
    assert ours["pixels"] == theirs["pixels"]
    assert found(ours, theirs) == ["/score/text caflow/seed is 2, was 1"]
    # The same pixels, written in another way.
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", compress_level=0)
    assert [line.split()[0] for line in found(image, described(file.getvalue()))] == [
        "/score/bytes"
    ]


def test_of_model_files_tensors_and_header_are_compared(found, described):
    def stored(value: float, **record: object) -> dict:
        data = save({"w": np.full(3, value, np.float32)}, {"caflow": json.dumps(record)})
        return described(data, Path("m.safetensors"))

    assert found(stored(1.0, seed=1), stored(1.0, seed=1)) == []
    (line,) = found(stored(1.0), stored(2.0))
    assert line.startswith("/score/tensors/digest is ")
    (line,) = found(stored(1.0, seed=1), stored(1.0, seed=2))
    assert line == "/score/tensors/metadata/caflow/seed is 2, was 1"


@pytest.mark.parametrize("suffix", [".tif", ".nc", ".npy"])
def test_of_fields_numbers_tags_and_coordinates_are_compared(tmp_path, found, described, suffix):
    def written(level: float, corner: float = 0.0) -> dict:
        members = np.full((2, 3, 4), level, np.float32)
        members[0, 0, 0] = np.nan
        path = tmp_path / f"a{suffix}"
        if suffix == ".npy":
            np.save(path, members)
        elif suffix == ".nc":
            coords = {"y": corner + np.arange(3.0)}
            data = xarray.DataArray(members, coords, ("member", "y", "x"), "rain")
            data.to_netcdf(path, engine="h5netcdf")
        else:
            tags = [(33922, 12, 6, (0, 0, 0, corner, 0, 0), True)]
            text = json.dumps({"unit": "mm/h", "caflow": {"seed": 1}})
            options = {"photometric": "minisblack", "planarconfig": "separate", "metadata": None}
            tifffile.imwrite(path, members, description=text, extratags=tags, **options)
        return described(path.read_bytes(), path)

    assert found(written(1), written(1)) == []
    lines = " ".join(found(written(1), written(2)))
    assert all(f"/{name} is " in lines for name in ("digest", "sum", "largest"))
    places = {line.split()[0].rpartition("/")[0] for line in found(written(1), written(1, 5))}
    where = {".tif": "/score/tags/33922", ".nc": "/score/variables/y"}
    assert places == ({where[suffix]} if suffix in where else set())


def test_files_of_lines_are_json_and_those_for_people_are_only_there(described):
    lines = described(b'{"a": "/tmp/x"}\n{}\n', Path("m.jsonl"), lambda text: text.upper())
    assert lines == {"json": [{"A": "/TMP/X"}, {}]}
    assert described(b"anything", Path("a.toml")) == {"present": True}
    assert described(b"no image", Path("a.bin")).keys() == {"bytes"}


def test_the_command_names_what_differs_and_exits_with_1(tmp_path):
    for name, value in (("old", 1), ("new", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "score.json").write_text(json.dumps({"face": {"x": value}}))
    command = [sys.executable, ROOT / ".ci" / "fingerprint", "compare", tmp_path / "old"]
    for other, code, said in (
        ("old", 0, ["score: equal"]),
        ("new", 1, ["/score/face/x is 2, was 1", "score: 1 differences"]),
    ):
        done = subprocess.run(
            [*command, tmp_path / other, "--only", "score"], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout.splitlines()) == (code, said), done.stderr
    done = subprocess.run([*command, tmp_path / "new", "--only", "paint"], capture_output=True)
    assert done.returncode == 2
