from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file

from caflow_cli.assets import example_path
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import LpipsDistance
from caflow_cli.images import read_image

needs_trunk = pytest.mark.skipif(
    "CAFLOW_LPIPS_WEIGHTS" not in os.environ, reason="CAFLOW_LPIPS_WEIGHTS is not set"
)
RECORDED_INVERTED = 0.3261  # measured with lpips 0.1.4


@pytest.fixture(scope="module")
def distance() -> LpipsDistance:
    """Built once: that takes longer than all that it measures here."""
    return LpipsDistance()


def random_images(seed: int, batch: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, 64, 64), generator=generator, dtype=torch.uint8)


@needs_trunk
def test_lpips_equals_the_package_itself(distance) -> None:
    import lpips
    from safetensors.torch import load_file

    net = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    net.load_state_dict(load_file(os.environ["CAFLOW_LPIPS_WEIGHTS"]), strict=False)
    a, b = random_images(1), random_images(2)
    with torch.no_grad():
        expected = net(a.float() / 127.5 - 1, b.float() / 127.5 - 1).flatten()
    assert distance(a, b).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@needs_trunk
def test_lpips_of_the_example_is_the_recorded_value(distance) -> None:
    truth = torch.from_numpy(read_image(example_path("face_64"))).permute(2, 0, 1)[None]
    assert distance(truth, truth).item() == 0.0
    assert distance(truth, 255 - truth).item() == pytest.approx(RECORDED_INVERTED, abs=2e-4)


@needs_trunk
def test_lpips_does_not_depend_on_the_batch(distance) -> None:
    a, b = random_images(1), random_images(2)
    alone = [distance(a[i : i + 1], b[i : i + 1]).item() for i in range(3)]
    assert distance(a, b).tolist() == pytest.approx(alone, abs=1e-5)


@needs_trunk
def test_lpips_needs_31_pixels(distance) -> None:
    a = random_images(1)
    assert distance(a[..., :31, :31], a[..., :31, :31]).tolist() == [0.0] * 3
    with pytest.raises(CaflowError, match="64x30 pixels are too few"):
        distance(a[..., :30, :], a[..., :30, :])


def test_a_trunk_of_other_tensors_is_refused(tmp_path) -> None:
    path = tmp_path / "trunk.safetensors"
    save_file({"net.slice1.0.weight": torch.zeros(2)}, path)
    with pytest.raises(CaflowError, match="1 of 10 tensors match") as caught:
        LpipsDistance(path)
    assert caught.value.exit_code == 3


def test_a_missing_trunk_is_never_replaced_by_a_random_one(tmp_path, monkeypatch) -> None:
    with pytest.raises(CaflowError, match="cannot read LPIPS trunk") as caught:
        LpipsDistance(tmp_path / "none.safetensors")
    assert caught.value.exit_code == 3
    monkeypatch.delenv("CAFLOW_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens: offline
    with pytest.raises(CaflowError, match="download failed") as caught:
        LpipsDistance()
    assert caught.value.exit_code == 3
    assert "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth" in caught.value.hint
    assert str(tmp_path) in caught.value.hint  # where to put it
