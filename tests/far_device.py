"""A device that is not there: it computes on the CPU, and refuses what Metal cannot.

Tensors "on" it say so (`device.type` is `FAR`) and cannot meet a tensor of the CPU with dimensions,
nor be or become float64. Only moving there and back crosses over.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from caflow_cli import devices

FAR = "lazy"  # a type that PyTorch knows, and whose backward pass it runs where the CPU's runs
_MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class FarTensor(torch.Tensor):
    @staticmethod
    def __new__(cls, near):
        if near.dtype == torch.float64:
            raise RuntimeError("float64 on a device that has none")
        return torch.Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), dtype=near.dtype, device=f"{FAR}:0"
        )

    def __init__(self, near):
        self.near = near

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func, args, kwargs):
    operands = [a for a in tree_flatten((args, kwargs))[0] if isinstance(a, torch.Tensor)]
    from_far = any(isinstance(a, FarTensor) for a in operands)
    device = kwargs.get("device")
    target = None if device is None else torch.device(device).type
    if from_far and func not in _MOVES:
        for a in operands:
            if not isinstance(a, FarTensor) and a.ndim:
                raise RuntimeError(f"{func} of tensors on two devices")
    if func is torch.ops.aten._to_copy.default and from_far and target == "cpu":
        dtype = kwargs.get("dtype")
        if dtype == torch.float64 and args[0].dtype != torch.float64:
            raise RuntimeError("float64 before the move to the CPU")
    near = tree_map(lambda a: a.near if isinstance(a, FarTensor) else a, (args, kwargs))
    if target == FAR:
        near[1]["device"] = torch.device("cpu")
    out = func(*near[0], **near[1])
    if func is torch.ops.aten.copy_.default:
        return args[0]
    stays = target == FAR or (from_far and target is None)
    return (
        tree_map(lambda a: FarTensor(a) if isinstance(a, torch.Tensor) else a, out)
        if stays
        else out
    )


class _Factories(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Moves(TorchFunctionMode):
    """`Tensor.to`, which PyTorch would not let through for want of the device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.to:
            x, *rest = args
            device, dtype = kwargs.get("device"), kwargs.get("dtype")
            for one in rest:
                if isinstance(one, torch.Tensor):
                    device, dtype = one.device, one.dtype
                elif isinstance(one, torch.dtype):
                    dtype = one
                elif isinstance(one, str | torch.device):
                    device = torch.device(one)
            if device is not None and torch.device(device).type == FAR and x.device.type == "cpu":
                return torch.ops.aten._to_copy(x, device=torch.device(FAR, 0), dtype=dtype)
        return func(*args, **kwargs)


@contextmanager
def far_device():
    """The device is there, and the package takes it for one like `mps`."""
    with pytest.MonkeyPatch.context() as patch, _Factories(), _Moves():
        for name, lacking in devices.LACKING.items():
            assert "mps" in lacking
            patch.setitem(devices.LACKING, name, {FAR})
        yield torch.device(FAR, 0)
