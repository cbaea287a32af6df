"""The windows of a hole follow from the mask, cover it, and show thin damage as it is."""

import itertools

import numpy as np
import pytest
from drawn_masks import box, empty, line, masks
from hypothesis import assume, given, settings, strategies as st

from caflow_cli.tasks.windows import Window, edge_of, plan_windows, window_around

SIZE = 64


def filled(hole: np.ndarray, found: list[Window]) -> list[int]:
    """How many pixels each window fills."""
    left, counts = hole.copy(), []
    for window in found:
        counts.append(int(window.of(left).sum()))
        window.of(left)[:] = False
    assert not left.any()
    return counts


@given(masks(), st.sampled_from([16, 32, 64]))
@settings(max_examples=100, deadline=None)
def test_every_pixel_is_covered_and_no_window_is_useless(hole, size):
    before = hole.copy()
    found = plan_windows(hole, size)
    np.testing.assert_array_equal(hole, before)
    assert min(filled(hole, found)) > 0
    assert found == plan_windows(hole, size)
    height, width = hole.shape
    if not (whole := window_around(hole, size)).shrunk:
        assert found == [whole]
    shares = [window.of(hole).mean() for window in found]
    assert shares == sorted(shares)  # of holes: most known pixels first
    for window in found:
        assert 0 <= window.rows.start < window.rows.stop <= height
        assert 0 <= window.columns.start < window.columns.stop <= width
        assert 1 <= window.height <= size
        assert 1 <= window.width <= size
        spans = [window.rows.stop - window.rows.start, window.columns.stop - window.columns.start]
        if not window.shrunk:
            assert spans == [min(size, height), min(size, width)]


@given(masks(), st.sampled_from([16, 32, 64]), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_with_a_rim_native_windows_come_first_and_hold_all_of_it(hole, size, rim):
    found = plan_windows(hole, size, rim)
    assert min(filled(hole, found)) > 0
    assert found == plan_windows(hole, size, rim)
    near = edge_of(hole, rim)
    first = list(itertools.takewhile(lambda window: not window.shrunk, found))
    if window_around(hole, size).shrunk:
        seen = empty(*hole.shape)
        for window in first:
            window.of(seen)[:] = True
        assert seen[near].all()


@given(masks(), st.integers(0, 12))
@settings(max_examples=30, deadline=None)
def test_the_rim_is_what_has_a_known_pixel_near_it(hole, depth):
    hole = hole[:50, :50]
    expected = empty(*hole.shape)
    for y, x in np.argwhere(hole):
        rows, columns = (slice(max(0, at - depth), at + depth + 1) for at in (y, x))
        expected[y, x] = not hole[rows, columns].all()
    np.testing.assert_array_equal(edge_of(hole, depth), expected)


def test_a_rim_of_24_leaves_only_the_middle_of_a_large_hole_to_be_shrunk():
    blotch = box(600, 600, 100, 100, 90, 80)
    assert plan_windows(blotch, SIZE) == [window_around(blotch, SIZE)]
    assert not any(window.shrunk for window in plan_windows(blotch, SIZE, 24))
    large = box(900, 900, 100, 100, 400, 400)
    found = plan_windows(large, SIZE, 24)
    (middle,) = [window for window in found if window.shrunk]
    assert found[-1] == middle
    assert filled(large, found)[-1] >= 272**2
    everything = np.ones((200, 300), np.bool_)  # has no edge
    assert plan_windows(everything, SIZE, 24) == plan_windows(everything, SIZE)


@given(masks(), st.sampled_from([16, 32]))
@settings(max_examples=60, deadline=None)
def test_what_is_far_from_thick_places_is_native(hole, size):
    """Thick: squares of size / 4 + 1 in the hole, and what lies within size / 8 of them."""
    side, near = size // 4 + 1, size // 8
    thick = np.zeros_like(hole)
    for y in range(hole.shape[0] - side + 1):
        for x in range(hole.shape[1] - side + 1):
            if hole[y : y + side, x : x + side].all():
                rows, columns = (slice(max(0, at - near), at + side + near) for at in (y, x))
                thick[rows, columns] = True
    for window in plan_windows(hole, size):
        if window.shrunk and window != window_around(hole, size):
            assert window.of(hole & thick).any()
    hole[:: size // 4 + 1] = False  # so that no square of size / 4 + 1 lies in it
    assume(hole.any())
    assert not any(window.shrunk for window in plan_windows(hole, size))


@pytest.mark.parametrize("thick", [3, 9, 16])
@pytest.mark.parametrize("points", [[(10, 20), (760, 480)], [(0, 256), (380, 200), (767, 300)]])
def test_a_scratch_is_read_at_native_scale_in_few_windows(points, thick):
    hole = line(512, 768, points, thick)
    found = plan_windows(hole, SIZE)
    assert not any(window.shrunk for window in found)
    longest = max(abs(points[0][0] - points[-1][0]), abs(points[0][1] - points[-1][1]))
    assert len(found) <= 1.1 * longest / SIZE + 1


def test_a_scratch_that_ends_in_a_blotch_is_native_and_the_blotch_shrunk():
    hole = box(600, 600, 100, 100, 120, 90) | line(600, 600, [(150, 150), (590, 590)], 4)
    found = plan_windows(hole, SIZE)
    (large,) = [window for window in found if window.shrunk]
    own = window_around(box(600, 600, 100, 100, 120, 90), SIZE)
    for ours, theirs in ((large.rows, own.rows), (large.columns, own.columns)):
        assert abs(ours.start - theirs.start) <= 16
        assert abs(ours.stop - theirs.stop) <= 16
    assert filled(hole, found)[found.index(large)] > 0.9 * 120 * 90
    far = [w for w in found if w.rows.start > 240]
    assert far
    assert not any(window.shrunk for window in far)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((100, 100, 24, 24), (300, 200, 32, 20)),  # up to half a window
        ((50, 50, 60, 60), (700, 600, 100, 80)),  # shrunk
    ],
)
def test_two_objects_lie_in_the_middle_of_windows_of_their_own(one, other):
    one, other = box(900, 900, *one), box(900, 900, *other)
    found = plan_windows(one | other, SIZE)
    assert sorted(found) == sorted(window_around(hole, SIZE) for hole in (one, other))


def test_a_native_window_stays_clear_of_thick_places_where_it_can():
    """A line beside a blotch lies at the edge of its windows, not in their middle."""
    thick = box(300, 300, 100, 100, 100, 100)
    found = plan_windows(thick | box(300, 300, 60, 80, 180, 3), SIZE)
    native = [window for window in found if not window.shrunk]
    assert len(native) == len(found) - 1 == 3
    assert not any(window.of(thick).any() for window in native)


@pytest.mark.parametrize(
    ("height", "seen"), [(1, 1), (3, 1), (9, 1), (10, 2), (21, 3), (22, 4), (200, 32)]
)
def test_a_shrunk_window_is_seen_at_the_nearest_size_and_never_at_none(height, seen):
    """A hole of 200 pixels takes a window of 400, which the model sees as 64, 6.25 to one."""
    hole = empty(height, 1000)
    hole[:, 400:600] = True
    window = window_around(hole, SIZE)
    assert (window.columns, window.width) == (slice(300, 700), SIZE)
    assert (window.rows, window.height) == (slice(0, height), seen)
