"""A model as a `Reconstructor` and as a `Prior` of deepinv: python deepinv_adapter.py"""

from typing import Any

import deepinv
import numpy as np
import torch
from PIL import Image

import caflow_cli as caflow
from caflow_cli.assets import example_path
from caflow_cli.images import read_image


class Reconstruction(deepinv.models.Reconstructor):
    """A sample of p(w|y) for each small image; at τ 0 the most faithful image."""

    def __init__(self, model: caflow.CAFlow, tau: float | None = None) -> None:
        super().__init__()
        self.model = model
        self.tau = tau

    def forward(
        self, y: torch.Tensor, physics: Any = None, seed: int = 0, **_: Any
    ) -> torch.Tensor:
        images = []
        for small in (255 * y.clamp(0, 1)).round().byte():
            result = caflow.restore(self.model, small, self.tau, 1, seed=seed)
            images.append(result.ranked[0].image)
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(y) / 255


class Posterior(deepinv.optim.Prior):
    """-log p(w|y) in nats, of the pixels on [0, 1]; `grad` differentiates it."""

    def __init__(self, model: caflow.CAFlow, enlarged: torch.Tensor) -> None:
        super().__init__()
        self.explicit_prior = True
        self.density = model.density.requires_grad_(False)
        self.condition, _ = self.density.condition(255 * enlarged + 0.5)
        self.nats = enlarged[0].numel() * np.log(255)  # of the change of scale

    def fn(self, x: torch.Tensor, *_: Any, **options: Any) -> torch.Tensor:
        _, log_prob = self.density.forward(255 * x.clamp(0, 1) + 0.5, self.condition)
        return -(log_prob + self.nats)


def main() -> None:
    model = caflow.load("faces-superres-x4")
    small = read_image(example_path("face"))  # 16×16
    y = torch.from_numpy(small.copy()).permute(2, 0, 1)[None] / 255
    image = Reconstruction(model, tau=0.5)(y)

    enlarged = np.asarray(Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)) / 255
    prior = Posterior(model, torch.from_numpy(enlarged).permute(2, 0, 1)[None].float())
    gradient = prior.grad(image)
    print(f"{prior(image).item():.0f} nats, gradient {tuple(gradient.shape)}")


if __name__ == "__main__":
    main()
