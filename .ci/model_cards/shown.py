"""Progress on stderr."""

from __future__ import annotations

import sys
import time

from caflow_cli.evaluation.run import Progress

__all__ = ["progress"]


def progress(name: str) -> Progress:
    begun = time.monotonic()

    def show(done: int, total: int) -> None:
        if done == total or done % max(1, total // 10) == 0:
            seconds = time.monotonic() - begun
            print(f"{name}: {done} of {total}, {seconds:.0f} s", file=sys.stderr, flush=True)

    return show
