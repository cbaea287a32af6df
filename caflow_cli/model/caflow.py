"""The model on images of 8 or 16 bits: scores, samples, latents (paper sections 4.3, 4.4)."""

# Keep annotations as strings: the Hub's mixin would build a `Config` of dicts from a type.
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from ..config import Config, Extent, Tau, Temperature
from ..devices import (
    exact,
    float64_device,
    memory_format,
    to_float64,
    to_layout,
)
from ..errors import ensure
from ..flows import Levels, ValueScale, VariationalNoise, noise_draws, standard_normal_log_prob
from ..layers import WIDTHS, points_of, zero_logdet
from ..layers.norms import Moments
from ..records import Table
from .density import Condition, Density
from .inference_form import InferenceForms
from .pretrained import Pretrained, from_file_names, to_file_names


class LossTerms(NamedTuple):
    """The terms of the loss, (B,) float64 each, in nats on the 8-bit scale."""

    log_prob: Tensor  # log p(w|y)
    cond_log_prob: Tensor  # log p(y)


class CAFlow(Pretrained):
    """Conditional autoregressive flow of images of 8 or 16 bits.

    `density` is equation 9 for float points. This class adds stored values, dequantization noise,
    seeds, checks, and the folded form for inference.

    Images are (B, C, H, W), uint8, uint16 or floats on the 8-bit scale [0, 256); fields are floats
    as `FieldAnchor` takes them, and negative in dry cells of a target. H and W are multiples of
    2^(n+1). Log-likelihoods are float64, (B,), in nats, with densities on that scale; values that
    the condition determines are measured in bins. `cond` is the condition at target size, of the
    target's depth, or the result of `encode_condition`, with one entry per image, or per M
    consecutive candidates of an image. (Its mask, if it has one, is 0 or 255 at any depth.) Latents
    are a list in the order z_{n-1}^{n-1}, z_{n-2}^{n-1}, ..., z_0^0.

    Examples:
        >>> import torch
        >>> from caflow_cli import CAFlow, Config
        >>> model = CAFlow(Config()).eval()
        >>> cond = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
        >>> model.sample(cond, tau=0.8, candidates=2).shape
        torch.Size([1, 2, 3, 32, 32])
        >>> model.log_prob(cond, cond).dtype
        torch.float64

    Args:
        config: Sizes, variants and task. Default: `Config()`.
    """

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        # The identity of the model's file, for the provenance in images; set by `hub.load`.
        self.identity: Table = {"id": "unnamed", "sha256": None}
        flow = self.config.flow
        self.density = Density(flow)
        self.Q = VariationalNoise(flow) if flow.dequantization == "variational" else None
        self.to(memory_format=memory_format(self.device))  # type: ignore[call-overload]
        self.register_state_dict_post_hook(to_file_names)
        self.register_load_state_dict_pre_hook(from_file_names)
        self._forms = InferenceForms()
        self.of_field = flow.anchor == "field"

    def forward(
        self,
        target: Tensor,
        cond: Tensor,
        noise: Tensor | None = None,
        width: float = 1.0,
    ) -> LossTerms:
        """Compute the loss terms of a batch: `log p(w + u | y) - log q(u|w)`, and log p(y).

        For uniform dequantization, q = 1.

        Args:
            target: With `noise`, w as floats (B, C, H, W), on the 8-bit scale. Without, a point w +
                u, whose log-density is returned.
            cond: y + u', floats in [0, 256). The same draw u' is used for log p(y) and for the
                condition.
            noise: (B, C, H, W). The uniform u; or, for variational dequantization, standard normal
                noise.
            width: Of the bins of w and y, in which u and u' lie.
        """
        pixels = self._pixels(cond, "condition")
        condition, cond_log_prob = self.density.condition(pixels, width=width)
        v = self._pixels(target, "target")
        dequantized: Tensor | float = 0.0
        if noise is not None:
            v, dequantized = self.dequantize(v, to_layout(noise.to(v)))
        condition.check(len(v), v)
        _, log_prob = self.density(v, condition)
        return LossTerms(log_prob + dequantized, cond_log_prob)

    def dequantize(self, w: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Compute w + u and -log q(u|w): 0 for uniform u; else Q transforms normal noise to u."""
        if self.Q is None:
            return w + noise, zero_logdet(w)
        u, logdet = self._forms.of(self.Q)(noise, w)
        return w + u, logdet - standard_normal_log_prob(noise)

    @exact()
    def encode_condition(
        self,
        cond: Tensor | Condition,
        moments: Moments | None = None,
        expected: Tensor | None = None,
    ) -> Condition:
        """Precompute what scores and samples need of y, at its bin centers (u = 1/2).

        A `Condition` is returned unchanged. The bundled models take 0.4 kB per pixel for it.

        Args:
            cond: uint8 or uint16, or a `Condition`.
            moments: Of the image that `cond` is a tile of, if the model `normalizes`.
            expected: What the guide predicts for it (`expect`), if it read more than `cond`.
        """
        if isinstance(cond, Condition):
            return cond
        pixels = self._pixels(cond, "condition", only_stored=True)
        width = WIDTHS.get(cond.dtype, 1.0)
        with nullcontext() if moments is None else moments.of_pass():
            return self._forms.of(self.density).condition(pixels, expected, width)[0]

    @exact()
    def expect(self, cond: Tensor) -> Tensor:
        """What the guide predicts for y: images, which may leave [0, 256), or marginals."""
        pixels = self._pixels(cond, "condition", only_stored=True)
        return self._forms.of(self.density).A.expect(pixels, WIDTHS.get(cond.dtype, 1.0))  # type: ignore[no-any-return]

    @property
    def normalizes(self) -> bool:
        """Whether a net normalizes over the whole image, so that its tiles need its `moments`."""
        return self.config.flow.guide_spec.normalizes

    def moments(self, patches: Tensor) -> Moments:
        """Record the moments of an image, by which its tiles are normalized, over some patches."""
        moments = Moments()
        self.encode_condition(patches, moments)
        return moments

    @exact()
    def encode(self, target: Tensor, cond: Tensor | Condition) -> tuple[list[Tensor], Tensor]:
        """Compute the latents and log-density of a point, in float64; the inverse of `decode`.

        Around some points, such as some samples at τ >= 1, the model stretches by more than float32
        can invert. So the values of the flows are float64 here, while their nets compute in
        float32, identically in both directions. (In `train()`, and on Metal, everything has the
        model's dtype.)

        Args:
            target: A point as floats, or stored values w, which stand for the centers of their
                bins. Then `to_stored(decode(latents)[0], width)` returns w. To score w, use
                `log_prob`.
            cond: uint8 or uint16, or a `Condition`.

        Returns:
            Latents with the shapes of `latent_shapes`, and the log-density in nats, (B,).

        Raises:
            CaflowError: The point is outside the support, or its size differs from the condition's.
        """
        condition = self.encode_condition(cond)
        v = self._pixels(target, "target", self._point_type())
        condition.check(len(v), v)
        ensure(
            bool(self.density.A.supports(v, condition.anchor).all()),
            f"target values range from {float(v.min()):.6g} to {float(v.max()):.6g}",
            "pass floats in [0, 256), on the scale of 8-bit pixels",
        )
        return self._forms.of(self.density)(v, condition)  # type: ignore[no-any-return]

    @exact()
    def decode(
        self, latents: Sequence[Tensor], cond: Tensor | Condition, *, bf16: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Compute the point with these latents, as floats, and the log-density of exactly this one.

        Float64 latents, as returned by `encode`, are decoded in float64; any others in the model's
        dtype, as in `sample`.

        Args:
            latents: With the shapes of `latent_shapes`, each with a leading batch dimension.
            cond: uint8 or uint16, or a `Condition`.
            bf16: Compute the nets that read latents in bfloat16, for speed. The result is then only
                close to the point with these latents, and the log-density is an estimate.

        Raises:
            CaflowError: The latents have other shapes, or their batch size is not a multiple of the
                number of conditions.
        """
        condition = self.encode_condition(cond)
        found = [tuple(z.shape[1:]) for z in latents]
        shapes = self.latent_shapes(condition.size)
        hint = f"pass those of encode, in its order: {shapes}"
        ensure(found == shapes, f"{len(found)} latents of shapes {found}", hint)
        condition.check(len(latents[0]))
        wide = all(z.dtype == torch.float64 for z in latents)
        dtype = self._point_type() if wide else self.dtype
        latents = [to_layout(z.to(self.device, dtype)) for z in latents]
        return self._forms.of(self.density, bf16).inverse(latents, condition)

    def log_prob(
        self,
        target: Tensor,
        cond: Tensor | Condition,
        noise_samples: int = 1,
        scale: ValueScale | None = None,
    ) -> Tensor:
        """Score images: log-likelihoods in nats, (B,) float64.

        The result estimates a lower bound on the discrete log-probability: with uniform
        dequantization `mean_k log p(w + u_k | y)` over K fixed noise draws, with variational
        `log mean_k p(w + u_k | y) / q(u_k | w)`. The draws are the same for all images of one size,
        so scores are deterministic.

        Args:
            target: uint8 or uint16 (B, C, H, W), as the condition; of fields, values in their unit.
            cond: The same, of fields as `FieldAnchor` takes it; or a `Condition`.
            noise_samples: K, the number of noise draws.
            scale: Of the target's values; by default the `Levels` of its depth. Fields without one
                are points, which have their noise, and whose log-densities are returned.
        """
        if self.of_field and scale is None:
            return self.encode(target, cond)[1]
        return self.estimate(self.log_prob_samples(target, cond, noise_samples, scale))[0]

    def estimate(self, terms: Tensor) -> tuple[Tensor, Tensor]:
        """`log_prob` from its K terms, (K, B), and their deviations (K, B), for `standard_error`.

        To get the deviations of a sum of log-likelihoods, sum those of its images draw by draw.
        With variational dequantization the weights p/q are heavy-tailed, so the standard error of
        their mean is only a rough guide.
        """
        if self.Q is None:
            return terms.mean(0), terms
        value = terms.logsumexp(0) - math.log(len(terms))
        # Delta method for the logarithm of a mean.
        return value, (terms - value).exp()

    @exact()
    def log_prob_samples(
        self,
        target: Tensor,
        cond: Tensor | Condition,
        noise_samples: int = 1,
        scale: ValueScale | None = None,
    ) -> Tensor:
        """The K terms of `log_prob`, `log p(w + u_k | y) - log q(u_k | w)`: (K, B)."""
        ensure(noise_samples >= 1, f"noise_samples is {noise_samples}", "pass 1 or more")
        condition = self.encode_condition(cond)
        width = condition.width
        ensure(
            WIDTHS.get(target.dtype, width) == width,
            f"the target is {target.dtype}, the condition has another depth",
            "pass both with 8 bits, or both with 16",
        )
        x = self._pixels(target, "target", only_stored=True)
        condition.check(len(x), x)
        draws = noise_draws(x.shape[1:], normal=self.Q is not None)
        density = self._forms.of(self.density)
        terms = []
        for noise in islice(draws, noise_samples):
            noise = to_layout(noise.to(x).expand_as(x))
            if self.Q is not None:
                v, more = self.dequantize(x - width / 2, noise)
            else:
                v, slopes = map(torch.as_tensor, (scale or Levels(width)).points(x, noise))
                wide = self._point_type() if v.dtype == torch.float64 else self.dtype
                v, more = to_layout(v.to(self.device, wide)), slopes.flatten(1).sum(1)
            _, log_prob = density(v, condition)
            terms.append(log_prob + to_float64(more).to(log_prob.device))
        return torch.stack(terms)

    @exact()
    def sample(
        self,
        cond: Tensor | Condition,
        tau: Tau = 1.0,
        candidates: int = 1,
        seed: int | Sequence[int] = 0,
    ) -> Tensor:
        """Draw M samples from p(w|y) at temperature tau: (B, M, C, H, W) float, unranked.

        Candidate k of an image is drawn with `seed + k`, whatever the batch. Diverged samples are
        returned as they are; `restore` resamples them.

        Args:
            cond: uint8 or uint16, or a `Condition`.
            tau: Standard deviation of the latents: a number, or a shape (`Temperature`).
            candidates: M.
            seed: One for all images, or one per image.
        """
        condition = self.encode_condition(cond)
        batch = condition.batch
        seeds = list(seed) if isinstance(seed, Iterable) else [seed] * batch
        ensure(
            candidates >= 1 and len(seeds) == batch,
            f"{candidates} candidates and {len(seeds)} seeds for {batch} images",
            "pass candidates of 1 or more, and one seed, or one per image",
        )
        noise = [
            self.latent_noise(int(first) + k, condition.size)
            for first in seeds
            for k in range(candidates)
        ]
        taus = Temperature.of(tau).of_latents(self.config.flow.latent_scales)
        v, _ = self.decode(self.latents(noise, taus), condition)
        draws: Tensor = v.unflatten(0, (batch, candidates))  # type: ignore[no-untyped-call]
        return draws

    def latents(self, noise: Sequence[Sequence[Tensor]], taus: Sequence[float]) -> list[Tensor]:
        """Stack the noise of each sample to the latents of a batch, each at its temperature."""
        return [
            tau_j * torch.stack(z_j).to(self.device, self.dtype)
            for tau_j, z_j in zip(taus, zip(*noise, strict=True), strict=True)
        ]

    def latent_noise(self, seed: int | torch.Generator, size: Extent) -> list[Tensor]:
        """Draw standard normal latents for an image of that size, float32, from a seed or a CPU
        generator."""
        if not isinstance(seed, torch.Generator):
            seed = torch.Generator().manual_seed(seed)
        return [torch.randn(shape, generator=seed) for shape in self.latent_shapes(size)]

    def latent_shapes(self, size: Extent) -> list[tuple[int, int, int]]:
        """The shape (C, H, W) of every latent, in the order z_{n-1}^{n-1}, ..., z_0^0."""
        height, width = size
        return [
            (channels, height >> halvings, width >> halvings)
            for z_i in reversed(self.density.F.layout)
            for channels, halvings in reversed(z_i)
        ]

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _point_type(self) -> torch.dtype:
        wide = not self.training and float64_device(self.device) == self.device
        return torch.float64 if wide else self.dtype

    def _pixels(
        self, image: Tensor, what: str, dtype: torch.dtype | None = None, only_stored: bool = False
    ) -> Tensor:
        """Check an image, and convert it to floats on the 8-bit scale; stored values get u = 1/2.

        A condition's mask, and what it fills holes with, are those of 8 bits at any depth. The
        result is on the model's device, in `dtype` or by default the model's dtype.
        """
        flow = self.config.flow
        shape = tuple(image.shape)
        multiple = flow.multiple
        channels = flow.target_channels if what == "target" else flow.cond_channels
        ensure(
            not only_stored or (image.dtype in WIDTHS) != self.of_field,
            f"the {what} is {image.dtype}, not {'float' if self.of_field else 'uint8'}",
            "pass uint8 or uint16, floats for fields; encode takes a target at a float point",
        )
        ensure(
            self.Q is None or image.dtype != torch.uint16,
            f"the {what} has 16 bits, but this model learned its noise on 8 (variational)",
            "convert it to 8 bits, or choose a model with uniform dequantization",
        )
        ensure(
            image.ndim == 4 and shape[1] == channels and image.numel() > 0,
            f"the {what} has shape {shape}",
            f"pass (B, {channels}, H, W)",
        )
        ensure(
            shape[2] % multiple == 0 and shape[3] % multiple == 0,
            f"the {what} is {shape[3]}×{shape[2]} pixels",
            f"pad its sides to multiples of {multiple}",
        )
        pixels = image.to(self.device, dtype or self.dtype)
        if image.dtype in WIDTHS:
            has_mask = what == "condition" and channels == 4
            pixels = points_of(pixels, 0.5, WIDTHS[image.dtype], has_mask)
        return to_layout(pixels)
