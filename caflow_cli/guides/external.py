"""A published network as the guide, in any architecture that spandrel knows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..config import FlowConfig
from ..errors import EXIT_WEIGHTS, CaflowError, reason_of, usage_error

NET = "net."  # prefix of the network's tensors within the guide


class External(nn.Module):
    """A frozen network that restores or enlarges images, as spandrel builds it from its tensors.

    Its tensors are those of its file, with their names, shapes and dtypes. They are kept beside the
    network, because some networks overwrite their own at every call, and are no parameters of the
    model. Without tensors (`set_tensors`, `load_state_dict`) there is no network.

    Args:
        factor: How many times the image is enlarged; 1 for denoising and the like.

    Shapes: (B, 3, H, W) -> (B, 3, factor H, factor W), both in [0, 1].
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.tensors: dict[str, Tensor] = {}
        self.network: Any = None  # spandrel's descriptor, which is no module
        self._device = torch.device("cpu")

    def set_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Build the network from the tensors of its file; see `build_network`."""
        self.tensors = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
        self.network = build_network(self.tensors).to(self._device)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        # One image at a time, as spandrel's interface has it; so the batch does not change the
        # bits. Clones, because tensors of inference mode never get a gradient.
        return torch.cat([self.network(image.float()).clone() for image in x.split(1)])

    def reach(self, most: int) -> int:
        """How far from a pixel of its input the output depends on it, at most `most`, in pixels.

        Measured on noise, whose center is inverted.
        """
        center = most + 1
        side = 2 * center + 1
        x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        changed = x.clone()
        changed[..., center, center] = 1 - x[..., center, center]
        before = self(x.to(self._device))
        after = self(changed.to(self._device))
        differs = (before != after).any(1)
        places = differs[0].nonzero() // self.factor - center
        return min(most, int(places.abs().max())) if len(places) else 0

    def __deepcopy__(self, memo: dict[int, Any]) -> External:
        return copy.copy(self)  # it is frozen, so that copies share the network

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> External:
        device = fn(torch.empty(0)).device
        if device != self._device and device.type != "meta":
            self._device = device
            if self.tensors:
                self.set_tensors(self.tensors)
        return self

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        for name, tensor in self.tensors.items():
            destination[f"{prefix}{NET}{name}"] = tensor

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        start = prefix + NET
        tensors = {k.removeprefix(start): v for k, v in state_dict.items() if k.startswith(start)}
        if tensors:
            self.set_tensors(tensors)
        else:
            missing_keys = others[2]
            missing_keys.append(start)


def build(flow: FlowConfig) -> External:
    return External(flow.guide_factor)


def build_network(tensors: dict[str, Tensor]) -> Any:
    """Build the network of these tensors: spandrel's descriptor, float32, in `eval()`, on the CPU.

    Raises:
        CaflowError: (exit 2) spandrel knows no such architecture, or the network needs a mask.
            (exit 3) spandrel is not installed, or the tensors do not fit their architecture.
    """
    try:
        import spandrel
    except ImportError as error:
        raise CaflowError(
            "this guide needs spandrel", 'pip install -e ".[restorer]"', EXIT_WEIGHTS
        ) from error
    hint = "a network for enlarging or restoring images, in an architecture that spandrel lists"
    try:
        copies = {name: tensor.clone() for name, tensor in tensors.items()}
        network = spandrel.ModelLoader("cpu").load_from_state_dict(copies)
    except spandrel.UnsupportedModelError as error:
        raise usage_error("spandrel knows no architecture with these tensors", hint) from error
    except Exception as error:  # of a damaged file: anything
        raise CaflowError(
            f"the guide's tensors do not fit an architecture: {reason_of(error)}",
            "copy the file again",
            EXIT_WEIGHTS,
        ) from error
    if not isinstance(network, spandrel.ImageModelDescriptor):
        raise usage_error(f"a network of {network.architecture.name} needs a mask", hint)
    network.model.float().requires_grad_(False)
    return network.eval()
