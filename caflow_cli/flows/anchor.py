"""The map from pixels to the real line, for conditions that determine part of the image."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FlowConfig
from ..guides import ScaleNet, build_guide, mean_of_views, recover_small
from ..layers import WithLogdet, affine, affine_inverse, center, per_candidate
from .known import FilledPixels, KnownImage, KnownLuminance, KnownPixels
from .logit import Logit

_MAPS: dict[str, type[Logit]] = {
    "none": Logit,
    "enlarged": KnownImage,
    "pixels": KnownPixels,
    "fill": FilledPixels,
    "luminance": KnownLuminance,
}

# A value at an end of the support counts if the predicted image around it is that far from it.
_APART = 32.0  # levels
_AROUND = 5  # pixels: side of the square around a value


class AnchorCondition(NamedTuple):
    """The parts of a condition that an `Anchor` uses, computed once for each image."""

    y: Tensor  # (B, C, H, W), floats in [0, 256), as the map completes it
    mean: Tensor | None  # the guide's prediction m of every value, (B, C, H, W)
    spread: Tensor | None = None  # raw log-scales of the residual, (B, C, H, W)
    image: Tensor | None = None  # the predicted image, if a spread reads it
    width: float = 1.0  # of a bin of y and of the image


class Anchor(nn.Module):
    """`A`: pixels to the real line, such that pixels which y determines land near 0.

        h = map(v; y)                            without a guide
        h = exp(s(y, m)) (map(v; y) - m(y))      with one; s = 0 without a spread

    The condition y determines an image outside its hole, or one of three values of each pixel if
    its gray is known, to within a level. A flow on plain pixels would spend most of its capacity
    on copying these. The guide predicts the mean m of every value from all of y, so distant parts
    of y take effect before T transforms the image. m is 0 for values that y determines.

    Args:
        flow: Sizes and variants: which map, and the nets that predict m and s.

    Shapes: v, h (B, C, H, W); cond is the result of `read` for y.
    """

    def __init__(self, flow: FlowConfig) -> None:
        super().__init__()
        self.map = _MAPS[flow.anchor]()
        self.logit = Logit()
        self.channels = flow.target_channels
        self.guide = build_guide(flow)
        widths = (flow.r_channels, flow.spread, flow.target_channels)
        self.spread = ScaleNet(*widths) if flow.spread else None
        self.bound = flow.scale_bound
        self.views = flow.guide_views
        self.reads_small = flow.guide_spec.reads_small
        self.factor = flow.guide_factor

    def read(
        self, y: Tensor, expected: Tensor | None = None, width: float = 1.0
    ) -> AnchorCondition:
        """Compute everything that depends on y alone. A guide reads y as the map completes it.

        `expected` is the result of `expect` if it is known, for a guide that reads the small image;
        `width` that of the bins of y.
        """
        y = self.map.complete(y, width)
        if self.guide is None:
            return AnchorCondition(y, None, width=width)
        h = self.map.of(y)
        if self.reads_small:
            image = self.expect(y, width) if expected is None else expected.to(y)
            ends = (width / 2, 256 - width / 2)
            predicted, _ = self.map(image.clamp(*ends), y, width)
        else:
            predicted = self._guided(h).to(h.dtype)
        mean = predicted * self.map.unknown(y, y.shape[0])
        cond = AnchorCondition(y, mean, width=width)
        if self.spread is None:
            return cond
        image = self.predict(cond)
        nearest = self.map.of(self.map.nearest(image))
        spread = self.spread(torch.cat([h, nearest], dim=1))
        return cond._replace(spread=spread, image=image)

    def inputs_of_r(self, y: Tensor, cond: AnchorCondition) -> WithLogdet:
        """What R reads: the logits of y and, with a guide, of the predicted image."""
        h, logdet = self.logit(y)
        if self.guide is None:
            return h, logdet
        predicted, term = self.logit(self.logit.nearest(self.predict(cond)))
        return torch.cat([h, predicted], dim=1), logdet + term

    def supports(self, v: Tensor, cond: AnchorCondition) -> Tensor:
        """Whether all values of an image lie in the support of the density: bool (B,)."""
        inside = v.isfinite().flatten(1).all(1)
        beyond = self.map.near_ends(v, cond.y, share=1.0)
        return inside & ~beyond.flatten(1).any(1)

    def near_ends(self, v: Tensor, cond: AnchorCondition) -> Tensor:
        """How many values of each pixel lie near an end of the support, and more than 32 levels
        outside the range of the predicted image within two pixels: (B, H, W).

        There the logit's own term, `log |dh/dv|`, which grows as |h|, dominates the log-density.
        At saturated colors and their edges, good samples have such values, too.
        """
        near = self.map.near_ends(v, cond.y)
        if not near.any():
            return near.sum(1)
        predicted = self.predict(cond)
        high = F.max_pool2d(predicted, _AROUND, 1, _AROUND // 2) + _APART
        low = -F.max_pool2d(-predicted, _AROUND, 1, _AROUND // 2) - _APART
        low, high = (per_candidate(bound, v.shape[0]) for bound in (low, high))
        return (near & ((v < low) | (v > high))).sum(1)

    def forward(self, v: Tensor, cond: AnchorCondition) -> WithLogdet:
        h, logdet = self.map(v, cond.y, cond.width)
        if cond.mean is not None:
            h = h - per_candidate(cond.mean, h.shape[0])
        if cond.spread is None:
            return h, logdet
        h, term = affine(h, _scale_alone(cond.spread), self.bound)
        return h, logdet + term

    def inverse(self, h: Tensor, cond: AnchorCondition) -> WithLogdet:
        if cond.mean is None:
            return self.map.inverse(h, cond.y, cond.width)
        term: Tensor | float = 0.0
        if cond.spread is not None:
            h, term = affine_inverse(h, _scale_alone(cond.spread), self.bound)
        h = h + per_candidate(cond.mean, h.shape[0])
        v, logdet = self.map.inverse(h, cond.y, cond.width)
        return v, logdet + term

    def expect(self, y: Tensor, width: float = 1.0) -> Tensor:
        """The image that the guide predicts for y, which may lie outside [0, 256): (B, C, H, W).

        A guide that reads the small image predicts `255 net(recover_small(y) / 255) + 1/2`.
        """
        if self.guide is None or not self.reads_small:
            return self.predict(self.read(y, width=width))
        small = center(y, width) - 0.5
        if self.factor > 1:
            small = recover_small(y, self.factor, width)
        return 255 * self._guided(small / 255).to(y.dtype) + 0.5

    def _guided(self, x: Tensor) -> Tensor:
        assert self.guide is not None
        return self.guide(x) if self.views == 1 else mean_of_views(self.guide, x, self.views)  # type: ignore[no-any-return]

    def predict(self, cond: AnchorCondition) -> Tensor:
        """The predicted image, which has h = 0: (B, C, H, W), floats."""
        if cond.image is not None:
            return cond.image
        batch, _, height, width = cond.y.shape
        h = cond.y.new_zeros(batch, self.channels, height, width)
        v, _ = self.inverse(h, cond)
        return v


def _scale_alone(raw: Tensor) -> Tensor:
    return torch.cat([raw, torch.zeros_like(raw)], dim=1)
