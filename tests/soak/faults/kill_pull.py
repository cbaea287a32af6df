"""kill -9 at random moments of `caflow models pull`, from a Hub on this machine."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from ...local_hub import WEIGHTS, LocalHub, sha256
from .processes import Program, duration, environment, run
from .report import Report, main

BYTES = 48_000_000  # takes about as long as the program takes to start
REPOSITORY = "user/model"


def start_hub(size: int = BYTES) -> tuple[LocalHub, bytes]:
    """A Hub with one repository, and the file in it: `pull` does not look into it."""
    hub, weights = LocalHub(), random.Random(0).randbytes(size)
    hub.repository(REPOSITORY, weights)
    return hub, weights


def hub_environment(hub: LocalHub, home: Path) -> dict[str, str]:
    return environment(HF_ENDPOINT=hub.endpoint, HF_HOME=str(home), HF_HUB_OFFLINE="0")


def soak(report: Report, count: int, seed: int, folder: Path, size: int = BYTES) -> None:
    """Kill `count` times, each after a time that is uniform over that of an undisturbed download.

    Afterwards the cache must hold the file or not; and the same command, run again, must fetch what
    is missing.
    """
    random_ = random.Random(seed)
    hub, weights = start_hub(size)
    home, pull = folder / "home", ["models", "pull", REPOSITORY]
    undisturbed = []
    for _ in range(2):
        shutil.rmtree(home, ignore_errors=True)
        undisturbed.append(run(pull, folder, env=hub_environment(hub, home)))
        report.check("undisturbed", undisturbed[-1].problems(0))
    limit = duration(undisturbed)
    report.counts["seconds undisturbed, x10"] = round(10 * limit)
    for kill in range(count):
        shutil.rmtree(home, ignore_errors=True)
        after = random_.uniform(0, limit)
        where = f"kill {kill} after {after:.2f} s"
        ended = Program(pull, folder, env=hub_environment(hub, home)).end(after)
        partial = [path.stat().st_size for path in home.rglob("*.incomplete")]
        whole = any(_blobs(home))
        if ended.killed:
            report.counts["kills"] += 1
            phase = "a part of the file" if partial else "the file" if whole else "nothing of it"
            report.counts[f"  with {phase} in the cache"] += 1
        else:
            report.counts["kills that came after the end"] += 1
            limit = ended.seconds  # other work on the machine may have ended
            report.check(where, ended.problems(0))
        report.check(where, problems_in_cache(home))
        hub.requests.clear()
        ended = run(pull, folder, env=hub_environment(hub, home))
        report.check(f"{where}, run again", ended.problems(0))
        report.check(f"{where}, run again", problems_in_cache(home))
        if ended.code == 0 and Path(ended.stdout.strip()).read_bytes() != weights:
            report.check(f"{where}, run again", ["another file"])
        if any(home.rglob("*.incomplete")) or any(home.rglob("*.tmp")):
            report.check(f"{where}, run again", ["something is left of the killed download"])
        sent = sum(request.sent for request in hub.downloads())
        report.counts["downloads that went on"] += bool(partial and 0 < sent < size)
        if sent > size - sum(partial) or (whole and sent):
            report.check(f"{where}, run again", [f"{sent} bytes were sent, {partial} were there"])
    hub.close()


def _blobs(home: Path) -> list[Path]:
    found = home.glob("hub/models--*/blobs/*")
    return [path for path in found if path.suffix != ".incomplete"]


def problems_in_cache(home: Path) -> list[str]:
    """Files in the cache that are not whole although their name says so."""
    found = [
        f"blob {path.name[:12]} is not whole"
        for path in _blobs(home)
        if sha256(path.read_bytes()) != path.name
    ]
    for path in home.glob(f"hub/models--*/snapshots/*/{WEIGHTS}"):
        if not path.exists() or sha256(path.read_bytes()) != path.resolve().name:
            found.append(f"{path.relative_to(home)} leads to no whole file")
    for path in home.glob("hub/models--*/.caflow/*/[!.]*.sha256"):
        if len(path.read_text(encoding="utf-8").split()[0]) != 64:
            found.append(f"{path.relative_to(home)} is not whole")
    return found


if __name__ == "__main__":
    main("kill_pull", 100, soak)
