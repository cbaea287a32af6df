"""Feature extractors for sets: Inception from a verified file, AlexNet, or the caller's."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import EXIT_USAGE, EXIT_WEIGHTS, CaflowError
from .fid_extra import require_fid_extra

__all__ = ["EXTRACTORS", "INCEPTION_FILE", "INCEPTION_SHA256", "Extractor", "load_extractor"]

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = (
    f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
)
# Its first eight digits are in the file's name, as torch.hub writes them; the whole is what users
# of the file state again and again. torch-fidelity and pytorch-fid publish the same bytes.
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"

_LAYERS = {"inception": 2048, "inception-768": 768, "inception-192": 192, "inception-64": 64}
EXTRACTORS = (*_LAYERS, "alexnet")


@dataclass(frozen=True)
class Extractor:
    """Maps uint8 (B, 3, H, W) to features (B, d), and has the name that results state."""

    name: str
    features: Callable[[Tensor], Tensor]

    @property
    def is_standard(self) -> bool:
        """Whether a Frechet distance of these features is the usual FID."""
        return self.name == "inception"

    def label(self, metric: str) -> str:
        """`fid` for the standard features, `fid:NAME` for others."""
        return metric if self.is_standard else f"{metric}:{self.name}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Compute features, (B, d) float64 on the CPU."""
        features = self.features(images)
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(images):
            raise CaflowError(
                f"feature extractor {self.name!r} gave {_shape(features)} for {len(images)} images",
                "let it return (B, d) for uint8 (B, 3, H, W)",
                EXIT_USAGE,
            )
        return features.cpu().double()


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def load_extractor(
    name: str = "inception",
    *,
    fid_weights: str | Path | None = None,
    lpips_weights: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> Extractor:
    """Load the extractor with that name.

    `inception` gives the 2,048 pooled features of FID's network. `inception-768` and so on are its
    earlier layers. `alexnet` is the trunk of LPIPS, with its last 256 channels averaged over the
    image. `module:factory` is imported, also from the working directory, and called without
    arguments. It must return a callable from uint8 (B, 3, H, W) to (B, d).

    Args:
        fid_weights: The Inception file; default: CAFLOW_FID_WEIGHTS, else torch's cache, else it is
            downloaded there.
        lpips_weights: As `LpipsDistance` takes it.

    Raises:
        CaflowError: There is no such extractor (exit 2); the extra `fid` is not installed, or the
            extractor's weights are missing or not the pinned ones (exit 3).
    """
    require_fid_extra(inception=name in _LAYERS)
    if name in _LAYERS:
        net = _inception(_LAYERS[name], fid_weights).to(device)
        return Extractor(name, lambda images: net(images.to(device)))
    if name == "alexnet":
        from .lpips import LpipsDistance

        return Extractor(name, LpipsDistance(lpips_weights, device).features)
    if ":" not in name:
        raise CaflowError(
            f"unknown feature extractor {name!r}",
            f"--feature-extractor {', '.join(EXTRACTORS)}, or module:factory",
            EXIT_USAGE,
        )
    return Extractor(name, _from_factory(name, device))


def _inception(layer: int, path: str | Path | None) -> nn.Module:
    from torchmetrics.image.fid import NoTrainInceptionV3

    # The file is a pickle. What is opened is exactly the bytes that were verified.
    verified = io.BytesIO(_verified_weights(path))
    return NoTrainInceptionV3(
        name="inception-v3-compat",
        features_list=[str(layer)],
        feature_extractor_weights_path=cast(Any, verified),
        antialias=False,
    )


def _verified_weights(path: str | Path | None) -> bytes:
    path = path or os.environ.get("CAFLOW_FID_WEIGHTS") or None
    if path is None:
        cached = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
        if not cached.is_file():
            _download(cached)
        path = cached
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CaflowError(
            f"cannot read Inception weights {str(path)!r}: {error.strerror}",
            f"--fid-weights FILE, the {INCEPTION_FILE} of torch-fidelity",
            EXIT_WEIGHTS,
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != INCEPTION_SHA256:
        raise CaflowError(
            f"{str(path)!r} is not FID's Inception network: its sha256 is {digest[:12]}…, "
            f"not {INCEPTION_SHA256[:12]}…",
            f"--fid-weights FILE, the {INCEPTION_FILE} of torch-fidelity",
            EXIT_WEIGHTS,
        )
    return data


def _download(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            INCEPTION_URL, str(target), hash_prefix=INCEPTION_SHA256, progress=False
        )
    except (OSError, RuntimeError) as error:  # URLError is the first, another hash the second
        raise CaflowError(
            f"no Inception weights: {str(target)!r} is not there, and the download failed",
            f"--fid-weights FILE, which is {INCEPTION_URL}",
            EXIT_WEIGHTS,
        ) from error


def _from_factory(name: str, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    module_name, _, factory_name = name.partition(":")
    hint = "--feature-extractor module:factory, importable from here"
    sys.path.insert(0, "")  # as `python -m` has it
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
        features = factory()
    except Exception as error:  # the caller's code: anything
        raise CaflowError(
            f"cannot make feature extractor {name!r}: {type(error).__name__}: {error}",
            hint,
            EXIT_USAGE,
        ) from error
    finally:
        sys.path.remove("")
    if not callable(features):
        raise CaflowError(
            f"{name!r} returned {type(features).__name__}, which cannot be called", hint, EXIT_USAGE
        )
    if isinstance(features, nn.Module):
        features = features.eval().to(device)

    def extract(images: Tensor) -> Tensor:
        try:
            return cast(Tensor, features(images.to(device)))
        except Exception as error:  # the caller's code again
            raise CaflowError(
                f"feature extractor {name!r} failed: {type(error).__name__}: {error}",
                "let it take uint8 (B, 3, H, W)",
                EXIT_USAGE,
            ) from error

    return extract
