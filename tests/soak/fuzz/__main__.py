"""`python -m tests.soak.fuzz TARGET --runs N`: change files and read them; findings as JSON.

With atheris (pip install atheris) the coverage of the package, of Pillow's and of the standard
library's readers guides the changes; without it they are blind.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
_READERS = ["caflow_cli", "PIL", "zipfile", "tomllib", "json", "numpy.lib"]


class Record:
    """The number of inputs tried, and the findings."""

    def __init__(self, name: str, folder: Path, keep: Path | None) -> None:
        from .targets import TARGETS

        self.name, self.target, self.folder, self.keep = name, TARGETS[name], folder, keep
        self.executions, self.slowest = 0, 0.0
        self.findings: dict[str, int] = {}
        self.start = time.monotonic()

    def try_out(self, data: bytes) -> None:
        from .targets import finding

        start = time.process_time()
        found = finding(self.target, data, self.folder)
        seconds = time.process_time() - start
        self.executions += 1
        self.slowest = max(self.slowest, seconds)
        if seconds > 10:
            found = found or f"{seconds:.0f} seconds"
        if found is not None:
            self.findings[found] = self.findings.get(found, 0) + 1
            if self.keep is not None and self.findings[found] <= 3:
                self.keep.mkdir(parents=True, exist_ok=True)
                place = "".join(c if c.isalnum() else "-" for c in found)[:60]
                (self.keep / f"{self.name}-{place}-{self.executions}").write_bytes(data)

    def line(self, engine: str) -> str:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return json.dumps(
            {
                "target": self.name,
                "engine": engine,
                "executions": self.executions,
                "seconds": round(time.monotonic() - self.start, 1),
                "slowest_s": round(self.slowest, 3),
                "peak_mib": peak // 1024,
                "findings": self.findings,
            }
        )

    def is_done(self, runs: int, minutes: float) -> bool:
        return self.executions >= runs or time.monotonic() - self.start >= 60 * minutes


def blind(record: Record, runs: int, minutes: float, seed: int) -> None:
    rng, seeds = random.Random(seed), record.target.seeds()
    while not record.is_done(runs, minutes):
        record.try_out(record.target.damaged(seeds, rng))
    print(record.line("blind"))


def guided(record: Record, runs: int, minutes: float, seed: int) -> None:
    """Ends the process, as atheris does."""
    import atheris

    corpus = record.folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(record.target.seeds()):
        (corpus / str(number)).write_bytes(data)

    def change(data: bytes, size: int, seed: int) -> bytes:
        target = record.target
        if target.change is not None and seed % 2:
            return target.change(data, random.Random(seed))[:size]
        changed = atheris.Mutate(data, size)
        return target.reseal(changed)[:size] if seed % 4 else changed

    def one(data: bytes) -> None:
        record.try_out(data)
        if record.is_done(runs, minutes):
            print(record.line("atheris"), flush=True)
            shutil.rmtree(record.folder)
            os._exit(0)  # atheris knows no other end

    arguments = [
        *(sys.argv[0], str(corpus), f"-seed={seed + 1}", "-verbosity=0", "-timeout=600"),
        *("-max_len=65536", "-rss_limit_mb=8000", f"-artifact_prefix={record.folder}/"),
    ]
    atheris.Setup(arguments, one, custom_mutator=change)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fuzz", description=__doc__)
    parser.add_argument("target", help="see targets.py, such as picture, zip, model")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop then at the latest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blind", action="store_true", help="without atheris")
    parser.add_argument("--keep", type=Path, help="folder for files that were found")
    given = parser.parse_args()
    try:
        import atheris
    except ImportError:
        atheris = None
    if given.blind or atheris is None:
        _prepare()
        with tempfile.TemporaryDirectory(dir=_temporary()) as folder:
            record = Record(given.target, Path(folder), given.keep)
            blind(record, given.runs, given.minutes, given.seed)
        return
    with atheris.instrument_imports(include=_READERS):
        from . import targets  # noqa: F401
    _prepare()
    with tempfile.TemporaryDirectory(dir=_temporary()) as folder:
        record = Record(given.target, Path(folder), given.keep)
        guided(record, given.runs, given.minutes, given.seed)


def _prepare() -> None:
    """Small pictures do for the readers, and keep them fast."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = 1 << 20


def _temporary() -> Path | None:
    return _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None


if __name__ == "__main__":
    main()
