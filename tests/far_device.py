"""A device that is not there: its tensors compute on the CPU, and refuse tensors of the CPU.

It shows where two devices meet, and where float64 is asked of one that has none. It does not show
kernels, streams, memory, or random numbers of a card; nor speed.
"""

import importlib
from contextlib import contextmanager, nullcontext

import pytest
import torch
from accelerate import Accelerator
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from caflow_cli import devices

FAR = "lazy"  # a type that PyTorch knows, and whose backward pass it runs where the CPU's runs
PROFILES = ("mps", "cuda")  # without float64, and with it
_MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_JOINS = (torch.ops.aten.cat.default, torch.ops.aten.stack.default)
_INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default)


class FarTensor(torch.Tensor):
    @staticmethod
    def __new__(cls, near):
        if near.dtype == torch.float64 and _lacks("float64"):
            raise RuntimeError("float64 on a device that has none")
        return torch.Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), dtype=near.dtype, device=f"{FAR}:0"
        )

    def __init__(self, near):
        self.near = near

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _lacks(feature):
    return FAR in devices.LACKING[feature]


def _operands(values):
    """The tensors of an operator, which takes them alone and in lists."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _operands(value)


def _each(convert, value):
    if isinstance(value, list | tuple):
        return type(value)([_each(convert, one) for one in value])
    return convert(value) if isinstance(value, torch.Tensor) else value


def _near(tensor):
    return tensor.near if isinstance(tensor, FarTensor) else tensor


def _run(func, args, kwargs):
    operands = list(_operands((*args, *kwargs.values())))
    from_far = any(isinstance(a, FarTensor) for a in operands)
    device = kwargs.get("device")
    target = None if device is None else torch.device(device).type
    # A far tensor may be indexed by one of the CPU, but not the other way around.
    indexes = func in _INDEXING and isinstance(args[0], FarTensor)
    if from_far and func not in _MOVES and not indexes:
        for a in operands:
            if not isinstance(a, FarTensor) and (a.ndim or func in _JOINS):
                raise RuntimeError(f"{func} of tensors on two devices")
    if func is torch.ops.aten._to_copy.default and from_far and target == "cpu":
        dtype = kwargs.get("dtype")
        if dtype == torch.float64 and args[0].dtype != torch.float64 and _lacks("float64"):
            raise RuntimeError("float64 before the move to the CPU")
    named = {name: _each(_near, value) for name, value in kwargs.items()}
    if target == FAR:
        named["device"] = torch.device("cpu")
    out = func(*_each(_near, args), **named)
    if func is torch.ops.aten.copy_.default:
        return args[0]
    stays = target == FAR or (from_far and target is None)
    return _each(FarTensor, out) if stays else out


class _Factories(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Moves(TorchFunctionMode):
    """Handles what PyTorch would reject, because the device does not exist or is a subclass."""

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
        if func is torch.Tensor.new_tensor and isinstance(args[0], FarTensor):
            near = torch.tensor(args[1], dtype=args[0].dtype)
            return torch.ops.aten._to_copy(near, device=args[0].device)
        if func is torch.Tensor.tolist and isinstance(args[0], FarTensor):
            return args[0].detach().near.tolist()
        return func(*args, **kwargs)


@contextmanager
def far_device(profile):
    """The device is there, and selected whatever is named; it lacks what the profile's lacks."""
    device = torch.device(FAR, 0)
    with pytest.MonkeyPatch.context() as patch, _Factories(), _Moves():
        for name, lacking in devices.LACKING.items():
            if profile in lacking:
                patch.setitem(devices.LACKING, name, {FAR})
        for module in ("caflow_cli.devices", "caflow_cli.training.loop"):
            patch.setattr(f"{module}.select_device", lambda *_: device)
        patch.setattr(Accelerator, "device", property(lambda _: device))
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # unknown there
        fused = importlib.import_module("torch.optim.optimizer")  # which `torch.optim` hides
        patch.setattr(fused, "_get_fused_kernels_supported_devices", lambda: [FAR])
        yield device
