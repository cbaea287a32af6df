"""Several processes that share out the inputs of one command and say what one would say.

A launcher (`accelerate launch`, `torchrun`) starts them all with the same command. With `-j N` the
process that the user started is number 0, and it starts the others. Each takes the next block of
inputs from a counter in a store (PyTorch's `TCPStore`, which number 0 or the launcher serves),
works on it, writes its files, and leaves in the store what there is to say about it. Number 0 says
all of it, in order. What a dead process had taken, number 0 does again.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_USAGE, CaflowError
from .console import Console

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

__all__ = ["Team", "gather", "is_helper", "work_alone"]

# PyTorch for Windows has no store that takes the socket of another process.
_SHARES = sys.platform != "win32"
_BEAT = 1.0  # seconds between two signs of life
_SILENCE = 30.0  # seconds without one, after which a process is taken for dead
_MOST = 256  # processes
_PIECE = 2**22  # bytes of a message: a store takes twice as much

Work = Callable[[int], Any]  # on a block of that number; returns JSON


def _launched() -> tuple[int, int] | None:
    """This process's number and how many there are, where a launcher has started several."""
    if not (os.environ.get("MASTER_ADDR") and os.environ.get("MASTER_PORT")):
        return None
    rank, world = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    if not (rank.isdecimal() and world.isdecimal()) or int(world) < 2:
        return None
    return int(rank), int(world)


def is_helper() -> bool:
    """Whether another process says what this one has to say."""
    launched = _launched()
    return launched is not None and launched[0] > 0


def work_alone(jobs: int, what: str) -> None:
    """For work that is not shared out: helpers end here.

    Raises:
        CaflowError: (exit 2) `-j` asks for it.
        SystemExit: (0) this process is a helper: number 0 does the work.
    """
    if jobs > 1:
        raise CaflowError(f"{what} is not shared among processes", "leave -j out", EXIT_USAGE)
    if is_helper():
        sys.exit(0)


@dataclass(eq=False)
class Team:
    """The processes of a command; by default this one alone.

    Attributes:
        rank: The number of this one.
        agreed: What number 0 said to all when they met.
    """

    rank: int = 0
    agreed: Mapping[str, Any] = field(default_factory=dict)
    store: Store | None = None  # None: alone
    helpers: Sequence[subprocess.Popen[bytes]] = ()  # that this one has started: 1, 2, ...
    console: Console = field(default_factory=Console)
    _seen: dict[int, tuple[bytes, float]] = field(default_factory=dict)
    _dead: set[int] = field(default_factory=set)

    @property
    def alone(self) -> bool:
        return self.store is None

    def each(self, count: int, work: Work) -> Iterator[Any]:
        """Do blocks 0 to count - 1, and yield what `work` returns for each, in order.

        In a helper it yields nothing and, behind the last block, ends the process. In a team,
        results have been JSON.

        Raises:
            CaflowError: As `work` does, when the turn of its block comes.
        """
        store = self.store
        if store is None:
            for number in range(count):
                yield work(number)
            return
        if self.rank > 0:
            while (number := store.add("next", 1) - 1) < count:
                store.set(f"by/{number}", str(self.rank))
                _put(store, f"block/{number}", _outcome(work, number))
            self.part()
            sys.exit(0)
        own: dict[int, bytes] = {}
        left, due = True, 0  # whether there may be blocks to take; whose turn it is
        while due < count:
            if due in own or store.check([f"block/{due}"]):
                yield _result(own.pop(due) if due in own else _get(store, f"block/{due}"))
                due += 1
            elif left:
                number = store.add("next", 1) - 1
                left = number < count
                if left:
                    own[number] = _outcome(work, number)
            elif self._is_lost(due):
                own[due] = _outcome(work, due)
            else:
                time.sleep(0.01)

    def tell(self, value: Any) -> Any:
        """The value that number 0 has for `value`, JSON, in every process; once a command."""
        if self.store is None:
            return value
        if self.rank == 0:
            _put(self.store, "told", json.dumps(value).encode())
        else:
            _wait(self.store, "told")
        return json.loads(_get(self.store, "told"))

    def _is_lost(self, number: int) -> bool:
        """Whether the process that took a block is dead. Says so, because number 0 goes on."""
        assert self.store is not None
        key = f"by/{number}"
        # Who took it may have died before it could say so.
        rank = int(self.store.get(key)) if self.store.check([key]) else -1 - number
        if rank > 0 and rank <= len(self.helpers):
            dead = self.helpers[rank - 1].poll() is not None
        else:
            key = f"beat/{rank}"
            beat = self.store.get(key) if self.store.check([key]) else b""
            last, when = self._seen.get(rank, (None, 0.0))
            if beat != last:
                when = time.monotonic()
                self._seen[rank] = beat, when
            dead = time.monotonic() - when > _SILENCE
        # It may have ended behind its last word.
        dead = dead and not self.store.check([f"block/{number}"])
        if dead:
            self._dead.add(rank)
            self.console.note("warning: a process has died; its inputs are done by another one")
        return dead

    def part(self) -> None:
        """Number 0 waits until the others have seen that all is done; helpers say that they go."""
        if self.store is None:
            return
        with suppress(RuntimeError):  # number 0 may be gone
            if self.rank > 0:
                self.store.add("gone", 1)
            elif not self.helpers:
                until = time.monotonic() + _SILENCE
                others = int(os.environ["WORLD_SIZE"]) - 1 - len(self._dead)
                while self.store.add("gone", 0) < others and time.monotonic() < until:
                    time.sleep(0.05)


@contextmanager
def gather(
    jobs: int, blocks: int, agreed: Mapping[str, Any], fixed: Sequence[str], console: Console
) -> Iterator[Team]:
    """The processes that do the blocks of a command.

    Args:
        jobs: As typed: how many processes, this one among them.
        blocks: How many there are. More processes than that are not started.
        agreed: What number 0 says to all: they cannot know what was there before it began.
        fixed: Keys of `agreed` that must be the same in every process.
        console: For warnings.

    Raises:
        CaflowError: (exit 2) `jobs` is out of range, or processes have other inputs.
    """
    if not 1 <= jobs <= _MOST:
        raise CaflowError(
            f"-j {jobs}: cannot share among so many", f"-j 2, or up to {_MOST}", EXIT_USAGE
        )
    launched = _launched()
    if launched is None:
        with _started(min(jobs, blocks), agreed, console) as team:
            yield team
        return
    rank, world = launched
    store = _launchers_store(rank)
    if rank == 0:
        _put(store, "agreed", json.dumps(agreed).encode())
    else:
        _wait(store, "agreed")
        said = json.loads(_get(store, "agreed"))
        own = json.loads(json.dumps(agreed))
        if any(said[key] != own[key] for key in fixed):
            store.add("gone", 1)
            raise CaflowError(
                f"process {rank} of {world} has other inputs than process 0",
                "one command for all processes, and folders that all machines see",
                EXIT_USAGE,
            )
        agreed = said
        threading.Thread(target=_beat, args=(store, rank), daemon=True).start()
    team = Team(rank, agreed, store, console=console)
    try:
        yield team
        team.part()
    except RuntimeError as error:
        if rank > 0 and _is_of_store(error):  # number 0 is gone
            sys.exit(1)
        raise


@contextmanager
def _started(count: int, agreed: Mapping[str, Any], console: Console) -> Iterator[Team]:
    """Start count - 1 helpers on this machine, with the command of this process."""
    if count > 1 and not _SHARES:
        console.note(f"-j {count}: on Windows one process does all the work")
        count = 1
    if count < 2:
        yield Team(agreed=agreed, console=console)
        return
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    threads = int(given) if given.isdecimal() else max(1, _cores() // count)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    ranks = {"WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    # Helpers import PyTorch while this process does.
    helpers = [
        _start_helper({**ranks, "RANK": n, "LOCAL_RANK": n, "OMP_NUM_THREADS": threads})
        for n in range(1, count)
    ]
    try:
        import torch
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        torch.set_num_threads(threads)
        store = TCPStore(
            "127.0.0.1",
            port,
            is_master=True,
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )
        _put(store, "agreed", json.dumps(agreed).encode())
        yield Team(0, agreed, store, helpers, console)
    finally:
        for helper in helpers:
            if helper.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    helper.wait(0.2)  # all is done: it ends by itself, unless there was an error
                helper.terminate()
        for helper in helpers:
            helper.wait()


def _start_helper(environment: Mapping[str, object]) -> subprocess.Popen[bytes]:
    """Start this command once more. What there is to say comes by the store."""
    env = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    env.pop("TORCHELASTIC_USE_AGENT_STORE", None)
    return subprocess.Popen(
        [sys.executable, "-m", "caflow_cli", *sys.argv[1:]],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _launchers_store(rank: int) -> Store:
    """The store of a launcher's processes: the launcher serves it itself, or number 0 does."""
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=rank == 0 and not served,
        wait_for_workers=False,
    )
    if not served:
        return store
    return PrefixStore(f"caflow/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def _cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _beat(store: Store, rank: int) -> None:
    """Give signs of life, as long as the process and the store live."""
    beats = 0
    with suppress(RuntimeError):
        while True:
            beats += 1
            store.set(f"beat/{rank}", str(beats))
            time.sleep(_BEAT)


def _wait(store: Store, key: str) -> None:
    """Wait for number 0. Other operations must not block: they would stop the signs of life."""
    while not store.check([key]):
        time.sleep(0.05)


def _put(store: Store, key: str, data: bytes) -> None:
    """Set a value of any size; the key itself comes last."""
    pieces = [data[first : first + _PIECE] for first in range(0, len(data), _PIECE)]
    for number, piece in enumerate(pieces):
        store.set(f"{key}/{number}", piece)  # type: ignore[arg-type]
    store.set(key, str(len(pieces)))


def _get(store: Store, key: str) -> bytes:
    return b"".join(store.get(f"{key}/{number}") for number in range(int(store.get(key))))


def _outcome(work: Work, number: int) -> bytes:
    """Result of a block's work, or the error that stops all, as JSON."""
    try:
        return json.dumps({"result": work(number)}).encode()
    except CaflowError as error:
        return json.dumps({"stop": [error.message, error.hint, error.exit_code]}).encode()


def _result(outcome: bytes) -> Any:
    record = json.loads(outcome)
    if "stop" in record:
        raise CaflowError(*record["stop"])
    return record["result"]


def _is_of_store(error: RuntimeError) -> bool:
    from torch.distributed import DistError

    return isinstance(error, DistError)
