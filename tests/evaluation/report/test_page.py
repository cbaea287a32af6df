"""The gallery, as a file and in a browser."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import evaluate
from caflow_cli.images import read_image

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
METRICS = ("rmse", "psnr", "ssim", "bpd", "diversity", "calibration", "likelihood")
NASTY = "<img src=x onerror=alert(1)>&.png"


@pytest.fixture(scope="module")
def report(models_32, true_pictures, tmp_path_factory):
    """The report of a sweep, and what was found."""
    data = tmp_path_factory.mktemp("data")
    shutil.copytree(true_pictures / "test", data, dirs_exist_ok=True)
    (data / "p1.png").rename(data / NASTY)
    (data / "broken.png").write_bytes(b"no picture")
    folder = tmp_path_factory.mktemp("report")
    identity = {"id": "small</script>", "sha256": "0" * 64}
    found = evaluate(
        models_32["superres"],
        data,
        METRICS,
        tau=(0.4, 1.0),
        candidates=(2, 3),
        report=folder,
        identity=identity,
    )
    return folder, found


def page(folder: Path) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


def data_of(folder: Path) -> dict:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page(folder))
    return json.loads(text[1])


def test_everything_is_there_and_nothing_is_fetched(report):
    folder, found = report
    text = page(folder)
    addresses = set(re.findall(r"https?://[^\"'\s<>]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"<link(?! rel=\"icon\" href=\"data:)|@import|<script src", text)
    for picture in data_of(folder)["pictures"]:
        names = {path.name for path in (folder / "images" / f"{picture['i']:05d}").iterdir()}
        candidates = {"c01.png", "c02.png", "c03.png"}
        assert names == {"input.png", "baseline.png", "truth.png", "error.png", *candidates}
        values = [c["ll"] for c in picture["c"]]
        assert values == sorted(values, reverse=True)
    assert (
        json.loads((folder / "metrics.json").read_text())["results"] == (found.as_json()["results"])
    )
    assert "<svg" in (folder / "sweep.svg").read_text()
    assert "broken.png" in text
    assert str(folder) not in text


def test_names_are_text_and_never_markup(report):
    folder, _ = report
    assert "<img src=x" not in re.sub(r"<script.*?</script>", "", page(folder), flags=re.DOTALL)
    assert NASTY in [picture["name"] for picture in data_of(folder)["pictures"]]
    scripts = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "script":
                scripts.append(dict(attrs))

    Parser().feed(page(folder))
    assert len(scripts) == 2


def test_an_existing_report_is_kept(report, models_32, true_pictures):
    folder, _ = report
    before = page(folder)
    with pytest.raises(CaflowError, match="exists") as caught:
        evaluate(models_32["superres"], true_pictures, "rmse", candidates=2, report=folder)
    assert caught.value.exit_code == 2
    assert page(folder) == before


# --- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """`browse(folder, width, scheme)` opens a page, in one Chromium for all."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no {CHROMIUM}")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")), executable_path=CHROMIUM, args=FLAGS
        )

        def open_page(folder: Path, width: int, scheme: str):
            view = context.new_page()
            view.set_viewport_size({"width": width, "height": 800})
            view.emulate_media(color_scheme=scheme)
            wrong: list[str] = []
            view.on("pageerror", lambda error: wrong.append(str(error)))
            view.on("console", lambda message: wrong.append(message.text))
            view.on("request", lambda request: wrong.append(request.url))
            view.goto(f"file://{folder}/index.html")
            return view, wrong

        yield open_page
        context.close()


def only_files(wrong: list[str], folder: Path) -> bool:
    return all(item.startswith((f"file://{folder}/", "data:,")) for item in wrong)


def order(view) -> list[str]:
    return view.eval_on_selector_all(".card h3", "all => all.map(h => h.textContent)")


def test_the_gallery_sorts_searches_and_obeys_the_keyboard(report, browse):
    folder, _ = report
    view, wrong = browse(folder, 1280, "light")
    pictures = {p["name"]: p for p in data_of(folder)["pictures"]}
    names = sorted(pictures, key=lambda name: pictures[name]["i"])
    assert order(view) == names

    view.select_option("#sort", "rmse")
    by_rmse = sorted(names, key=lambda name: pictures[name]["c"][0]["rmse"])
    assert order(view) == by_rmse
    view.check("#descending")
    assert order(view) == by_rmse[::-1]
    view.fill("#find", "onerror")
    assert order(view) == [NASTY]
    assert view.inner_text("#count") == "1 of 5 pictures"
    view.fill("#find", "")
    view.evaluate("document.activeElement.blur()")

    view.keyboard.press("j")
    view.keyboard.press("j")
    focused = "document.activeElement.querySelector('h3').textContent"
    assert view.evaluate(focused) == by_rmse[::-1][1]
    view.keyboard.press("k")
    best = by_rmse[-1]
    assert view.evaluate(focused) == best
    view.keyboard.press("Enter")
    assert view.is_visible("#viewer")
    seed = pictures[best]["c"][0]["seed"]
    assert f"{best} · #1 · " in view.inner_text("#caption")
    assert f"seed {seed}" in view.inner_text("#caption")
    view.keyboard.press("ArrowRight")
    assert " · #2 · " in view.inner_text("#caption")
    view.keyboard.press("t")
    assert view.get_attribute("#large", "src").endswith("truth.png")
    view.keyboard.press("t")
    assert view.get_attribute("#large", "src").endswith("c02.png")
    view.keyboard.press("Escape")
    assert not view.is_visible("#viewer")
    sizes = view.eval_on_selector_all(
        ".card:first-child img", "all => all.map(i => i.naturalWidth)"
    )
    assert len(sizes) == 7
    assert all(sizes)
    assert only_files(wrong, folder), wrong


def test_it_is_readable_narrow_and_wide_in_light_and_dark(report, browse):
    folder, _ = report
    brightness = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for width, scheme in ((400, "light"), (400, "dark"), (1280, "dark")):
        view, wrong = browse(folder, width, scheme)
        assert view.evaluate("document.documentElement.scrollWidth") <= width
        tile = view.locator(".tile img").first.bounding_box()
        assert tile["width"] >= 64
        assert view.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 14
        assert view.locator(".plots svg").count() >= 3
        seen[scheme] = sum(map(int, re.findall(r"\d+", view.evaluate(brightness))))
        # A sweep's table is wider than a phone and scrolls by itself.
        assert view.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == (
            "auto"
        )
        assert only_files(wrong, folder), wrong
    assert seen["light"] > 600 > 200 > seen["dark"]


def test_a_report_of_bits_alone_has_no_candidates(models_32, true_pictures, tmp_path):
    evaluate(models_32["superres"], true_pictures, "bpd", report=tmp_path / "r", limit=2)
    names = {p.name for p in (tmp_path / "r" / "images" / "00000").iterdir()}
    assert names == {"input.png", "baseline.png", "truth.png"}
    assert read_image(tmp_path / "r" / "images" / "00001" / "truth.png").shape == (32, 32, 3)
    assert [p["c"] for p in data_of(tmp_path / "r")["pictures"]] == [[], []]
