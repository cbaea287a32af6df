from __future__ import annotations

from itertools import islice

import pytest

from caflow_cli.data import load_split, open_split
from caflow_cli.data.address import Address
from caflow_cli.data.streams import endless, first_of
from caflow_cli.errors import CaflowError

from .columned import rows, shard

pytest.importorskip("webdataset")


@pytest.fixture
def stream(tmp_path) -> str:
    for number in range(3):
        shard(tmp_path / f"{number}.tar", rows(4, 4 * number), first=4 * number)
    return f"{tmp_path}/{{0..2}}.tar#stream"


def test_the_first_pictures_validate_and_no_other_does(stream):
    address = Address.of(stream)
    val = first_of(address, "pictures", "val", 3)
    assert val.members == ["val/00000000", "val/00000001", "val/00000002"]
    held_out = {val.read(member) for member in val.members}
    trained = {files[0] for files in islice(endless(address, "pictures", 0, 3), 40)}
    assert len(trained) == 9
    assert not trained & held_out
    assert load_split(stream, "val", 8, limit=3).images[:, 0, 0, 0].tolist() == [100, 101, 102]


def test_a_split_of_its_own_validates(tmp_path, stream):
    shard(tmp_path / "val-0.tar", rows(2, 50))
    shard(tmp_path / "train-0.tar", rows(2))
    address = Address.of(f"{tmp_path}/{{val,train}}-0.tar#stream")
    assert len(first_of(address, "pictures", "val", 9).members) == 2
    assert len(set(islice(endless(address, "pairs", 0, 1), 9))) == 2  # nothing is held out


def test_processes_share_a_stream(stream):
    address = Address.of(stream)
    parts = [set(islice(endless(address, "pictures", 0, 0, (k, 2)), 6)) for k in range(2)]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == 12


def test_an_evaluation_takes_the_first_pictures(stream):
    with open_split(stream, limit=5) as reader:
        assert (reader.split, len(reader.names)) == ("all", 5)
        assert int(reader.read(4)[0][0, 0, 0]) == 104
    with pytest.raises(CaflowError) as caught, open_split(stream):
        pass
    assert "--limit N" in caught.value.hint


def test_a_stream_that_is_all_held_out(stream):
    with pytest.raises(CaflowError, match="beside 12 to validate"):
        next(endless(Address.of(stream), "pictures", 0, 500))
