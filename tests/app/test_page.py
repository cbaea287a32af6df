"""The page in a browser: `pytest -m page`."""

from __future__ import annotations

import http.client
import re
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from cracked import cracked
from PIL import Image

from caflow_cli.damage import find_damage
from caflow_cli.images import decode, read_provenance, write_png

pytestmark = pytest.mark.page

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
PATIENCE = 60_000  # ms: a machine may be busy
_AROUND = 30  # pixels that the editor keeps on each side of the sheet

_calls: list[tuple[str, object]] = []  # what this process asked the network for
_watching = False


def _watch(event: str, arguments: tuple) -> None:
    if _watching and event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        _calls.append((event, arguments[0] if event == "socket.getaddrinfo" else arguments[1]))


def is_local(address: object) -> bool:
    host = address[0] if isinstance(address, tuple) else address
    if not isinstance(host, str) or host.startswith("/"):
        return True  # a socket of this machine's file system
    return host in ("localhost", "0.0.0.0", "::1") or host.startswith("127.")


@pytest.fixture(scope="module")
def url(model_files, tmp_path_factory):
    """The page, served by this process; a hook records all network access.

    The working folder does not contain the package, as for a user.
    """
    global _watching
    pytest.importorskip("gradio", reason="the extra app is not installed")
    from caflow_cli.app.inputs import Limits
    from caflow_cli.app.serve import serving

    sys.addaudithook(_watch)  # stays for good
    _watching = True
    names = [str(path) for path in model_files.values()]
    limits = Limits(megapixels=0.1, candidates=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        with serving(names, "cpu", limits=limits) as address:
            yield address
    _watching = False


@pytest.fixture(scope="module")
def browser(url):
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no {CHROMIUM}")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Someone at the page."""

    def __init__(self, browser, url: str, width: int = 1280) -> None:
        self.asked: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)
        self.wait(
            lambda: self.page.get_by_label("Candidates", exact=True).input_value() not in ("", "0")
        )

    def wait(self, is_so) -> None:
        end = time.monotonic() + PATIENCE / 1000
        while not is_so():
            assert time.monotonic() < end, self.status
            self.page.wait_for_timeout(100)

    @property
    def status(self) -> str:
        return self.page.locator("#caflow-status").inner_text()

    @property
    def title(self) -> str:
        return self.page.locator("#caflow-title").inner_text()

    def wait_for(self, text: str) -> None:
        self.wait(lambda: re.search(text, self.status))

    def choose(self, model: str) -> None:
        m = self.page.get_by_label("Candidates", exact=True)
        m.fill("1")
        self.page.get_by_label("Model").click()
        self.page.get_by_role("option", name=f"{model}.safetensors").click()
        self.wait(lambda: m.input_value() not in ("1", "0", ""))

    def give(self, path: Path) -> None:
        self.page.locator("input[type=file]").first.set_input_files(str(path))
        self.wait(lambda: "pixels" in self.page.locator("#caflow-size").inner_text())

    def draw(self, candidates: int) -> None:
        self.page.get_by_label("Candidates", exact=True).fill(str(candidates))
        self.page.locator("#caflow-draw").click()

    def stroke(self) -> None:
        """Paint from the left edge of the sheet, beside the tools, past its middle."""
        canvas = self.page.locator("#caflow-editor canvas").first
        canvas.scroll_into_view_if_needed()
        self.page.wait_for_timeout(1000)
        box = canvas.bounding_box()
        width, height = box["width"], box["height"]
        side = min(width, height) - 2 * _AROUND  # of the sheet, in the middle
        x, y = box["x"] + (width - side) / 2 + 1, box["y"] + height / 2
        mouse = self.page.mouse
        mouse.move(x, y)
        mouse.down()
        for step in range(13):
            mouse.move(x + (side / 2 + 30) * step / 12, y)
            self.page.wait_for_timeout(20)
        mouse.up()
        self.page.wait_for_timeout(4000)  # until the editor has handed it on

    def captions(self) -> list[str]:
        return self.page.locator("#caflow-candidates .caption-label").all_inner_texts()

    def download(self, folder: Path) -> Path:
        with self.page.expect_download() as waiting:
            self.page.locator("#caflow-download").click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def files(self, folder: Path) -> list[Path]:
        """What the lists of files give: the best, and what was painted."""
        links = self.page.locator("#caflow-files .download a")
        links.first.wait_for()
        found = []
        for link in links.all():
            with self.page.expect_download() as waiting:
                link.click()
            found.append(folder / waiting.value.suggested_filename)
            waiting.value.save_as(found[-1])
        return found


@pytest.fixture
def visitor(browser, url):
    one = Visitor(browser, url)
    yield one
    one.page.close()


def test_candidates_appear_and_are_downloaded_and_nothing_leaves_the_machine(
    visitor, url, small_photo, tmp_path
):
    visitor.give(small_photo)
    visitor.draw(3)
    visitor.wait_for("3 candidates")
    visitor.wait(lambda: len(visitor.captions()) == 3)
    values = [float(re.match(r"#\d: (-?[\d.]+) nats", text)[1]) for text in visitor.captions()]
    assert values == sorted(values, reverse=True)
    path = visitor.download(tmp_path)
    assert path.name == "small_superres_01.png"
    assert read_provenance(path)["candidates"] == 3

    visitor.page.locator("#caflow-more").click()
    visitor.wait_for("6 candidates")
    visitor.wait(lambda: len(visitor.captions()) == 6)
    visitor.page.locator("#caflow-candidates button").nth(3).click()
    visitor.wait(lambda: "Candidate #4 of 6" in visitor.page.locator("#caflow-text").inner_text())
    other = visitor.download(tmp_path)
    assert read_provenance(other)["rank"] == 4
    assert visitor.page.locator("#caflow-spread img").count() == 1
    assert "-m 6" in visitor.page.locator("#caflow-command textarea").input_value()

    # No request of the page to another host, and none of the process.
    assert len(visitor.asked) > 20
    here = (url, "data:", "blob:")
    assert [asked for asked in visitor.asked if not asked.startswith(here)] == []
    assert _calls  # Gradio asks the page itself whether it is there
    assert [call for call in _calls if not is_local(call[1])] == []


def test_a_painted_hole_is_filled(visitor, photo, tmp_path):
    visitor.choose("inpaint")
    visitor.give(photo)
    tools = visitor.page.locator("#caflow-editor .toolbar-wrap").bounding_box()
    place = visitor.page.locator("#caflow-editor").bounding_box()
    sheet = visitor.page.locator("#caflow-editor canvas").first.bounding_box()
    assert tools["x"] + tools["width"] < sheet["x"] + _AROUND
    for down in (0, 400):
        visitor.page.evaluate(f"window.scrollTo(0, {down})")
        for name in ("#caflow-draw", "#caflow-status"):
            box = visitor.page.locator(name).bounding_box()
            assert 0 <= box["y"] <= 900 - box["height"]
    visitor.page.evaluate("window.scrollTo(0, 0)")
    for x, y in ((0.5, 0.03), (0.5, 0.5), (0.5, 0.97), (0.97, 0.5)):  # nothing covers the canvas
        point = [sheet["x"] + x * sheet["width"], sheet["y"] + y * sheet["height"]]
        assert point[1] < 900
        assert (
            visitor.page.evaluate("([x, y]) => document.elementFromPoint(x, y).tagName", point)
            == "CANVAS"
        )
    visitor.stroke()
    visitor.draw(2)
    visitor.wait_for("2 candidates")
    result, mask = (decode(path).rgb for path in visitor.files(tmp_path))
    hole, given = mask[..., 0] == 255, decode(photo).rgb
    assert 8 < hole.sum() < 32 * 32 / 2
    assert hole[15:17, :18].all()  # from the left edge to the middle, where the stroke went
    assert not hole[:8].any()
    np.testing.assert_array_equal(result[~hole], given[~hole])
    assert (result[hole] != given[hole]).any()
    # The comparison took the canvas's place; what was painted is still there, and a thin brush.
    assert not visitor.page.locator("#caflow-editor").is_visible()
    assert abs(visitor.page.locator("#caflow-slider").bounding_box()["x"] - place["x"]) < 2
    visitor.page.get_by_label("Input", exact=True).check()
    assert not visitor.page.locator("#caflow-slider").is_visible()
    assert visitor.page.locator("#caflow-editor").bounding_box()["height"] == place["height"]
    width = visitor.page.locator("#caflow-brush input[type=number]")
    width.fill("2")
    width.blur()
    visitor.page.wait_for_timeout(4000)
    box = visitor.page.locator("#caflow-editor canvas").first.bounding_box()
    dot = {"x": box["width"] / 2, "y": 0.8 * box["height"]}
    visitor.page.locator("#caflow-editor canvas").first.click(position=dot)
    visitor.wait(lambda: "Settings have changed" in visitor.title)
    visitor.page.wait_for_timeout(4000)
    visitor.draw(3)
    visitor.wait_for("3 candidates")
    assert "Settings have changed" not in visitor.title
    again = decode(visitor.files(tmp_path)[-1]).rgb[..., 0] == 255
    assert again[hole].all()
    assert 1 <= again[~hole].sum() <= 12


def test_found_damage_is_shown_and_filled(visitor, tmp_path):
    image, _ = cracked()
    write_png(tmp_path / "cracked.png", image)
    visitor.choose("inpaint")
    visitor.give(tmp_path / "cracked.png")
    visitor.page.locator("#caflow-find").click()
    visitor.wait_for("of the image is painted")
    visitor.page.wait_for_timeout(4000)
    visitor.draw(1)
    visitor.wait_for("1 candidate, ")
    result, mask = (decode(path).rgb for path in visitor.files(tmp_path))
    found = find_damage(image) > 0
    np.testing.assert_array_equal(mask[..., 0] > 0, found)
    np.testing.assert_array_equal(result[~found], image[~found])
    assert (result[found] != image[found]).any(-1).mean() > 0.9


def test_a_change_of_fields_shows(visitor, small_photo):
    visitor.draw(2)
    visitor.wait_for("there is no image")
    assert "drop one, or use the example" in visitor.status
    visitor.give(small_photo)
    visitor.draw(2)
    visitor.wait_for("2 candidates")
    assert "Settings have changed" not in visitor.title
    visitor.page.get_by_label("Temperature").fill("0.123")
    visitor.wait(
        lambda: "Settings have changed: these candidates are of small.png" in visitor.title
    )
    visitor.draw(0)  # a mistake leaves what is drawn, and it can be chosen
    visitor.wait_for("candidates = 10")
    visitor.wait(lambda: "Settings have changed" in visitor.title)
    visitor.page.locator("#caflow-candidates button").nth(1).click()
    visitor.wait(lambda: "Candidate #2 of 2" in visitor.page.locator("#caflow-text").inner_text())
    assert visitor.page.locator("#caflow-slider img").count()


def test_a_map_is_drawn(visitor, tmp_path):
    visitor.choose("paired")
    visitor.page.locator("#caflow-editor canvas").first.wait_for()
    visitor.stroke()
    visitor.draw(2)
    visitor.wait_for("2 candidates")
    result, given = (decode(path).rgb for path in visitor.files(tmp_path))
    assert result.shape == given.shape == (32, 32, 3)
    assert given[15:17, 14:18].mean() < 128  # black, where the stroke went
    assert given[:8].min() == 255


def test_a_stop_and_a_closed_page_end_the_work(browser, url, small_photo):
    one = Visitor(browser, url)
    one.give(small_photo)
    stop = one.page.locator("#caflow-stop")
    assert stop.is_disabled()
    one.draw(40)
    one.wait_for("of 40")
    stop.click()
    one.wait_for("stopped: ")
    assert len(one.captions()) < 40
    assert stop.is_disabled()
    one.page.locator("#caflow-draw").click()
    one.wait_for("of 40")
    one.page.close()
    two = Visitor(browser, url)  # who waits until the first has left
    two.give(small_photo)
    two.draw(2)
    two.wait_for("2 candidates")
    two.page.close()


def test_it_fits_a_telephone(browser, url):
    one = Visitor(browser, url, width=400)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 400
    assert one.page.get_by_text("Detail is invented.").is_visible()
    assert "megapixels" in one.page.locator("#caflow-limits").inner_text()
    one.page.get_by_role("button", name="Use the example").click()
    one.wait(lambda: "48×48 pixels" in one.page.locator("#caflow-size").inner_text())
    one.draw(4)
    one.wait_for("4 candidates")
    one.wait(lambda: len(one.captions()) == 4)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 400

    def is_in_sight() -> bool:
        box = one.page.locator("#caflow-slider").bounding_box()
        return 0 <= box["y"] <= 900 - box["height"]

    one.wait(is_in_sight)  # the page scrolls there smoothly
    fits = "box => box.scrollHeight <= box.clientHeight + 1"
    assert one.page.locator("#caflow-command textarea").evaluate(fits)
    assert one.page.locator("#caflow-spread button:visible").count() <= 1  # the picture itself
    one.choose("inpaint")
    label = one.page.locator("#caflow-editor label").first
    label.wait_for()
    tools = one.page.locator("#caflow-editor .icon-button-wrapper").first.bounding_box()
    box = label.bounding_box()
    assert box["x"] + box["width"] <= tools["x"]
    one.page.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "[::1]:{port}"}, 200),
        ({"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}, 200),
        ({"Host": "evil.example:{port}"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_hosts_and_origins_are_refused(url, headers, status):
    port = urlsplit(url).port
    sent = {name: value.format(port=port) for name, value in headers.items()}
    for path in ("", "config", "gradio_api/info"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/{path}", headers=sent)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == status, path
        assert (body == b"another host or origin") == (status == 403)
        connection.close()


def test_a_chosen_model_stays_for_jpegs_of_any_quality(visitor, small_photo, tmp_path):
    photo = Image.open(small_photo).convert("RGB")
    chosen = visitor.page.get_by_label("Model")
    chosen.click()
    visitor.page.get_by_role("option", name="photos-superres-x4").click()
    photo.save(tmp_path / "60.jpg", quality=60)
    visitor.give(tmp_path / "60.jpg")
    visitor.page.wait_for_timeout(1000)
    assert "photos-superres-x4" in chosen.input_value()
    assert "or choose another" not in visitor.page.locator("#caflow-size").inner_text()
