"""The video tab in a real browser, with a clip whose faces are known. Screenshots go to `artefacts/`."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import moving_face, write_clip

pytest.importorskip("playwright", reason="the page is tested with Playwright: pip install -e '.[dev]'")
pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
pytest.importorskip("av", reason="clips need PyAV: pip install -e '.[dev]'")

import av
from playwright import sync_api
from test_app import FakeAnalyzer, serving
from test_browser import (  # noqa: F401
    AXE,
    CHROMIUM,
    DESKTOP,
    FLAGS,
    GRADIOS_OWN,
    PHONE,
    TOO_SMALL,
    open_page,
    pytestmark,
    shoot,
)

from facemodels.app import Limits
from facemodels.app.settings import Settings


class SlowAnalyzer(FakeAnalyzer):
    """Takes a while for every picture."""

    def analyze(self, image: Any, **options: Any) -> Any:
        time.sleep(0.1)
        return super().analyze(image, **options)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(FakeAnalyzer()) as address:
        yield address


def open_tab(open_page: Callable[..., Any], url: str, **options: Any) -> Any:  # noqa: F811
    page = open_page(url, **options)
    page.set_default_timeout(60_000)
    page.get_by_role("tab", name="Video").click()
    return page


def choose(page: Any, clip: Path) -> None:
    page.set_input_files("#fm-clip input[type=file]", clip)


def save(page: Any, name: str, folder: Path) -> Path:
    """What one of the download buttons above the results saves."""
    with page.expect_download() as waiting:
        page.locator("#fm-clip-results .fm-downloads").get_by_text(name, exact=True).click()
    waiting.value.save_as(folder / waiting.value.suggested_filename)
    return folder / waiting.value.suggested_filename


def test_a_clip_is_analyzed(open_page: Callable[..., Any], url: str, clip: Path, tmp_path: Path) -> None:  # noqa: F811
    page = open_tab(open_page, url)
    page.get_by_text("No clip yet").wait_for()
    shoot(page, "video-empty")
    choose(page, clip)
    page.wait_for_selector("#fm-clip-results .fm-card")
    assert "1 person in 0:02: 50 frames, 11 of them analyzed" in page.inner_text(".fm-summary >> visible=true").replace(
        "\n", " "
    )
    card = page.inner_text("#fm-clip-results .fm-card").replace("\N{NO-BREAK SPACE}", " ")
    for expected in (
        "Person 1",
        "mostly Happy, 100% of the time",
        "23 to 40, most likely 31",
        "Female 75%",
        "0:00 to 0:02",
    ):
        assert expected in card
    assert page.locator("#fm-clip-results .fm-plot li").all_inner_texts() == ["Happy"]
    line = page.get_attribute("#fm-clip-results .fm-axes path", "d")
    points = [tuple(map(float, point.split())) for point in re.split("[ML]", line)[1:]]
    assert len(points) == 11 and points[0][0] == 0 and points[-1][0] == 1.96 and {y for _, y in points} == {0.5}

    # The browser plays what was made.
    page.wait_for_function("document.querySelector('#fm-clip-drawn video').readyState >= 2")
    assert page.evaluate("document.querySelector('#fm-clip-drawn video').videoWidth") == 320
    shoot(page, "video")

    # It waits with a poster and a play sign, which goes while it plays.
    assert page.get_attribute("#fm-clip-drawn video", "poster").startswith("data:image/jpeg;base64,")
    page.get_by_role("button", name="Play the video").click()
    page.wait_for_function("!document.querySelector('#fm-clip-drawn video').paused")
    page.wait_for_selector(".fm-play", state="hidden")
    page.evaluate("document.querySelector('#fm-clip-drawn video').pause()")
    page.wait_for_selector(".fm-play", state="visible")

    # A click into the plot moves the clip there, and the mark moves with it.
    plot = page.locator("#fm-clip-results .fm-axes svg")
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] / 2, "y": 40})
    assert abs(page.evaluate("document.querySelector('#fm-clip-drawn video').currentTime") - 0.98) < 0.05
    page.wait_for_function("parseFloat(document.querySelector('.fm-now').getAttribute('d').slice(1)) > 0.9")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.get_by_title("Show 0:00 in the clip").click()
    assert page.evaluate("document.querySelector('#fm-clip-drawn video').currentTime") == 0
    top, bottom = "document.querySelector('#fm-clip-drawn').getBoundingClientRect()", "innerHeight"
    page.wait_for_function(f"{top}.top >= 0 && {top}.bottom <= {bottom}")

    rows = list(csv.DictReader(io.StringIO(save(page, "CSV", tmp_path).read_text())))
    assert len(rows) == 50 and (rows[0]["track_id"], rows[0]["emotion"], rows[0]["age"]) == ("1", "happy", "31.4")
    drawn = save(page, "MP4", tmp_path)
    assert drawn.name == "clip-faces.mp4"
    with av.open(str(drawn)) as container:
        assert len(list(container.decode(video=0))) == 50 and len(container.streams.audio) == 1
    assert "<svg" in save(page, "SVG", tmp_path).read_text()
    assert json.loads(save(page, "JSON", tmp_path).read_text())["people"][0]["fractions"] == {"happy": 1.0}

    # Again, with other choices; then without a clip.
    page.locator("#fm-clip-options").get_by_text("Options").click()
    page.locator("#fm-clip-options").get_by_label("Age", exact=True).uncheck()
    page.get_by_label("Frames to analyze").click()
    page.get_by_role("option", name="1 per second").click()
    page.get_by_role("button", name="Analyze", exact=True).click()
    page.get_by_text("3 of them analyzed").wait_for()
    assert "most likely" not in page.inner_text("#fm-clip-results .fm-card")
    page.locator("#fm-clip").get_by_label("Clear").click()
    page.get_by_text("No clip yet").wait_for()
    assert page.locator("#fm-clip-drawn video").count() == 0


@pytest.mark.slow
def test_an_example_is_analyzed_and_leaves_anonymized(open_page: Callable[..., Any], tmp_path: Path) -> None:  # noqa: F811
    with serving(FakeAnalyzer(), examples=Settings().examples) as url:
        page = open_tab(open_page, url)
        strip = page.locator("#fm-clip-examples")
        assert "public domain" in strip.inner_text()
        shoot(page, "video-examples")
        strip.locator("button").click()
        page.wait_for_selector("#fm-clip-results .fm-card")
        assert "150 frames" in page.inner_text("#fm-clip-results") and not strip.is_visible()
        copy = save(page, "Anonymized copy", tmp_path)
        assert copy.name == "clip-anonymized.mp4"
        with av.open(str(copy)) as container:
            assert len(list(container.decode(video=0))) == 150
        page.locator("#fm-clip-hiding", has_text="Watch the copy before you share it").wait_for()
        page.locator("#fm-clip").get_by_label("Clear").click()
        page.get_by_text("No clip yet").wait_for()
        strip.wait_for()
        page.locator("#fm-clip-hiding").wait_for(state="hidden")
        page.close()  # before the server goes


@pytest.fixture(scope="module")
def long_clip(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of film."""
    pictures = moving_face(astronaut[20:220, 150:310], 600, (160, 160))
    return write_clip(tmp_path_factory.mktemp("clips") / "minute.webm", pictures, rate=10, codec="libvpx")


def leftovers(folder: Path) -> list[Path]:
    """What unfinished clips left in Gradio's folder."""
    return list(folder.glob("clip-*"))


@pytest.mark.slow
def test_the_work_is_shown_and_can_be_cancelled(
    open_page: Callable[..., Any],  # noqa: F811
    long_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    analyzer = SlowAnalyzer()
    with serving(analyzer) as url:
        page = open_tab(open_page, url)
        choose(page, long_clip)
        page.get_by_text(re.compile(r"^\d+ of 600 frames · about \d:\d\d left$")).wait_for()
        assert 0 < page.locator("#fm-clip-results progress").evaluate("bar => bar.position") < 1
        assert len(leftovers(tmp_path)) == 1
        shoot(page, "video-progress")
        page.wait_for_selector("#fm-clip-preview img")
        page.locator("#fm-clip-options").get_by_text("Options").click()
        assert page.get_by_role("button", name="Analyze", exact=True).is_disabled()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Nothing of it was kept").wait_for()
        shoot(page, "video-cancelled")
        wait_until(lambda: not leftovers(tmp_path))
        wait_until_quiet(analyzer)
        assert not page.get_by_role("button", name="Cancel").is_visible()
        assert page.locator("#fm-clip-preview img").count() == 0
        # Whoever changed their mind twice starts anew.
        page.get_by_role("button", name="Analyze", exact=True).click()
        page.get_by_text("of 600 frames").wait_for()
        page.locator("#fm-clip").get_by_label("Clear").click()
        page.get_by_text("No clip yet").wait_for()
        wait_until_quiet(analyzer)
        page.close()  # before the server goes


@pytest.mark.slow
def test_a_visitor_who_leaves_frees_the_place(
    open_page: Callable[..., Any],  # noqa: F811
    long_clip: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    analyzer = SlowAnalyzer()
    with serving(analyzer) as url:
        first, second = open_tab(open_page, url), open_tab(open_page, url)
        choose(first, long_clip)
        first.get_by_text("of 600 frames").wait_for()
        choose(second, clip)
        second.get_by_text("Waiting for a free place").wait_for()
        shoot(second, "video-waiting")
        first.close()
        second.wait_for_selector("#fm-clip-results .fm-card")
        second.close()  # before the server goes


def wait_until(true: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def wait_until_quiet(analyzer: FakeAnalyzer) -> None:
    """Until no picture is analyzed any more."""
    calls = itertools.count()
    seen = {}
    wait_until(lambda: seen.setdefault(next(calls), analyzer.calls) == seen.get(len(seen) - 11))


@pytest.mark.slow
def test_what_went_wrong_is_told(
    open_page: Callable[..., Any],  # noqa: F811
    clip: Path,
    long_clip: Path,
    tmp_path: Path,
) -> None:
    blank, cut = tmp_path / "blank.mp4", tmp_path / "cut.webm"
    write_clip(blank, [np.full((120, 160, 3), 90, np.uint8)] * 30)
    cut.write_bytes(long_clip.read_bytes()[: long_clip.stat().st_size // 2])
    with serving(FakeAnalyzer(), Limits(clip_seconds=90)) as url:
        page = open_tab(open_page, url)

        def expect(path: Path, *texts: str) -> None:
            choose(page, path)
            for text in texts:
                page.get_by_text(text).wait_for()
            shoot(page, f"video-{path.stem}")
            page.locator("#fm-clip").get_by_label("Clear").click()
            page.get_by_text("No clip yet").wait_for()

        expect(blank, "No face found", "Analyze more frames")
        expect(cut, "Not the whole clip", "What could be read was analyzed", "1 person")
        words = tmp_path / "words.mp4"
        words.write_text("no video")
        expect(words, "words.mp4: this is not a video")
        assert page.locator(".toast-wrap").inner_text() == "", "two voices for one error"
        page.close()
    with serving(FakeAnalyzer(), Limits(clip_seconds=30)) as url:
        page = open_tab(open_page, url)
        expect(long_clip, "This did not work", "minute.webm: Videos of more than 30 seconds are not accepted")
        page.close()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_the_tab_fits(
    open_page: Callable[..., Any],  # noqa: F811
    url: str,
    clip: Path,
    size: dict[str, int],
    theme: str,
) -> None:
    page = open_tab(open_page, url, size=size, theme=theme)
    name = f"{'phone' if size is PHONE else 'desktop'}-{theme}"
    shoot(page, f"video-empty-{name}")
    choose(page, clip)
    page.wait_for_selector("#fm-clip-results .fm-card")
    page.wait_for_function("document.querySelector('#fm-clip-drawn video').readyState >= 2")
    shoot(page, f"video-{name}")
    assert page.evaluate(TOO_SMALL) == []
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= size["width"], f"the tab is {wide} pixels wide"


@pytest.mark.slow
@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: npm install --no-save --no-package-lock axe-core@4")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_bars_the_way(open_page: Callable[..., Any], url: str, clip: Path, theme: str) -> None:  # noqa: F811
    page = open_tab(open_page, url, theme=theme)
    page.add_script_tag(path=AXE)
    assert grave_findings(page) == []
    choose(page, clip)
    page.wait_for_selector("#fm-clip-results .fm-card")
    page.wait_for_function("document.querySelector('#fm-clip-drawn video').readyState >= 2")
    assert grave_findings(page) == []


def grave_findings(page: Any) -> list[str]:
    page.wait_for_timeout(400)  # until what moves has come to rest
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{rule['id']}: {element['html'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for element in rule["nodes"]
        if not any(name in element["html"] for name in GRADIOS_OWN)
    ]
