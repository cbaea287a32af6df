"""Networks that turn images into features for sets: Inception, AlexNet, or the caller's."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import EXIT_WEIGHTS, CaflowError, usage_error
from .catalogue import Weights
from .pairs import LpipsDistance, pair_metrics

__all__ = ["EXTRACTORS", "INCEPTION_FILE", "Extractor", "load_extractor", "load_networks"]

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
# Its first eight digits are in the file's name, as torch.hub writes them; the whole is what users
# of the file state again and again. torch-fidelity and pytorch-fid publish the same bytes.
_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_LAYERS = {"inception": 2048, "inception-768": 768, "inception-192": 192, "inception-64": 64}
EXTRACTORS = (*_LAYERS, "alexnet")


@dataclass(frozen=True)
class Extractor:
    """Maps uint8 (B, 3, H, W) to features (B, d), and has the name that results state."""

    name: str
    features: Callable[[Tensor], Tensor]

    def label(self, metric: str) -> str:
        """`fid` for the standard features, whose distance is the usual FID; else `fid:NAME`."""
        return metric if self.name == "inception" else f"{metric}:{self.name}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Compute features, (B, d) float64 on the CPU."""
        try:
            features = self.features(images)
            assert len(features) == len(images), f"features are of {len(features)} images"
            assert features.ndim == 2, f"features have {features.ndim} axes"
        except Exception as error:  # the caller's code: anything
            raise usage_error(
                f"feature extractor {self.name!r} failed: {type(error).__name__}: {error}",
                "let it take uint8 (B, 3, H, W), and return (B, d)",
            ) from error
        return features.cpu().double()


def load_networks(
    metrics: Collection[str], weights: Weights, device: torch.device | str, features: bool
) -> tuple[Callable[[Tensor, Tensor], list[dict[str, float]]], Extractor | None]:
    """Load what computes the metrics: `pair_metrics`, and with `features` the extractor.

    Raises:
        CaflowError: As for both. If files are missing, one error (exit 3) names all.
    """
    missing: list[CaflowError] = []

    def load(what: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return what(*arguments, device)
        except CaflowError as error:
            if error.exit_code != EXIT_WEIGHTS:
                raise
            missing.append(error)

    pairs = load(pair_metrics, metrics, weights)
    extractor = load(load_extractor, weights) if features else None
    if missing:
        messages, hints = zip(*((one.message, one.hint) for one in missing), strict=True)
        raise CaflowError("; ".join(messages), "; ".join(hints), EXIT_WEIGHTS)
    return pairs, extractor


def load_extractor(weights: Weights, device: torch.device | str = "cpu") -> Extractor:
    """Load the extractor that `weights` names.

    `inception` gives the 2,048 pooled features of FID's network. `inception-768` and so on are its
    earlier layers. `alexnet` is the trunk of LPIPS, with its last 256 channels averaged over the
    image. `module:factory` is imported, also from the working directory, and called without
    arguments. It must return a callable from uint8 (B, 3, H, W) to (B, d).

    Raises:
        CaflowError: There is no such extractor (exit 2); or its weights are missing or not the
            pinned ones (exit 3).
    """
    name = weights.extractor
    if name in _LAYERS:
        net = _inception(_LAYERS[name], weights.fid).to(device)
        return Extractor(name, lambda images: net(images.to(device)))
    if name == "alexnet":
        return Extractor(name, LpipsDistance(weights.lpips, device).features)
    if ":" not in name:
        raise usage_error(
            f"unknown feature extractor {name!r}",
            f"--feature-extractor {', '.join(EXTRACTORS)}, or module:factory",
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
    named = path or os.environ.get("CAFLOW_FID_WEIGHTS") or None
    cached = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    hint = f"download {_URL} into {str(cached.parent)!r}, or --fid-weights FILE"
    if named is None and not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(_URL, str(cached), hash_prefix=_SHA256, progress=False)
        except (OSError, RuntimeError) as error:  # URLError is the first, another hash the second
            raise CaflowError(
                f"no Inception weights: {INCEPTION_FILE} is not in torch's cache, and the download "
                "failed",
                hint,
                EXIT_WEIGHTS,
            ) from error
    file = Path(named or cached)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CaflowError(
            f"cannot read Inception weights {str(file)!r}: {error.strerror}", hint, EXIT_WEIGHTS
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != _SHA256:
        raise CaflowError(
            f"{str(file)!r} is not FID's Inception network: its sha256 is {digest[:12]}…, not "
            f"{_SHA256[:12]}…",
            hint,
            EXIT_WEIGHTS,
        )
    return data


def _from_factory(name: str, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    module_name, _, factory_name = name.partition(":")
    hint = "--feature-extractor module:factory, importable from here"
    sys.path.insert(0, "")  # as `python -m` has it
    try:
        features = getattr(importlib.import_module(module_name), factory_name)()
    except Exception as error:  # the caller's code: anything
        raise usage_error(
            f"cannot make feature extractor {name!r}: {type(error).__name__}: {error}", hint
        ) from error
    finally:
        sys.path.remove("")
    if not callable(features):
        raise usage_error(
            f"{name!r} returned {type(features).__name__}, which cannot be called", hint
        )
    if isinstance(features, nn.Module):
        features = features.eval().to(device)

    return lambda images: cast(Tensor, features(images.to(device)))
