"""Metrics of images beside their truths: by hand, and by other packages."""

import math
import os
import re
from pathlib import Path

import pytest
import torch
from helpers import smooth_image

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import METRICS, LpipsDistance, Weights, psnr, rmse, ssim
from caflow_cli.evaluation.metrics import needing
from caflow_cli.evaluation.metrics.pairs import (
    measure_pairs,
    psnr_y,
    ssim_y,
)

needs_trunk = pytest.mark.skipif(
    "CAFLOW_LPIPS_WEIGHTS" not in os.environ, reason="CAFLOW_LPIPS_WEIGHTS is not set"
)


def random_images(seed: int, batch: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, 64, 64), generator=generator, dtype=torch.uint8)


@needs_trunk
def test_every_metric_of_pairs_is_computed() -> None:
    names = needing("pairs")
    images = random_images(0)
    for values in measure_pairs(names, images, random_images(1), Weights()):
        assert values.keys() == set(names)


def test_every_metric_is_described_by_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\|([^|]*)\|", page, flags=re.MULTILINE)
    rows = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert METRICS.keys() <= rows


def test_rmse_is_a_mean_over_pixels_of_each_image() -> None:
    a = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    b = a.clone()
    b[0] = 3
    b[1, 0, 0, 0] = 48  # 48² / 48 values
    assert rmse(a, b).tolist() == pytest.approx([3.0, 48**0.5])


def skimage_ssim(x, y, **options):
    from skimage.metrics import structural_similarity

    settings = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5}
    return structural_similarity(x, y, use_sample_covariance=False, **settings, **options)


@pytest.fixture
def pair():
    """Three smooth images, and the same with noise; and both as arrays (H, W, 3)."""
    a = smooth_image(3, 3, (40, 36), seed=1)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(2))
    b = (0.8 * a + 20 * noise).clamp(0, 255).to(torch.uint8)
    return a, b, [tuple(x[i].permute(1, 2, 0).numpy() for x in (a, b)) for i in range(3)]


def test_psnr_and_ssim_are_those_of_scikit_image(pair) -> None:
    from skimage.color import rgb2ycbcr
    from skimage.metrics import peak_signal_noise_ratio

    a, b, arrays = pair
    assert psnr(a, b).tolist() == pytest.approx([peak_signal_noise_ratio(*x) for x in arrays])
    expected = [skimage_ssim(*x, channel_axis=2) for x in arrays]
    assert ssim(a, b).tolist() == pytest.approx(expected, abs=1e-10)
    luma = [[rgb2ycbcr(x)[4:-4, 4:-4, 0] for x in both] for both in arrays]
    assert ssim_y(a, b).tolist() == pytest.approx([skimage_ssim(*x) for x in luma], abs=1e-10)


def test_images_that_are_too_small_are_refused() -> None:
    a = random_images(0)
    for metric, size, shown in ((ssim, 10, "64x10"), (psnr_y, 8, "64x8"), (ssim_y, 18, "56x10")):
        small = a[:, :, :size]
        with pytest.raises(CaflowError, match=f"{shown} pixels are too few"):
            metric(small, small)


def test_psnr_of_y_leaves_out_four_pixels_at_each_border() -> None:
    a = torch.full((2, 3, 24, 20), 90, dtype=torch.uint8)
    b = a + 51  # Y differs by 51 / 255 of 219
    expected = 20 * math.log10(255 / (219 * 51 / 255))
    b[1, :, :, :4] = 0  # not looked at
    b[1, :, -4:] = 0
    assert psnr_y(a, b).tolist() == pytest.approx([expected] * 2)
    c = a.clone()
    c[0, :, 4, 4] += 51  # the first pixel that is: one of 16 x 12
    assert psnr_y(a, c).tolist() == pytest.approx([expected + 10 * math.log10(16 * 12), math.inf])


@pytest.fixture(scope="module")
def distance() -> LpipsDistance:
    """Built once, because that takes longer than all measurements here."""
    return LpipsDistance()


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
def test_lpips_needs_31_pixels(distance) -> None:
    a = random_images(1)
    assert distance(a[..., :31, :31], a[..., :31, :31]).tolist() == [0.0] * 3
    with pytest.raises(CaflowError, match="64x30 pixels are too few"):
        distance(a[..., :30, :], a[..., :30, :])


@needs_trunk
def test_lpips_of_16_bits_is_that_of_their_levels(distance) -> None:
    a, b = random_images(1), random_images(2)
    deep = [(image.int() * 256 + 255).to(torch.uint16) for image in (a, b)]
    assert torch.equal(distance(*deep), distance(a, b))
