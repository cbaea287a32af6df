"""Networks that compute features of images for set metrics: Inception, AlexNet, or custom ones."""

import hashlib
import io
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import EXIT_WEIGHTS, CaflowError, check_usage, ensure, usage_error
from . import Weights
from .pairs import LpipsDistance

_FILE = "weights-inception-2015-12-05-6726825d.pth"
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_FILE}"
# The file's name has its first eight digits, as torch.hub writes them; users of the file have
# published the rest. torch-fidelity and pytorch-fid distribute the same bytes.
_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
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
        try:
            features = self.features(images).cpu().double()
            count, _ = features.shape
            assert count == len(images), f"features are of {count} images"
        except Exception as error:  # custom code may raise anything
            raise usage_error(
                f"feature extractor {self.name!r} failed: {type(error).__name__}: {error}",
                "it must take uint8 (B, 3, H, W), and return (B, d)",
            ) from error
        return features


def joined(features: list[Tensor]) -> Tensor:
    """Concatenate features of images, (N, d). CaflowError if a custom extractor varies d."""
    check_usage(
        len({one.shape[1] for one in features}) < 2,
        "features of images differ in length",
        "give images of the same size",
    )
    return torch.cat(features) if features else torch.zeros(0, 1)


def load_extractor(weights: Weights, device: torch.device | str = "cpu") -> Extractor:
    """Load the extractor that `weights` names.

    `inception` computes the 2,048 pooled features of FID's network, and `inception-768` etc. those
    of its earlier layers. `alexnet` is the trunk of LPIPS, with its last 256 channels averaged over
    the image. `module:factory` is imported, also from the working directory, and called without
    arguments.

    Raises:
        CaflowError: There is no such extractor (exit 2); or its weights are missing or not the
            expected ones (exit 3).
    """
    name = weights.extractor
    if name == "alexnet":
        return Extractor(name, LpipsDistance(weights.lpips, device).features)
    if name in _LAYERS:
        features: Any = _inception(_LAYERS[name], weights.fid)
    elif ":" in name:
        features = _from_factory(name)
    else:
        raise usage_error(
            f"unknown feature extractor {name!r}",
            f"--feature-extractor {', '.join(_LAYERS)}, alexnet, or module:factory",
        )
    if isinstance(features, nn.Module):
        features = features.eval().to(device)
    return Extractor(name, lambda images: features(images.to(device)))


def _inception(layer: int, path: str | Path | None) -> nn.Module:
    """Load FID's network from exactly the bytes that were verified, because it is a pickle."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    cached = Path(torch.hub.get_dir()) / "checkpoints" / _FILE
    file = Path(path or os.environ.get("CAFLOW_FID_WEIGHTS") or cached)
    hint = f"download {_URL} into {str(cached.parent)!r}, or --fid-weights FILE"
    try:
        if file == cached and not cached.is_file():
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(_URL, str(cached), hash_prefix=_SHA256, progress=False)
        data = file.read_bytes()
    except (OSError, RuntimeError) as error:  # URLError, or a wrong hash
        raise CaflowError(
            f"no Inception weights: {str(file)!r} cannot be read or downloaded: {error}",
            hint,
            EXIT_WEIGHTS,
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    ensure(
        digest == _SHA256,
        f"{str(file)!r} is not FID's Inception network: its sha256 is {digest[:12]}…, not "
        f"{_SHA256[:12]}…",
        hint,
        EXIT_WEIGHTS,
    )
    return NoTrainInceptionV3(
        name="inception-v3-compat",
        features_list=[str(layer)],
        feature_extractor_weights_path=cast(Any, io.BytesIO(data)),
        antialias=False,
    )


def _from_factory(name: str) -> Callable[[Tensor], Tensor]:
    sys.path.insert(0, "")  # as `python -m` has it
    try:
        features = pkgutil.resolve_name(name)()
        assert callable(features), f"{type(features).__name__} cannot be called"
    except Exception as error:  # custom code may raise anything
        raise usage_error(
            f"cannot load feature extractor {name!r}: {type(error).__name__}: {error}",
            "--feature-extractor module:factory, importable from here",
        ) from error
    finally:
        sys.path.remove("")
    return cast(Callable[[Tensor], Tensor], features)
