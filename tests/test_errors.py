"""The one error type, the exit codes that it carries, and lack of memory in any part."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch

from caflow_cli import errors
from caflow_cli.errors import CaflowError, is_out_of_memory, memory_errors

ROOT = Path(__file__).parents[1]
PROGRAM = "import sys; sys.argv[0] = 'caflow'; from caflow_cli.cli import main; main()"


def test_an_error_is_a_message_a_hint_and_a_code_that_scripts_rely_on():
    error = CaflowError("no file 'x.png'", "check the path", errors.EXIT_USAGE)
    assert (error.message, error.hint, error.exit_code) == ("no file 'x.png'", "check the path", 2)
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one) == "no file 'x.png'"
        shown = "".join(traceback.format_exception(one)).splitlines()
        assert shown[-1 - (sys.version_info >= (3, 11))].endswith("CaflowError: no file 'x.png'")
        assert sys.version_info < (3, 11) or shown[-1] == "hint: check the path"
    codes = (errors.EXIT_FAILED, errors.EXIT_USAGE, errors.EXIT_WEIGHTS, errors.EXIT_INTERRUPTED)
    assert codes == (1, 2, 3, 130)


def allocation() -> Exception:
    """What PyTorch raises where it cannot have the memory."""
    try:
        torch.empty(2**60, dtype=torch.uint8)
    except RuntimeError as error:
        return error


def chained() -> ImportError:
    try:
        try:
            raise ImportError("libx.so: failed to map segment from shared object")
        except ImportError as error:
            raise ImportError("PLEASE READ THIS FOR ADVICE") from error
    except ImportError as error:
        return error


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (allocation(), True),
        (chained(), True),
        (SystemError("error return without exception set"), True),
        (SystemError("bad call"), False),
        (RuntimeError("The size of tensor a (3) must match"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ValueError("bad_alloc"), False),
    ],
)
def test_what_says_that_there_is_no_memory(error, is_one):
    assert is_out_of_memory(error) is is_one
    with pytest.raises(CaflowError if is_one else type(error)) as caught, memory_errors("less"):
        raise error
    if is_one:
        assert caught.value.message == "not enough memory for this image"
        assert caught.value.hint == "less"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to it")
@pytest.mark.parametrize("mebibytes", [32, 128])
def test_a_program_that_does_not_get_its_libraries_into_memory_says_so(tmp_path, mebibytes):
    import resource

    limit = (mebibytes * 2**20,) * 2
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "superres", "example:face"],
        cwd=tmp_path,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
    )
    assert done.returncode == 1
    said = done.stderr.decode().splitlines()
    # Python's hashlib may log before it what it lacks.
    at = said.index("error: not enough memory")
    assert said[at + 1].startswith("hint: close other programs")
