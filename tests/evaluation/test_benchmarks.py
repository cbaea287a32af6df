from __future__ import annotations

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.benchmarks import BENCHMARKS
from caflow_cli.evaluation.metrics import METRICS
from caflow_cli.evaluation.protocols import get_protocol


def test_their_metrics_are_in_the_catalogue():
    for benchmark in BENCHMARKS.values():
        assert {METRICS[name].needs for name in benchmark.metrics} <= {"pairs", "benchmark"}


@pytest.mark.parametrize(
    ("data", "bicubic", "edsr"),
    [
        ("a/Set5", 28.42, 32.46),
        ("Set14.zip", 26.00, 28.80),
        ("B100/", 25.96, 27.71),
        ("c:\\sets\\Urban-100", 23.14, 26.64),
    ],
)
def test_published_figures_are_those_of_the_set_with_that_name(data, bicubic, edsr):
    rows = {row.what: row.values for row in BENCHMARKS["sr4"].published(data)}
    assert rows["bicubic, published"]["psnr_y"].mean == bicubic
    assert rows["EDSR, published"]["psnr_y"].mean == edsr
    assert rows["ESRGAN, published"].keys() == {"psnr_y", "lpips"}
    assert rows["bicubic, published"]["lpips"].mean > 2 * rows["ESRGAN, published"]["lpips"].mean
    assert list(rows) == [
        f"{name}, published" for name in ("bicubic", "SRCNN", "EDSR", "RRDB", "ESRGAN")
    ]


def test_other_sets_have_no_published_figures():
    assert BENCHMARKS["sr4"].published("holidays") == []
    assert BENCHMARKS["colour"].published("Set5") == []


def test_a_misspelt_one_is_named():
    with pytest.raises(CaflowError) as caught:
        get_protocol("repare")
    assert caught.value.hint == "--protocol repair"
