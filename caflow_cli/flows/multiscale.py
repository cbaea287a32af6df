"""The unconditional multi-scale flows R and T (paper section 4, appendix A.1)."""

from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import Modules, WithLogdet
from .scale import Scale
from .step import merge_through, split_through


class MultiScaleFlow(nn.Module):
    """T(w) = [L_0, ..., L_{n-1}], coarsest first.

    Each scale's output is split in halves, of which one goes on to the next scale. L_i has the
    shape (B, `latent_channels(C, i, n)`, H / 2^(n-i), W / 2^(n-i)).

    Args:
        image_channels: C.
        steps: The number of flow steps of each scale.
        flow: Sizes and variants; n is `flow.scales`.
    """

    def __init__(
        self,
        image_channels: int,
        steps: int,
        flow: FlowConfig,
    ) -> None:
        super().__init__()
        # Scale k works on the half left by k splits: C 2^k channels before its squeeze.
        self.scales = Modules[Scale](
            Scale(k, 4 * image_channels * 2**k, steps, flow) for k in range(flow.scales)
        )

    def forward(self, x: Tensor, cond: None = None) -> tuple[list[Tensor], Tensor]:
        return split_through([(scale, None) for scale in self.scales], x)

    def inverse(self, y: list[Tensor], cond: None = None) -> WithLogdet:
        return merge_through([(scale, None) for scale in self.scales], y)
