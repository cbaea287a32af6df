from __future__ import annotations

import os
import signal
import sys

import pytest

from caflow_cli.training.signals import Signals


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends the process there")
def test_the_first_signal_is_noted_and_a_second_ctrl_c_strikes():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        assert signals.flags() == [0, 0]
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # a launcher passes it on
        assert signals.flags() == [1, 0]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends the process there")
def test_a_person_speaks_before_a_scheduler():
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.flags() == [0, 1]
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.flags() == [1, 0]


@pytest.mark.parametrize(("flags", "code"), [([2, 0], 130), ([0, 1], 143), ([1, 2], 130)])
def test_a_signal_to_any_rank_stops_all(flags, code):
    stopped = Signals.stopped(flags, 7, "run")
    assert stopped.exit_code == code
    assert "step 7" in stopped.message
    assert stopped.hint == "caflow train --out run --resume"
    assert Signals.stopped([0, 0], 7, "run") is None
