"""Notes of an input before the work. Of the candidates: `test_results.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caflow_cli.config import TaskConfig
from caflow_cli.inference.domain import Domain
from caflow_cli.inference.harm import Harm
from caflow_cli.inference.input_features import FEATURES
from caflow_cli.inference.loaded_model import LoadedModel
from caflow_cli.inference.notes import far_note, input_notes, named

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


def test_a_probability_that_is_known_is_not_measured_again(monkeypatch):
    always = Harm("bicubic", ONES, ONES, (*ONES, 1.0), 0.5, 1.0, 0.0)
    monkeypatch.setattr(Harm, "probability", lambda *_: pytest.fail("measured again"))
    few, [note] = (
        input_notes(TaskConfig("superres"), COLOURED, None, always, "x", probability)
        for probability in (0.4, 0.73)
    )
    assert few == []
    assert (
        note == "warning: 73 in 100 pictures like this one come out worse from x than from bicubic"
    )


def test_a_far_picture_is_warned_of_where_no_rule_of_harm_says_more():
    domain = Domain(20, 2.0, (0.0, 0.0), (1.0, 1.0))
    loaded = LoadedModel(None, "x", "", Path("x"), domain)
    assert far_note(loaded, np.full(2, 9.0)) == (
        "warning: this picture is unlike those that x learned from: its distance is 9.0, that of "
        "the 20 validation pictures at most 2.0"
    )
    assert far_note(loaded, np.full(2, 1.0)) is None
    assert far_note(replace(loaded, domain=None), np.full(2, 9.0)) is None
    always = Harm("bicubic", ONES, ONES, (*ONES, 1.0), 0.0, 1.0, 0.0)
    assert far_note(replace(loaded, harm=always), np.full(2, 9.0)) is None


def test_a_note_of_one_of_several_pictures_has_its_name():
    assert named("its colours are dropped", "x.png") == "x.png: its colours are dropped"
    assert named("warning: it is far", "x.png") == "warning: x.png: it is far"
