"""`caflow sample`."""

from __future__ import annotations

from PIL import Image

from ..process import assert_refused
from ..scenes import save, save_mask


def test_sample_takes_any_model_and_asks_for_what_it_needs(run, tmp_path, model_files):
    save(tmp_path / "x.png", 32, 32)
    mask = save_mask(tmp_path / "m.png", 32, 32)
    base = ["sample", "--cond", "x.png", "-m", 1]
    missing = run(*base, "--model", model_files["inpaint"])
    assert_refused(missing, 2, "needs a mask")
    extra = run(*base, "--mask", mask, "--model", model_files["colorize"])
    assert_refused(extra, 2, "takes no mask")
    for task in ("superres", "colorize"):
        done = run(*base, "-o", f"{task}.png", "--model", model_files[task])
        assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "superres.png").size == (128, 128)
    wrong = run("colorize", "x.png", "--model", model_files["paired"])
    assert_refused(wrong, 2, "is for paired, not colorize")
    assert "caflow sample" in wrong.stderr.decode()
