"""The scripts of the page on other projects' networks."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

SCRIPTS = Path(__file__).parents[1] / "docs" / "restorers"


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_ncnn(path: Path, network: torch.nn.Module) -> None:
    """The convolutions of a SPAN as ncnn stores them, behind the mean of the data."""
    lines = ["7767517", "0 0", "MemoryData mean 0 1 mean 0=1 1=1 2=3"]
    data = np.zeros(3, np.float32).tobytes()
    for name, conv in network.named_modules():
        merged = name.endswith("eval_conv")
        if not merged and name not in ("conv_cat", "upsampler.0"):
            continue
        weight = conv.weight.detach().numpy()
        out, size = weight.shape[0], weight.shape[-1]
        full = "/upsampler/upsampler.0" if name == "upsampler.0" else "/" + name.replace(".", "/")
        lines.append(f"Convolution {full}/Conv 1 1 a b 0={out} 1={size} 6={weight.size}")
        half = weight.astype(np.float16).tobytes()
        data += (0x01306B47).to_bytes(4, "little") + half + b"\0" * (-len(half) % 4)
        data += conv.bias.detach().numpy().tobytes()
    path.with_suffix(".param").write_text("\n".join(lines))
    path.with_suffix(".bin").write_bytes(data)


def test_a_span_of_ncnn_becomes_one_of_spandrel(tmp_path, monkeypatch):
    span = pytest.importorskip("spandrel.architectures.SPAN.__arch.span")
    from safetensors.torch import load_file
    from spandrel import ModelLoader

    torch.manual_seed(0)
    network = span.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=6, upscale=4).eval()
    network(torch.zeros(1, 3, 8, 8))  # merges its branches
    write_ncnn(tmp_path / "tiny", network)
    monkeypatch.setattr("sys.argv", ["", str(tmp_path / "tiny"), str(tmp_path / "x.safetensors")])
    load("convert_span").main()
    found = ModelLoader().load_from_state_dict(load_file(tmp_path / "x.safetensors"))
    x = torch.rand(1, 3, 12, 16)
    assert (found.architecture.id, found.scale) == ("SPAN", 4)
    torch.testing.assert_close(found.model(x), network(x), atol=0.03, rtol=0)  # halves


def test_deepinv_has_samples_and_the_gradient_of_the_density():
    pytest.importorskip("deepinv")
    import caflow_cli as caflow
    from caflow_cli.assets import example_path
    from caflow_cli.images import read_image

    adapter = load("deepinv_adapter")
    model = caflow.load("faces-superres-x4")
    small = read_image(example_path("face"))
    y = torch.from_numpy(small.copy()).permute(2, 0, 1)[None] / 255
    image = adapter.Reconstruction(model, tau=0.5)(y)
    drawn = caflow.restore(model, small, 0.5, 1).ranked[0]
    assert (255 * image[0].permute(1, 2, 0)).round().byte().numpy().tolist() == drawn.image.tolist()

    enlarged = torch.nn.functional.interpolate(y, scale_factor=4.0, mode="bicubic").clamp(0, 1)
    prior = adapter.Posterior(model, (255 * enlarged).round() / 255)
    prior.density.double()
    prior.condition, _ = prior.density.condition((255 * enlarged).round().double() + 0.5)
    x = (0.9 * image + 0.05).double()
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    step = 1e-8  # larger ones cross kinks of the networks
    slope = (prior(x + step * way) - prior(x - step * way)).item() / (2 * step)
    assert (prior.grad(x) * way).sum().item() == pytest.approx(slope, rel=1e-4)
