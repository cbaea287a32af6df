"""From a run to one small file and its entry in a manifest."""

from __future__ import annotations

import dataclasses
import os
import stat
import zlib

import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.hub.manifest import load_manifest, manifest_path
from caflow_cli.hub.publish import pack
from caflow_cli.model import CAFlow, read_info
from caflow_cli.model.pretrained import checkpoint_bytes
from caflow_cli.paths import sha256_of


def test_packing_writes_a_smaller_file_and_its_entry(model_file, small_model, tmp_path):
    entry = pack(model_file, "tiny-x4", tmp_path)
    path = tmp_path / "tiny-x4.safetensors"
    assert entry.bytes == path.stat().st_size < model_file.stat().st_size
    assert entry.sha256 == sha256_of(path)
    assert load_manifest(tmp_path / "weights_manifest.json") == {"tiny-x4": entry}
    packed = CAFlow.load(path)
    for (name, a), b in zip(
        packed.state_dict().items(), small_model.state_dict().values(), strict=True
    ):
        if a.ndim == 4:
            torch.testing.assert_close(a, b, rtol=2**-5, atol=0)
        else:
            assert torch.equal(a, b), name
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_packing_again_replaces_one_entry_and_keeps_the_others(model_file, tmp_path):
    first = pack(model_file, "first", tmp_path)
    pack(model_file, "second", tmp_path)
    with pytest.raises(CaflowError, match="there is already a model 'second'"):
        pack(model_file, "second", tmp_path)
    again = pack(model_file, "second", tmp_path, default=True, overwrite=True, data_terms="ours")
    entries = load_manifest(tmp_path / "weights_manifest.json")
    assert entries == {"first": first, "second": again}
    assert dataclasses.asdict(again)["data"] == "ours"
    # One default a task.
    third = pack(model_file, "third", tmp_path, default=True)
    entries = load_manifest(tmp_path / "weights_manifest.json")
    assert entries == {
        "first": first,
        "second": dataclasses.replace(again, default=False),
        "third": third,
    }


def test_packing_never_touches_the_installations_own_manifest(model_file):
    before = manifest_path().read_bytes()
    with pytest.raises(CaflowError, match="own manifest") as caught:
        pack(model_file, "mine", manifest_path().parent)
    assert caught.value.exit_code == 2
    assert manifest_path().read_bytes() == before
    assert not (manifest_path().parent / "mine.safetensors").exists()


def test_a_broken_manifest_stops_packing_before_it_writes(model_file, tmp_path):
    (tmp_path / "weights_manifest.json").write_text("{")
    with pytest.raises(CaflowError, match="unusable manifest"):
        pack(model_file, "mine", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["weights_manifest.json"]


@pytest.mark.parametrize("name", ["", "../x", "A", "x y", "-x", "x/y"])
def test_a_model_id_is_a_plain_name(model_file, tmp_path, name):
    with pytest.raises(CaflowError, match="id is ") as caught:
        pack(model_file, name, tmp_path)
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_is_too_large_keeps_a_bit_less_or_is_not_written(model_file, tmp_path):
    model, info = CAFlow.load(model_file), read_info(model_file)
    five, four = (
        checkpoint_bytes(model.state_dict(), info.config, info.training, bf16_convs=True, bits=bits)
        for bits in (5, 4)
    )
    sizes = [len(zlib.compress(content)) for content in (five, four)]
    assert sizes[1] < sizes[0]
    assert len(four) == len(five)
    pack(model_file, "a", tmp_path, limit=sizes[0])
    pack(model_file, "b", tmp_path, limit=sizes[1])
    assert (tmp_path / "a.safetensors").read_bytes() == five
    assert (tmp_path / "b.safetensors").read_bytes() == four
    with pytest.raises(CaflowError, match=f"more than {sizes[1] - 1}"):
        pack(model_file, "c", tmp_path, limit=sizes[1] - 1)
    assert not (tmp_path / "c.safetensors").exists()
