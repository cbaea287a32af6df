"""The guide as ONNX: what the file computes, states and requires."""

import sys

import helpers
import numpy as np
import pytest
import torch
from safetensors import safe_open

from caflow_cli.errors import CaflowError
from caflow_cli.hub.export import export_guide, export_onnx

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def model():
    guide = {"anchor": "enlarged", "guide": 8, "guide_net": "compact", "guide_blocks": 2}
    return helpers.data_like_model(helpers.small_config(**guide), 2, 32, last=0.5)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    model.save(folder / "m.safetensors", helpers.RECORD)
    metadata = export_onnx(str(folder / "m.safetensors"), folder / "guide.onnx")
    return folder, metadata


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 40, 56), (2, 64, 64)])
@torch.no_grad()
def test_the_file_computes_the_image_of_the_guide(model, files, batch, height, width):
    session = onnxruntime.InferenceSession(files[0] / "guide.onnx")
    small = torch.rand((batch, 3, height, width), generator=helpers.generator(1))
    (found,) = session.run(["output"], {"input": small.numpy()})
    expected = model.density.A.guide(small).clamp(0, 1).numpy()
    assert found.shape == (batch, 3, 4 * height, 4 * width)
    assert np.abs(255 * (found - expected)).max() < 0.01
    assert np.abs(expected - small.mean().item()).max() > 0.1


@pytest.mark.parametrize(("height", "width"), [(40, 56), (64, 64)])
@torch.no_grad()
def test_spandrel_runs_the_exported_guide(model, files, tmp_path, height, width):
    spandrel = pytest.importorskip("spandrel")
    metadata = export_guide(str(files[0] / "m.safetensors"), tmp_path / "guide.safetensors")
    with safe_open(tmp_path / "guide.safetensors", framework="pt") as file:
        assert file.metadata() == metadata
    loaded = spandrel.ModelLoader().load_from_file(tmp_path / "guide.safetensors")
    assert (loaded.architecture.id, loaded.scale) == ("Compact", 4)
    small = torch.rand((1, 3, height, width), generator=helpers.generator(1))
    expected = model.density.A.guide(small).clamp(0, 1)
    assert float((255 * (loaded(small) - expected)).abs().max()) < 0.01


def test_the_file_states_its_model(files):
    folder, metadata = files
    session = onnxruntime.InferenceSession(folder / "guide.onnx")
    stated = session.get_modelmeta().custom_metadata_map
    assert stated == metadata
    assert set(stated) == {"model", "sha256", "license", "content"}
    assert len(stated["sha256"]) == 64


def test_refusals_write_nothing(files, model_file, tmp_path, monkeypatch):
    folder, _ = files
    path = tmp_path / "guide.onnx"
    with pytest.raises(CaflowError, match="no guide that reads the small image alone") as caught:
        export_onnx(str(model_file), path)
    assert caught.value.exit_code == 2
    with pytest.raises(CaflowError, match="exists") as caught:
        export_onnx(str(folder / "m.safetensors"), folder / "guide.onnx")
    assert caught.value.exit_code == 2
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(CaflowError, match="onnxscript") as caught:
        export_onnx(str(folder / "m.safetensors"), path)
    assert caught.value.exit_code == 3
    assert not path.exists()
