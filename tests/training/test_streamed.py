from __future__ import annotations

import json
import tarfile
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from data.columned import rows, shard
from workers import tiny

from caflow_cli.errors import CaflowError
from caflow_cli.training import train
from caflow_cli.training.settings import apply_settings
from caflow_cli.training.streamed import StreamedPhotographs, StreamedPictures, decoded


def pictures(height: int, width: int):
    for number in count():
        yield [np.full((height, width, 3), number % 256, np.uint8)]


def test_a_used_picture_is_renewed():
    kept = StreamedPictures(pictures(8, 12), 3, 8, (3,))
    [images] = kept.tensors
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2]
    kept.renew(1)
    assert images[:, 0, 0, 0].tolist() == [0, 3, 2]


def test_photographs_stay_whole():
    kept = StreamedPhotographs(pictures(8, 12), 3, 8)
    kept.renew(0)
    assert [int(kept[i][0, 0, 0]) for i in range(3)] == [3, 1, 2]
    assert kept[0].shape == (3, 8, 12)
    assert kept.centres(torch.tensor([1]), 8).shape == (1, 3, 8, 8)
    with pytest.raises(CaflowError, match="smaller than 16x16"):
        StreamedPhotographs(pictures(8, 12), 3, 16)


def test_damaged_pictures_are_left_out_and_many_refused(tmp_path):
    pytest.importorskip("webdataset")
    whole = rows(4)
    shard(tmp_path / "0.tar", [{"image": b"broken"}, *whole])
    examples = decoded(f"{tmp_path}/{{0..0}}.tar#stream", False, 0, 0, (0, 1))
    assert [int(next(examples)[0][0, 0, 0]) for _ in range(4)] == [100, 101, 102, 103]
    with pytest.raises(CaflowError, match="damaged"):
        list(examples)


# --- whole runs -----------------------------------------------------------------------------------


def events(out: Path, kind: str) -> list[dict]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == kind]


@pytest.fixture
def stream(pictures: Path, tmp_path: Path) -> str:
    """The pictures of `pictures` as shards."""
    for split, parts in (("train", 2), ("val", 1)):
        files = sorted((pictures / split).iterdir())
        for part in range(parts):
            with tarfile.open(tmp_path / f"{split}-{part}.tar", "w") as archive:
                for file in files[part::parts]:
                    archive.add(file, file.name)
    return f"{tmp_path}/{{train-0,train-1,val-0}}.tar#stream"


@pytest.mark.parametrize("settings", [[], ["crop=random"]])
def test_a_run_learns_from_a_stream_and_says_that_it_does_not_repeat(stream, tmp_path, settings):
    pytest.importorskip("webdataset")
    out = tmp_path / "run"

    def config(images: int):
        small = ["stream_buffer=12", f"optim.images={images}", *settings]
        return apply_settings(tiny(stream, out), small)

    summary = train(config(80))
    assert (summary.steps, events(out, "data")[0]["val"]) == (10, 8)
    assert not any("bit for bit" in event["text"] for event in events(out, "note"))
    assert train(config(160), resume=True).steps == 20
    assert any("bit for bit" in event["text"] for event in events(out, "note"))


def test_an_uninterrupted_run_over_a_stream_repeats_itself(stream, tmp_path):
    pytest.importorskip("webdataset")
    figures = [
        train(
            apply_settings(tiny(stream, tmp_path / name), ["stream_buffer=12", "optim.images=80"])
        ).val_bits_per_dim
        for name in ("one", "two")
    ]
    assert figures[0] == figures[1]
