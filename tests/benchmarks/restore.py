"""Speed of ten ranked candidates, and what cost grows with, by one command on an idle machine:

    python tests/benchmarks/restore.py [--preset compact] [--compile] [--json FILE]
    python tests/benchmarks/restore.py --device cuda --compile     all there is to know of a GPU
    python tests/benchmarks/restore.py --sweep [--json FILE]

Ways to compute the same are timed in turn, `--rounds` times, in one process: medians, the median
of paired ratios to `plain`, and the share of a float32 convolution ceiling measured in the same
process. On a GPU, and elsewhere with `--train`, training is measured too (train_step.py).
`--sweep` times the side of an image, the number of candidates and depth, each point in a
process of its own, and fits exponents; `--profile` names the operations that cost most, of pictures
of `--side`. Presets: those of the package, `reference`, and `tiny`, which only shows that all of
this runs.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

SIDE = 64
SIDES = (64, 128, 256, 512, 1024)
# What grows in each sweep, its values, and what else is not as usual: one candidate of one 64×64
# image, the preset's depth.
SWEEPS: dict[str, tuple[str, Sequence[int], dict[str, int]]] = {
    "side": ("side", SIDES, {}),
    "side10": ("side", SIDES, {"M": 10}),
    "M": ("M", (1, 3, 10, 30, 100, 300, 1000), {}),
    "tiled": ("side", (1536, 2048, 3072, 4096), {}),
    "depth": ("depth", (1, 2, 3, 4), {"M": 10}),  # times the steps of R, T and F
}
REFERENCE = {"r_steps": 16, "t_steps": 16, "f_steps": 12, "hidden": 64, "f_hidden": 32}
TINY = {"r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 8, "f_hidden": 8}


def build(preset: str, device: str, depth: int = 1) -> Any:
    """A model with weights that are near a fresh one's, but not the identity."""
    import dataclasses

    import torch

    from caflow_cli.config import Config, FlowConfig
    from caflow_cli.config import preset as preset_named
    from caflow_cli.devices import keep_memory, select_device
    from caflow_cli.layers import ActNorm, ConvNet
    from caflow_cli.model import CAFlow

    keep_memory()
    torch.manual_seed(0)
    own = {"reference": REFERENCE, "tiny": TINY}
    flow = FlowConfig(**own[preset]) if preset in own else preset_named(preset)
    steps = {name: depth * getattr(flow, name) for name in ("r_steps", "t_steps", "f_steps")}
    model = CAFlow(Config(dataclasses.replace(flow, **steps)))
    draw = torch.randn if model.Q is not None else torch.rand
    shape = (4, flow.target_channels, SIDE, SIDE)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, ConvNet):
                module.last.weight.normal_(std=0.03 * module.last.weight[0].numel() ** -0.5)
        cond = 256 * torch.rand(4, flow.cond_channels, SIDE, SIDE)
        model.train()(torch.randint(256, shape).float(), cond, draw(shape))
        assert all(m.initialized for m in model.modules() if isinstance(m, ActNorm))
    return model.eval().to(select_device(device))


def task_of(model: Any, side: int, candidates: int) -> Callable[[], Any]:
    """Ranked candidates of one smooth image."""
    import numpy as np

    from caflow_cli.inference import restore

    rows, columns = np.mgrid[: side // 4, : side // 4] * (4 * math.pi / side)
    image = 128 + 60 * np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=2)
    return lambda: restore(model, image.astype(np.uint8), 0.8, candidates)


@contextmanager
def unfolded(nchw: bool) -> Iterator[None]:
    """The modules that are trained, in the usual layout if asked."""
    from caflow_cli.model import caflow
    from caflow_cli.model.inference_form import InferenceForms

    with mock.patch.object(InferenceForms, "of", lambda self, trained, bf16=False: trained):
        if not nchw:
            yield
        else:
            with mock.patch.object(caflow, "to_layout", lambda x: x.contiguous()):
                yield


def ceiling(device: str, tries: int) -> float:
    """GFLOP/s of a large float32 convolution in channels_last: what this machine can do."""
    import torch

    x = torch.randn(16, 128, 32, 32, device=device).to(memory_format=torch.channels_last)
    conv = torch.nn.Conv2d(128, 128, 3, padding=1, device=device)
    conv = conv.to(memory_format=torch.channels_last)
    work = 2 * x.shape[0] * 128 * 128 * 9 * 32 * 32
    with torch.no_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        return work / min(timed(lambda: conv(x)) for _ in range(tries)) / 1e9


def timed(run: Callable[[], Any]) -> float:
    import torch

    begin = time.perf_counter()
    run()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - begin


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The ways to compute, in turn."""
    import contextlib
    import copy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = build(options.preset, options.device)
    usual = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    m = options.candidates
    ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "plain": (task_of(usual, SIDE, m), lambda: unfolded(nchw=True)),
        "batched": (task_of(model, SIDE, m), lambda: unfolded(nchw=False)),
        "folded": (task_of(model, SIDE, m), contextlib.nullcontext),
    }
    if options.compile:
        compiled = copy.deepcopy(model)
        compiled.compile_inference()
        ways["compiled"] = (task_of(compiled, SIDE, m), contextlib.nullcontext)
    with FlopCounterMode(display=False) as counter, unfolded(nchw=False):
        ways["batched"][0]()
    gflop = counter.get_total_flops() / 1e9
    times: dict[str, list[float]] = {name: [] for name in ways}
    top = []
    for round_ in range(options.rounds + 1):
        for name, (run, context) in ways.items():
            with context():
                seconds = timed(run)
            if round_:  # the first one packs, folds and fills caches
                times[name].append(seconds)
        top.append(ceiling(options.device, 2 if options.preset == "tiny" else 30))
    best = max(top)
    peak = peak_gb(options.device)
    results = []
    print(
        f"{options.preset}: {m} ranked candidates of one {SIDE}x{SIDE} image, {gflop:.1f} GFLOP, "
        f"{torch.get_num_threads()} threads, ceiling {best:.0f} GFLOP/s, peak {peak:.2f} GB"
    )
    for name, seconds in times.items():
        median = statistics.median(seconds)
        ratios = [p / s for p, s in zip(times["plain"], seconds, strict=True)]
        result = {
            "preset": options.preset,
            "way": name,
            "seconds": median,
            "fastest": min(seconds),
            "candidates_per_second": m / median,
            "times_faster": statistics.median(ratios),
            "gflops": gflop / median,
            "share_of_ceiling": gflop / median / best,
            "ceiling_gflops": best,
            "peak_gb": peak,
        }
        results.append(result)
        print(
            f"  {name:10s}{median:8.3f} s (fastest {min(seconds):.3f}), "
            f"{m / median:6.1f} candidates/s, {result['times_faster']:5.1f} x plain, "
            f"{gflop / median:5.0f} GFLOP/s ({result['share_of_ceiling']:.0%} of the ceiling)"
        )
    return results


def profile(options: argparse.Namespace) -> None:
    """The operations that cost most, by time of their own, as trained and folded."""
    import contextlib

    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recording

    run = task_of(build(options.preset, options.device), options.side, options.candidates)
    for name, context in (
        ("batched", unfolded(nchw=False)),
        ("folded", contextlib.nullcontext()),
    ):
        with context:
            run()
            with recording(activities=[ProfilerActivity.CPU]) as recorded:
                run()
        events = sorted(recorded.key_averages(), key=lambda e: -e.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        print(f"{name}: {total / 1e3:.0f} ms in {sum(e.count for e in events)} operations")
        for event in events[:8]:
            own = event.self_cpu_time_total
            print(f"  {own / total:6.1%} {own / 1e3:8.1f} ms {event.count:6d} x  {event.key}")


def peak_gb(device: str = "cpu") -> float:
    """The peak of memory: of a CUDA device, else of the process."""
    import torch

    if device != "cpu":
        return torch.cuda.max_memory_allocated(device) / 1e9
    # Linux's other figure, `ru_maxrss`, starts at the memory of the process that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1e6


def point(options: argparse.Namespace) -> None:
    """One point of a sweep, in this process: seconds and peak memory, as JSON."""
    own = {"side": SIDE, "M": 1, "depth": 1, **options.child}
    model = build(options.preset, options.device, own["depth"])
    start = peak_gb()
    run = task_of(model, own["side"], own["M"])
    if own["side"] ** 2 * own["M"] <= 2**20:
        run()
    seconds: list[float] = []
    cpu: list[float] = []
    most = 1 if options.preset == "tiny" else 7
    while not seconds or (sum(seconds) < 1 and len(seconds) < most):
        before = time.process_time()
        seconds.append(timed(run))
        cpu.append(time.process_time() - before)
    megapixels = own["side"] ** 2 * own["M"] / 1e6
    median = statistics.median(seconds)
    figures = {
        "seconds": median,
        "cpu": statistics.median(cpu),
        "per_megapixel": median / megapixels,
    }
    print(json.dumps({**own, **figures, "peak_gb": peak_gb(), "start_gb": start}))


def sweep(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Cost against what it may grow with, with the exponent between neighbours and over all."""
    results = []
    for name in options.only or SWEEPS:
        grows, values, others = SWEEPS[name]
        found: list[dict[str, Any]] = []
        for value in values:
            command = [sys.executable, __file__, "--preset", options.preset]
            command += ["--device", options.device]
            command += ["--child", json.dumps({**others, grows: value})]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append({"sweep": name, **json.loads(done.stdout.splitlines()[-1])})
            exponent = ""
            if len(found) > 1:
                last, own = found[-2:]
                step = math.log(own[grows] / last[grows])
                exponent = f"{math.log(own['seconds'] / last['seconds']) / step:6.2f}"
            one = found[-1]
            print(
                f"  {name}: {grows} {value:5d} {one['seconds']:8.3f} s {exponent:6s} "
                f"(of cores {one['cpu']:.3f}), {one['per_megapixel']:.2f} s a megapixel, "
                f"peak {one['peak_gb']:.2f} GB, of which before {one['start_gb']:.2f}",
                flush=True,
            )
        logs = [(math.log(one[grows]), math.log(one["seconds"])) for one in found]
        slope = statistics.linear_regression(*zip(*logs, strict=True)).slope
        print(f"  {name}: seconds grow as {grows} to the power {slope:.2f}", flush=True)
        results += [{**one, "exponent": slope} for one in found]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", action="append", help="default: reference and compact")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--compile", action="store_true", help="one way more")
    parser.add_argument("--train", action="store_true", help="measure training on a CPU too")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--only", action="append", choices=SWEEPS, help="of the sweep")
    parser.add_argument("--side", type=int, default=SIDE, help="of the profile's picture")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    presets = options.preset or (["compact"] if options.sweep else ["reference", "compact"])
    results: list[dict[str, Any]] = []
    for options.preset in presets:
        if options.child:
            point(options)
        elif options.profile:
            profile(options)
        else:
            results += (sweep if options.sweep else measure)(options)
    training = options.train or options.device != "cpu"
    if training and not (options.child or options.profile or options.sweep):
        command = [sys.executable, Path(__file__).with_name("train_step.py")]
        command += ["--device", options.device]
        if presets == ["tiny"]:
            command += ["--flow", json.dumps({**TINY, "trunk": 0}), "--variant", "plain"]
            command += ["--batch", "2", "--steps", "1", "--rounds", "1"]
        subprocess.run(command, check=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
