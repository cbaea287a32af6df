"""Notes of an input before the work. Of the candidates: `test_results.py`."""

from __future__ import annotations

import numpy as np

from caflow_cli.config import TaskConfig
from caflow_cli.inference.harm import Harm
from caflow_cli.inference.input_features import FEATURES
from caflow_cli.inference.notes import input_notes

COLOURED = np.tile(np.array([200, 40, 90], np.uint8), (16, 16, 1))
ONES = (1.0,) * len(FEATURES)


def test_an_input_has_the_note_of_its_task_and_the_warning_of_its_model():
    always = Harm("grey", ONES, ONES, (*ONES, 1.0), 0.0, 1.0, 0.0)
    colours = "its own colours are dropped, and others drawn"
    assert input_notes(TaskConfig("colorize"), COLOURED, None, None, "x") == [colours]
    note, warning = input_notes(TaskConfig("colorize"), COLOURED, None, always, "x")
    assert note == colours
    assert warning.startswith("warning: ")
    assert warning.endswith("come out worse from x than from grey")


def test_most_inputs_have_none():
    never = Harm("bicubic", ONES, ONES, (*ONES, 1.0), 1.1, 0.0, 1.0)
    assert input_notes(TaskConfig("superres"), COLOURED, None, never, "x") == []
