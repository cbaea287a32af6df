"""Units are compared as products of powers, and not converted."""

import pytest

from caflow_cli.fields import same_unit


@pytest.mark.parametrize(
    "other", ["mm/h", "mm h-1", "mm hr^-1", "mm h**-1", "mm.h-1", "mm·h−1", "mm per hour", "mm/hr"]
)
def test_spellings_of_a_rate_of_rain(other):
    assert same_unit("mm/h", other)
    assert same_unit(other, "mm/h")


@pytest.mark.parametrize(
    ("one", "other"),
    [("mm/h", "mm"), ("mm/h", "kg m-2 s-1"), ("mm/h", "mm/3h"), ("K", "degC"), ("%", "1")],
)
def test_other_units(one, other):
    assert not same_unit(one, other)


def test_products_in_another_order():
    assert same_unit("kg m-2 s-1", "kg s-1 m-2")
    assert same_unit("kg/m2/s", "kg m-2 s-1")
    assert same_unit("count (log)", "count (log)")
