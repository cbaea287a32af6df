"""Draw the image of the page of `caflow app`: python docs/images/app.py

It needs the extras `app` and `dev`, and Chromium. The example cat is in the public domain.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from caflow_cli.app.serve import serving

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1120, "height": 1120}
PATIENCE = 600_000  # ms


def main() -> None:
    with serving(device="cpu") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        page.goto(url)
        taken = shot(page)
        browser.close()
    # Few colors are enough for letters and frames, and the file stays small.
    screenshot = Image.open(io.BytesIO(taken)).convert("RGB").quantize(160, dither=0)
    screenshot.save(HERE / "app.png", optimize=True)
    print("docs/images/app.png", (HERE / "app.png").stat().st_size)


def shot(page: Page) -> bytes:
    """Enlarge the example cat, and take what the window shows."""
    candidates = page.get_by_label("Candidates", exact=True)
    page.wait_for_function(
        "(document.querySelector('input[aria-label=\"Candidates\"]') || {}).value > 0"
    )
    page.get_by_role("button", name="Use the example").click()
    page.get_by_text("the result 192×192").wait_for()
    candidates.fill("8")
    page.locator("#caflow-draw").click()
    page.locator("#caflow-status").get_by_text("8 candidates").wait_for()
    page.locator("#caflow-candidates img").nth(7).wait_for()
    page.wait_for_timeout(3000)  # until all is painted
    page.evaluate("window.scrollTo(0, 0)")
    return page.screenshot()


if __name__ == "__main__":
    main()
