"""The page in a browser: `pytest -m page`."""

from __future__ import annotations

import http.client
import io
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from cracked import cracked
from PIL import Image
from scipy.ndimage import binary_dilation

from caflow_cli.damage import find_damage
from caflow_cli.images import decode, read_image, read_provenance, write_png

pytestmark = pytest.mark.page

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
PATIENCE = 60_000  # ms: a machine may be busy
_MARGIN = 30  # pixels that the editor keeps on each side of the canvas, at least

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

    def __init__(self, browser, url: str, width: int = 1280, height: int = 900) -> None:
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.asked.append(request.url))
        for event in ("requestfinished", "requestfailed"):
            self.page.on(event, lambda request: self.ended.append(request.url))
        self.page.goto(url)
        self.candidates = self.page.get_by_label("Candidates", exact=True)
        self.candidates.wait_for()
        assert self.candidates.input_value() not in ("", "0")
        self.wait_until_idle()

    def wait(self, is_so) -> None:
        end = time.monotonic() + PATIENCE / 1000
        while not is_so():
            assert time.monotonic() < end, self.status
            self.page.wait_for_timeout(100)

    def wait_until_idle(self) -> None:
        """Until five times in a row the page has nothing to do, and waits for no answer."""
        streams = re.compile("/(heartbeat|queue/data)")
        frame = "() => new Promise(go => requestIdleCallback(() => requestAnimationFrame(go)))"
        quiet = 0

        def is_quiet() -> bool:
            nonlocal quiet
            self.page.evaluate(frame)
            asked, ended = (
                sum(not streams.search(url) for url in urls) for urls in (self.asked, self.ended)
            )
            quiet = quiet + 1 if asked == ended else 0
            return quiet == 5

        self.wait(is_quiet)

    @property
    def uploads(self) -> int:
        return sum("/upload" in url for url in self.ended)

    def wait_for_paint(self, uploads: int) -> None:
        """Until the editor has sent what was painted after so many uploads."""
        self.wait(lambda: self.uploads > uploads)
        self.wait_until_idle()

    @property
    def status(self) -> str:
        return self.page.locator("#caflow-status").inner_text()

    @property
    def title(self) -> str:
        return self.page.locator("#caflow-title").inner_text()

    def wait_for(self, text: str) -> None:
        self.wait(lambda: re.search(text, self.status))

    def choose(self, task: str) -> None:
        self.candidates.fill("1")
        self.page.get_by_role("tab", name=task).click()
        self.wait(lambda: self.candidates.input_value() not in ("1", "0", ""))

    def give(self, path: Path) -> None:
        inputs = self.page.locator(
            "#caflow-image input[type=file], #caflow-inputs input[type=file]"
        )
        inputs.first.set_input_files(str(path))
        size = "{}×{} pixels".format(*Image.open(path).size)
        self.wait(lambda: size in self.page.locator("#caflow-size").inner_text())

    def draw(self, candidates: int) -> None:
        self.candidates.fill(str(candidates))
        self.page.locator("#caflow-draw").click()

    def zoom(self) -> float:
        """The zoom that the editor states."""
        return float(self.page.locator("#caflow-editor .zoom-number").inner_text().strip("%")) / 100

    def canvas(self) -> np.ndarray:
        """What the editor shows below its tools, as pixels."""
        canvas = self.page.locator("#caflow-editor canvas").first
        above = "#caflow-actions, #caflow-editor :is(label, .toolbar-wrap, .icon-button-wrapper)"
        data = canvas.screenshot(style=f"{above} {{ visibility: hidden; }}")
        return np.array(Image.open(io.BytesIO(data)).convert("RGB"))

    def stroke(self, side: float, row: float = 0.5, left: float = 0) -> None:
        """Paint past the middle of a square image, shown at this side, from its left edge."""
        canvas = self.page.locator("#caflow-editor canvas").first
        canvas.scroll_into_view_if_needed()
        self.wait_until_idle()
        uploads = self.uploads
        box = canvas.bounding_box()
        x = box["x"] + box["width"] / 2 + (left - 0.5) * side + 1
        y = box["y"] + box["height"] / 2 + (row - 0.5) * side
        mouse = self.page.mouse
        mouse.move(x, y)
        mouse.down()
        for step in range(13):
            mouse.move(x + ((0.5 - left) * side + 30) * step / 12, y)
            self.page.wait_for_timeout(20)
        mouse.up()
        self.wait_for_paint(uploads)

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
        paths = []
        for link in links.all():
            with self.page.expect_download() as waiting:
                link.click()
            paths.append(folder / waiting.value.suggested_filename)
            waiting.value.save_as(paths[-1])
        return paths

    def command(self) -> str:
        return self.page.locator("#caflow-command textarea").input_value()

    def is_in_view(self, selector: str) -> bool:
        box = self.page.locator(selector).bounding_box()
        return 0 <= box["y"] <= self.page.viewport_size["height"] - box["height"]


@pytest.fixture
def visitor(browser, url):
    visitor = Visitor(browser, url)
    yield visitor
    visitor.page.close()


def test_candidates_appear_and_are_downloaded_and_nothing_leaves_the_machine(
    visitor, url, small_photo, tmp_path
):
    more = visitor.page.locator("#caflow-draw-more")
    assert more.is_disabled()
    visitor.give(small_photo)
    visitor.draw(3)
    visitor.wait_for("3 candidates")
    visitor.wait(lambda: len(visitor.captions()) == 3)
    values = [float(re.match(r"#\d: (-?[\d.]+) nats", text)[1]) for text in visitor.captions()]
    assert values == sorted(values, reverse=True)
    path = visitor.download(tmp_path)
    assert path.name == "small_superres_01.png"
    assert read_provenance(path)["candidates"] == 3

    more.click()
    visitor.wait_for("6 candidates")
    visitor.wait(lambda: len(visitor.captions()) == 6)
    visitor.page.locator("#caflow-candidates button").nth(3).click()
    visitor.wait(lambda: "Candidate #4 of 6" in visitor.page.locator("#caflow-text").inner_text())
    other = visitor.download(tmp_path)
    assert read_provenance(other)["rank"] == 4
    image = visitor.page.locator("#caflow-spread img").bounding_box()
    caption = visitor.page.locator("#caflow-spread").get_by_test_id("block-label").bounding_box()
    assert caption["y"] + caption["height"] <= image["y"]
    assert "-m 6" in visitor.command()

    # No request of the page to another host, and none of the process.
    assert len(visitor.asked) > 20
    here = (url, "data:", "blob:")
    assert [asked for asked in visitor.asked if not asked.startswith(here)] == []
    assert _calls  # Gradio asks the page itself whether it is there
    assert [call for call in _calls if not is_local(call[1])] == []


def test_a_painted_hole_is_filled(visitor, photo, tmp_path):
    visitor.choose("Repair")
    visitor.give(photo)
    visitor.wait(lambda: visitor.zoom() == 10)  # the largest
    visitor.wait_until_idle()
    tools = visitor.page.locator("#caflow-editor .toolbar-wrap").bounding_box()
    editor = visitor.page.locator("#caflow-editor").bounding_box()
    canvas = visitor.page.locator("#caflow-editor canvas").first.bounding_box()
    assert tools["x"] + tools["width"] < canvas["x"] + _MARGIN
    for top in (0, 400):
        visitor.page.evaluate(f"window.scrollTo(0, {top})")
        assert visitor.is_in_view("#caflow-draw")
        assert visitor.is_in_view("#caflow-status")
    visitor.page.evaluate("window.scrollTo(0, 0)")
    for x, y in ((0.5, 0.03), (0.5, 0.5), (0.5, 0.97), (0.97, 0.5)):  # nothing covers the canvas
        point = [canvas["x"] + x * canvas["width"], canvas["y"] + y * canvas["height"]]
        assert point[1] < 900
        assert (
            visitor.page.evaluate("([x, y]) => document.elementFromPoint(x, y).tagName", point)
            == "CANVAS"
        )
    visitor.stroke(32 * visitor.zoom())
    visitor.draw(2)
    visitor.wait_for("2 candidates")
    result, mask = (read_image(path) for path in visitor.files(tmp_path))
    hole = mask[..., 0] == 255
    image = read_image(photo)
    assert 8 < hole.sum() < 32 * 32 / 2
    assert hole[15:17, :18].all()  # from the left edge to the middle, where the stroke went
    assert not hole[:8].any()
    np.testing.assert_array_equal(result[~hole], image[~hole])
    assert (result[hole] != image[hole]).any()
    # The comparison replaces the canvas, whose paint stays, also while another task is chosen.
    assert not visitor.page.locator("#caflow-editor").is_visible()
    slider = visitor.page.locator("#caflow-slider")
    assert abs(slider.bounding_box()["x"] - editor["x"]) < 2
    visitor.choose("Enlarge")
    visitor.page.locator("#caflow-image img").wait_for()
    visitor.choose("Repair")
    visitor.page.locator("#caflow-editor").wait_for()
    assert not slider.is_visible()
    assert visitor.page.locator("#caflow-editor").bounding_box()["height"] == editor["height"]
    visitor.wait_until_idle()
    uploads = visitor.uploads
    dot = {"x": canvas["width"] / 2, "y": 0.7 * canvas["height"]}
    visitor.page.locator("#caflow-editor canvas").first.click(position=dot)
    visitor.wait(lambda: "Settings have changed" in visitor.title)
    visitor.wait_for_paint(uploads)
    visitor.draw(3)
    visitor.wait_for("3 candidates")
    assert "Settings have changed" not in visitor.title
    again = read_image(visitor.files(tmp_path)[-1])[..., 0] == 255
    assert again[hole].all()
    assert 1 <= again[~hole].sum() <= 24


def test_known_colors_are_previewed(visitor, photo, tmp_path):
    visitor.choose("Color")
    visitor.give(photo)
    visitor.wait_until_idle()
    visitor.draw(2)
    visitor.wait_for("2 candidates")
    visitor.page.get_by_label("Input", exact=True).check()
    preview = visitor.page.locator("#caflow-preview img")
    plain = preview.get_attribute("src")
    visitor.wait_until_idle()  # until the editor has its new size
    visitor.stroke(32 * visitor.zoom())
    visitor.wait(lambda: preview.get_attribute("src") != plain)
    painted = preview.get_attribute("src")
    visitor.page.locator("#caflow-editor button[title=Undo]").click()
    visitor.wait(lambda: preview.get_attribute("src") != painted)
    uploads = visitor.uploads
    visitor.page.locator("#caflow-editor button[title=Redo]").click()
    visitor.wait_for_paint(uploads)
    visitor.draw(2)
    visitor.wait(lambda: "--hints hints.png" in visitor.command())
    strokes = decode(visitor.files(tmp_path)[-1])
    assert strokes.image.alpha[15:17, 4:17].min() == 255
    assert strokes.image.alpha[:8].max() == 0


def shown(canvas: np.ndarray, side: int, zoom: float) -> np.ndarray:
    """The pixels of a square image of which a canvas shows the middle."""
    at = (np.arange(side) + 0.5 - side / 2) * zoom
    rows, columns = (np.rint(length / 2 + at - 0.5).astype(int) for length in canvas.shape)
    return canvas[np.ix_(rows, columns)]


@pytest.mark.parametrize("width", [390, 1280, 1600])
def test_found_damage_is_painted_where_it_is_and_corrected(browser, url, tmp_path, width):
    image, _ = cracked()
    write_png(tmp_path / "cracked.png", image)
    damage = find_damage(image) > 0
    visitor = Visitor(browser, url, width, 900)
    visitor.choose("Repair")
    visitor.give(tmp_path / "cracked.png")
    visitor.wait_until_idle()
    before = [visitor.canvas()]
    zooms = [visitor.zoom()]
    zoom_in = visitor.page.locator("#caflow-editor button[title='Zoom in']")
    zoom_in.click()
    visitor.wait_until_idle()
    before.append(visitor.canvas())
    zooms.append(visitor.zoom())
    visitor.page.locator("#caflow-find").click()
    visitor.wait_for("of the image is marked")
    visitor.wait(lambda: visitor.zoom() == zooms[0])
    visitor.wait_until_idle()
    for plain, zoom in zip(before, zooms, strict=True):
        assert visitor.zoom() == zoom
        change = np.abs(visitor.canvas().astype(int) - plain).max(-1) > 20
        marked = shown(change, len(image), zoom)
        # The editor states a rounded zoom, and its canvas begins between two pixels.
        assert not (marked & ~binary_dilation(damage, iterations=2)).any()
        assert not (damage & ~binary_dilation(marked, iterations=2)).any()
        if zoom < zooms[-1]:
            zoom_in.click()
            visitor.wait_until_idle()
    visitor.stroke(len(image) * zooms[-1], left=0.3)  # beside the tools
    visitor.page.get_by_role("radio", name="Erase").check()
    visitor.wait_until_idle()
    visitor.stroke(len(image) * zooms[-1], row=0.365, left=0.3)
    assert not visitor.page.locator("#caflow-editor button[title=Erase]").is_visible()
    threshold = visitor.page.locator("#caflow-threshold input[type=range]")
    said = visitor.status
    for value in ("0.1", "0.5"):  # what is done by hand stays
        threshold.fill(value)
        visitor.wait(lambda said=said: visitor.status != said)
        visitor.wait_until_idle()
        said = visitor.status
    visitor.draw(1)
    visitor.wait_for("1 candidate, ")
    result, mask = (read_image(path) for path in visitor.files(tmp_path))
    hole = mask[..., 0] > 0
    assert hole[95:98, 60:108].all()
    assert not hole[69:72, 60:108].any()
    assert damage[69:72, 60:108].any()
    away = np.ones_like(damage)
    away[62:78] = away[88:105] = False
    np.testing.assert_array_equal(hole[away], damage[away])
    np.testing.assert_array_equal(result[~hole], image[~hole])
    assert (result[hole] != image[hole]).any(-1).mean() > 0.9
    visitor.page.close()


def test_an_image_gets_no_paint_of_the_one_before(visitor, browser, url, photo, tmp_path):
    write_png(tmp_path / "cracked.png", cracked()[0])
    other = Visitor(browser, url)
    visitor.choose("Repair")
    visitor.give(tmp_path / "cracked.png")
    Image.open(photo).resize((76, 76)).save(tmp_path / "large.png")
    other.give(tmp_path / "large.png")
    other.draw(40)  # long enough that Find damage is still waiting when the image changes
    other.wait_for("of 40")
    visitor.page.locator("#caflow-find").click()  # waits for the other visitor
    visitor.give(photo)
    stop = other.page.locator("#caflow-stop")
    if stop.is_enabled():  # on a busy machine, the browser may be slower than 40 candidates
        stop.click(timeout=5000)
    visitor.wait_for("The image has changed")
    visitor.wait_until_idle()
    visitor.draw(1)
    visitor.wait_for("there is no hole to fill")
    other.page.close()


def test_a_change_of_fields_shows(visitor, small_photo):
    visitor.draw(2)
    visitor.wait_for("there is no image")
    assert "drop one, or use the example" in visitor.status
    visitor.give(small_photo)
    visitor.draw(2)
    visitor.wait_for("2 candidates")
    assert "Settings have changed" not in visitor.title
    visitor.page.get_by_text("More", exact=True).click()
    temperature = visitor.page.locator("#caflow-tau")
    assert "τ 0.5, the default" in temperature.inner_text()
    visitor.wait_until_idle()  # until the fields have unfolded
    temperature.locator("input[type=range]").press("ArrowLeft")
    visitor.wait(lambda: "τ 0.45" in temperature.inner_text())
    changed = "Settings have changed: these candidates are of small.png"
    visitor.wait(lambda: changed in visitor.title)
    visitor.draw(0)  # a mistake leaves what is drawn, and it can be chosen
    visitor.wait_for("candidates = 10")
    visitor.wait(lambda: "Settings have changed" in visitor.title)
    visitor.page.locator("#caflow-candidates button").nth(1).click()
    visitor.wait(lambda: "Candidate #2 of 2" in visitor.page.locator("#caflow-text").inner_text())
    assert visitor.page.locator("#caflow-slider img").count()
    visitor.draw(1)
    visitor.wait_for("1 candidate, ")
    assert "τ 0.45" in visitor.title


def test_a_stop_and_a_closed_page_end_the_work(browser, url, small_photo):
    first = Visitor(browser, url)
    first.give(small_photo)
    stop = first.page.locator("#caflow-stop")
    assert stop.is_disabled()
    first.draw(40)
    first.wait_for("of 40")
    stop.click()
    first.wait_for("stopped: ")
    assert len(first.captions()) < 40
    assert stop.is_disabled()
    first.page.locator("#caflow-draw").click()
    first.wait_for("of 40")
    first.page.close()
    second = Visitor(browser, url)  # who waits until the first has left
    second.give(small_photo)
    second.draw(2)
    second.wait_for("2 candidates")
    second.page.close()


def test_a_file_that_is_no_image_is_refused_and_not_shown(visitor, small_photo, tmp_path):
    (tmp_path / "notes.png").write_text("no image")
    upload = visitor.page.locator("#caflow-image input[type=file]")
    upload.set_input_files(str(tmp_path / "notes.png"))
    visitor.wait_for("is not an image")
    visitor.wait_until_idle()
    assert not visitor.page.locator("#caflow-image img").count()
    assert visitor.page.locator("#caflow-size").inner_text() == ""
    visitor.give(small_photo)
    visitor.draw(1)
    visitor.wait_for("1 candidate, ")
    assert "Settings have changed" not in visitor.title


def test_visitors_who_leave_and_a_signal_end_it_without_a_traceback(
    browser, model_files, small_photo, tmp_path
):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "caflow_cli", "app", str(model_files["superres"])]
    command += ["--port", str(port), "--no-open"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said)
        assert str(port) in process.stdout.readline().decode()
        for leave in ("close", "go", "stay"):
            visitor = Visitor(browser, f"http://127.0.0.1:{port}")
            visitor.give(small_photo)
            visitor.draw(40)
            visitor.wait_for("of 40")
            if leave == "close":
                visitor.page.close()
            elif leave == "go":
                visitor.page.goto("about:blank")
            time.sleep(2)
        process.terminate()
        start = time.monotonic()
        assert process.wait(60) == 0
        assert time.monotonic() - start < 15
    assert (tmp_path / "said").read_text() == "press Ctrl-C to stop\n"
    process.stdout.close()


def test_it_fits_a_telephone(browser, url):
    visitor = Visitor(browser, url, 390, 844)
    page = visitor.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.get_by_text("Detail is invented.").is_visible()
    assert "megapixels" in page.locator("#caflow-limits").inner_text()
    for task in ("Color", "Repair", "Translate", "Enlarge"):
        visitor.choose(task)
        assert visitor.is_in_view("#caflow-draw")
    page.get_by_role("button", name="Use the example").click()
    visitor.wait(lambda: "48×48 pixels" in page.locator("#caflow-size").inner_text())
    assert visitor.is_in_view("#caflow-draw")
    visitor.draw(4)
    visitor.wait_for("4 candidates")
    visitor.wait(lambda: len(visitor.captions()) == 4)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    visitor.wait(lambda: visitor.is_in_view("#caflow-slider"))  # the page scrolls there smoothly
    assert visitor.is_in_view("#caflow-draw")
    fits = "box => box.scrollHeight <= box.clientHeight + 1"
    assert page.locator("#caflow-command textarea").evaluate(fits)
    assert page.locator("#caflow-spread button:visible").count() <= 1  # the image itself
    visitor.choose("Repair")
    label = page.locator("#caflow-editor label").first
    label.wait_for()
    tools = page.locator("#caflow-editor .icon-button-wrapper").first.bounding_box()
    box = label.bounding_box()
    assert box["x"] + box["width"] <= tools["x"]
    assert visitor.is_in_view("#caflow-draw")
    page.close()


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
    visitor.page.get_by_text("More", exact=True).click()
    option = "photos-superres-x4: enlarges photographs four times"
    chosen = visitor.page.get_by_role("radio", name=option)
    chosen.check()
    photo.save(tmp_path / "60.jpg", quality=60)
    visitor.give(tmp_path / "60.jpg")
    visitor.wait_until_idle()
    assert chosen.is_checked()
    assert "other models" not in visitor.page.locator("#caflow-size").inner_text()


def test_a_scan_of_16_bits_is_shown_and_comes_back_with_its_depth_and_profile(
    visitor, photo, tmp_path
):
    tifffile = pytest.importorskip("tifffile")
    adobe = pytest.importorskip("imagecodecs").cms_profile("adobergb")
    values = read_image(photo) * np.uint16(256) + np.arange(32 * 3, dtype=np.uint16).reshape(32, 3)
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, values, photometric="rgb", iccprofile=adobe, metadata=None)
    visitor.give(path)
    image = visitor.page.locator("#caflow-image img")
    visitor.wait(lambda: image.evaluate("image => image.naturalWidth") == 32)
    visitor.choose("Repair")
    visitor.wait(lambda: visitor.zoom() == 10)
    visitor.wait_until_idle()
    green = shown(visitor.canvas()[..., 1], 32, 10).astype(int)
    assert np.median(np.abs(green - decode(path).image.shown[..., 1])) <= 2
    visitor.stroke(32 * visitor.zoom())
    visitor.draw(1)
    visitor.wait_for("1 candidate, ")
    result = decode(visitor.download(tmp_path))
    mask = read_image(visitor.files(tmp_path)[-1])[..., 0]
    assert (result.image.bits, result.image.profile) == (16, adobe)
    np.testing.assert_array_equal(result.image.values[mask == 0], values[mask == 0])
    assert (result.image.values[mask > 0] != values[mask > 0]).any()
