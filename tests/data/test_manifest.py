import csv
import json
from pathlib import Path

import pytest

from caflow_cli.data.examples import gray_sides

from .stored import flat, names, refusal, values

suffixes = pytest.mark.parametrize("suffix", [".csv", ".jsonl"])


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def images(where: Path, count: int, first: int = 0) -> list[str]:
    where.mkdir(exist_ok=True)
    for i in range(first, first + count):
        (where / f"{i}.png").write_bytes(flat(i))
    return [f"{i}.png" for i in range(first, first + count)]


@suffixes
def test_images_are_those_of_a_folder(tmp_path, suffix):
    folder = tmp_path / "set"
    folder.mkdir()
    listed = [{"image": f"photos/{n}"} for n in images(folder / "photos", 60)]
    manifest = write(folder / f"list{suffix}", listed)
    for split in ("train", "val", "test"):
        assert names(manifest, split) == names(folder, split)
        assert values(manifest, split) == values(folder, split)


@suffixes
def test_pairs_and_splits(tmp_path, suffix):
    files = images(tmp_path, 12)
    splits = ["train"] * 3 + ["validation"] * 2 + ["test"]
    rows = [
        {"condition": files[2 * i], "image": files[2 * i + 1], "split": split}
        for i, split in enumerate(splits)
    ]
    path = write(tmp_path / f"pairs{suffix}", rows)
    for split, expected in (("train", [0, 2, 4]), ("val", [6, 8]), ("test", [10])):
        assert sorted(values(path, split, role="pairs")) == [[v, v + 1] for v in expected]
    assert gray_sides(path) == (True, True)


@suffixes
def test_names_that_others_have_or_that_lead_out_get_the_number_of_their_row(tmp_path, suffix):
    files = images(tmp_path, 6)
    (tmp_path / "3.bmp").write_bytes(flat(5))
    partners = ["3.png", "../" + tmp_path.name + "/4.png", "3.bmp"]
    rows = [{"condition": files[i], "image": partners[i]} for i in range(3)]
    path = write(tmp_path / f"pairs{suffix}", rows)
    assert names(path, None, role="pairs") == ["00000001-4", "00000002-3", "3"]
    assert values(path, None, role="pairs") == [[1, 4], [2, 5], [0, 3]]


@suffixes
def test_all_paths_may_lead_out(tmp_path, suffix):
    images(tmp_path / ".photos", 3)
    (tmp_path / "lists").mkdir()
    rows = [{"image": f"../.photos/{i}.png"} for i in range(3)]
    path = write(tmp_path / "lists" / f"list{suffix}", rows)
    assert values(path, None) == [[0], [1], [2]]


@suffixes
def test_rows_without_a_split_beside_others_are_refused(tmp_path, suffix):
    files = images(tmp_path, 5)
    splits = ["train", "train", "", "holdout", "val"]
    rows = [{"image": n, "split": s} for n, s in zip(files, splits, strict=True)]
    error = refusal(write(tmp_path / f"list{suffix}", rows))
    assert error.message.endswith("for '2.png'")
    assert error.exit_code == 2
    without = [{"image": n, "split": "any"} for n in files]
    assert names(write(tmp_path / f"any{suffix}", without), None) == files


@pytest.mark.parametrize(
    ("columns", "role", "found"),
    [
        ("image", "images", [[0]]),
        ("whatever", "images", [[0]]),
        ("whatever", "masks", [[0]]),
        ("condition,image", "images", [[1]]),
        ("image,condition", "pairs", [[1, 0]]),
        ("image,mask", "masks", [[1]]),
        ("x,y", "images", None),
        ("x,y", "pairs", None),
    ],
)
def test_columns_are_known_by_their_names(tmp_path, columns, role, found):
    files = images(tmp_path, 2)[: len(columns.split(","))]
    path = write(tmp_path / "list.csv", [dict(zip(columns.split(","), files, strict=True))])
    if found is None:
        assert "only x, y" in refusal(path, None, role=role).message
    else:
        assert values(path, None, role=role) == found


def test_masks_have_a_column_of_their_own(tmp_path):
    files, masks = images(tmp_path, 4), images(tmp_path, 4, 200)
    rows = [{"image": n, "mask": m} for n, m in zip(files, masks, strict=True)]
    path = write(tmp_path / "list.csv", [*rows, {"image": "0.png", "mask": ""}])
    assert names(path, None, role="masks") == masks
    assert len(names(path, None)) == 5


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "0.png\n1.png\n", "the first line must name columns"),
        ("a.csv", "image,split\n0.png\n", "line 2 of"),
        ("a.csv", "image\n", "lists no images"),
        ("a.csv", "image,split\n0.txt,train\n", "only columns without images"),
        ("a.csv", "x,y\n0.png,1.png\n", "no column image, only x, y"),
        ("a.jsonl", '{"image": "0.png"}\n{"image"\n', "line 2 of"),
        ("a.jsonl", '["0.png"]\n', "line 1 of"),
        ("a.jsonl", '{"image": "0.png"}\n\n[[1, "im/0.png"]]\n', "line 3 of"),
        ("a.jsonl", "[" * 100_000, "line 1 of"),
        ("a.jsonl", '{"image": "0.png"}\n{"image": "a\\u0000.png"}\n', "line 2 of"),
        ("a.jsonl", '{"image": "\\ud800.png"}\n', "line 1 of"),
        ("a.csv", "image\na\x00.png\n", "line "),
    ],
)
def test_what_is_no_manifest(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    error = refusal(tmp_path / name)
    assert message in error.message
    assert name in error.message
    assert error.exit_code == 2
