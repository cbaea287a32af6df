"""The curve of a run."""

import io

from PIL import Image

from caflow_cli.training.log import draw_curve


def test_the_curve_is_an_image_whatever_there_is_to_draw():
    step = {"event": "step", "images": 10, "running_bits_per_dim": None}
    known = {"val_bits_per_dim": 3.6, "train_bits_per_dim": 3.4}
    events = [step, {**step, "running_bits_per_dim": 4.0}, {"event": "validation", "images": 20}]
    for some in ([], events[:1], [*events[:2], {**events[2], **known}]):
        assert Image.open(io.BytesIO(draw_curve(some))).size == (960, 540)
