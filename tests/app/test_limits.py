"""Limits are stated, and hold."""

import pytest

from caflow_cli.app.limits import Limits
from caflow_cli.errors import CaflowError

LIMITS = Limits(megapixels=0.5, megabytes=2, candidates=8)


def test_the_page_can_say_them():
    assert "0.5 megapixels" in LIMITS.text
    assert "2 MB" in LIMITS.text
    assert "8 candidates" in LIMITS.text


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: LIMITS.check_bytes((2 << 20) + 1, "a.png"), "'a.png' has more than 2 MB"),
        (
            lambda: LIMITS.check_pixels((200, 200), (800, 800), "a.png"),
            "200x200 pixels make 800x800",
        ),
        (
            lambda: LIMITS.check_pixels((800, 800), (800, 800), "a.png"),
            "800x800 pixels are more than 0.5",
        ),
        (lambda: LIMITS.check_pixels((9, 900), (90, 9000), "a.png"), "900x9 pixels make 9000x90,"),
        (lambda: LIMITS.check_candidates(9), "9 candidates are more than 8"),
    ],
)
def test_what_is_above_them_is_refused(check, message):
    with pytest.raises(CaflowError, match=message) as caught:
        check()
    assert caught.value.hint


def test_what_is_at_them_is_not():
    LIMITS.check_bytes(2 << 20, "a.png")
    LIMITS.check_pixels((500, 1000), (500, 1000), "a.png")
    LIMITS.check_pixels((5, 10), (500, 1000), "a.png")
    LIMITS.check_candidates(8)
