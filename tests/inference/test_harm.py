"""The rule that says which pictures a model makes worse."""

from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.assets import example_path
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.images import read_image
from caflow_cli.inference import harm as module
from caflow_cli.inference.harm import Harm, harm_of
from caflow_cli.inference.input_features import FEATURES, input_features

ROOM = read_image(example_path("room_64"))
COUNT = len(FEATURES)


def rule(**weights: float) -> Harm:
    """A rule on features as they are; `bias` is the last weight."""
    names = [*FEATURES, "bias"]
    values = tuple(weights.get(name, 0.0) for name in names)
    return Harm("bicubic", (0.0,) * COUNT, (1.0,) * COUNT, values, 0.5, 0.9, 0.9)


def test_the_probability_is_logistic_in_features():
    side, even = (input_features(ROOM)[FEATURES.index(name)] for name in ("side", "even"))
    expected = 1 / (1 + np.exp(-(0.3 * side - 0.5 * even + 0.1)))
    found = rule(side=0.3, even=-0.5, bias=0.1).probability(ROOM)
    assert found == pytest.approx(expected, rel=1e-12)


def test_features_beyond_six_deviations_count_as_six():
    assert rule(side=1.0, bias=-5.9).probability(np.zeros((256, 256, 3), np.uint8)) == (
        pytest.approx(1 / (1 + np.exp(-0.1)))
    )


def test_a_warning_begins_at_the_threshold():
    assert rule().warning(0.49, "x") is None
    said = "50 in 100 pictures like this one come out worse from x than from bicubic"
    assert rule().warning(0.5, "x") == said


def test_a_file_that_was_not_measured_has_no_rule():
    assert harm_of("0" * 64) is None


def test_every_rule_is_of_a_bundled_file_that_can_have_one():
    digests = {entry.sha256: entry for entry in load_manifest().values()}
    for digest in module._rules():
        entry, found = digests[digest], harm_of(digest)
        assert found is not None
        assert found.baseline == {"superres": "bicubic", "colorize": "the grey copy"}[entry.task]
        assert len(found.mean) == len(found.deviation) == COUNT
        assert len(found.weights) == COUNT + 1
        assert 0 <= found.probability(ROOM) <= 1


def test_rules_of_other_features_are_refused(monkeypatch, tmp_path):
    (tmp_path / "harm.json").write_text('{"features": ["none"], "models": {}}')
    monkeypatch.setattr(module, "ASSETS", tmp_path)
    module._rules.cache_clear()
    with pytest.raises(ValueError, match="other features"):
        harm_of("0" * 64)
    monkeypatch.undo()
    module._rules.cache_clear()
