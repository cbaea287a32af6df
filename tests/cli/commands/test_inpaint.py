"""`caflow inpaint`."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..scenes import pixels, save, save_mask


def test_what_is_known_is_kept(run, tmp_path, model_files):
    image, mask = save(tmp_path / "x.png", 90, 60), save_mask(tmp_path / "m.png", 90, 60)
    done = run("inpaint", image, "--mask", mask, "-m", 1, "--model", model_files["inpaint"])
    assert done.returncode == 0, done.stderr
    known = np.asarray(Image.open(mask)) == 0
    result = pixels(tmp_path / "x_inpaint.png")
    assert np.array_equal(result[known], pixels(image)[known])
    assert not np.array_equal(result, pixels(image))
