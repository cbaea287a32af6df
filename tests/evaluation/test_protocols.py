from __future__ import annotations

import pytest
from evaluation.small_settings import settings

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.protocols import PROTOCOLS, get_protocol


def test_protocols_hold_the_papers_figures():
    by_name = {
        name: {result.what: result.values for result in protocol.published}
        for name, protocol in PROTOCOLS.items()
    }
    ours = by_name["table1"]["CAFLOW, published"]
    assert (ours["lpips"].mean, ours["rmse"].mean) == (0.08, 17.56)
    assert by_name["table1"]["bicubic, published"]["rmse"].mean == 20.10
    five = by_name["table2"]["CAFLOW, five a picture, published"]
    assert five["fid"].mean == 16.73
    assert by_name["table3"]["CAFLOW, published"]["psnr"].mean == 26.08
    with pytest.raises(CaflowError, match="unknown protocol 'table4'"):
        get_protocol("table4")


def test_departures_from_a_protocol_are_said():
    table1 = get_protocol("table1")
    same = settings(candidates=(10,), metrics=("rmse", "lpips"))
    assert table1.departures(same, 100, ["lpips", "rmse"]) == []
    (note,) = table1.departures(settings(taus=(0.9,), candidates=(10,)), 12, ["rmse"])
    assert note == "not quite table1: tau 0.9 instead of 0.5; 12 pictures instead of 100"
    table2 = get_protocol("table2")
    other = settings(taus=(0.85,), candidates=(10,), keep=(1, 5), metrics=("fid",))
    (note,) = table2.departures(other, 5000, ["fid:alexnet"])
    assert "no FID" in note
