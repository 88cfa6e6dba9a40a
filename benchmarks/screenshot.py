"""Screenshots of the app's image tab with an answer: `python -m benchmarks.screenshot [PHOTO]`.

One for the README; one that previews of links to the page show; and the page's icon. The photo is by default the page's
own example: NASA's portrait of the astronaut Eileen Collins, which is in the public domain. Needs Chromium.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image, ImageDraw

from benchmarks.webcam import CHROMIUM, FLAGS, running
from facemodels.app.link_preview import FAVICON, PICTURE, PICTURE_SIZE

TARGET = Path(__file__).parent / "results" / "app.png"
PHOTO = Path(__file__).parents[1] / "facemodels" / "app" / "examples" / "astronaut.jpg"
TEAL = "#0f766e"


def icon(side: int = 64) -> Image.Image:
    """The page's icon: a face in a box."""
    size = 512
    image = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, size - 1, size - 1), 112, fill=TEAL)
    for x, y in ((0, 0), (0, 1), (1, 0), (1, 1)):  # the corners of the box
        left, top, reach = 84 + x * 344, 84 + y * 344, 96
        across, down = (reach if x == 0 else -reach), (reach if y == 0 else -reach)
        draw.line([(left + across, top), (left, top), (left, top + down)], "white", 36, joint="curve")
        for end in ((left + across, top), (left, top), (left, top + down)):
            draw.ellipse([end[0] - 17, end[1] - 17, end[0] + 17, end[1] + 17], fill="white")
    for x in (192, 320):
        draw.ellipse([x - 27, 205 - 27, x + 27, 205 + 27], fill="white")
    draw.arc([156, 170, 356, 370], 25, 155, "white", 36)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def main() -> None:
    """The command line; see the module's docstring."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks.screenshot", description=__doc__.splitlines()[0])
    parser.add_argument("photo", nargs="?", type=Path, default=PHOTO, help="another photo that may be shown")
    parser.add_argument("--to", type=Path, default=TARGET, help="default: %(default)s")
    options = parser.parse_args()
    with running() as (url, _, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        shots = []
        for width, height in ((1280, 800), PICTURE_SIZE):
            page = browser.new_context(viewport={"width": width, "height": height}).new_page()
            page.goto(url)
            page.locator("input[type=file]").first.set_input_files(options.photo)
            page.wait_for_selector("#fm-results .fm-card")
            page.wait_for_timeout(2000)  # until pictures and fonts are there
            shots.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        browser.close()
    # Flat colours: a palette is half the size, and the photo does not suffer.
    shots[0].quantize(256).save(options.to, optimize=True)
    shots[1].save(PICTURE, quality=80, optimize=True)
    icon().save(FAVICON, optimize=True)
    for path in (options.to, PICTURE, FAVICON):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
