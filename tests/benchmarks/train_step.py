"""Speed and memory of a training step, by one command on an idle machine:

    python tests/benchmarks/train_step.py --preset compact --batch 32 --batch 64

Every variant runs in processes of its own, in turn, `--rounds` times; medians are printed as a
table (and `--json` writes them), with the ratio to `plain`, and the share of the machine's
convolution ceiling, measured in the same process. `--profile` names the operations that cost most.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# What each variant sets in `OptimConfig`.
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compiled": {"compile": True},
    "checkpointed": {"checkpoint_activations": True},
}
SIZE = 64


def synchronize() -> None:
    """Wait until the accelerator, if there is one, has finished its work."""
    import torch

    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def ceiling(device: str) -> float:
    """GFLOP/s of a large convolution in channels_last, in the type that nets train in here."""
    import torch

    from caflow_cli.devices import net_type

    dtype = net_type(torch.float32, torch.device(device), training=True, bf16=True)
    kind = {"dtype": dtype, "device": device}
    x = torch.randn(32, 128, 32, 32, **kind).to(memory_format=torch.channels_last)
    conv = torch.nn.Conv2d(128, 128, 3, padding=1, **kind)
    conv = conv.to(memory_format=torch.channels_last)
    work = 2 * x.shape[0] * 128 * 128 * 9 * 32 * 32
    best = 0.0
    with torch.no_grad():
        for _ in range(12):
            begin = time.perf_counter()
            conv(x)
            synchronize()
            best = max(best, work / (time.perf_counter() - begin) / 1e9)
    return best


def measure(
    flow: dict[str, Any], preset: str, batch: int, variant: str, steps: int, device: str
) -> None:
    """One variant, in this process: prints its figures as JSON."""
    import dataclasses

    import torch
    from accelerate import Accelerator
    from restore import peak_gb
    from torch.utils.flop_counter import FlopCounterMode

    from caflow_cli.config import Config
    from caflow_cli.config import preset as preset_named
    from caflow_cli.model import CAFlow
    from caflow_cli.training import OptimConfig, RunConfig
    from caflow_cli.training.data import Batch
    from caflow_cli.training.loop import Trainer

    torch.manual_seed(0)
    config = dataclasses.replace(preset_named(preset), **flow)
    model = CAFlow(Config(config))
    optim = OptimConfig(batch_size=batch, images=1, **VARIANTS[variant])
    run = RunConfig("none", "none", optim, config, init_from="none")
    one = Trainer(model, Accelerator(cpu=device == "cpu"), run)
    normal = config.dequantization == "variational"
    data = Batch(
        torch.randint(0, 256, (batch, config.target_channels, SIZE, SIZE)).float(),
        256 * torch.rand(batch, config.cond_channels, SIZE, SIZE),
        (torch.randn if normal else torch.rand)(batch, config.target_channels, SIZE, SIZE),
        torch.full((batch,), -1),
    )
    begin = time.perf_counter()
    one.initialise(data)
    one.step(data, 1e-5)
    first = time.perf_counter() - begin
    one.step(data, 1e-5)
    times = []
    for _ in range(steps):
        begin = time.perf_counter()
        one.step(data, 1e-5)
        synchronize()
        times.append(time.perf_counter() - begin)
    peak = peak_gb(device)
    with FlopCounterMode(display=False) as counter:
        few = Batch(*(part[:2] for part in data))
        sum(part.sum() for part in model(*few.points)).backward()
    flops = counter.get_total_flops() / 2  # an image
    speed = batch / statistics.median(times)
    print(
        json.dumps(
            {
                "images_per_second": speed,
                "peak_gb": peak,
                "first_step_s": first,
                "gflop_per_image": flops / 1e9,
                "gflops": speed * flops / 1e9,
                "ceiling_gflops": ceiling(device),
                "threads": torch.get_num_threads(),
                "parameters": sum(p.numel() for p in model.parameters()),
            }
        )
    )


def profile(flow: dict[str, Any], preset: str, batch: int) -> None:
    """The operations that cost most in a plain step, forward and backward."""
    import dataclasses

    import torch
    from torch.profiler import ProfilerActivity

    from caflow_cli.config import Config
    from caflow_cli.config import preset as preset_named
    from caflow_cli.model import CAFlow
    from caflow_cli.training.optim import use_bf16

    model = CAFlow(Config(dataclasses.replace(preset_named(preset), **flow))).train()
    use_bf16(model)
    shape = (batch, model.config.flow.target_channels, SIZE, SIZE)
    w, u = torch.randint(0, 256, shape).float(), torch.rand(shape)
    y = 256 * torch.rand(batch, model.config.flow.cond_channels, SIZE, SIZE)
    for _ in range(2):
        (-model(w, y, u).log_prob.mean()).backward()
    with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as recorded:
        (-model(w, y, u).log_prob.mean()).backward()
    events = sorted(recorded.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    for event in events[:8]:
        print(f"{event.self_cpu_time_total / total:6.1%}  {event.count:5d} x  {event.key}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="compact")
    parser.add_argument("--flow", default="{}", help="JSON: fields of FlowConfig to replace")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--variant", action="append", choices=sorted(VARIANTS))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    flow = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(options.flow).items()}
    batches = options.batch or [32]
    if options.child:
        measure(flow, options.preset, batches[0], options.child, options.steps, options.device)
        return
    if options.profile:
        profile(flow, options.preset, batches[0])
        return
    results = []
    for batch in batches:
        runs: dict[str, list[dict[str, float]]] = {}
        for _ in range(options.rounds):
            for variant in options.variant or VARIANTS:
                command = [sys.executable, __file__, "--child", variant, "--batch", str(batch)]
                command += ["--preset", options.preset, "--flow", options.flow]
                command += ["--steps", str(options.steps), "--device", options.device]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs.setdefault(variant, []).append(json.loads(done.stdout.splitlines()[-1]))
        print(f"batch {batch}: images/s, ratio to plain, GFLOP/s (share of ceiling), peak GB")
        for variant, figures in runs.items():
            medians = {k: statistics.median(f[k] for f in figures) for k in figures[0]}
            medians["first_step_s"] = max(f["first_step_s"] for f in figures)
            if "plain" in runs:
                medians["ratio"] = statistics.median(
                    own["images_per_second"] / plain["images_per_second"]
                    for own, plain in zip(figures, runs["plain"], strict=True)
                )
            print(
                f"  {variant:14s}{medians['images_per_second']:7.1f}{medians.get('ratio', 1):7.2f}"
                f"{medians['gflops']:8.0f} ({medians['gflops'] / medians['ceiling_gflops']:.0%} of "
                f"{medians['ceiling_gflops']:.0f}){medians['peak_gb']:7.2f}   first step "
                f"{medians['first_step_s']:.1f} s",
                flush=True,
            )
            results.append({"batch": batch, "variant": variant, **medians})
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
