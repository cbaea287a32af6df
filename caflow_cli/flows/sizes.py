"""How large the conditional flows are: one record for all of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Sizes"]


@dataclass(frozen=True)
class Sizes:
    """What every model of p(L | D) is built from.

    Attributes:
        target_channels, cond_channels: Channels of the images behind L and D.
        scales: n.
        steps: K of each f_j^i; a Gaussian (dual-glow) has none.
        hidden: Kernels of the nets.
        bound: Bound of the log-scales.
        trunks: Width of the net that reads the condition once for all steps of an f_j^i, for each
            j, finest first; 0: none, and each net reads the condition itself, as in the paper.
        trunk_blocks: Depth of these nets.
    """

    target_channels: int
    cond_channels: int
    scales: int
    steps: int
    hidden: int
    bound: float
    trunks: tuple[int, ...] = ()
    trunk_blocks: int = 1

    def trunk(self, j: int) -> int:
        """Width of the trunk of f_j^i."""
        return self.trunks[-1 - j] if self.trunks else 0
