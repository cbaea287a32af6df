"""Training runs in processes of their own, forked from one that has imported everything."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import forked
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.records import parse
from caflow_cli.training import RunConfig, loop, train, validate

__all__ = ["Outcome", "run", "tiny"]

Outcome = dict[str, Any]


def tiny(data: Path, out: Path, **fields: Any) -> dict[str, Any]:
    """Ten steps of the smallest model, in float32: the values of a `RunConfig`."""
    optim = {"batch_size": 8, "images": 80, "warmup": 5, "lr": 2e-3, "bf16": False}
    return {
        "data": str(data),
        "out": str(out),
        "device": "cpu",
        "validate_every": 5,
        "save_every": 5,
        "flow": {"scales": 1, "r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 8, "f_hidden": 8},
        "task": {"size": 16},
        **fields,
        "optim": {**optim, **fields.get("optim", {})},
    }


def run(
    values: dict[str, Any],
    ranks: int = 1,
    *,
    resume: bool = False,
    signals: dict[int, tuple[int, int]] | None = None,
    file_limit: int | None = None,
    double: bool = False,
) -> list[Outcome]:
    """Run `train` in `ranks` processes, then again; return what each reports. `signals`: by rank, a
    step and the signal to send itself before it; `double`: avoid rounding, which Adam magnifies."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    jobs = []
    for rank in range(ranks):
        ours, theirs = forked.CONTEXT.Pipe()
        environment = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": ranks,
            "LOCAL_WORLD_SIZE": ranks,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        job = {
            "values": values,
            "resume": resume,
            "signal": (signals or {}).get(rank),
            "file_limit": file_limit,
            "double": double,
            "ranks": environment if ranks > 1 else {},
        }
        process = forked.begin(_work, theirs, job)
        theirs.close()
        jobs.append((process, ours))
    outcomes = []
    for process, pipe in jobs:
        outcome = {"error": "died"}
        with contextlib.suppress(EOFError):
            if pipe.poll(120):
                outcome = pipe.recv()
        process.join(30)
        process.kill()
        outcomes.append({**outcome, "exit": process.exitcode})
    return outcomes


class _Watched(loop.Trainer):
    """Keeps the figures of its steps, and sends itself a signal before one."""

    signal: tuple[int, int] | None = None
    made: list[loop.Trainer] = []  # noqa: RUF012
    steps: list[Outcome] = []  # noqa: RUF012  # figures of this session

    def step(self, *args: Any) -> Any:
        self.made[:] = [self]
        if self.signal and len(self.steps) == self.signal[0]:
            os.kill(os.getpid(), self.signal[1])
        figures = super().step(*args)
        self.steps.append(figures._asdict())
        return figures


def _work(pipe: Any, job: dict[str, Any]) -> None:
    os.environ.update({name: str(value) for name, value in job["ranks"].items()})
    torch.set_num_threads(1)
    if job["double"]:
        start = loop.starting_model
        loop.starting_model = lambda *given: start(*given).double()  # type: ignore[assignment]
    config = parse(RunConfig, job["values"])
    written: list[str] = []
    sys.addaudithook(lambda event, args: _note_writes(event, args, config.out, written))
    if job["file_limit"] is not None:
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_limit"],) * 2)
    _Watched.signal = job["signal"]
    loop.Trainer = _Watched  # type: ignore[misc]
    validate.draw_curve = lambda _: b""  # as `without_curves`
    outcome: Outcome = {"error": None, "code": 0, "events": []}
    try:
        outcome["summary"] = train(config, resume=job["resume"], report=outcome["events"].append)
    except CaflowError as error:
        outcome |= {"error": error.message, "hint": error.hint, "code": error.exit_code}
    except BaseException:
        outcome["error"] = traceback.format_exc()
    if _Watched.made:
        weights = _Watched.made[0].model.parameters()
        outcome["weights"] = [p.detach().numpy().copy() for p in weights]
    outcome["steps"], outcome["written"] = _Watched.steps, list(written)
    if outcome["code"] == 0:
        try:
            train(config)
        except CaflowError as error:
            outcome["again"] = error.message
    pipe.send(outcome)
    pipe.close()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _note_writes(event: str, args: tuple[Any, ...], out: str, written: list[str]) -> None:
    opened = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    changed = event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir")
    if (opened or changed) and str(args[0]).startswith(out):
        written.append(str(args[0]))
