"""Speed and memory of ranked candidates, or of a training step, on an idle machine:

    python tests/benchmarks/speed.py [--preset compact] [--side 64] [-m 10]
    python tests/benchmarks/speed.py --train [--batch 32]

Prints one JSON line: the median of seconds, GFLOP/s beside those of a large convolution, peak GB.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from caflow_cli.config import Config
from caflow_cli.devices import keep_memory, select_device
from caflow_cli.layers import ConvNet
from caflow_cli.model import CAFlow
from caflow_cli.restoration import restore
from caflow_cli.tasks import preset
from caflow_cli.training import OptimConfig, RunConfig
from caflow_cli.training.sets import Batch
from caflow_cli.training.trainer import Trainer

SIDE = 64


def random_batch(flow: Any, size: int) -> Batch:
    noise = torch.randn if flow.dequantization == "variational" else torch.rand
    target = torch.randint(0, 256, (size, flow.target_channels, SIDE, SIDE)).float()
    cond = 256 * torch.rand(size, flow.cond_channels, SIDE, SIDE)
    return Batch(target, cond, noise(target.shape), torch.full((size,), -1))


def timed(run: Callable[[], Any], rounds: int) -> float:
    """The median of seconds, after a first round that packs, folds and fills caches."""
    times = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        run()
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def peak_gb(device: torch.device) -> float:
    """Of a CUDA device, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if "VmHWM" in line) / 1e6


def ceiling(device: torch.device, rounds: int) -> float:
    """GFLOP/s of a large float32 convolution."""
    x = torch.randn(16, 128, 32, 32, device=device).to(memory_format=torch.channels_last)
    conv = torch.nn.Conv2d(128, 128, 3, padding=1, device=device)
    conv = conv.to(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * 16 * 32 * 32 * 9 * 128**2 / timed(lambda: conv(x), rounds) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="compact")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("-m", "--candidates", type=int, default=10)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--batch", type=int, default=32)
    given = parser.parse_args()
    keep_memory()
    torch.manual_seed(0)
    device, flow = select_device(given.device), preset(given.preset)
    model = CAFlow(Config(flow))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, ConvNet):
                module.last.weight.normal_(std=0.03 * module.last.weight[0].numel() ** -0.5)
        model.train()(*random_batch(flow, 4)[:3])  # sets the actnorms
    if given.train:
        optim = OptimConfig(batch_size=given.batch, images=1)
        run = RunConfig("none", "none", optim, flow, init_from="none")
        trainer = Trainer(model, Accelerator(cpu=device.type == "cpu"), run)
        data = random_batch(flow, given.batch)
        with FlopCounterMode(display=False) as counter:
            sum(part.sum() for part in model(*random_batch(flow, 2)[:3])).backward()
        gflop, count = given.batch * counter.get_total_flops() / 2e9, given.batch
        seconds = timed(lambda: trainer.step(data, 1e-5), given.rounds)
    else:
        model.eval().to(device)
        rows, columns = np.mgrid[: given.side // 4, : given.side // 4] * (4 * math.pi / given.side)
        waves = np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=2)
        image, count = (128 + 60 * waves).astype(np.uint8), given.candidates
        with FlopCounterMode(display=False) as counter:
            restore(model, image, 0.8, count)
        gflop = counter.get_total_flops() / 1e9
        seconds = timed(lambda: restore(model, image, 0.8, count), given.rounds)
    figures = {
        "seconds": seconds,
        "images_per_second": count / seconds,
        "gflops": gflop / seconds,
        "ceiling_gflops": ceiling(device, given.rounds),
        "peak_gb": peak_gb(device),
    }
    print(json.dumps({**vars(given), **figures}))


if __name__ == "__main__":
    main()
