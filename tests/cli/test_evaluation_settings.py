"""The settings of a model's evaluation: the flags, else the protocol's, else the defaults."""

from __future__ import annotations

import pytest

from caflow_cli.cli.evaluation_options import ModelOnData
from caflow_cli.cli.evaluation_settings import model_settings
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.protocols import get_protocol
from caflow_cli.temperature import Temperature

from .process import assert_refused


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--data", "d", "--metric", "lpisp"], "'lpisp'", "--metric lpips"),
        (["--data", "d", "--tau", "warm"], "--tau is 'warm'", "--tau 0,0.5,1"),
        (["--data", "d", "-m", "1,x"], "-m is '1,x'", "-m 1,10,30"),
        (["--data", "d", "--split", "dev"], "'dev'", "--split test"),
        (["--data", "d", "--protocol", "table9"], "'table9'", "--protocol table"),
        (["--task", "superes", "--data", "d"], "'superes'", "--task superres"),
    ],
)
def test_wrong_usage_exits_2_with_what_to_type(run, tmp_path, arguments, message, hint):
    result = run("evaluate", *arguments)
    assert_refused(result, 2, message)
    assert hint in result.stderr.decode().splitlines()[1]
    assert not list(tmp_path.iterdir())


def test_defaults_are_the_models():
    settings = model_settings(ModelOnData(data="d"), [])
    assert set(settings.metrics) == {"lpips", "rmse"}
    assert (settings.tau, settings.candidates, settings.keep) == (None, None, [1])
    assert (settings.limit, settings.split, settings.task) == (None, None, None)


def test_flags_are_comma_lists_and_come_before_the_protocol():
    protocol = get_protocol("table1")
    plain = model_settings(ModelOnData(data="d", protocol="table1"), [])
    assert (plain.tau, plain.candidates) == ([protocol.tau], [protocol.candidates])
    assert (plain.keep, plain.limit) == (list(protocol.keep), protocol.images)
    assert plain.task == protocol.task == "superres"
    given = ModelOnData(
        data="d", protocol="table1", tau="0,0.5", candidates="3", keep="1,2", limit=7, split="val"
    )
    own = model_settings(given, ["ssim"])
    assert (own.tau, own.candidates, own.keep) == ([0.0, 0.5], [3], [1, 2])
    assert (own.limit, own.split) == (7, "val")
    assert set(own.metrics) == {"ssim", *protocol.metrics}
    with pytest.raises(CaflowError, match="protocol table1 is for superres, not inpaint"):
        model_settings(ModelOnData(data="d", protocol="table1", task="inpaint"), [])


def test_a_shape_has_slashes_and_a_sweep_has_commas():
    settings = model_settings(ModelOnData(data="d", tau="0.5,0.9/0.7/0.5"), [])
    assert settings.tau == [0.5, Temperature.of((0.9, 0.7, 0.5))]


def test_a_search_is_on_validation_pictures():
    found = model_settings(ModelOnData(data="d", search_tau=True), ["ssim"])
    assert set(found.metrics) == {"rmse", "lpips", "ssim"}
    assert (found.tau, found.candidates, found.keep, found.split) == (None, None, [1], "val")
    assert found.search == ("tau",)
    both = ModelOnData(
        data="d", search_tau=True, search_rank=True, candidates="5", split="val", limit=3
    )
    own = model_settings(both, [])
    assert (own.search, own.candidates, own.split, own.limit) == (("tau", "rank"), [5], "val", 3)
    assert model_settings(ModelOnData(data="d", search_rank=True, tau="0.5"), []).tau == [0.5]
    assert model_settings(ModelOnData(data="d"), []).search == ()


@pytest.mark.parametrize("flag", ["search_tau", "search_rank"])
@pytest.mark.parametrize(
    "wrong", [{"protocol": "table1"}, {"candidates": "2,5"}, {"split": "test"}, {"split": "train"}]
)
def test_a_search_refuses_what_is_no_search(flag, wrong):
    with pytest.raises(CaflowError, match=f"--{flag.replace('_', '-')}") as caught:
        model_settings(ModelOnData(data="d", **{flag: True}, **wrong), [])
    assert caught.value.exit_code == 2


def test_a_search_and_its_result_are_not_both_given():
    for flag, wrong in (("search_tau", {"tau": "0.5"}), ("search_rank", {"rank": "typical"})):
        with pytest.raises(CaflowError, match="both say the"):
            model_settings(ModelOnData(data="d", **{flag: True}, **wrong), [])
    with pytest.raises(CaflowError, match="several values of --tau"):
        model_settings(ModelOnData(data="d", search_rank=True, tau="0.5,1"), [])


def test_rules_of_rank_are_a_comma_list():
    assert model_settings(ModelOnData(data="d"), []).ranks == ("likelihood",)
    own = model_settings(ModelOnData(data="d", rank="consensus,best"), [])
    assert own.ranks == ("consensus", "best")
    with pytest.raises(CaflowError, match="cannot rank by 'beauty'"):
        model_settings(ModelOnData(data="d", rank="likelihood,beauty"), [])
    with pytest.raises(CaflowError, match="several values of --rank"):
        model_settings(ModelOnData(data="d", rank="likelihood,none", search_tau=True), [])
