"""Which examples a set holds, and to which split each belongs."""

import pytest

from caflow_cli.data.examples import open_split
from caflow_cli.data.split import check_there, mask_errors
from caflow_cli.errors import CaflowError

from .stored import flat, kinds, names, pairs, refusal, store, values

SPLITS = ("train", "val", "test")


@kinds
def test_split_folders_are_used_as_they_stand(tmp_path, kind):
    files = {f"train/{i}.png": flat(i) for i in range(5)}
    files |= {"val/sub/a.PNG": flat(100), "test/b.png": flat(200), "test/a.png": flat(201)}
    path = store(tmp_path, files | {"loose.png": flat(9), "train/notes.txt": b"text"}, kind)
    assert names(path) == [f"{i}.png" for i in range(5)]
    assert values(path) == [[0], [1], [2], [3], [4]]
    assert (names(path, "val"), values(path, "val")) == (["sub/a.PNG"], [[100]])
    assert (names(path, "test"), values(path, "test")) == (["a.png", "b.png"], [[201], [200]])


@kinds
def test_without_folders_the_split_is_96_2_2(tmp_path, kind):
    files = {f"{'ab'[i % 2]}/{i:03}.png": flat(i) for i in range(200)}
    path = store(tmp_path, files, kind)
    parts = [names(path, split) for split in SPLITS]
    assert [len(part) for part in parts] == [192, 4, 4]
    assert sorted(name for part in parts for name in part) == sorted(files)
    assert all(part == sorted(part) for part in parts)
    assert [v for [v] in values(path, "val")] == [int(n[2:5]) for n in parts[1]]
    assert len(names(path, "val", seed=1)) == 4
    assert names(path, "val", seed=1) != parts[1]


@pytest.mark.parametrize(
    ("count", "held", "halves"),
    [(12, 2, None), (99, 19, None), (100, 20, (10, 10)), (205, 20, (10, 10)), (1050, 21, (11, 10))],
)
def test_new_runs_hold_out_20_and_divide_val_in_halves(tmp_path, count, held, halves):
    path = store(tmp_path, {f"{i:04}.png": flat(i % 200) for i in range(count)})

    def members(split):
        with open_split(path, split, hold_out="20+") as examples:
            return examples.split, examples.names

    parts = [members(split)[1] for split in SPLITS]
    assert [len(part) for part in parts] == [count - 2 * held, held, held]
    assert len({name for part in parts for name in part}) == count
    (first, choosing), (second, calibrating) = map(members, ("choose", "calibrate"))
    if halves is None:
        assert (first, second) == ("val", "val")
        assert choosing == calibrating == parts[1]
    else:
        assert (first, second) == ("choose", "calibrate")
        assert (len(choosing), len(calibrating)) == halves
        assert sorted(choosing + calibrating) == parts[1]
    # The other rule divides nothing.
    assert names(path, "choose") == names(path, "calibrate") == names(path, "val")


def test_a_folder_val_is_divided_by_name(tmp_path):
    files = {f"train/{i}.png": flat(0) for i in range(3)}
    path = store(tmp_path, files | {f"val/{i:02}.png": flat(i) for i in range(30)})
    halves = [names(path, split, hold_out="20+") for split in ("choose", "calibrate")]
    assert [len(half) for half in halves] == [15, 15]
    assert sorted(halves[0] + halves[1]) == names(path, "val")
    assert names(path, "choose", hold_out="20+", seed=1) != halves[0]


def test_the_split_is_the_same_tomorrow(tmp_path):
    path = store(tmp_path, {f"{i:02}.png": flat(i) for i in range(60)})
    # Written down: a model's held-out images may not wander into its training set.
    assert (names(path, "val"), names(path, "test")) == (["40.png"], ["42.png"])


@kinds
def test_what_is_no_image_is_left_out(tmp_path, kind):
    files = {f"{i}.png": flat(i) for i in range(3)}
    junk = ["__MACOSX/._0.png", "__MACOSX/a.png", ".hidden/a.png", ".a.png", "a.txt", "a.gif"]
    path = store(tmp_path, files | dict.fromkeys(junk, b"junk"), kind)
    assert sorted(name for split in SPLITS for name in names(path, split)) == sorted(files)


def test_the_images_of_a_run_within_its_data_are_left_out(tmp_path):
    """`train --data . --out run`, and then `--resume`."""
    run = {f"run/{name}": b"" for name in ("config.toml", "metrics.jsonl")}
    run |= {f"run/{name}": flat(0) for name in ("curve.png", "samples/step-00000002.png")}
    images = {f"{k}.png": flat(k) for k in range(4)}
    assert names(store(tmp_path, images | run, "folder"), None) == sorted(images)


def test_without_a_split_it_is_test_or_everything_and_names_the_seed(tmp_path):
    files = {f"{i:03d}.png": flat(i) for i in range(60)}
    with open_split(store(tmp_path, files), seed=3) as all_of_them:
        assert (all_of_them.split, all_of_them.seed, len(all_of_them)) == ("all", None, 60)
    for split in ("train", "val"):
        with open_split(tmp_path / "data.zip", split, seed=3) as part:
            assert part.seed == 3
    path = store(tmp_path, {"train/a.png": flat(0), "train/c.png": flat(0), "test/b.png": flat(1)})
    with open_split(path, seed=3) as test:
        assert (test.split, test.seed, test.names) == ("test", None, ["b.png"])
    with open_split(path, "train", seed=3) as train:
        assert train.seed == 3  # which holds out val


def test_too_little_to_split(tmp_path):
    for count, images in ((1, "1 image"), (2, "2 images")):
        error = refusal(store(tmp_path, {f"{i}.png": flat(i) for i in range(count)}))
        assert f" has {images} to split into" in error.message
        assert error.hint == "give at least 3"
    assert refusal(store(tmp_path, {"a.txt": b""})).message.startswith("no images in ")
    path = store(tmp_path, {"val/a.png": flat(3), "test/a.png": flat(4)})
    assert values(path, "val") == [[3]]
    assert "no train/" in refusal(path).message
    assert refusal(path, "valid").exit_code == 2


def test_no_data(tmp_path):
    error = refusal(tmp_path / "gone")
    assert error.message == f"no data at '{tmp_path}/gone'"
    assert error.exit_code == 2
    check_there("hf://owner/name")  # the Hub is asked when it is opened
    with pytest.raises(CaflowError, match="masks: no data at") as caught, mask_errors("--masks "):
        check_there(tmp_path / "gone")
    assert caught.value.hint.startswith("--masks FOLDER")


def test_pairs_match_by_stem_and_keep_together(tmp_path):
    files = pairs("train/", 3) | {"train/A/s/x.png": flat(9), "train/B/s/x.bmp": flat(77)}
    path = store(tmp_path, files | pairs("val/", 1, 20) | pairs("test/", 2, 30))
    assert names(path, role="pairs") == ["000", "001", "002", "s/x"]
    assert values(path, role="pairs") == [[0, 100], [1, 101], [2, 102], [9, 77]]
    assert values(path, "test", role="pairs") == [[30, 130], [31, 131]]


@pytest.mark.parametrize("prefix", ["", "train/", "shoes/", "shoes/train/"])
def test_pairs_without_splits_are_divided_as_images_are(tmp_path, prefix):
    path = store(tmp_path, pairs(prefix, 60))
    parts = [names(path, split, role="pairs") for split in SPLITS]
    assert [len(part) for part in parts] == [58, 1, 1]
    assert len({name for part in parts for name in part}) == 60


@pytest.mark.parametrize("prefix", ["", "shoes/"])
def test_all_pairs_of_a_set_are_those_of_its_splits(tmp_path, prefix):
    files = pairs("train/", 2) | pairs("val/", 1, 20)
    path = store(tmp_path, {f"{prefix}{name}": data for name, data in files.items()})
    assert names(path, None, role="pairs") == ["train/000", "train/001", "val/020"]
    assert values(path, None, role="pairs") == [[0, 100], [1, 101], [20, 120]]
    top = store(tmp_path, pairs("", 1) | pairs("val/", 1) | {"val/A/x.png": flat(0)})
    assert refusal(top, None, role="pairs").message.endswith("such as val/A/x")


def test_images_without_their_pair_are_refused_by_name(tmp_path):
    files = pairs("train/", 3) | {"train/A/lone.png": flat(0), "train/B/other.png": flat(0)}
    error = refusal(store(tmp_path, files), role="pairs")
    assert error.message.endswith("such as train/A/lone")
    files = pairs("train/", 3) | {"train/A/000.bmp": b""}
    assert "two images train/A/000" in refusal(store(tmp_path, files), role="pairs").message
    error = refusal(store(tmp_path, {"train/x.png": flat(0)}), role="pairs")
    assert "no images in train/A/ and train/B/" in error.message
    # A set of images that happens to have a folder A is no paired one.
    assert len(names(store(tmp_path, pairs("train/", 5)))) == 8


def test_nothing_is_held_out_by_a_rule_that_is_not_stated(tmp_path):
    path = store(tmp_path, {f"{i}.png": flat(i) for i in range(4)})
    assert len(names(path, None, hold_out=None)) == 4
    for split in (*SPLITS, "choose"):
        with pytest.raises(CaflowError, match="does not state how images were held out"):
            names(path, split, hold_out=None)
    path = store(tmp_path, {"train/a.png": flat(1), "test/b.png": flat(2)})
    assert names(path, "test", hold_out=None) == ["b.png"]
