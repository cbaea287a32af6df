"""The model: log p(w|y) and its samples (paper equations 8 and 9)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.utils.sha import sha_fileobj
from torch import Tensor, nn

from ..checkpoint import Card, config_json, read_info
from ..checkpoint.tensors import read_tensors, write_checkpoint
from ..config import Config
from ..devices import (
    check_compiler,
    compile_options,
    exactly,
    has_float64,
    laid_out,
    memory_format,
    wide_zeros,
)
from ..errors import EXIT_WEIGHTS, CaflowError
from ..flows import (
    Anchor,
    Anchored,
    Autoregressive,
    ConditionalScale,
    ConditionalStep,
    DualGlow,
    Logit,
    MultiScaleFlow,
    Scale,
    SharedAutoregressive,
    Sizes,
    Step,
    VariationalNoise,
    noise_draws,
    standard_normal_log_prob,
)
from ..layers import Conv, Guide, UNet, fold
from ..paths import is_folder

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"  # as a Hub repository names them
_CONDITIONALS: dict[str, type[Autoregressive] | type[SharedAutoregressive] | type[DualGlow]] = {
    "caflow": Autoregressive,
    "shared": SharedAutoregressive,
    "dual-glow": DualGlow,
}
_GUIDES: dict[str, type[Guide] | type[UNet]] = {"sums": Guide, "unet": UNet}

__all__ = ["CAFlow", "Encoding", "LossTerms", "bits_per_dim"]


class Encoding(NamedTuple):
    """R(y), and what anchors pixels: all that scoring and sampling need of a condition, computed
    once."""

    d: list[Tensor]  # D_i, indexed by i
    size: tuple[int, int]  # height and width of y
    anchored: Anchored  # what pixels are anchored to
    reading: Any = None  # what F made of D alone, if it is kept (`CAFlow.read_condition`)

    @property
    def given(self) -> Any:
        """What F is given: D, or what it made of it."""
        return self.d if self.reading is None else self.reading


class _Flows(NamedTuple):
    """The flows, as they are trained or folded for inference."""

    A: Any
    R: Any
    Q: Any
    T: Any
    F: Any


class _Folded:
    """Flows folded for inference, and whether a weight or a module has changed since."""

    def __init__(self, trained: _Flows) -> None:
        parts = [part for part in trained if part is not None]
        modules = [module for part in parts for module in part.modules()]
        # The tables that hold the tensors: to look all modules up by name takes longer than R(y).
        self._tables = [t for m in modules for t in (m._parameters, m._buffers) if t]
        # All held, so that what replaces one cannot have its identity or its memory.
        self._trained = trained
        self._children = [(m._modules, list(m._modules.values())) for m in modules if m._modules]
        self._tensors = [tensor for table in self._tables for tensor in table.values()]
        self._state = self._read()
        self.flows = _Flows(*(None if part is None else fold(part) for part in trained))

    def _read(self) -> list[tuple[int, int, int]]:
        # In-place changes count versions up; `to` brings other memory, assignment other tensors.
        return [
            (id(tensor), tensor._version, tensor.data_ptr())
            for table in self._tables
            for tensor in table.values()
            if tensor is not None
        ]

    def is_stale(self, trained: _Flows) -> bool:
        return (
            any(now is not then for now, then in zip(trained, self._trained, strict=True))
            or any(list(table.values()) != children for table, children in self._children)
            or self._read() != self._state
        )


class LossTerms(NamedTuple):
    """What `CAFlow.forward` returns, each (B,) float64, in nats on the 8-bit scale."""

    log_prob: Tensor  # log p(w|y)
    cond_log_prob: Tensor  # log p(y)


def bits_per_dim(log_prob: Tensor | float, dims: int) -> Any:
    """`-log_prob / (D ln 2)`: nats to bits a dimension."""
    return -log_prob / (dims * math.log(2))


def _decode(
    flows: _Flows, latents: list[Tensor], d: Any, anchored: Anchored | None
) -> tuple[Tensor, Tensor]:
    """`CAFlow._decode_target`, of flows in either form: one graph, where it is compiled."""
    queue = list(latents)
    z = [[queue.pop() for _ in z_i] for z_i in flows.F.layout]
    l, logdet = flows.F.inverse(z, d)
    log_prob = sum((standard_normal_log_prob(z_j) for z_j in latents), -logdet)
    h, logdet = flows.T.inverse(l)
    log_prob = log_prob - logdet
    v, logdet = flows.A.inverse(h, anchored)
    return v, log_prob - logdet


class CAFlow(nn.Module, PyTorchModelHubMixin):
    """Conditional autoregressive flow.

        log p(w|y) = log|det dT/dw| + Σ_i Σ_{j<=i} [ log N(z_j^i; 0, I) + log|det df_j^i| ]

    of which A, from pixels to the real line, is T's first step here (docs/model.md).

    Images are (B, C, H, W), uint8 or floats on the 8-bit scale [0, 256); H and W are multiples of
    2^(n+1). Likelihoods are float64, (B,), in nats, densities on the 8-bit scale. Where a method
    takes `cond`, it takes the uint8 image at target size or what `encode_condition` made of it. A
    condition may hold one entry an image for M neighbouring candidates each in the target.

    Latents are a list in the order z_{n-1}^{n-1}, z_{n-2}^{n-1}, ..., z_0^0.
    """

    F: Autoregressive | SharedAutoregressive | DualGlow

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        config = config or Config()
        self.config = config
        flow = config.flow
        bound = flow.scale_bound
        self.logit = Logit(flow.alpha)
        self.R = MultiScaleFlow(flow.cond_channels, flow.r_steps, flow.widths, bound)
        self.Q = (
            VariationalNoise(flow.target_channels, flow.f_hidden, bound)
            if flow.dequantization == "variational"
            else None
        )
        guides = flow.guides
        net = _GUIDES[flow.guide_net]
        guide = net(flow.cond_channels, guides, 2 * flow.target_channels) if guides else None
        self.A = Anchor(flow.anchor, self.logit, guide, bound)
        self.T = MultiScaleFlow(flow.target_channels, flow.t_steps, flow.widths, bound)
        sizes = Sizes(
            target_channels=flow.target_channels,
            cond_channels=flow.cond_channels,
            scales=flow.scales,
            steps=flow.f_steps,
            hidden=flow.f_hidden,
            bound=bound,
            trunks=flow.trunks,
            trunk_blocks=flow.trunk_blocks,
        )
        self.F = _CONDITIONALS[flow.conditional](sizes)

        self.to(memory_format=memory_format(self.device))  # type: ignore[call-overload]
        self._folded: _Folded | None = None
        self._compiled: Callable[..., tuple[Tensor, Tensor]] | None = None

    # --- the inference form -----------------------------------------------------------------------

    def _flows(self) -> _Flows:
        """The flows: in `eval()` and without gradients folded, anew where a weight has changed.

        Folded flows take float64 values too: affine maps are float64 then, and nets stay as they
        are.
        """
        own = _Flows(self.A, self.R, self.Q, self.T, self.F)
        if self.training or torch.is_grad_enabled():
            return own
        if self._folded is None or self._folded.is_stale(own):
            self._folded = _Folded(own)
        return self._folded.flows

    def _point_type(self) -> torch.dtype:
        """Of points and latents that are to be recovered from each other: float64, where it is."""
        wide = not self.training and has_float64(self.device)
        return torch.float64 if wide else self.dtype

    def train(self, mode: bool = True) -> CAFlow:
        if mode:
            self._folded = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which fold and compile for themselves."""
        return {**self.__dict__, "_folded": None, "_compiled": None}

    # --- the density and its sampler, at float points --------------------------------------------

    def _encode_target(
        self, v: Tensor, d: Any, anchored: Anchored | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Equation 9 at v: latents and log p(v | y)."""
        flows = self._flows()
        h, log_prob = flows.A(v, anchored)
        l, logdet = flows.T(h)
        log_prob = log_prob + logdet
        z, logdet = flows.F(l, d)
        latents = [z_j for z_i in reversed(z) for z_j in reversed(z_i)]
        log_prob = log_prob + logdet + sum(standard_normal_log_prob(z_j) for z_j in latents)
        return latents, log_prob

    def _decode_target(
        self, latents: Sequence[Tensor], d: Any, anchored: Anchored | None = None
    ) -> tuple[Tensor, Tensor]:
        """Section 4.4: L_0 first, each L_i on the ones below it, then T^-1; and log p there."""
        flows = self._flows()
        if self._compiled is None or flows.F is self.F or latents[0].dtype != self.dtype:
            return _decode(flows, list(latents), d, anchored)
        v, log_prob = self._compiled(flows, list(latents), d, anchored)
        # The memory of a CUDA graph is its next run's.
        return v.clone(), log_prob.clone()

    def _dequantize(self, w: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """w + u, and -log q(u|w): 0 for uniform noise u, else of what Q makes of normal noise."""
        if self.Q is None:
            return w + noise, wide_zeros(w.shape[0], w)
        u, logdet = self._flows().Q(noise, w)
        return w + u, logdet + standard_normal_log_prob(noise, -1)

    def forward(
        self,
        target: Tensor,
        cond: Tensor,
        noise: Tensor | None = None,
        guide: Literal["learns", "alone", "fixed"] = "learns",
    ) -> LossTerms:
        """Loss terms: `log p(w + u | y) - log q(u|w)`, of which q is 1 for uniform u, and log p(y).

        Args:
            target: With `noise`, w as floats (B, C, H, W); without, a point w + u, whose
                log-density is taken as it is.
            cond: y + u', float in [0, 256); the same draw serves log p(y) and the condition.
            noise: (B, C, H, W): uniform u, or standard normal where `dequantization` is
                "variational".
            guide: "learns" with all else; "alone": the density that it has with nothing behind it,
                `log N(a(v; y); 0, I) + log|det da/dv|`, and 0 for log p(y); "fixed": it gets no
                gradient.
        """
        y = self._pixels(cond, "condition", self.config.flow.cond_channels)
        h, logdet = self.logit(y)
        with torch.set_grad_enabled(torch.is_grad_enabled() and guide != "fixed"):
            anchored = self.A.read(y, h)
        v = self._pixels(target, "target", self.config.flow.target_channels)
        self._check_size(v, tuple(y.shape[-2:]))
        self._check_batch(v.shape[0], y.shape[0])
        dequantized: Tensor | float = 0.0
        if noise is not None:
            v, dequantized = self._dequantize(v, self._layout(noise.to(v)))
        if guide == "alone":
            x, log_prob = self.A(v, anchored)
            log_prob = log_prob + standard_normal_log_prob(x)
            return LossTerms(log_prob + dequantized, wide_zeros(y.shape[0], y))
        d, term = self.R(h)
        cond_log_prob = logdet + term + sum(standard_normal_log_prob(d_i) for d_i in d)
        _, log_prob = self._encode_target(v, d, anchored)
        return LossTerms(log_prob + dequantized, cond_log_prob)

    # --- the public operations --------------------------------------------------------------------

    @exactly
    def encode_condition(self, cond: Tensor | Encoding) -> Encoding:
        """R(y), with y at its bin centres (u = 1/2). cond: uint8 (B, C, H, W)."""
        if isinstance(cond, Encoding):
            return cond
        self._check_uint8(cond, "condition")
        y = self._pixels(cond, "condition", self.config.flow.cond_channels)
        h, _ = self.logit(y)
        d, _ = self._flows().R(h)
        return Encoding(d, (cond.shape[-2], cond.shape[-1]), self._flows().A.read(y, h))

    @exactly
    def read_condition(self, cond: Tensor | Encoding) -> Encoding:
        """`encode_condition`, with all that F makes of it alone: for an image that is sampled or
        scored more than once. With the reference nets that is 0.4 kB a pixel."""
        encoding = self.encode_condition(cond)
        return encoding._replace(reading=self._flows().F.read(encoding.d))

    @exactly
    def encode(self, target: Tensor, cond: Tensor | Encoding) -> tuple[list[Tensor], Tensor]:
        """Latents and log-density of one point, in float64: `decode` gives back the point.

        A model stretches some points, samples of τ 1 and above among them, by more than float32
        could undo. The flows' values are float64 here, and what their nets say of them float32, in
        both directions alike. (In `train()`, and on Metal, all is in the model's type.)

        Args:
            target: Floats are that point. uint8 is taken at the bin centres, w + 1/2, where
                `to_uint8(decode(latents))` gives w back; a score of w is `log_prob`'s.
            cond: uint8 at target size, or `encode_condition`'s result.

        Returns:
            Latents in the order and of the shapes of `latent_shapes`, and nats (B,).

        Raises:
            CaflowError: A point without density, or of another size than its condition.
        """
        encoding = self.encode_condition(cond)
        v = self._pixels(target, "target", self.config.flow.target_channels, self._point_type())
        self._check_match(v, encoding)
        if not self.A.supports(v, encoding.anchored):
            raise CaflowError(
                f"target values reach from {float(v.min()):.6g} to {float(v.max()):.6g}",
                "pass floats in [0, 256), on the scale of 8-bit pixels",
            )
        return self._encode_target(v, encoding.given, encoding.anchored)

    @exactly
    def decode(self, latents: Sequence[Tensor], cond: Tensor | Encoding) -> tuple[Tensor, Tensor]:
        """The float target of these latents, and the log-density of exactly that point.

        Of float64 latents, as `encode` makes them, in float64; of others as `sample` does, in the
        model's type.

        Args:
            latents: Of the shapes `latent_shapes`, each with a batch (B, ...) in front.
            cond: uint8 at target size, or `encode_condition`'s result.

        Returns:
            The target (B, C, H, W), 8-bit scale, and nats (B,) float64.

        Raises:
            CaflowError: Latents of other shapes, or of a number that is no multiple of that of
                conditions.
        """
        encoding = self.encode_condition(cond)
        found = [tuple(z.shape[1:]) for z in latents]
        if found != self.latent_shapes(encoding.size):
            raise CaflowError(
                f"{len(found)} latents of shapes {found}",
                f"pass those of encode, in its order: {self.latent_shapes(encoding.size)}",
            )
        self._check_batch(latents[0].shape[0], encoding.d[0].shape[0])
        wide = all(z.dtype == torch.float64 for z in latents)
        dtype = self._point_type() if wide else self.dtype
        latents = [self._layout(z.to(self.device, dtype)) for z in latents]
        return self._decode_target(latents, encoding.given, encoding.anchored)

    @exactly
    def log_prob(self, target: Tensor, cond: Tensor | Encoding, noise_samples: int = 1) -> Tensor:
        """Log-likelihood of 8-bit images, (B,) float64: an estimate of a lower bound on their
        discrete log-probability.

        Uniform dequantization: `mean_k log p(w + u_k | y)` over K fixed noise draws. Variational:
        `log mean_k p(w + u_k | y) / q(u_k | w)`. The draws are the same for every image of a size:
        the same pair always scores the same.

        Args:
            target: uint8 (B, C, H, W).
            cond: uint8 at target size, or `encode_condition`'s result.
            noise_samples: K.
        """
        return self.log_prob_with_error(target, cond, noise_samples)[0]

    @exactly
    def log_prob_with_error(
        self, target: Tensor, cond: Tensor | Encoding, noise_samples: int = 1
    ) -> tuple[Tensor, Tensor]:
        """`log_prob`, and its standard error over the draws, nats: NaN for K = 1.

        With variational dequantization the weights p/q are heavy-tailed, and the error of their
        mean is indicative only.
        """
        terms = self.log_prob_samples(target, cond, noise_samples)
        if self.Q is None:
            value, deviations = terms.mean(0), terms
        else:
            value = terms.logsumexp(0) - math.log(noise_samples)
            # The delta method, for the logarithm of a mean.
            deviations = (terms - value).exp()
        if noise_samples == 1:
            return value, torch.full_like(value, math.nan)
        return value, deviations.std(0) / math.sqrt(noise_samples)

    @exactly
    def log_prob_samples(
        self, target: Tensor, cond: Tensor | Encoding, noise_samples: int = 1
    ) -> Tensor:
        """The K terms of `log_prob`, `log p(w + u_k | y) - log q(u_k | w)`: (K, B)."""
        self._check_uint8(target, "target of a score")
        if noise_samples < 1:
            raise CaflowError(f"noise_samples is {noise_samples}", "pass 1 or more")
        encoding = self.encode_condition(cond)
        self._pixels(target, "target", self.config.flow.target_channels)
        self._check_match(target, encoding)
        _, c, h, w = target.shape
        draws = noise_draws((c, h, w), normal=self.Q is not None)
        pixels = self._layout(target.to(self.device, self.dtype))
        terms = []
        for noise in islice(draws, noise_samples):
            v, term = self._dequantize(pixels, self._layout(noise.to(pixels).expand_as(pixels)))
            terms.append(self._encode_target(v, encoding.given, encoding.anchored)[1] + term)
        return torch.stack(terms)

    @exactly
    def sample(
        self,
        cond: Tensor | Encoding,
        tau: float = 1.0,
        candidates: int = 1,
        seed: int | Sequence[int] = 0,
        first: int = 0,
    ) -> Tensor:
        """Draws from p(w|y) at temperature tau: (B, M, C, H, W) float, unranked.

        Candidate k of every image uses the noise of generator `seed + k`, whatever the batch.

        Args:
            cond: uint8 (B, C, H, W), or `encode_condition`'s result: encoded once for all M.
            tau: Standard deviation of the latents.
            candidates: M.
            seed: One for all images, or one an image.
            first: k of the first candidate, for callers that draw in several batches.
        """
        encoding = self.encode_condition(cond)
        batch = encoding.d[0].shape[0]
        seeds = [int(s) for s in seed] if isinstance(seed, Iterable) else [int(seed)] * batch
        if candidates < 1 or len(seeds) != batch:
            raise CaflowError(
                f"{candidates} candidates and {len(seeds)} seeds for {batch} images",
                "pass candidates of 1 or more, and one seed, or one an image",
            )
        known: dict[int, list[Tensor]] = {}
        noise: list[list[Tensor]] = []
        for s in seeds:
            for k in range(first, first + candidates):
                if s + k not in known:
                    known[s + k] = self.latent_noise(s + k, encoding.size)
                noise.append(known[s + k])
        latents = [
            self._layout(tau * torch.stack(z).to(self.device, self.dtype))
            for z in zip(*noise, strict=True)
        ]
        v, _ = self._decode_target(latents, encoding.given, encoding.anchored)
        draws: Tensor = v.unflatten(0, (batch, candidates))  # type: ignore[no-untyped-call]
        return draws

    def latent_noise(self, seed: int, size: tuple[int, int]) -> list[Tensor]:
        """Standard normal latents of one image of that height and width, float32, on the CPU."""
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(shape, generator=generator) for shape in self.latent_shapes(size)]

    # --- shapes, types, checks --------------------------------------------------------------------

    def latent_shapes(self, size: tuple[int, int]) -> list[tuple[int, int, int]]:
        """(C, H, W) of every latent, in the order z_{n-1}^{n-1}, ..., z_0^0."""
        height, width = size
        return [
            (channels, height >> halvings, width >> halvings)
            for z_i in reversed(self.F.layout)
            for channels, halvings in reversed(z_i)
        ]

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def dims(self, size: tuple[int, int]) -> int:
        """D = dim(w) of an image of that height and width."""
        return self.config.flow.target_channels * size[0] * size[1]

    def use_bf16(self, enabled: bool = True) -> None:
        """Let the nets run in bfloat16 while in `train()`; scores and samples never do."""
        for module in self.modules():
            if isinstance(module, Conv):
                module.bf16 = enabled

    def checkpoint_activations(self, enabled: bool = True) -> None:
        """Keep only what passes between flow steps for the backward pass, and compute the rest
        again there: less memory, and half as much time again (docs/training.md)."""
        for module in self.modules():
            if isinstance(module, Scale | ConditionalScale):
                module.recompute = enabled

    def compile_steps(self, backend: str = "inductor") -> None:
        """Compile the flow steps (`torch.compile`) when they first run: one graph a shape of step.

        For training, behind the first batch: actnorms must be initialised. Needs a C++ compiler on
        a CPU.
        """
        for module in self.modules():
            if isinstance(module, Step | ConditionalStep):
                # By its own `forward`: graphs of a class count apart against the compiler's limit.
                compiled = torch.compile(module.forward, dynamic=False, backend=backend)
                module.forward = compiled  # type: ignore[method-assign]

    def compile_inference(self, backend: str = "inductor") -> None:
        """Compile what draws (`sample`, and `decode` of latents in the model's type), one graph for
        a size and number of candidates.

        On CUDA it runs as a CUDA graph. Scores stay as they are: `log_prob` and `encode` are never
        compiled, so a candidate is scored by the same operations as without. Draws differ by
        rounding, as they do between devices. Compiling takes minutes, when a size first comes; the
        ninth size and those behind it are not compiled. Copies of the model are not compiled.

        Args:
            backend: Of `torch.compile`.

        Raises:
            CaflowError: Nothing to compile with on the model's device (exit code 2).
        """
        if backend == "inductor":
            check_compiler(self.device)
        options = compile_options(self.device, backend)
        self._compiled = torch.compile(_decode, dynamic=False, **options)

    def _layout(self, x: Tensor) -> Tensor:
        return laid_out(x)

    def _pixels(
        self, image: Tensor, what: str, channels: int, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Floats on the 8-bit scale, on the model's device and in its layout; uint8 at u = 1/2.

        `dtype`: by default the model's.
        """
        multiple = self.config.flow.multiple
        if image.ndim != 4 or image.shape[1] != channels or not image.numel():
            raise CaflowError(
                f"the {what} has shape {tuple(image.shape)}", f"pass (B, {channels}, H, W)"
            )
        height, width = image.shape[-2:]
        if height % multiple or width % multiple:
            raise CaflowError(
                f"the {what} is {width}×{height} pixels",
                f"pad its sides to multiples of {multiple}",
            )
        pixels = image.to(self.device, dtype or self.dtype)
        if image.dtype == torch.uint8:
            pixels = pixels + 0.5
        return self._layout(pixels)

    def _check_uint8(self, image: Tensor, what: str) -> None:
        if image.dtype != torch.uint8:
            raise CaflowError(
                f"the {what} is {image.dtype}, not uint8",
                "pass 8-bit images; encode takes a target at a float point",
            )

    def _check_match(self, target: Tensor, encoding: Encoding) -> None:
        self._check_size(target, encoding.size)
        self._check_batch(target.shape[0], encoding.d[0].shape[0])

    def _check_size(self, target: Tensor, size: tuple[int, ...]) -> None:
        if tuple(target.shape[-2:]) != size:
            raise CaflowError(
                f"targets of {tuple(target.shape[-2:])} pixels, conditions of {size}",
                "pass a condition of the target's size",
            )

    def _check_batch(self, batch: int, images: int) -> None:
        if batch % images:
            raise CaflowError(
                f"{batch} targets of {images} conditions",
                "pass one condition an image, with equally many neighbouring targets each",
            )

    # --- files and the Hub ------------------------------------------------------------------------

    def push_to_hub(
        self, repo_id: str, *, model_card_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> str:
        """Commit `config.json`, `model.safetensors` and, where there is none, a model card.

        Args:
            repo_id: `user/name`; made if new.
            model_card_kwargs: `license`, `data` and `metrics` for the card.
            kwargs: As `PyTorchModelHubMixin`: `private`, `branch`, `commit_message`, `token`, ...

        Returns:
            The URL of the commit.
        """
        card = {"repo": repo_id, **(model_card_kwargs or {})}
        return super().push_to_hub(repo_id, model_card_kwargs=card, **kwargs)

    def generate_model_card(self, **card: Any) -> ModelCard:
        """The card of this model; `card` are fields of `checkpoint.Card`."""
        return ModelCard(Card(self.config, **card).text)

    def save(
        self, path: Path, training: dict[str, Any] | None = None, *, bf16_convs: bool = False
    ) -> None:
        """Write a model file, `*.safetensors`, whole or not at all (`checkpoint.tensors`)."""
        write_checkpoint(path, self.state_dict(), self.config, training, bf16_convs=bf16_convs)

    @classmethod
    def load(cls, path: Path) -> CAFlow:
        """The model of a file, float32, in `eval()`, on the CPU. `read_info` has its record.

        Raises:
            CaflowError: (exit 3) what `read_info` and `read_tensors` refuse.
        """
        info = read_info(path)  # before any memory is taken: the file holds what its config asks
        tensors = read_tensors(path)
        model = cls(info.config)
        model.load_state_dict(tensors)
        return model.eval()

    def _save_pretrained(self, save_directory: Path) -> None:
        self.save(save_directory / _WEIGHTS)
        (save_directory / _CONFIG).write_text(config_json(self.config), encoding="utf-8")

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        **_: Any,
    ) -> CAFlow:
        """The model of a folder, or of a Hub repository, from its two files."""
        if is_folder(Path(model_id)):
            return cls.load(Path(model_id) / _WEIGHTS)
        weights = hf_hub_download(
            model_id,
            _WEIGHTS,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )
        _check_digest(Path(weights), model_id)
        return cls.load(Path(weights))


def _check_digest(weights: Path, model_id: str) -> None:
    """The Hub's cache names what a large file's link leads to by its sha256."""
    stated = weights.resolve().name
    with weights.open("rb") as file:
        if len(stated) == 64 and sha_fileobj(file).hex() != stated:
            raise CaflowError(
                f"the cached weights of {model_id!r} have another sha256 than {stated[:12]}…",
                f"caflow models pull {model_id}, or force_download=True",
                EXIT_WEIGHTS,
            )
