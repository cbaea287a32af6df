"""Sets that are decoded once into a file and mapped from it."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from caflow_cli.data import Store, load_pairs
from caflow_cli.errors import CaflowError

from .stored import archive, flat, pairs


def test_a_large_set_is_decoded_once_and_mapped(tmp_path, monkeypatch):
    files = pairs("train/", 110) | pairs("val/", 1) | pairs("test/", 1)
    files["train/B/007.png"] = b"no picture"
    path = archive(tmp_path, files)
    memory = load_pairs(path, "train", 8)
    store = Store(tmp_path / "cache", limit=1000)
    mapped = load_pairs(path, "train", 8, store=store)
    for name in ("names", "skipped"):
        assert getattr(mapped, name) == getattr(memory, name)
    assert torch.equal(mapped.targets, memory.targets)
    assert torch.equal(mapped.conditions, memory.conditions)
    assert len(list(store.folder.iterdir())) == 2
    # Small sets stay in memory.
    load_pairs(path, "val", 8, store=store)
    assert len(list(store.folder.iterdir())) == 2
    # Once: the second time nothing is decoded.
    with monkeypatch.context() as patched:
        patched.setattr(
            "caflow_cli.data.sets.decode_examples", lambda *_: pytest.fail("decoded again")
        )
        again = load_pairs(path, "train", 8, store=store)
    assert torch.equal(again.targets, memory.targets)
    # Another picture, another set.
    path = archive(tmp_path, files | {"train/A/000.png": flat(50)})
    changed = load_pairs(path, "train", 8, store=store)
    assert int(changed.conditions[0, 0, 0, 0]) == 50
    assert int(mapped.conditions[0, 0, 0, 0]) == 0


def test_a_file_that_does_not_fit_is_one_error(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    path = archive(tmp_path, pairs("train/", 5))
    with pytest.raises(CaflowError, match="GiB of decoded pictures") as caught:
        load_pairs(path, "train", 8, store=Store(tmp_path / "cache"))
    assert "data_memory_gb" in caught.value.hint


def test_a_set_whose_index_was_not_written_whole_is_made_again(tmp_path, monkeypatch):
    path = archive(tmp_path, pairs("train/", 5))
    store = Store(tmp_path / "cache")
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr("os.fsync", fail)
        with pytest.raises(CaflowError, match="No space left on device"):
            load_pairs(path, "train", 8, store=store)
    assert [p.suffix for p in store.folder.iterdir()] == [".u8"]
    again = load_pairs(path, "train", 8, store=store)
    assert again.names == load_pairs(path, "train", 8).names


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_set_is_kept_in_a_folder_whose_name_is_not_utf8(tmp_path):
    path = archive(tmp_path, pairs("train/", 5))
    mapped = load_pairs(path, "train", 8, store=Store(tmp_path / os.fsdecode(b"\xe9")))
    assert torch.equal(mapped.targets, load_pairs(path, "train", 8).targets)
