"""Networks that turn images into features."""

import hashlib

import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import Weights
from caflow_cli.evaluation.metrics import features
from caflow_cli.evaluation.metrics.features import load_extractor


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory):
    """A file like the real one, of random weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("fid") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        patch.setattr(torch, "load", lambda *_, **__: {})
        net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(path))
    torch.save(net.state_dict(), path)
    return path, net


def test_inception_is_the_network_of_fid(random_inception, monkeypatch):
    path, net = random_inception
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(features, "_SHA256", digest)
    extractor = load_extractor(Weights(fid=path))
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    found = extractor(images)
    assert found.shape == (2, 2048)
    assert found.dtype == torch.float64
    # TensorFlow's resizing, not torchmetrics' antialiased default.
    assert found.numpy() == pytest.approx(net(images)[0].double().numpy(), rel=1e-5, abs=1e-7)
    assert extractor.label("fid") == "fid"
    monkeypatch.setenv("CAFLOW_FID_WEIGHTS", str(path))
    again = load_extractor(Weights(extractor="inception"))
    assert torch.equal(again(images), found)


def test_a_file_with_another_digest_is_never_unpickled(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(torch, "load", lambda *a, **k: opened.append(a))
    path = tmp_path / "weights.pth"
    path.write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(CaflowError, match="not FID's Inception") as caught:
        load_extractor(Weights(fid=path))
    assert caught.value.exit_code == 3
    assert "--fid-weights" in caught.value.hint
    assert not opened


def test_the_callers_extractor_has_its_own_name():
    def means(images):
        return images.float().mean((2, 3))

    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    extractor = load_extractor(Weights(extractor=means))
    assert extractor(images).numpy() == pytest.approx(images.double().mean((2, 3)).numpy())
    assert extractor.label("kid") == "kid:means"
    with pytest.raises(CaflowError, match="unknown feature extractor 'resnet'") as caught:
        load_extractor(Weights(extractor="resnet"))
    assert caught.value.exit_code == 2
