from __future__ import annotations

import numpy as np

from caflow_cli.evaluation.report.pictures import error_map


def test_errors_are_colours_of_a_fixed_scale():
    truth = np.zeros((1, 4, 3), np.uint8)
    image = truth.copy()
    image[0, 1], image[0, 2], image[0, 3] = 32, 64, 255
    colours = error_map(image, truth)[0].astype(int)
    assert colours[0].tolist() == [13, 14, 40]
    assert colours[1].tolist() == [176, 49, 90]
    assert colours[2].tolist() == colours[3].tolist() == [250, 230, 140]
    assert (np.diff(colours.sum(1)) >= 0).all()
