"""The features of a set of pictures, accumulated in statistics of fixed size."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import EXIT_USAGE, CaflowError
from ...images import atomic_write

__all__ = ["KEEPING", "SetFeatures"]

KEEPING = ("kid", "coverage")  # the metrics that need features themselves

_RESERVOIR = 10_000  # features of a set that KID and coverage see
_HINT = "give a file that --save-stats wrote: mu, sigma, n, extractor"


class SetFeatures:
    """Streamed float64 statistics of a set. Their size does not depend on the number of images.

    They are the sums and products of all features and, for KID and coverage, a uniform random
    sample of at most 10,000 features, drawn by a separate generator.
    """

    def __init__(self, extractor: str, keep_features: bool = False) -> None:
        self.extractor = extractor
        self.count = 0
        self.count_is_known = True
        self.sum = torch.zeros(0, dtype=torch.float64)
        self.products = torch.zeros(0, 0, dtype=torch.float64)
        self._size: tuple[int, ...] | None = None
        self._kept: list[Tensor] | None = [] if keep_features else None
        self._generator = torch.Generator().manual_seed(0)

    def add(self, features: Tensor) -> None:
        """Add features, (B, d)."""
        features = features.double()
        if not self.count:
            d = features.shape[1]
            self.sum, self.products = self.sum.new_zeros(d), self.products.new_zeros(d, d)
        self.sum += features.sum(0)
        self.products += features.T @ features
        for row in features if self._kept is not None else ():
            self._keep(row)
            self.count += 1
        if self._kept is None:
            self.count += len(features)

    def check_size(self, name: str, shape: tuple[int, ...]) -> None:
        """CaflowError (exit 2) unless all pictures have one size, since FID depends on resizing."""
        self._size = self._size or shape
        if shape != self._size:
            sizes = [f"{s[1]}x{s[0]}" for s in (shape, self._size)]
            raise CaflowError(
                f"{name!r} is {sizes[0]}, the pictures before it are {sizes[1]}",
                "--resize 256",
                EXIT_USAGE,
            )

    def _keep(self, row: Tensor) -> None:
        assert self._kept is not None
        if len(self._kept) < _RESERVOIR:
            self._kept.append(row.clone())
            return
        place = int(torch.randint(self.count + 1, (), generator=self._generator))
        if place < _RESERVOIR:
            self._kept[place] = row.clone()

    @property
    def keeps_all(self) -> bool:
        """Whether the kept features are those of every picture, in their order."""
        return self._kept is not None and len(self._kept) == self.count

    @property
    def features(self) -> Tensor:
        """The kept features, (at most 10,000, d)."""
        if not self._kept:
            raise CaflowError(
                "KID and coverage need the pictures, not their statistics",
                "--metric fid",
                EXIT_USAGE,
            )
        return torch.stack(self._kept)

    @property
    def mean(self) -> Tensor:
        return self.sum / self.count

    @property
    def covariance(self) -> Tensor:
        """The covariance, with the divisor n - 1."""
        mean = self.mean
        return (self.products - self.count * torch.outer(mean, mean)) / (self.count - 1)

    def save(self, path: Path) -> None:
        """Write an .npz of mu, sigma, n and extractor. CaflowError if that fails."""
        if self.count < 2:
            raise CaflowError("statistics need two images", "give a larger set", EXIT_USAGE)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            mu=self.mean.numpy(),
            sigma=self.covariance.numpy(),
            n=np.int64(self.count),
            extractor=np.str_(self.extractor),
        )
        atomic_write(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path, extractor: str) -> SetFeatures:
        """Read the statistics of an .npz: ours, or only mu and sigma as pytorch-fid writes them.

        Raises:
            CaflowError: (exit 2) the file has no statistics, or those of another extractor.
        """
        bad = CaflowError(f"{str(path)!r} holds no statistics", _HINT, EXIT_USAGE)
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, covariance = (
                    torch.from_numpy(np.asarray(file[key], np.float64)) for key in ("mu", "sigma")
                )
                # Where n is not stated, any will do: neither distance depends on it.
                count = int(file["n"]) if "n" in file else 2
                name = str(file["extractor"]) if "extractor" in file else "inception"
                known = "n" in file
        except Exception as error:  # a broken zip raises whatever that leads its reader to
            raise bad from error
        d = mean.numel()
        if mean.shape != (d,) or covariance.shape != (d, d) or count < 2 or not d:
            raise bad
        if not (mean.isfinite().all() and covariance.isfinite().all()):
            raise bad
        if name != extractor:
            raise CaflowError(
                f"{str(path)!r} holds statistics of extractor {name!r}, not {extractor!r}",
                f"--feature-extractor {name}",
                EXIT_USAGE,
            )
        result = cls(name)
        result.count, result.count_is_known = count, known
        result.sum = mean * count
        result.products = covariance * (count - 1) + count * torch.outer(mean, mean)
        return result
