from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from caflow_cli.data import condition_channels, load_masks, load_pairs, load_split, open_split
from caflow_cli.errors import CaflowError

from .stored import flat


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pictures(where: Path, count: int, first: int = 0) -> list[str]:
    for i in range(first, first + count):
        (where / f"{i}.png").write_bytes(flat(i))
    return [f"{i}.png" for i in range(first, first + count)]


kinds = pytest.mark.parametrize("suffix", [".csv", ".jsonl"])


@kinds
def test_pictures_are_those_of_a_folder(tmp_path, suffix):
    (tmp_path / "photos").mkdir()
    names = pictures(tmp_path / "photos", 60)
    manifest = write(tmp_path / f"list{suffix}", [{"image": f"photos/{n}"} for n in names])
    folder = tmp_path / "above"
    folder.mkdir()
    (tmp_path / "photos").rename(folder / "photos")
    manifest = manifest.rename(folder / manifest.name)
    for split in ("train", "val", "test"):
        listed = load_split(str(manifest), split, 8)
        found = load_split(str(folder), split, 8)
        assert listed.names == found.names
        assert torch.equal(listed.images, found.images)


@kinds
def test_pairs_and_splits(tmp_path, suffix):
    names = pictures(tmp_path, 12)
    splits = ["train"] * 3 + ["validation"] * 2 + ["test"]
    rows = [
        {"condition": names[2 * i], "target": names[2 * i + 1], "split": split}
        for i, split in enumerate(splits)
    ]
    path = str(write(tmp_path / f"pairs{suffix}", rows))
    for split, expected in (("train", [0, 2, 4]), ("val", [6, 8]), ("test", [10])):
        pairs = load_pairs(path, split, 8)
        assert sorted(pairs.conditions[:, 0, 0, 0].tolist()) == expected
        assert torch.equal(pairs.targets, pairs.conditions + 1)
    assert condition_channels(path) == 1
    # Of one split alone, all else aside.
    assert len(load_pairs(f"{path}#split=train", "train", 8).names) == 1


@kinds
def test_rows_pair_what_differs_in_the_suffix_alone(tmp_path, suffix):
    names = pictures(tmp_path, 6)
    rows = [{"condition": names[i], "target": names[i + 3]} for i in range(3)]
    (tmp_path / "3.bmp").write_bytes((tmp_path / "5.png").read_bytes())
    rows[2]["target"] = "3.bmp"
    path = str(write(tmp_path / f"pairs{suffix}", rows))
    with open_split(path, paired=True) as reader:
        found = [[int(side[0, 0, 0]) for side in reader.read(row)] for row in range(3)]
        assert reader.names == ["00000002-3", "3", "4"]
    assert found == [[2, 5], [0, 3], [1, 4]]


@kinds
def test_rows_without_a_split_beside_others_are_refused(tmp_path, suffix):
    names = pictures(tmp_path, 5)
    splits = ["train", "train", "", "holdout", "val"]
    rows = [{"image": n, "split": s} for n, s in zip(names, splits, strict=True)]
    path = str(write(tmp_path / f"list{suffix}", rows))
    with pytest.raises(
        CaflowError, match=r"^2 of 5 rows of .* have no split .* '2\.png'$"
    ) as caught:
        load_split(path, "train", 8)
    assert caught.value.exit_code == 2
    with open_split(f"{path}#split=train") as reader:
        assert reader.names == names[:2]
    without = [{"image": n, "split": "any"} for n in names]
    with open_split(str(write(tmp_path / f"any{suffix}", without))) as reader:
        assert reader.names == names


def test_masks_have_a_column_of_their_own(tmp_path):
    names = pictures(tmp_path, 4)
    masks = pictures(tmp_path, 4, 200)
    rows = [{"image": n, "mask": m} for n, m in zip(names, masks, strict=True)]
    path = write(tmp_path / "list.csv", rows)
    assert len(load_masks(str(path), "train")) == 2  # of four, val and test have one each
    with open_split(str(path), role="masks") as reader:
        assert reader.names == masks
    with open_split(str(path)) as reader:
        assert reader.names == names


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "0.png\n1.png\n", "the first line of a CSV names its columns"),
        ("a.csv", "image,split\n0.png\n", "line 2 of"),
        ("a.csv", "image\n", "names no pictures"),
        ("a.csv", "image,split\n0.txt,train\n", "no column of pictures"),
        ("a.jsonl", '{"image": "0.png"}\n{"image"\n', "line 2 of"),
        ("a.jsonl", '["0.png"]\n', "line 1 of"),
        ("a.csv", "image\n\x00\n", ""),
    ],
)
def test_what_is_no_manifest(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(CaflowError) as caught:
        load_split(str(tmp_path / name), "train", 8)
    assert message in caught.value.message
    assert "\n" not in caught.value.message + caught.value.hint


def test_a_missing_file_is_named(tmp_path):
    rows = [{"image": n} for n in [*pictures(tmp_path, 5), "gone.png"]]
    path = write(tmp_path / "list.jsonl", rows)
    with pytest.raises(CaflowError, match=r"gone\.png"):
        [load_split(str(path), split, 8) for split in ("train", "val", "test")]
