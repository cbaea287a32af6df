"""`caflow colorize`."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..scenes import pixels, save


def test_the_luminance_is_kept(run, tmp_path, model_files):
    image = save(tmp_path / "x.png", 90, 60)
    assert run("colorize", image, "-m", 1, "--model", model_files["colorize"]).returncode == 0
    grey = [np.asarray(Image.open(p).convert("L")) for p in (image, tmp_path / "x_colorize.png")]
    assert np.array_equal(*grey)
    assert not np.array_equal(pixels(image), pixels(tmp_path / "x_colorize.png"))
