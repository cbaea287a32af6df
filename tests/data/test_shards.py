from __future__ import annotations

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from caflow_cli.data import load_pairs, load_split, open_split
from caflow_cli.data.address import Address
from caflow_cli.data.shards import stream_shards
from caflow_cli.errors import CaflowError

from .columned import rows, shard
from .stored import flat

pytest.importorskip("webdataset")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_shards_on_disk_are_read_in_any_order(tmp_path):
    for number in range(3):
        shard(tmp_path / f"photos-{number:03}.tar", rows(4, 4 * number), first=4 * number)
    pattern = f"{tmp_path}/photos-{{000..002}}.tar"
    with open_split(pattern) as reader:
        assert reader.names == [f"{i:06}.png" for i in range(12)]
        assert [int(reader.read(i)[0][0, 0, 0]) for i in (11, 0)] == [111, 100]
    one, folder = load_split(pattern, "train", 8), load_split(tmp_path, "train", 8)
    assert one.names == folder.names
    assert torch.equal(one.images, folder.images)
    pairs = load_pairs(pattern, "train", 8)
    assert len(pairs.names) == 10
    assert pairs.targets[:, 0, 0, 0].tolist() == [100 + int(name) for name in pairs.names]
    assert torch.equal(pairs.conditions + 100, pairs.targets)


def test_the_names_of_shards_say_their_splits(tmp_path):
    shard(tmp_path / "train-0.tar", rows(5))
    shard(tmp_path / "val-0.tar", rows(2, 5))
    (tmp_path / "test").mkdir()
    shard(tmp_path / "test" / "0.tar", rows(1, 9))
    for split, expected in (("train", [100, 101, 102, 103, 104]), ("val", [105, 106])):
        assert load_split(tmp_path, split, 8).images[:, 0, 0, 0].tolist() == expected
    assert load_split(tmp_path, "test", 8).images[:, 0, 0, 0].tolist() == [109]


def test_a_stream_of_shards(tmp_path):
    for number in range(3):
        shard(tmp_path / f"{number}.tar", rows(4, 4 * number), first=4 * number)
    address = Address.of(f"{tmp_path}/{{0..2}}.tar#stream")
    found = list(stream_shards(address, "train", "pairs", None))
    assert found == [(flat(i), flat(100 + i)) for i in range(12)]
    orders = {tuple(stream_shards(address, "train", "pictures", seed)) for seed in range(6)}
    assert len(orders) > 1
    assert {frozenset(order) for order in orders} == {frozenset((target,) for _, target in found)}
    assert stream_shards(address, "val", "pictures", None) is None


@pytest.mark.parametrize("place", ["pipe:touch {}/x.tar", "gs://host/{}.tar", "file:{}/x.tar"])
def test_no_program_is_run_for_a_shard(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CaflowError, match="shards are not read from"):
        load_split(place.format(tmp_path) + "#stream", "val", 8, limit=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("curl") is None, reason="webdataset downloads by curl")
def test_a_stream_from_a_server(tmp_path):
    shard(tmp_path / "a.tar", rows(3))
    handler = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.tar#stream"
        found = load_split(url, "val", 8, limit=2).images[:, 0, 0, 0].tolist()
        server.shutdown()
    assert found == [100, 101]


@pytest.mark.parametrize("mode", ["gone", "w:gz", "broken"])
def test_what_is_no_shard(tmp_path, mode):
    path = tmp_path / "a.tar"
    if mode == "broken":
        path.write_bytes(b"no tar")
    elif mode != "gone":
        shard(path, rows(2), mode=mode)
    name = str(path) if mode != "gone" else f"{tmp_path}/a-{{0..1}}.tar"
    with pytest.raises(CaflowError) as caught:
        load_split(name, "train", 8)
    assert "cannot read the shard" in caught.value.message
    assert caught.value.exit_code == 2
