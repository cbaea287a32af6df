"""The picture of a run's curves."""

from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.training.curve import draw_curve, ticks

GREY, ORANGE, BLUE, GREEN = (180, 180, 180), (213, 94, 0), (0, 114, 178), (0, 158, 115)


def events(count=40):
    for step in range(1, count + 1):
        images = 320 * step
        loss = 3.5 + 40 / (step * step)
        yield {"event": "step", "images": images, "running_bits_per_dim": loss}
        if step % 10 == 0:
            yield {
                "event": "validation",
                "images": images,
                "val_bits_per_dim": 3.6 + 1 / step,
                "train_bits_per_dim": 3.4 + 1 / step,
            }


def places(image, colour, below=50):
    """Rows and columns of that colour, below the legend."""
    rows, columns = np.nonzero((np.abs(image.astype(int) - colour) < 30).all(-1))
    return rows[rows > below], columns[rows > below]


def test_the_curves_fall_and_validation_lies_above_training():
    image = draw_curve(list(events()))
    assert image.shape == (540, 960, 3)
    assert image.dtype == np.uint8
    rows, columns = places(image, GREY)
    left, right = columns < np.median(columns), columns > np.median(columns)
    assert rows[left].mean() < rows[right].mean()  # downwards is later
    val, train = (places(image, colour) for colour in (BLUE, ORANGE))
    assert val[0].mean() < train[0].mean()
    assert columns.max() == pytest.approx(val[1].max(), abs=6)
    # The first steps are cut off: else these two, 0.2 apart, would be 2 of 420 rows apart.
    assert train[0].mean() - val[0].mean() > 20


def test_what_is_not_known_yet_is_left_out():
    blank = draw_curve([{"event": "data", "images": 0}])
    one = draw_curve([{"event": "step", "images": 10, "running_bits_per_dim": None}])
    np.testing.assert_array_equal(blank, one)
    single = draw_curve([e for e in events(10) if e["event"] == "validation"])
    assert len(places(single, BLUE)[0])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 10.0, [0, 2, 4, 6, 8, 10]),
        (3.41, 3.7, [3.45, 3.5, 3.55, 3.6, 3.65, 3.7]),
        (0.0, 25.6, [0, 5, 10, 15, 20, 25]),
        (2.0, 2.0, [2.0]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_draws_have_a_scale_of_their_own():
    own = [
        {**e, "val_picture_loss": 0.2 - 1e-5 * e["images"]} if "val_bits_per_dim" in e else e
        for e in events()
    ]
    plain, image = draw_curve(list(events())), draw_curve(own)
    rows, columns = places(image, GREEN)
    assert not len(places(plain, GREEN)[0])
    left, right = columns < np.median(columns), columns > np.median(columns)
    assert rows[left].mean() + 100 < rows[right].mean()  # over the whole height
    assert columns.max() > 905  # the scale, beside the border
    np.testing.assert_array_equal(image[60:470, :84], plain[60:470, :84])
