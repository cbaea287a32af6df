"""The report of an evaluation: a page, its images, and its figures."""

import html
import json
import re
import shutil

import pytest

from caflow_cli.evaluation import evaluate

METRICS = ("rmse", "psnr", "ssim", "bpd", "diversity", "calibration", "likelihood")
NASTY = "<img src=x onerror=alert(1)>&.png"


def images_of(text):
    return re.findall(r'<img [^>]*src="([^"]+)"', text)


@pytest.fixture(scope="module")
def report(models_32, true_images, tmp_path_factory):
    """The report of a sweep, and what was found."""
    data = tmp_path_factory.mktemp("data")
    shutil.copytree(true_images / "test", data, dirs_exist_ok=True)
    (data / "p1.png").rename(data / NASTY)
    (data / "broken.png").write_bytes(b"no image")
    folder = tmp_path_factory.mktemp("report")
    settings = {"tau": (0.4, 1.0), "candidates": (2, 3), "report": folder}
    return folder, evaluate(models_32["superres"], data, METRICS, **settings)


def test_everything_is_there_and_nothing_is_fetched(report):
    folder, found = report
    text = (folder / "index.html").read_text(encoding="utf-8")
    titles, images = re.findall(r"<h3>(.*?)</h3>", text), images_of(text)
    assert html.escape(NASTY) in titles  # as text, never as markup
    assert NASTY not in text
    assert (len(titles), text.count("<script")) == (5, 1)
    names = ["input", "baseline", "c01", "c02", "c03", "truth"]
    assert images[:6] == [f"images/00000/{name}.png" for name in names]
    assert len(images) == 5 * 6
    assert re.search(r'<figure title="seed 0, rmse [\d.]+, psnr [\d.]+, ssim [\d.-]+">', text)
    assert all((folder / source).is_file() for source in images)
    assert json.loads((folder / "metrics.json").read_text()) == found.as_json()
    assert "broken.png" in text
    assert str(folder) not in text
    for _, label, texts in found.table:
        assert label in text
        assert all(f"<td>{value}</td>" in text for value in texts)
