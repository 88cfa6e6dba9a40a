"""The image tab in a real browser: `python -m benchmarks.page` (`--write` keeps the result).

The app runs as `python app.py`, the browser is Chromium, and both share this machine's processors. An answer takes from
the choice of a file until its cards and boxes are drawn. Layout shift is what the browser itself reports: CLS, which
counts each shift of what is in view, by the area and the way that it moved.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.speed import RESULTS, Row, face, group, machine, row, write_result
from benchmarks.webcam import CHROMIUM, FLAGS, running

RUNS = 12  # uploads of each picture
SIZES = {"1280x800": (1280, 800), "390x844": (390, 844)}
PHOTO = (4000, 3000)  # pixels of what a phone takes

# In the page, before anything else.
WATCH_SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const {value, hadRecentInput} of list.getEntries()) if (!hadRecentInput) window.shifted += value;
}).observe({type: 'layout-shift', buffered: true});
"""
# Milliseconds from the choice of the next file until the screen shows its answer.
WATCH_ANSWER = """() => {
  window.answered = new Promise((done) => document.addEventListener('change', (event) => {
    const begun = performance.now();
    const look = () => {
      const drawn = document.querySelector('#fm-results .fm-card') && document.querySelector('#fm-picture rect');
      requestAnimationFrame(() => drawn ? done(performance.now() - begun) : look());
    };
    look();
  }, {capture: true, once: true}));
}"""


def open_page(browser: Any, url: str, size: tuple[int, int]) -> tuple[Any, list[float]]:
    """A visitor's first view of the page, and the bytes of each answer that it took."""
    page = browser.new_context(viewport={"width": size[0], "height": size[1]}).new_page()
    page.add_init_script(WATCH_SHIFTS)
    network, loaded = page.context.new_cdp_session(page), []
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    page.goto(url)
    page.locator("#fm-examples button").first.wait_for()
    page.wait_for_timeout(3000)  # until all has come; the event stream stays open
    return page, loaded


def answer(page: Any, photo: Path) -> float:
    """Milliseconds until the page shows what is in a photo."""
    page.evaluate(WATCH_ANSWER)
    page.set_input_files("#fm-picture input[type=file]", photo)
    taken: float = page.evaluate("window.answered")
    return taken


def forget(page: Any) -> None:
    """Have no picture any more."""
    page.get_by_label("Remove Image").click()
    page.get_by_text("No picture yet").wait_for()


def rows(browser: Any, url: str, folder: Path) -> list[Row]:
    """What is measured."""
    photos = {"one face, 512x512": Image.fromarray(face()), "six faces, 640x480": Image.fromarray(group(6))}
    photos[f"one face, {PHOTO[0]}x{PHOTO[1]}"] = photos["one face, 512x512"].crop((0, 0, 512, 384)).resize(PHOTO)
    for name, photo in photos.items():
        photo.save(folder / f"{name}.jpg", quality=90)
    found = []
    for size, pixels in SIZES.items():
        page, loaded = open_page(browser, url, pixels)
        if not found:
            found.append(row("bytes to open the page, cold", [sum(loaded) / 1000], "kB"))
        opened = page.evaluate("window.shifted")
        answer(page, folder / "one face, 512x512.jpg")
        page.wait_for_timeout(1500)  # until the page has come to rest
        shifted = page.evaluate("window.shifted") - opened
        found += [
            row(f"layout shift at {size}, opening the page", [opened], ""),
            row(f"layout shift at {size}, from an upload to its answer", [shifted], ""),
        ]
        if not any("upload to answer" in one.what for one in found):
            for name in photos:
                times = []
                for _ in range(RUNS):
                    forget(page)
                    times.append(answer(page, folder / f"{name}.jpg") / 1000)
                found.append(row(f"upload to answer: {name}", times, "s"))
        page.context.close()
    return found


def main() -> None:
    """The command line; see the module's docstring."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    options = parser.parse_args()
    lines = [machine(), "", "| what | median | 10th to 90th percentile |", "|---|---|---|"]
    with running() as (url, _, _), sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        lines += map(str, rows(browser, url, Path(folder)))
        browser.close()
    text = "\n".join(lines) + "\n"
    print(text)
    if options.write:
        write_result("Page", text)


if __name__ == "__main__":
    main()
