"""LPIPS networks: trunks that are known, and refusals. (AlexNet's: tests/evaluation/metrics.)"""

from __future__ import annotations

import os

import lpips
import pytest
import torch
from safetensors.torch import save_file

from caflow_cli.errors import EXIT_WEIGHTS, CaflowError
from caflow_cli.perceptual import ALEX, VGG, load_perceptual

TRUNK = os.environ.get("CAFLOW_LPIPS_VGG_WEIGHTS")
with_trunk = pytest.mark.skipif(not TRUNK, reason="CAFLOW_LPIPS_VGG_WEIGHTS is not set")


@with_trunk
@torch.no_grad()
def test_known_values_and_no_weight_is_drawn_at_random():
    """Most weights belong to a classifier that is dropped; initializing them would take seconds."""
    before = torch.get_rng_state()
    network = load_perceptual(VGG)
    assert torch.equal(torch.get_rng_state(), before)
    generator = torch.Generator().manual_seed(0)
    pair = (torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1 for _ in range(2))
    assert network(*pair).flatten().tolist() == pytest.approx([0.32426, 0.36462], abs=2e-5)


def test_a_file_that_is_no_such_trunk_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"net.slice1.0.weight": torch.zeros(1)}, path)
    for weights in (path, tmp_path / "none"):
        with pytest.raises(CaflowError) as refused:
            load_perceptual(VGG, weights)
        assert refused.value.exit_code == EXIT_WEIGHTS
        assert "--perceptual-weights" in refused.value.hint
        assert "CAFLOW_LPIPS_VGG_WEIGHTS" in refused.value.hint


class Evil:
    """A pickle that runs code when it is opened without care."""

    def __reduce__(self):
        return os.mkdir, ("opened",)


def test_a_trunk_in_the_cache_is_read_as_weights_alone(monkeypatch, tmp_path):
    monkeypatch.delenv("CAFLOW_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ALEX.cached.parent.mkdir()
    torch.save({"features.0.weight": Evil()}, ALEX.cached)
    with pytest.raises(CaflowError, match=r"no LPIPS trunk: .*alexnet"):
        load_perceptual(ALEX)
    assert not (tmp_path / "opened").exists()
    torch.save({}, ALEX.cached)
    with pytest.raises(CaflowError, match="0 of 10 tensors match"):
        load_perceptual(ALEX)
    known = lpips.LPIPS(net="alex", verbose=False, pnet_rand=True).state_dict()
    trunk = {k: v for k, v in known.items() if k.startswith("net.")}
    torch.save({f"features.{k.split('.', 2)[2]}": v for k, v in trunk.items()}, ALEX.cached)
    found = load_perceptual(ALEX).state_dict()
    assert all(torch.equal(found[k], v) for k, v in trunk.items())


def test_nothing_is_random_without_a_trunk(monkeypatch, tmp_path):
    monkeypatch.delenv("CAFLOW_LPIPS_VGG_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def fails(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    with pytest.raises(CaflowError, match=r"no LPIPS trunk: .*vgg16") as refused:
        load_perceptual(VGG)
    assert refused.value.exit_code == EXIT_WEIGHTS
