"""A screenshot of the app's image tab with an answer, for the README: `python -m benchmarks.screenshot [PHOTO]`.

The photo is by default the page's own example: NASA's portrait of the astronaut Eileen Collins, which is in the public
domain. Needs Chromium.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image

from benchmarks.webcam import CHROMIUM, FLAGS, running

TARGET = Path(__file__).parent / "results" / "app.png"
PHOTO = Path(__file__).parents[1] / "facemodels" / "app" / "examples" / "astronaut.jpg"


def main() -> None:
    """The command line; see the module's docstring."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks.screenshot", description=__doc__.splitlines()[0])
    parser.add_argument("photo", nargs="?", type=Path, default=PHOTO, help="another photo that may be shown")
    parser.add_argument("--to", type=Path, default=TARGET, help="default: %(default)s")
    options = parser.parse_args()
    with running() as (url, _, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.goto(url)
        page.locator("input[type=file]").first.set_input_files(options.photo)
        page.wait_for_selector("#fm-results .fm-card")
        page.wait_for_timeout(2000)  # until pictures and fonts are there
        shot = Image.open(io.BytesIO(page.screenshot()))
        # Flat colours: a palette is half the size, and the photo does not suffer.
        shot.convert("RGB").quantize(256).save(options.to, optimize=True)
        browser.close()
    print(options.to)


if __name__ == "__main__":
    main()
