"""From 8-bit pixels to points and back (paper appendix A.1, uniform dequantization).

Points are on [0, 256): `v = w + u`, with the 8-bit value w and noise u in [0, 1). All densities are
stated on this scale, where the bin of a pixel value has unit width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["NOISE_LATTICE", "lattice_noise", "noise_draws", "to_uint8"]

# Noise is a multiple of 2^-16, so that w + u is exact in float32 and never rounds up to w + 1.
NOISE_LATTICE = 2**16
# The noise of every score. Changing it changes every published log-likelihood.
_SCORE_SEED = 20210604


def lattice_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform noise on {0, 1, ..., 65535} / 65536, float32, from a CPU generator."""
    return torch.randint(NOISE_LATTICE, shape, generator=generator).float() / NOISE_LATTICE


def noise_draws(shape: tuple[int, int, int], *, normal: bool = False) -> Iterator[Tensor]:
    """The noise draws of a score, (C, H, W) float32 each, the same for all images of one size.

    Common noise makes scores deterministic and candidates comparable. The first K draws do not
    depend on K. The noise is uniform on the lattice, or standard normal for variational
    dequantization, which transforms it.
    """
    generator = torch.Generator().manual_seed(_SCORE_SEED)
    while True:
        yield torch.randn(shape, generator=generator) if normal else lattice_noise(shape, generator)


def to_uint8(v: Tensor) -> Tensor:
    """Convert points to 8 bits: `clamp(floor(v), 0, 255)`."""
    return v.floor().clamp(0, 255).to(torch.uint8)
