"""`mps`, as far as it can be tested without one: a CPU that refuses float64 and other tensors."""

import copy
from contextlib import contextmanager

import helpers
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
    """Handles `Tensor.to`, which PyTorch would reject because the device does not exist."""

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


SIZE = 16
VARIANTS = [
    {"conditional": "shared", "trunk": (8, 6), "cond_channels": 1, "anchor": "luminance"},
    {"conditional": "dual-glow", "dequantization": "variational"},
    {
        "cond_channels": 4,
        "anchor": "fill",
        "guide": (4, 5, 6),
        "guide_net": "unet",
        "guide_views": 2,
        "spread": 5,
    },
]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda flow: str(flow) or "default")
def model(request):
    config = helpers.small_config(scales=2, t_steps=1, **request.param)
    return helpers.data_like_model(config, seed=3, size=SIZE)


def test_the_device_refuses_float64_and_mixing():
    with far_device() as device:
        x = torch.ones(3).to(device)
        assert x.device.type == FAR
        assert (x + 1).cpu().tolist() == [2, 2, 2]
        for refused in (
            lambda: x.double(),
            lambda: x.sum(dtype=torch.float64),
            lambda: torch.zeros(2, dtype=torch.float64, device=device),
            lambda: torch.ones(3, dtype=torch.float64).to(device),
            lambda: x.to("cpu", torch.float64),
            lambda: x + torch.ones(3),
        ):
            with pytest.raises(RuntimeError, match=r"float64|two devices"):
                refused()


def test_scores_and_samples_need_no_float64_there(model):
    target, cond = helpers.image_pair(model, 2, SIZE)
    kwargs = {"tau": 0.8, "candidates": 2, "seed": 5}
    scores, points = model.log_prob(target, cond, 2), model.sample(cond, **kwargs)
    with far_device() as device:
        far = copy.deepcopy(model).to(device)
        assert far.device.type == FAR
        score = far.log_prob(target, cond, 2)
        drawn = far.sample(cond, **kwargs)
        latents, at_centers = far.encode(target, cond)
        back, log_prob = far.decode(latents, cond)
        assert drawn.device.type == back.device.type == FAR
        drawn, back = drawn.cpu(), back.cpu()
    assert score.dtype == at_centers.dtype == log_prob.dtype == torch.float64
    assert score.device.type == "cpu"
    torch.testing.assert_close(score, scores, rtol=0, atol=1e-2)
    torch.testing.assert_close(log_prob, at_centers, rtol=0, atol=0.05)
    torch.testing.assert_close(drawn, points, rtol=0, atol=0.02)
    assert torch.equal(back.floor().to(torch.uint8), target)


def test_gradients_need_no_float64_there(model):
    target, cond = helpers.image_pair(model, 2, SIZE)
    noise = helpers.first_noise(target.shape[1:], 2, normal=model.Q is not None)

    def gradient(copied, *batch):
        copied.train()
        state = copied.state_dict()
        fresh = {n: torch.tensor(False) for n in state if n.endswith("initialized")}
        copied.load_state_dict({**state, **{n: t.to(copied.device) for n, t in fresh.items()}})
        terms = copied(*batch)
        (-terms.log_prob - 0.01 * terms.cond_log_prob).sum().backward()
        return [p.grad for p in copied.parameters()]

    batch = (target.float(), cond + 0.5, noise)
    near = copy.deepcopy(model)
    gradients = gradient(near, *batch)
    with far_device() as device:
        far = gradient(copy.deepcopy(model).to(device), *(x.to(device) for x in batch))
        far = [g.cpu() for g in far]
    for own, other in zip(gradients, far, strict=True):
        torch.testing.assert_close(other, own, rtol=1e-2, atol=1e-3 * float(own.abs().max()) + 1e-6)
