"""Networks that compute features of images for set metrics: Inception, AlexNet."""

import hashlib
import io
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import EXIT_WEIGHTS, CaflowError, ensure, usage_error
from ...images import Pixels, in_8_bits
from ...restoration import to_batch
from . import Weights
from .pairs import LpipsDistance

_FILE = "weights-inception-2015-12-05-6726825d.pth"
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_FILE}"
# The file's name has its first eight digits, as torch.hub writes them; users of the file have
# published the rest. torch-fidelity and pytorch-fid distribute the same bytes.
_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


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

    def of(self, image: Pixels) -> Tensor:
        """The features of an image, (1, d)."""
        return self(to_batch([in_8_bits(image)]))


def load_extractor(weights: Weights, device: torch.device | str = "cpu") -> Extractor:
    """Load the extractor that `weights` names.

    `inception` computes the 2,048 pooled features of FID's network. `alexnet` is the trunk of
    LPIPS, with its last 256 channels averaged over the image. A function is used as it is.

    Raises:
        CaflowError: There is no such extractor (exit 2); or its weights are missing or not the
            expected ones (exit 3).
    """
    name = weights.extractor
    if callable(name):
        return Extractor(name.__name__, name)
    if name == "alexnet":
        return Extractor(name, LpipsDistance(weights.lpips, device).features)
    if name == "inception":
        network = _inception(weights.fid).eval().to(device)
        return Extractor(name, lambda images: network(images.to(device)))
    hint = "--feature-extractor inception, or alexnet"
    raise usage_error(f"unknown feature extractor {name!r}", hint)


def _inception(path: str | Path | None) -> nn.Module:
    """Load FID's network from exactly the bytes that were verified, because it is a pickle."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    cached = Path(torch.hub.get_dir()) / "checkpoints" / _FILE
    file = Path(path or os.environ.get("CAFLOW_FID_WEIGHTS") or cached)
    if file == cached and not cached.is_file():
        with suppress(OSError, RuntimeError):  # URLError, or a wrong hash
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(_URL, str(cached), hash_prefix=_SHA256, progress=False)
    hint = f"download {_URL} into {str(cached.parent)!r}, or --fid-weights FILE"
    try:
        data = file.read_bytes()
    except OSError as error:
        message = f"no weights of FID's Inception: {str(file)!r} cannot be read or downloaded"
        raise CaflowError(message, hint, EXIT_WEIGHTS) from error
    digest = hashlib.sha256(data).hexdigest()
    ensure(
        digest == _SHA256,
        f"{str(file)!r} is not FID's Inception: its sha256 is {digest[:12]}…, not {_SHA256[:12]}…",
        hint,
        EXIT_WEIGHTS,
    )
    return NoTrainInceptionV3(
        name="inception-v3-compat",
        features_list=["2048"],
        feature_extractor_weights_path=cast(Any, io.BytesIO(data)),
        antialias=False,
    )
