"""The record of a search in a model file: read back while it is true, and never an obstacle."""

from __future__ import annotations

import pytest

from caflow_cli.checkpoint import Card, origins
from caflow_cli.checkpoint.defaults import check_new_file
from caflow_cli.config import Config, TaskConfig
from caflow_cli.errors import CaflowError

PART = {"rule": "the best", "data": "faces.zip", "split": "val", "pictures": 9}
RECORD = {"tau": {**PART, "tau": [0.9, 0.7, 0.5]}, "rank": {**PART, "rank": "typical"}}
CONFIG = Config(task=TaskConfig(tau=(0.9, 0.7, 0.5), rank="typical"))


def test_a_record_says_what_was_chosen_and_on_what():
    said = origins(CONFIG, {"defaults": RECORD}).sentences()
    assert said == {
        "tau": "0.9/0.7/0.5: the best, on 9 pictures of val/ of faces.zip",
        "rank": "typical: the best, on 9 pictures of val/ of faces.zip",
    }


def test_a_record_of_other_defaults_than_the_configs_is_left_out():
    config = Config(task=TaskConfig(tau=0.5, rank="consensus"))
    found = origins(config, {"defaults": RECORD})
    assert (found.tau, found.rank) == (None, None)
    number = {"tau": {**PART, "tau": [0.5]}}
    assert origins(config, {"defaults": number}).tau == number["tau"]
    assert origins(Config(), {"defaults": {"tau": {**PART, "tau": None}}}).tau is None


@pytest.mark.parametrize(
    "record",
    [None, 3, [], {"tau": 3, "rank": []}, {"tau": {}, "rank": {}}, {"tau": {"tau": "warm"}}]
    + [{"tau": {"tau": tau}} for tau in ([], [-1], [10**400], {"a": 1}, [None], "nan")],
)
def test_a_broken_record_is_no_record(record):
    found = origins(CONFIG, {"defaults": record})
    assert found.sentences() == {}


def test_the_card_names_the_rules():
    text = Card(CONFIG, training={"defaults": RECORD}).text
    assert "## Defaults\n\n- tau: 0.9/0.7/0.5: the best, on 9 pictures" in text
    assert "- rank: typical: the best" in text
    assert "## Defaults" not in Card(CONFIG).text


def test_a_new_file_is_new(tmp_path):
    check_new_file(tmp_path / "new.safetensors")
    (tmp_path / "old.safetensors").touch()
    for name, message in (("old.safetensors", "exists"), ("new.png", r"\.safetensors")):
        with pytest.raises(CaflowError, match=message) as caught:
            check_new_file(tmp_path / name)
        assert caught.value.exit_code == 2
