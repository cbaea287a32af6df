"""How much is tried: a sample in the suite, and all of it with `pytest -m soak`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SOAK = "CAFLOW_SOAK"  # set by tests/conftest.py where `-m soak` chooses these tests


def count(sample: int, full: int) -> int:
    """So many examples in the suite, and with `-m soak`; CAFLOW_SOAK=N means N times `full`."""
    return sample if SOAK not in os.environ else round(full * float(os.environ[SOAK]))


def examples(sample: int, full: int) -> settings:
    """The suite's examples are the same at every run; those of `-m soak` are new at each."""
    return settings(
        max_examples=count(sample, full),
        derandomize=SOAK not in os.environ,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
