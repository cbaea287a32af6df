"""How much is tried: a share of it in the suite, all of it by hand."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

VARIABLE = "CAFLOW_SOAK"


def count(share: int) -> int:
    """So many examples in the suite; by hand as many as CAFLOW_SOAK says."""
    return int(os.environ.get(VARIABLE, share))


def examples(share: int) -> settings:
    """The suite's examples are the same ones at every run; those by hand are new at each."""
    return settings(
        max_examples=count(share),
        derandomize=VARIABLE not in os.environ,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
