"""What `datasets` reads: Parquet, WebDataset, `save_to_disk`, the Hub."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from huggingface_hub.errors import HFValidationError
from local_hub import LocalHub

from caflow_cli.data.examples import gray_sides

from .stored import flat, names, refusal, store, values

datasets = pytest.importorskip("datasets")

Rows = list[dict[str, bytes]]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def rows(count: int, first: int = 0) -> Rows:
    """So many rows: an image `image`, and a `condition` that is 100 levels darker."""
    numbers = range(first, first + count)
    return [{"condition": flat(i), "image": flat(100 + i)} for i in numbers]


def parquet(path: Path, some: Rows) -> Path:
    """The rows as a Parquet file of the Hub's kind."""
    table = datasets.Dataset.from_dict({c: [{"bytes": r[c]} for r in some] for c in some[0]})
    for column in some[0]:
        table = table.cast_column(column, datasets.Image())
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(str(path))
    return path


def shard(path: Path, some: Rows, first: int = 0) -> Path:
    """The rows as a WebDataset shard: `000003.condition.png` and `000003.png`."""
    with tarfile.open(path, "w") as archive:
        for number, row in enumerate(some, first):
            for name, data in row.items():
                field = "" if name == "image" else f".{name}"
                member = tarfile.TarInfo(f"{number:06}{field}.png")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_a_folder_of_tables_or_shards_is_read_like_a_folder(tmp_path, kind):
    write = {"parquet": parquet, "tar": shard}[kind]
    place = tmp_path / "set"
    place.mkdir()
    for number in range(2):
        write(place / f"train-0000{number}-of-00002.{kind}", rows(4, 4 * number))
    write(place / f"validation-00000.{kind}", rows(2, 8))
    # One example of train is held out, since there is no split for tests.
    assert len(names(place)) == 7
    assert values(place, "val") == [[108], [109]]
    assert all(image == condition + 100 for condition, image in values(place, role="pairs"))
    assert gray_sides(str(place)) == (True, True)
    alone = place / f"validation-00000.{kind}"
    assert values(alone, None, role="pairs") == [[8, 108], [9, 109]]


def test_a_set_that_was_saved(tmp_path):
    images = [{"bytes": flat(i)} for i in range(6)]
    table = datasets.Dataset.from_dict({"photo": images, "n": [0] * 6})
    table = table.cast_column("photo", datasets.Image())
    table.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": table, "test": table.select([3])}).save_to_disk(tmp_path / "two")
    assert values(tmp_path / "one", None) == [[i] for i in range(6)]
    assert values(tmp_path / "two", "test") == [[3]]


def test_what_is_no_table(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    (tmp_path / "c.tar").write_bytes(b"nothing")
    datasets.Dataset.from_dict({"text": ["a"]}).to_parquet(tmp_path / "b.parquet")
    for name, message in (
        ("a.parquet", "cannot read"),
        ("b.parquet", "only columns without images"),
    ):
        error = refusal(tmp_path / name)
        assert message in error.message
        assert error.exit_code == 2
    assert refusal(tmp_path / "c.tar").exit_code == 2
    monkeypatch.setitem(sys.modules, "datasets", None)
    error = refusal(tmp_path / "a.parquet")
    assert "package datasets" in error.message
    assert error.hint == "pip install datasets"


@pytest.mark.parametrize(
    "error",
    [
        datasets.exceptions.DatasetNotFoundError("gone"),
        HFValidationError("no name"),
        ConnectionError("offline"),
    ],
)
def test_a_set_that_does_not_exist_and_a_hub_that_cannot_be_reached(monkeypatch, error):
    def fail(*names, **options):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    refused = refusal("hf://owner/name")
    assert refused.message == f"cannot read 'hf://owner/name': {error}"
    assert "HF_TOKEN" in refused.hint
    assert refused.exit_code == 3


# A process of its own: `datasets` reads the address of the Hub as it is imported.
_HUB = """
import json
from caflow_cli.data.examples import open_split
from caflow_cli.errors import CaflowError

found = {}
for name, split in (("photos", None), ("folder", "val")):
    with open_split(f"hf://owner/{name}", split) as examples:
        found[name] = [int(examples.read(i)[0][0, 0, 0]) for i in range(len(examples))]
for name in ("hf://owner/none", "hf://owner/photos@gone", "hf://owner"):
    try:
        with open_split(name, "train") as examples:
            pass
    except CaflowError as error:
        found[name] = [error.message, error.hint, error.exit_code]
print(json.dumps(found))
"""


def test_sets_of_the_hub(tmp_path):
    hub = LocalHub()
    first, second = (parquet(tmp_path / f"{i}.parquet", rows(3, 3 * i)) for i in range(2))
    files = {f"data/train-0000{i}-of-00002.parquet": p for i, p in enumerate((first, second))}
    photos = hub.repository("datasets/owner/photos")
    photos.commit({name: path.read_bytes() for name, path in files.items()})
    files = {f"train/{i}.png": flat(i) for i in range(3)} | {"validation/9.png": flat(9)}
    store(tmp_path, files, "folder")
    hub.repository("datasets/owner/folder").commit(files)
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": ""}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", _HUB]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    hub.close()
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["photos"] == [100, 101, 102, 103, 104, 105]
    assert found["folder"] == [9]
    for name in ("hf://owner/none", "hf://owner/photos@gone", "hf://owner"):
        message, hint, code = found[name]
        assert f"cannot read '{name}'" in message
        assert "check its name" in hint
        assert code == 3
