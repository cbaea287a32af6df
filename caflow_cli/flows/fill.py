"""Fill holes smoothly from the pixels around them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import to_float64, to_like

_SWEEPS = 30  # per resolution
_OVER = 1.8  # over-relaxation factor; optimal for holes about 30 pixels wide
_GRAY = 128.0  # fill of an image without any known pixel


@torch.no_grad()
def harmonic_fill(image: Tensor, hole: Tensor) -> Tensor:
    """Fill holes with the (approximate) solution of Laplace's equation.

        Σ over the 4 neighbors q of p:  x_q - x_p = 0   in the hole;   x = image   outside

    So each pixel in a hole is the mean of its four neighbors, like a membrane spanned over the
    hole. No value lies beyond those at the hole's edge; a constant is continued, and so is a ramp
    if the hole does not touch the image's border, where a pixel is its own neighbor.

    The equation is solved from coarse to fine. A coarse pixel is the mean of the known ones among
    2×2 finer pixels; the solution, upsampled, is the initial value at the next resolution. At each
    resolution there are 30 sweeps of red-black successive over-relaxation. The largest error is
    about 0.1 levels in a hole 30 pixels wide, and a level or two in larger ones and at the image's
    border. All sums are in float64 and in a fixed order, so the result does not depend on the
    batch, nor on the machine.

    Args:
        image: (B, C, H, W); its values in the hole are ignored.
        hole: bool (B, 1, H, W).

    Returns:
        The filled image, with the shape and dtype of `image`, without gradients.

    Examples:
        >>> import torch
        >>> from caflow_cli.flows.fill import harmonic_fill
        >>> ramp = torch.arange(8.0).expand(1, 1, 8, 8)
        >>> hole = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
        >>> hole[..., 2:6, 3:6] = True
        >>> harmonic_fill(ramp.masked_fill(hole, 99.0), hole)[0, 0, 3].round(decimals=2)
        tensor([0., 1., 2., 3., 4., 5., 6., 7.])
    """
    known = to_float64((~hole).to(torch.uint8))
    levels = [(to_float64(image) * known, known)]  # sums of known pixels, and their counts
    total, count = levels[0]
    while max(total.shape[-2:]) > 1:
        total = _sum_of_4(total)
        count = _sum_of_4(count)
        levels.append((total, count))
    result = torch.full_like(total, _GRAY)
    for total, count in reversed(levels):
        height, width = total.shape[-2:]
        inside = count == 0
        start = _enlarged(result)[..., :height, :width]
        result = torch.where(inside, start, total / count.clamp(min=1))
        if inside.any():
            result = _relaxed(result, inside)
    return torch.where(hole, to_like(result, image), image)


def _sum_of_4(x: Tensor) -> Tensor:
    """Sum over blocks of 2×2 pixels; odd sides are padded with zeros."""
    height, width = x.shape[-2:]
    x = F.pad(x, (0, width % 2, 0, height % 2))
    rows = x[..., 0::2, :] + x[..., 1::2, :]
    return rows[..., 0::2] + rows[..., 1::2]


def _enlarged(x: Tensor) -> Tensor:
    """Upsample bilinearly by 2: each new pixel is 3/4 of the nearest and 1/4 of the next one."""
    for axis in (-1, -2):
        x = x.transpose(-1, axis)
        padded = F.pad(x, (1, 1, 0, 0), mode="replicate")
        left = 0.75 * x + 0.25 * padded[..., :-2]
        right = 0.75 * x + 0.25 * padded[..., 2:]
        x = torch.stack([left, right], dim=-1).flatten(-2)
        x = x.transpose(-1, axis)
    return x


def _relaxed(values: Tensor, inside: Tensor) -> Tensor:
    """Relax the pixels inside: `x_p <- (1 - ω) x_p + ω mean of its neighbors`, even ones first."""
    batch, channels, height, width = values.shape
    pixels = values.permute(0, 2, 3, 1).reshape(-1, channels)
    image, row, column = inside[:, 0].nonzero(as_tuple=True)

    def at(down: int, right: int) -> Tensor:
        y = (row + down).clamp(0, height - 1)
        x = (column + right).clamp(0, width - 1)
        return (image * height + y) * width + x

    indices = torch.stack([at(0, 0), at(-1, 0), at(1, 0), at(0, -1), at(0, 1)])
    even = (row + column) % 2 == 0
    halves = [indices[:, even], indices[:, ~even]]
    for _ in range(_SWEEPS):
        for here, up, down, left, right in halves:
            mean = pixels.index_select(0, up) + pixels.index_select(0, down)
            mean += pixels.index_select(0, left)
            mean += pixels.index_select(0, right)
            mean *= _OVER / 4
            mean += (1 - _OVER) * pixels.index_select(0, here)
            pixels.index_copy_(0, here, mean)
    return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2)
