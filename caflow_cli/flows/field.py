"""The map from measured fields, with wet and dry cells, to the real line.

A field x in its unit has one channel. Its points v are on the scale g = T(x) of the model, in which
the threshold of wet cells is 0. A wet cell has v = g ≥ 0; a dry cell is a bin of unit width below
it, v = u - 1 with uniform noise u. So a density of v is one in units of g for each wet cell, and a
mass for the dry ones. That of x also has the factors T'(x). With `flow.dry` false, every number is
the g of a value.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..config import FlowConfig
from ..devices import to_float64, to_like
from ..guides import build_guide
from ..layers import WithLogdet, per_candidate, sum_per_image, zero_logdet

_KNOWN_DRY = -300.0  # the location of a cell that y says is dry: its P(dry) is 1 in float64
# Noise stays this far inside its bin: the h of a dry cell lies within 7 standard deviations.
_LEAST = 2.0**-40
_LEAST_LOG = -700.0  # of a number that float64 holds
_UNIT = 10.0  # in what R reads; a known dry cell is at
_KNOWN_LEVEL = -1.5
_KNOWN_RELIEF = 0.0  # where only differences count


class Marginals(NamedTuple):
    """The sinh-arcsinh normal of every cell (Jones and Pewsey 2009), (B, 1, H, W) each.

        h = sinh(exp(tail) asinh((g - location) / exp(log_scale)) - skew),   h ~ N(0, 1)

    With skew = tail = 0 it is the normal distribution. On a scale of dB, rain has a long tail below
    and a short one above, so normal marginals would exaggerate the maxima.
    """

    location: Tensor
    log_scale: Tensor
    skew: Tensor
    tail: Tensor

    def of(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """h and `log dh/dg` of each value."""
        location, log_scale, skew, tail = (per_candidate(t, g.shape[0]) for t in self)
        r = (g - location) * torch.exp(-log_scale)
        h = torch.sinh(torch.exp(tail) * torch.asinh(r) - skew)
        # d asinh(r) / dr = 1 / √(1 + r²), and cosh(asinh h) = √(1 + h²).
        steepness = tail - log_scale + (torch.log1p(h.square()) - torch.log1p(r.square())) / 2
        return h, steepness

    def back(self, h: Tensor) -> Tensor:
        """The g of each h."""
        location, log_scale, skew, tail = (per_candidate(t, h.shape[0]) for t in self)
        r = torch.sinh((torch.asinh(h) + skew) * torch.exp(-tail))
        return location + r * torch.exp(log_scale)


class FieldCondition(NamedTuple):
    """The parts of a condition that a `FieldAnchor` uses, computed once for each field."""

    marginals: Marginals
    known: Tensor  # which cells y says are dry, or leaves out: (B, 1, H, W)
    width: float = 1.0


class FieldAnchor(nn.Module):
    """`A` of a field: `h = S(g)` of wet cells; `h = Φ⁻¹(u Φ(b))` of dry ones, with `b = S(0)`.

    S is that of the marginals, which the guide predicts from the coarse field. So h is below b
    exactly where a cell is dry, and the map is a bijection of (-1, ∞) to the real line. The
    log-determinant of a wet cell is `log S'(g)`; that of a dry one is `log Φ(b) - log φ(h)`, so
    that with standard normal h its density in u is its mass, Φ(b). A cell that y says is dry has
    b = 300: its mass is 1, and h is noise. So is that of a cell that y leaves out.

    With `flow.dry` false, all other cells are wet, whatever their g; `h = S(g)` is a bijection of
    the real line.

    `Density` uses it as it uses an `Anchor`.

    Args:
        flow: Sizes and variants: the guide.

    Shapes: v, h (B, 1, H, W); y (B, 2, H, W), a coarse field, each value repeated: g of its means,
    -inf where these are dry; and 1 in cells that are left out, which have no value in y or v and
    take no part in densities, else 0. cond is the result of `read` for y.
    """

    def __init__(self, flow: FlowConfig) -> None:
        super().__init__()
        self.guide = build_guide(flow)
        self.factor = flow.guide_factor
        self.has_dry = flow.dry
        self.is_relative = flow.guide_spec.relative

    def expect(self, y: Tensor, width: float = 1.0) -> Tensor:
        """The parameters of the marginals that the guide predicts for y: (B, 4, H, W)."""
        assert self.guide is not None, "a field has a guide"
        predicted: Tensor = self.guide(y[:, :1, :: self.factor, :: self.factor].contiguous())
        return predicted

    def read(self, y: Tensor, expected: Tensor | None = None, width: float = 1.0) -> FieldCondition:
        """Compute the marginals of every cell from y; `expected` is that of `expect`."""
        known = y[:, :1].isneginf() | (y[:, 1:] > 0)
        predicted = self.expect(y) if expected is None else expected
        location, *others = predicted.to(y.dtype).chunk(4, dim=1)
        others = [t.masked_fill(known, 0) for t in others]
        return FieldCondition(
            Marginals(location.masked_fill(known, _KNOWN_DRY), *others), known, width
        )

    def inputs_of_r(self, y: Tensor, cond: FieldCondition) -> WithLogdet:
        """What R reads: location and log-scale. log p(y) is that of R alone.

        Where only differences count, it is the location relative to the mean of the coarse cell.
        """
        location, log_scale, _, _ = cond.marginals
        if self.is_relative:
            level = torch.asinh(location - y[:, :1]).masked_fill(cond.known, _KNOWN_RELIEF)
        else:
            level = (location / _UNIT).masked_fill(cond.known, _KNOWN_LEVEL)
        return torch.cat([level, log_scale], dim=1), zero_logdet(y)

    def supports(self, v: Tensor, cond: FieldCondition) -> Tensor:
        """Whether all values of a field lie in the support of the density: bool (B,)."""
        return (v.isfinite() & (self._wet(v, cond) | (v >= -1))).flatten(1).all(1)

    def near_ends(self, v: Tensor, cond: FieldCondition) -> Tensor:
        """How many values of each cell lie near an end of the support: none, (B, H, W)."""
        return torch.zeros_like(v[:, 0])

    def forward(self, v: Tensor, cond: FieldCondition) -> WithLogdet:
        wet = self._wet(v, cond)
        h, steepness = cond.marginals.of(v.where(wet, 0.0))  # where a cell is dry, its bound b
        log_mass = torch.special.log_ndtr(to_float64(h))
        u = to_float64(v + 1).clamp(_LEAST, 1 - _LEAST)
        below = _normal_quantile(u.log() + log_mass)
        dry = to_like(log_mass - _log_normal(below), h)
        logdet = sum_per_image(torch.where(wet, steepness, dry))
        return torch.where(wet, h, to_like(below, h)), logdet

    def inverse(self, h: Tensor, cond: FieldCondition) -> WithLogdet:
        bound, _ = cond.marginals.of(torch.zeros_like(h))
        wet = h >= bound if self.has_dry else self._wet(h, cond)
        g = cond.marginals.back(h)
        g = g.clamp_min(0) if self.has_dry else g
        _, steepness = cond.marginals.of(g)
        log_mass = torch.special.log_ndtr(to_float64(bound))
        below = to_float64(h)
        u = torch.exp(torch.special.log_ndtr(below) - log_mass).clamp(_LEAST, 1 - _LEAST)
        dry = to_like(log_mass - _log_normal(below), h)
        logdet = -sum_per_image(torch.where(wet, steepness, dry))
        return torch.where(wet, g, to_like(u - 1, h)), logdet

    def predict(self, cond: FieldCondition) -> Tensor:
        """The median of every cell, which has h = 0: (B, 1, H, W)."""
        v, _ = self.inverse(torch.zeros_like(cond.marginals.location), cond)
        return v

    def log_prob_alone(self, v: Tensor, cond: FieldCondition) -> Tensor:
        """The censored log-likelihood of fields whose cells are independent, in nats: (B,).

        A wet cell has the density `φ(h) S'(g)`, a dry one the probability Φ(b). The guide trains on
        it.
        """
        wet = self._wet(v, cond)
        h, steepness = cond.marginals.of(v.where(wet, 0.0))
        dry = torch.special.log_ndtr(h)
        return sum_per_image(torch.where(wet, _log_normal(h) + steepness, dry))

    def _wet(self, v: Tensor, cond: FieldCondition) -> Tensor:
        return v >= 0 if self.has_dry else per_candidate(~cond.known, v.shape[0])


def _normal_quantile(log_p: Tensor) -> Tensor:
    """The h with log Φ(h) = log_p, float64, also where p is too small for float64."""
    h: Tensor = torch.special.ndtri(torch.exp(log_p.clamp_min(_LEAST_LOG)))
    tiny = log_p < _LEAST_LOG
    if tiny.any():
        # Newton's method: log Φ is concave, and near -h² / 2 far below 0.
        log_p = log_p.clamp_max(_LEAST_LOG)
        far = -torch.sqrt(-2 * log_p)
        for _ in range(4):
            log_ndtr = torch.special.log_ndtr(far)
            far = far - (log_ndtr - log_p) * torch.exp(log_ndtr - _log_normal(far))
        h = torch.where(tiny, far, h)
    return h


def _log_normal(h: Tensor) -> Tensor:
    return -0.5 * (h.square() + math.log(2 * math.pi))
