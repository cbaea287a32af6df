from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from local_hub import LocalHub

from caflow_cli.data import condition_channels, load_pairs, load_split, open_split
from caflow_cli.data.address import Address
from caflow_cli.data.tables import stream_table
from caflow_cli.errors import CaflowError

from .columned import parquet, rows
from .stored import flat, store

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def test_parquet_is_read_like_a_folder(tmp_path):
    columns = ("condition", "image")
    for number in range(2):
        path = tmp_path / "set" / "data" / f"train-0000{number}-of-00002.parquet"
        parquet(path, rows(4, 4 * number), columns=columns)
    parquet(tmp_path / "set" / "data" / "validation-00000.parquet", rows(2, 8), columns=columns)
    place = str(tmp_path / "set")
    train, val = (load_split(place, split, 8) for split in ("train", "val"))
    # One picture of train is held out, since there is no split for tests.
    assert len(train.names) == 7
    assert val.images[:, 0, 0, 0].tolist() == [108, 109]
    assert torch.equal(load_split(place, "train", 8).images, train.images)
    pairs = load_pairs(place, "train", 8)
    assert torch.equal(pairs.conditions + 100, pairs.targets)
    assert condition_channels(place) == 1
    with open_split(f"{place}#image=condition", "val") as reader:
        assert [int(reader.read(i)[0][0, 0, 0]) for i in (1, 0)] == [9, 8]


def test_a_set_that_was_saved(tmp_path):
    table = datasets.Dataset.from_dict({"photo": [flat(i) for i in range(6)], "n": [0] * 6})
    table.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": table, "test": table.select([3])}).save_to_disk(tmp_path / "two")
    with open_split(tmp_path / "one") as reader:
        assert [int(reader.read(i)[0][0, 0, 0]) for i in range(6)] == list(range(6))
    assert load_split(tmp_path / "two", "test", 8).images[0, 0, 0, 0] == 3


def test_what_is_no_table(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    text = datasets.Dataset.from_dict({"text": ["a"]})
    text.to_parquet(tmp_path / "b.parquet")
    for name, message in (("a", "cannot read"), ("b", "no column of pictures")):
        with pytest.raises(CaflowError) as caught:
            load_split(str(tmp_path / f"{name}.parquet"), "train", 8)
        assert message in caught.value.message
        assert caught.value.exit_code == 2


def test_a_stream_of_parquet(tmp_path):
    for number in range(3):
        parquet(tmp_path / f"train-{number}.parquet", rows(2, 2 * number))
    address = Address.of(f"{tmp_path}/gone#stream")
    address = Address(address.text, str(tmp_path), stream=True)
    found = [data for (data,) in stream_table(address, "train", "pictures", None)]
    assert found == [flat(100 + i) for i in range(6)]
    again = [data for (data,) in stream_table(address, "train", "pictures", 1)]
    assert sorted(again) == sorted(found)
    assert stream_table(address, "val", "pictures", None) is None


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CaflowError, match="package datasets") as caught:
        load_split(str(tmp_path / "a.parquet"), "train", 8)
    assert caught.value.hint == 'pip install "caflow-cli[data]"'


# --- the Hub --------------------------------------------------------------------------------------

# A process of its own: `datasets` reads the address of the Hub as it is imported.
_HUB = """
import json, sys
from caflow_cli.data import load_split, open_split
from caflow_cli.data.address import Address
from caflow_cli.data.streams import endless, first_of
from caflow_cli.errors import CaflowError

found = {}
with open_split("owner/photos") as reader:
    found["all"] = [int(reader.read(i)[0][0, 0, 0]) for i in range(len(reader.names))]
found["val"] = load_split("hf://owner/folder", "val", 8).images[:, 0, 0, 0].tolist()
address = Address.of("owner/photos#stream")
found["first"] = len(first_of(address, "pictures", "val", 2).members)
stream = endless(address, "pictures", 0, 2)
found["stream"] = len({next(stream) for _ in range(20)})
for name in ("owner/none", "owner/photos@gone"):
    try:
        load_split(name, "train", 8)
    except CaflowError as error:
        found[name] = [error.message, error.hint, error.exit_code]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    server = LocalHub()
    yield server
    server.close()


def test_sets_of_the_hub(tmp_path, hub):
    first, second = (parquet(tmp_path / f"{i}.parquet", rows(3, 3 * i)) for i in range(2))
    hub.repository("datasets/owner/photos").commit(
        {
            "data/train-00000-of-00002.parquet": first.read_bytes(),
            "data/train-00001-of-00002.parquet": second.read_bytes(),
        }
    )
    files = {f"train/{i}.png": flat(i) for i in range(3)} | {"validation/9.png": flat(9)}
    store(tmp_path, files, "folder")
    hub.repository("datasets/owner/folder").commit(files)
    environment = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": "",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", _HUB],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["all"] == [100, 101, 102, 103, 104, 105]
    assert found["val"] == [9]
    # Two are held out for validation, and none of the four others is left out.
    assert (found["first"], found["stream"]) == (2, 4)
    for name in ("owner/none", "owner/photos@gone"):
        message, hint, code = found[name]
        assert "gives no data set" in message
        assert "correct the name" in hint
        assert code == 2
