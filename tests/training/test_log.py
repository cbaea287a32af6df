"""The curve of a run."""

import io

import numpy as np
from PIL import Image

from caflow_cli.training.log import draw_curve


def test_the_curve_is_an_image_whatever_there_is_to_draw():
    step = {"event": "step", "images": 10, "running_bits_per_dim": None}
    known = {"val_bits_per_dim": 3.6, "train_bits_per_dim": 3.4}
    events = [step, {**step, "running_bits_per_dim": 4.0}, {"event": "validation", "images": 20}]
    for some in ([], events[:1], [*events[:2], {**events[2], **known}]):
        assert Image.open(io.BytesIO(draw_curve(some))).size == (960, 540)


def test_the_curve_marks_a_single_point():
    """Where a line would be invisible."""
    only = {"event": "validation", "images": 20, "val_bits_per_dim": 3.6}
    blue = (0, 114, 178)  # of validation images
    for events, most in (([only], 200), ([only, {**only, "images": 40}], 2000)):
        image = Image.open(io.BytesIO(draw_curve(events))).convert("RGB")
        plot = image.crop((0, 60, 960, 540))  # without the legend
        assert 20 < (np.asarray(plot) == blue).all(2).sum() < most
