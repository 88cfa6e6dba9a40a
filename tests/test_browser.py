"""The page in a real browser: each tab's story, with a camera whose film is known. Screenshots go to `artefacts/`."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facemodels import Box, FaceAnalyzer, read_image
from facemodels.app.words import PREFIX, words_in
from facemodels.hub.registry import WEIGHTS

pytest.importorskip("playwright", reason="the page is tested with Playwright: pip install -e '.[dev]'")
pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")

from playwright import sync_api
from test_app import FakeAnalyzer, serving

from facemodels.app import Limits
from facemodels.app.settings import Settings, read_examples
from facemodels.evaluation.labels import read_labels

CHROMIUM = os.environ.get("FACEMODELS_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
ROOT = Path(__file__).parent.parent
ARTEFACTS = ROOT / "tests" / "artefacts"
AXE = Path(os.environ.get("FACEMODELS_AXE") or ROOT / "node_modules" / "axe-core" / "axe.min.js")
# Findings in Gradio's own parts: labels that differ from the words on a button, and one on a plain div.
GRADIOS_OWN = ("upload-container", "capture-button", 'aria-label="Empty value"')
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LAPTOP = {"width": 1280, "height": 800}
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
GROUND = (90, 120, 90)  # what is behind the face in front of the fake camera

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).is_file(), reason=f"no browser at {CHROMIUM}: apt install chromium, or set FACEMODELS_CHROMIUM"
)


def film(astronaut: np.ndarray, path: Path, starts: Iterable[tuple[int, int]], side: tuple[int, int]) -> str:
    """Two seconds of film, 640x480: faces of this size on a plain ground, each moving slowly to and fro.

    Returns:
        The flag that puts it in front of the browser's camera.
    """
    face = Image.fromarray(astronaut).crop((150, 20, 310, 220)).resize(side)
    with path.open("wb") as file:
        for moment in range(60):
            frame = Image.new("RGB", (640, 480), GROUND)
            for left, top in starts:
                frame.paste(face, (left + abs(30 - moment), top))
            frame.save(file, "jpeg", quality=90)
    return f"--use-file-for-fake-video-capture={path}"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Any, astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with one face before its camera, in the left half."""
    flag = film(astronaut, tmp_path_factory.mktemp("camera") / "face.mjpeg", [(60, 120)], (160, 200))
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, flag])
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer()


@pytest.fixture(scope="module")
def url(analyzer: FakeAnalyzer) -> Iterator[str]:
    with serving(analyzer) as address:
        yield address


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; fails the test if one logs an error, has a request fail, or asks anything of another machine."""
    contexts: list[Any] = []
    trouble: list[str] = []

    def open_page(url: str, size: dict[str, int] = DESKTOP, theme: str = "light", locale: str = "en-US") -> Any:
        context = browser.new_context(viewport=size, permissions=["camera"], locale=locale)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # a busy machine is slow, and this costs nothing elsewhere
        page.on("console", lambda message: trouble.extend([message.text] if is_error(message) else []))
        page.on("pageerror", lambda error: trouble.extend([f"uncaught: {error}"]))
        page.on(
            "requestfailed", lambda request: trouble.extend([f"failed: {request.url}"] if has_failed(request) else [])
        )
        page.on(
            "response", lambda answer: trouble.extend([f"{answer.status} {answer.url}"] if is_refused(answer) else [])
        )
        page.on(
            "request", lambda request: trouble.extend([f"elsewhere: {request.url}"] if is_elsewhere(request) else [])
        )
        page.goto(f"{url}?__theme={theme}")
        page.wait_for_selector("#fm-results")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def is_elsewhere(request: Any) -> bool:
    """A request to another machine."""
    return not re.match(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:|about:", request.url)


def is_error(message: Any) -> bool:
    """An error on the console; a refused request is judged by `is_refused`, which knows its address."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def has_failed(request: Any) -> bool:
    """A request without an answer, unless the page hung up: on the server's event stream when it is done, as it does,
    on a picture that the next one replaced, on a clip of which it has seen enough, or, when it was closed itself, on
    what Gradio loads to trim clips."""
    hung_up = "/queue/data" in request.url or "/annotated-" in request.url or "/assets/worker-" in request.url
    hung_up = hung_up or request.resource_type == "media"
    return not (request.failure == "net::ERR_ABORTED" and hung_up)


def is_refused(answer: Any) -> bool:
    """A request that was refused, unless it brought one last frame to a stream that had just ended."""
    return answer.status >= 400 and not (answer.status == 404 and "/gradio_api/stream/" in answer.url)


def shoot(page: Any, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page.wait_for_timeout(300)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)


# What is too small to read (12 px) or to touch (24 px), but for links in a sentence; a face in a picture is as large as
# it is.
TOO_SMALL = """() => {
    const seen = (one) => one.checkVisibility({opacityProperty: true, visibilityProperty: true});
    const told = (one, what) => what + ': ' + one.outerHTML.slice(0, 150);
    const targets = ['button', 'a[href]', 'input', 'select', 'summary', '[role=button]:not(g)']
        .map((one) => one + ':not([tabindex="-1"])').join();  // Gradio measures the tabs' width by unseen ones
    const small = [...document.querySelectorAll(targets)].filter(seen).filter((one) => {
        const {width, height} = (one.closest('label') ?? one).getBoundingClientRect();
        const written = one.matches('a[href]') && getComputedStyle(one).display === 'inline';
        return width && height && Math.min(width, height) < 23.5 && !written;
    });
    const texts = [...document.querySelectorAll('body *')].filter((one) => !one.closest('svg, script, style') &&
        [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) && seen(one) &&
        parseFloat(getComputedStyle(one).fontSize) < 12);
    return [...small.map((one) => told(one, 'target')), ...texts.map((one) => told(one, 'text'))];
}"""


def choose(page: Any, picture: Path) -> None:
    page.set_input_files("#fm-picture input[type=file]", picture)


def ask_for_the_camera(page: Any) -> None:
    """All that a visitor does for the live picture, without waiting for it."""
    page.get_by_role("tab", name="Webcam").click()
    page.get_by_role("button", name="Start camera").click()


def start_camera(page: Any) -> None:
    ask_for_the_camera(page)
    page.wait_for_selector("#fm-webcam .fm-overlay g")


def test_image_tab(
    open_page: Callable[..., Any], url: str, analyzer: FakeAnalyzer, photo: Path, tmp_path: Path
) -> None:
    page = open_page(url)
    assert "Perceived, not known." in page.inner_text("body")
    assert "No picture yet" in page.inner_text("#fm-results")
    assert page.get_by_text("Nothing is kept:").is_visible() is False, "the notice folds after its first line"
    page.locator(".fm-notice summary").press("Enter")
    page.get_by_text("Nothing is kept:").wait_for()
    page.locator(".fm-notice summary").press("Enter")
    assert page.get_by_role("button", name="Analyze").count() == 0, "everything runs by itself"
    shoot(page, "image-empty")

    choose(page, photo)
    page.wait_for_selector("#fm-results .fm-card")
    card = page.inner_text("#fm-results .fm-card")
    for expected in ("Face 1", "Happy 50%", "23 to 40, most likely 31", "5 more emotions"):
        assert expected in card
    page.wait_for_selector("#fm-picture .fm-overlay rect")
    shoot(page, "image")

    analysis = analyzer.analyze(photo)
    assert json.loads(download(page, "JSON", tmp_path)) == analysis.to_dict()
    assert b"astronaut.jpg,1," in download(page, "CSV", tmp_path)
    with Image.open(io.BytesIO(download(page, "PNG", tmp_path, "astronaut-faces.png"))) as picture:
        changed = np.abs(np.asarray(picture.convert("RGB")).astype(int) - read_image(photo)).max(axis=2) > 40
    assert changed.shape == (512, 512) and 0 < changed.mean() < 0.2

    page.get_by_text("Options").click()
    page.locator("#fm-attributes").get_by_label("Emotion").uncheck()
    page.wait_for_selector("#fm-results .fm-card:not(:has(li))")
    assert "23 to 40, most likely 31" in page.inner_text("#fm-results .fm-card")


def download(page: Any, name: str, folder: Path, file: str = "") -> bytes:
    """What one of the download links under the answer saves, under this file name if one is given."""
    with page.expect_download() as waiting:
        page.locator("#fm-results").get_by_text(name, exact=True).click()
    waiting.value.save_as(folder / name)
    assert file in ("", waiting.value.suggested_filename)
    return (folder / name).read_bytes()


def test_a_face_is_chosen_in_the_picture_or_among_the_cards(open_page: Callable[..., Any], photo: Path) -> None:
    with serving(FakeAnalyzer(apart=14)) as url:
        page = open_page(url)
        choose(page, photo)
        boxes, cards = page.locator("#fm-picture .fm-overlay g"), page.locator("#fm-results .fm-card")
        boxes.nth(13).wait_for()
        assert boxes.count() == 14 and not cards.nth(13).is_visible()

        # Each box lies where its face is in the shown picture.
        frame = page.locator("#fm-picture .image-frame img").bounding_box()
        box = boxes.nth(13).locator("rect").bounding_box()
        side = min(frame["width"], frame["height"])
        left = frame["x"] + (frame["width"] - side) / 2
        assert abs(box["x"] - (left + 13 / 14 * side)) < 4 and abs(box["width"] - side / 14) < 6

        boxes.nth(13).click()
        assert "fm-chosen" in cards.nth(13).get_attribute("class") and cards.nth(13).is_visible()
        assert page.evaluate("document.activeElement.dataset.face") == "14"
        shoot(page, "image-chosen")
        cards.nth(2).click()
        assert page.eval_on_selector_all(".fm-chosen", "all => all.map((one) => one.dataset.face)") == ["3", "3"]
        boxes.nth(4).focus()
        page.keyboard.press("Enter")
        assert "fm-chosen" in cards.nth(4).get_attribute("class")
        assert boxes.nth(4).get_attribute("aria-label") == "Face 5: Happy 50%"
        # Numbers are those of the cards; a card and its box light each other, and the arrow keys walk.
        assert boxes.locator("text").all_text_contents()[:3] == ["1", "2", "3"]
        cards.nth(1).hover()
        assert "fm-lit" in boxes.nth(1).get_attribute("class")
        boxes.nth(2).hover()
        assert "fm-lit" in cards.nth(2).get_attribute("class") and "fm-lit" not in cards.nth(1).get_attribute("class")
        cards.nth(0).focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.dataset.face") == "2"
        page.get_by_label("Boxes").uncheck()
        stroke = "one => getComputedStyle(one).stroke"
        assert boxes.nth(5).locator("rect").evaluate(stroke) == "rgba(0, 0, 0, 0)"
        page.get_by_label("Boxes").check()
        assert boxes.nth(5).locator("rect").evaluate(stroke) != "rgba(0, 0, 0, 0)"

        heights = cards.evaluate_all("all => all.slice(0, 12).map((one) => [one.offsetTop, one.offsetHeight].join())")
        assert len(set(heights)) == len({height.partition(",")[0] for height in heights}), "unequal in one row"
        page.get_by_text("All 14 faces in a table").click()
        assert page.get_by_role("region", name="All faces").locator("tr").count() == 15
        page.get_by_label("Remove Image").click()
        page.get_by_text("No picture yet").wait_for()
        assert boxes.count() == 0
        page.close()  # before the server goes


@pytest.mark.slow
def test_a_face_is_explained_on_request(open_page: Callable[..., Any], url: str, photo: Path) -> None:
    page = open_page(url)
    choose(page, photo)
    page.get_by_role("button", name="What did the model look at?").click()
    page.get_by_text("covering one grey patch after the other").wait_for()
    assert page.locator(".fm-explained img").nth(1).get_attribute("alt") == "Heat map of the face"
    assert page.locator(".fm-explained img").nth(1).bounding_box()["width"] > 300
    shoot(page, "image-explained")
    for name in ("Age", "Gender", "Ethnicity"):
        page.locator(".fm-dialog").get_by_role("button", name=name).click()
        page.wait_for_selector(".fm-explained[aria-busy=false]")
        assert page.get_by_text("the number becomes lower").count() == (name == "Age")
    page.keyboard.press("Escape")
    assert not page.locator(".fm-dialog").is_visible()
    # New cards have no explanation yet; asking again gives the same answer again.
    page.get_by_text("Options").click()
    page.locator("#fm-attributes").get_by_label("Age").uncheck()
    page.get_by_role("button", name="What did the model look at?").click()
    page.get_by_text("covering one grey patch after the other").wait_for()


class Choosing(FakeAnalyzer):
    """Finds another face with another model or detector."""

    def using(self, models: Any = None, detector: Any = None, *arguments: Any, **options: Any) -> Choosing:
        other = super().using(models, detector, *arguments, **options)
        other.copies = 2 if models or detector else self.copies
        return other


@pytest.mark.slow
def test_the_visitor_chooses_how_faces_are_found(open_page: Callable[..., Any], photo: Path) -> None:
    with serving(Choosing()) as url:
        page = open_page(url)
        choose(page, photo)
        page.wait_for_selector("#fm-picture .fm-overlay rect")
        page.get_by_text("Options").click()
        page.get_by_label("Detector").click()
        page.get_by_role("option", name="haar").click()
        page.locator("#fm-results").get_by_text("2 faces ·").wait_for()
        shoot(page, "image-options")
        page.close()  # before the server goes


@pytest.mark.slow
def test_the_visitor_chooses_a_model(open_page: Callable[..., Any], photo: Path) -> None:
    with serving(Choosing()) as url:
        page = open_page(url)
        choose(page, photo)
        page.locator("#fm-results").get_by_text("1 face", exact=True).wait_for()
        page.get_by_text("Options").click()
        chooser = page.get_by_label("Model for age")
        assert chooser.input_value() == "age-fake@1.0.0"
        chooser.click()
        page.get_by_role("option", name="demographics-efficientnet").first.click()
        page.locator(".fm-answered").get_by_text("demographics-efficientnet").first.wait_for()
        assert '"demographics-efficientnet@' in base64_of(page, "JSON")
        shoot(page, "image-models")
        # What was chosen also explains.
        page.get_by_role("button", name="What did the model look at?").first.click()
        page.get_by_text("covering one grey patch after the other").wait_for()
        page.get_by_role("button", name="Close").click()
        page.get_by_label("Second model, side by side").click()
        page.get_by_role("option", name="emotion4-vgg16").first.click()
        assert "emotion4-vgg16" in page.locator(".fm-second").inner_text()
        page.close()  # before the server goes


@pytest.mark.slow
def test_landmarks_and_pose_are_layers(open_page: Callable[..., Any], photo: Path, tmp_path: Path) -> None:
    analyzer = FakeAnalyzer(on_request=True)
    with serving(analyzer) as url:
        page = open_page(url, LAPTOP)
        choose(page, photo)
        boxes, card = page.locator("#fm-picture .fm-overlay g"), page.locator("#fm-results .fm-card")
        boxes.wait_for()
        assert "Head pose" not in card.inner_text()
        page.get_by_label("Pose", exact=True).press("Space")
        page.locator(".fm-card", has_text="20° to the right · tilted 10° counterclockwise").wait_for()
        assert page.evaluate("document.activeElement.dataset.layer") == "pose", "the keyboard is where it was"
        page.get_by_label("Landmarks", exact=True).check()
        page.locator(".fm-card", has_text="mouth").wait_for()
        dots, arrow = boxes.locator(".fm-dots"), boxes.locator(".fm-arrow")
        assert dots.get_attribute("d").count("M") == 68 and dots.is_visible() and arrow.is_visible()
        # Each layer by itself; a face without its box can be chosen all the same. All of them outlive a setting.
        page.get_by_label("Boxes", exact=True).uncheck()
        assert boxes.locator("rect").evaluate("one => getComputedStyle(one).stroke") == "rgba(0, 0, 0, 0)"
        assert dots.is_visible() and boxes.locator("text").text_content() == "1 Happy"
        boxes.click()
        assert "fm-chosen" in card.get_attribute("class")
        page.get_by_text("Options").click()
        page.locator("#fm-attributes").get_by_label("Age").uncheck()
        page.wait_for_selector("#fm-results .fm-card:not(:has-text('most likely'))")
        assert not page.get_by_label("Boxes", exact=True).is_checked() and dots.is_visible()
        assert "mouth" in card.inner_text()
        shoot(page, "image-layers")
        with Image.open(io.BytesIO(download(page, "PNG", tmp_path, "astronaut-faces.png"))) as picture:
            changed = np.abs(np.asarray(picture.convert("RGB")).astype(int) - read_image(photo)).max(axis=2) > 40
        assert 0.002 < changed.mean() < 0.2, "the drawn picture lacks the points"
        page.get_by_label("Landmarks", exact=True).uncheck()
        page.wait_for_selector("#fm-results .fm-card:not(:has-text('mouth'))")
        assert not dots.is_visible()

        # The webcam: off by default.
        start_camera(page)
        live = page.locator("#fm-webcam .fm-overlay")
        assert live.locator("path").count() == 0
        page.locator("#fm-webcam-options").get_by_text("Options").click()
        for name in ("Landmarks", "Head pose"):
            page.locator("#fm-webcam-options").get_by_label(name, exact=True).check()
        page.wait_for_selector("#fm-webcam .fm-arrow")
        assert live.locator(".fm-dots").first.get_attribute("d").count("M") == 68
        assert "20° to the right · tilted 10° counterclockwise" in page.inner_text("#fm-live .fm-card p")
        page.wait_for_url("**/?*webcam-attributes=*points%2Cpose*")
        shoot(page, "webcam-layers")
        page.get_by_role("button", name="Stop").click()
        page.close()  # before the server goes


class Shy(FakeAnalyzer):
    """Finds nothing until it is asked to be less strict."""

    def boxes(self, pixels: np.ndarray) -> list[Box]:
        return super().boxes(pixels) if self.min_score <= 0.3 else []


# Notes what is written on pictures that the page draws.
WATCH_DRAWING = """() => {
    window.written = [];
    const fillText = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
        window.written.push(text);
        fillText.call(this, text, ...place);
    };
}"""


@pytest.mark.slow
def test_a_visitor_searches_harder_corrects_and_saves(
    open_page: Callable[..., Any], photo: Path, tmp_path: Path
) -> None:
    say = words_in("de")
    with serving(Shy(apart=3)) as url:
        page = open_page(url, LAPTOP, locale="de-DE")
        choose(page, photo)
        page.get_by_text(say("no_face"), exact=True).wait_for()
        assert page.locator("#fm-results .fm-download").all_inner_texts() == [say("harder")], "nothing to download"
        page.get_by_role("button", name=say("harder")).click()
        cards = page.locator("#fm-results .fm-card")
        cards.nth(2).wait_for()
        assert page.get_by_role("button", name=say("harder")).count() == 0

        # The drawn picture speaks the page's language, and only says what is shown.
        page.evaluate(WATCH_DRAWING)
        with Image.open(io.BytesIO(download(page, "JPG", tmp_path, "astronaut-faces.jpg"))) as picture:
            assert picture.format == "JPEG" and picture.size == (512, 512) and not picture.getexif()
        assert page.evaluate("window.written") == ["1 Fröhlich", "2 Fröhlich", "3 Fröhlich"]
        page.get_by_label(say("labels")).uncheck()
        download(page, "PNG", tmp_path, "astronaut-faces.png")
        assert page.evaluate("window.written.slice(3)") == ["1", "2", "3"]
        copy = download(page, say("anonymized"), tmp_path, "astronaut-anonymized.jpg")
        with Image.open(io.BytesIO(copy)) as picture:
            assert picture.size == (512, 512) and not picture.getexif()

        # Settings hide what is known before the server has answered.
        page.get_by_text(say("options"), exact=True).click()
        page.wait_for_selector("#fm-attributes input")
        assert page.evaluate("""() => {
            document.querySelector('#fm-attributes input[name=age]').click();
            return [...document.querySelectorAll('#fm-results [data-attribute=age]')].every((one) => one.hidden);
        }""")
        page.wait_for_selector("#fm-results .fm-card:not(:has([data-attribute=age]))")

        # Corrections outlive the next answer, and leave as a table that evaluation takes.
        cards.nth(1).get_by_text(say("correct")).click()
        cards.nth(1).locator("[data-correct=emotion]").select_option("sad")
        cards.nth(2).get_by_text(say("correct")).click()
        cards.nth(2).locator("[data-correct=gender]").select_option("male")
        shoot(page, "image-corrected")
        page.locator("#fm-attributes").get_by_label(say("attribute_age")).check()
        page.wait_for_selector("#fm-results .fm-card:has([data-attribute=age])")
        cards.nth(0).get_by_text(say("correct")).click()
        cards.nth(0).locator("[data-correct=age]").fill("34")
        cards.nth(0).locator("[data-correct=age]").blur()
        table = tmp_path / "corrections.csv"
        table.write_bytes(download(page, say.count("corrections", 3), tmp_path, "corrections.csv"))
        shutil.copy(photo, tmp_path / photo.name)
        images, unused = read_labels(table)
        assert [image.labels for image in images] == [{"emotion": "sad"}, {"gender": "male"}, {"age": "34"}]
        assert unused == [] and [round(image.box.x1) for image in images] == [171, 341, 0]
        page.get_by_role("button", name=say("correct_forget")).click()
        assert not page.locator(".fm-corrections").is_visible()

        # So does the drawing of a file that no browser shows.
        with Image.open(photo) as picture:
            picture.save(tmp_path / "scan.tif")
        page.locator("#fm-picture .icon-button-wrapper button").last.click()
        page.get_by_text(say("empty"), exact=True).wait_for()
        choose(page, tmp_path / "scan.tif")
        cards.nth(2).wait_for()
        page.get_by_label(say("labels")).check()
        page.evaluate("window.written = []")
        with Image.open(io.BytesIO(download(page, "PNG", tmp_path, "scan-faces.png"))) as picture:
            assert picture.format == "PNG" and picture.size == (512, 512)
        assert page.evaluate("window.written") == ["1 Fröhlich", "2 Fröhlich", "3 Fröhlich"]
        page.close()  # before the server goes


class Slow(FakeAnalyzer):
    """Takes its time for each image."""

    def analyze(self, image: Any, **options: Any) -> Any:
        time.sleep(0.5)
        return super().analyze(image, **options)


@pytest.mark.slow
def test_several_photos_at_once(open_page: Callable[..., Any], photo: Path, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), "navy").save(tmp_path / "blank.png")
    (tmp_path / "broken.jpg").write_bytes(photo.read_bytes()[:3000])
    with serving(Slow(copies=2)) as url:
        page = open_page(url)
        page.get_by_text("Several photos at once").click()
        page.set_input_files("#fm-photos input[type=file]", [photo, tmp_path / "blank.png", tmp_path / "broken.jpg"])
        page.get_by_text(" of 3 photos").wait_for()
        tiles = page.locator(".fm-photo")
        tiles.nth(2).wait_for()
        assert page.locator("button.fm-photo").count() == 2 and "damaged" in tiles.nth(2).inner_text()
        page.get_by_text("All 2 faces in a table").click()
        shoot(page, "photos")
        page.get_by_role("button", name="Open astronaut.jpg: 2 faces").click()
        page.wait_for_selector("#fm-results .fm-card")
        page.locator("#fm-photos").get_by_label("Clear").click()
        page.get_by_text("Drop up to 100 photos").wait_for()

        # Photos that are dropped on the picture; the visitor cancels.
        page.evaluate(
            """async ([data, count]) => {
            const bytes = await (await fetch(data)).blob(), carrier = new DataTransfer();
            for (let n = 0; n < count; n++) carrier.items.add(new File([bytes], n + '.jpg', {type: 'image/jpeg'}));
            const drop = new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: carrier});
            document.querySelector('#fm-picture').dispatchEvent(drop);
        }""",
            ["data:image/jpeg;base64," + base64.b64encode(photo.read_bytes()).decode(), 30],
        )
        page.locator("#fm-photos").get_by_role("button", name="Cancel").click()
        page.get_by_text("of 30 photos are done").wait_for()
        assert page.locator(".fm-photo").count() < 30
        page.close()  # before the server goes


def base64_of(page: Any, name: str) -> str:
    """The text behind one of the download links."""
    address = page.locator("#fm-results").get_by_text(name, exact=True).get_attribute("href")
    return base64.b64decode(address.partition(",")[2]).decode()


@pytest.mark.slow
def test_the_page_is_light_and_offers_examples(browser: Any) -> None:
    with serving(FakeAnalyzer(), examples=Settings().examples) as url:
        page = browser.new_context(viewport=LAPTOP).new_page()
        network = page.context.new_cdp_session(page)
        network.send("Network.enable")
        sizes: list[int] = []
        network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.goto(url)
        page.locator("#fm-examples button").nth(2).wait_for()
        page.wait_for_timeout(3000)  # until all has come; the event stream stays open
        assert sum(sizes) < 850_000, f"{sum(sizes)} bytes to open the page"
        assert "public domain" in page.inner_text("#fm-examples")
        page.locator("#fm-examples button").nth(1).click()
        page.wait_for_selector("#fm-results .fm-card")
        assert "in 512 × 512 pixels" in page.inner_text("#fm-results")
        page.context.close()  # before the server goes


@pytest.mark.slow
def test_an_example_is_picked(open_page: Callable[..., Any], astronaut: np.ndarray, tmp_path: Path) -> None:
    for name in ("one.jpg", "another.png"):
        Image.fromarray(astronaut).save(tmp_path / name)
    with serving(FakeAnalyzer(), examples=read_examples(str(tmp_path))) as url:
        page = open_page(url)
        page.get_by_text("Try one").wait_for()
        thumbnails = page.locator("#fm-examples button img")
        thumbnails.nth(1).wait_for()
        assert thumbnails.count() == 2
        shoot(page, "image-examples")
        thumbnails.nth(1).click()
        page.wait_for_selector("#fm-results .fm-card")
        assert "1 face" in page.inner_text("#fm-results")
        assert page.locator("#fm-results a.fm-download").first.get_attribute("download") == "one.csv"
        page.close()  # before the server goes


def test_image_tab_tells_what_went_wrong(open_page: Callable[..., Any], url: str, photo: Path, tmp_path: Path) -> None:
    blank, broken = tmp_path / "blank.png", tmp_path / "broken.jpg"
    Image.new("RGB", (320, 240), "navy").save(blank)
    broken.write_bytes(photo.read_bytes()[:3000])
    page = open_page(url)
    choose(page, blank)
    page.get_by_text("No face found").wait_for()
    shoot(page, "image-no-face")
    page.get_by_label("Remove Image").click()
    page.get_by_text("No picture yet").wait_for()
    choose(page, broken)
    page.get_by_text("This did not work").wait_for()
    assert "broken.jpg" in page.inner_text("#fm-results")
    shoot(page, "image-broken")


@pytest.mark.slow
def test_a_snapshot_is_analyzed(open_page: Callable[..., Any], url: str) -> None:
    page = open_page(url)
    picture = page.locator("#fm-picture")
    picture.get_by_label("Capture from camera").click()
    picture.get_by_text("Click to Access Webcam").click()
    picture.get_by_label("capture photo").click()
    page.wait_for_selector("#fm-results .fm-card")
    assert "in 640 × 480 pixels" in page.inner_text("#fm-results")


def test_webcam_tab(open_page: Callable[..., Any], url: str, analyzer: FakeAnalyzer) -> None:
    page = open_page(url)
    before = analyzer.calls
    start_camera(page)
    assert "31 ± 5 years" in page.inner_text("#fm-live .fm-card")
    end = time.monotonic() + 60  # how fast they flow depends on the machine
    while analyzer.calls - before < 40 and time.monotonic() < end:
        page.wait_for_timeout(200)
    shoot(page, "webcam")
    for bar in page.locator("#fm-webcam :is(.streaming-bar, progress)").all():
        assert not bar.is_visible(), "a bar that nothing explains"
    assert analyzer.calls - before >= 40, "frames did not flow"
    status = re.match(r"(\d+) frames/s · (\d+) ms per frame · 1 face$", page.inner_text(".fm-status output"))
    assert status and int(status[1]) >= 1

    # The overlay lies where the face is on the screen, mirror and scale included.
    shown = overlay_box(page)
    seen = face_on_screen(page)
    assert np.abs(np.subtract(shown, seen)).max() < 40, f"overlay at {shown}, face at {seen}"

    # It follows the face, under one id.
    places = set()
    for _ in range(10):
        places.add(round(overlay_box(page)[0]))
        page.wait_for_timeout(100)
    assert len(places) > 3
    assert page.eval_on_selector_all("#fm-webcam .fm-overlay g", "all => all.map((one) => one.dataset.id)") == ["1"]

    # The plot grows with the session: a line per emotion that was likely, through its score.
    assert page.locator("#fm-live .fm-plot li").all_inner_texts() == ["Happy"]
    line = page.get_attribute("#fm-live .fm-axes path", "d").replace("h0", "")
    points = [tuple(map(float, point.split())) for point in re.split("[ML]", line)[1:]]
    assert len(points) >= 4 and all(abs(y - 0.5) < 1e-6 for _, y in points)
    assert re.fullmatch(r"([2-9]|[1-5]\d) s", page.inner_text("#fm-live .fm-plot figcaption span:last-child"))
    for axis in ("Score", "Time", "100%"):
        assert axis in page.inner_text("#fm-live .fm-plot")

    page.get_by_role("button", name="Stop").click()
    page.get_by_text("The camera is off. Below is the last answer.").wait_for()
    assert page.locator("#fm-webcam .fm-overlay g").count() == 0 and page.locator("#fm-live .fm-card").count() == 1
    shoot(page, "webcam-stopped")


@pytest.mark.slow
def test_the_visitor_chooses_what_the_webcam_tab_does(playwright: Any, url: str, tmp_path: Path) -> None:
    """The attributes and the camera; the curves as a table, and a snapshot for the image tab."""
    two = [
        flag.replace("media-stream", "media-stream=device-count=2") if "-device-" in flag else flag for flag in FLAGS
    ]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=two)
    page = browser.new_context(viewport=LAPTOP, permissions=["camera"]).new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    start_camera(page)
    page.wait_for_selector("#fm-live .fm-axes path", state="attached")
    choices = page.locator("#fm-webcam-options")
    choices.get_by_text("Options").click()
    choices.get_by_label("Age", exact=True).uncheck()
    page.wait_for_function("!document.querySelector('#fm-live .fm-card p').textContent.includes('years')")
    choices.get_by_label("Emotion", exact=True).uncheck()
    page.wait_for_function("document.querySelector('#fm-live .fm-card b').textContent.trim().startsWith('#')")
    page.wait_for_function("!document.querySelector('#fm-live .fm-card b').textContent.includes('Happy')")
    assert page.inner_text("#fm-live .fm-card p") == "Female · East Asian"

    with page.expect_download() as waiting:
        page.get_by_text("Curves as CSV").click()
    waiting.value.save_as(tmp_path / "curves.csv")
    assert waiting.value.suggested_filename == "webcam-emotions.csv"
    table = (tmp_path / "curves.csv").read_text()
    assert table.startswith("seconds,person,angry,disgust,fear,happy,") and ",1,0.0714," in table

    camera = "document.querySelector('#fm-webcam video')?.srcObject?.getVideoTracks()[0]?.label"
    assert page.evaluate(camera) == "fake_device_0"
    page.get_by_label("Camera", exact=True).select_option("fake_device_1")
    page.wait_for_function(f"{camera} === 'fake_device_1'")
    page.wait_for_selector("#fm-webcam .fm-overlay g")

    page.get_by_role("button", name="Snapshot to the image tab").click()
    page.wait_for_selector("#fm-results .fm-card >> visible=true")
    assert "in 640 × 480 pixels" in page.inner_text("#fm-results")
    page.wait_for_function(f"!{camera}")  # its tab was left
    browser.close()


# Keeps every stream that the browser hands out; the camera answers after this many milliseconds.
KEEP_STREAMS = """([delay]) => {
    window.streams = [];
    const devices = navigator.mediaDevices, request = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (constraints) => {
        await new Promise((done) => setTimeout(done, delay));
        window.streams.push(await request(constraints));
        return window.streams.at(-1);
    };
}"""
TRACKS = "streams.flatMap((stream) => stream.getTracks().map((track) => track.readyState))"


def show_another_tab(page: Any) -> None:
    page.get_by_role("tab", name="Models").click()


def hide(page: Any) -> None:
    page.evaluate("""() => {
        Object.defineProperty(document, 'hidden', {value: true, configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
        delete document.hidden;
    }""")


@pytest.fixture
def keep_streams(browser: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the pages that are opened next remember their camera's streams."""

    def keep_streams(delay: int = 0) -> None:
        make = browser.new_context

        def new_context(**options: Any) -> Any:
            context = make(**options)
            context.add_init_script(f"({KEEP_STREAMS})([{delay}])")
            return context

        monkeypatch.setattr(browser, "new_context", new_context)

    return keep_streams


@pytest.mark.parametrize(
    "leave",
    [lambda page: page.get_by_role("button", name="Stop").click(), show_another_tab, hide],
    ids=["stop", "another tab", "hidden page"],
)
def test_the_camera_is_released(
    open_page: Callable[..., Any],
    keep_streams: Callable[..., None],
    url: str,
    analyzer: FakeAnalyzer,
    leave: Callable[[Any], None],
) -> None:
    keep_streams()
    page = open_page(url)
    start_camera(page)
    assert page.evaluate(TRACKS) == ["live"]
    leave(page)
    page.wait_for_function(f"{TRACKS}.join() === 'ended'", timeout=3000)
    page.wait_for_timeout(1000)  # until what was under way has arrived
    calls, requests = analyzer.calls, []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(2000)
    assert analyzer.calls == calls and requests == []

    # The last answer is still there, and the camera starts again.
    page.get_by_role("tab", name="Webcam").click()
    page.get_by_text("The camera is off. Below is the last answer.").wait_for()
    assert page.locator("#fm-live .fm-card").count() == 1
    start_camera(page)
    assert page.evaluate(TRACKS) == ["ended", "live"]
    assert page.locator("#fm-webcam video").is_visible() and analyzer.calls > calls


@pytest.mark.slow
def test_a_camera_that_comes_too_late_is_released(
    open_page: Callable[..., Any], keep_streams: Callable[..., None], url: str
) -> None:
    keep_streams(1000)  # how long the visitor takes to allow it
    page = open_page(url)
    ask_for_the_camera(page)
    show_another_tab(page)
    page.wait_for_function(f"{TRACKS}.join() === 'ended'")
    page.get_by_role("tab", name="Webcam").click()
    start_camera(page)


@pytest.mark.slow
def test_a_page_that_is_left_ends_its_stream(browser: Any, url: str, analyzer: FakeAnalyzer) -> None:
    context = browser.new_context(permissions=["camera"])  # not `open_page`: the page hangs up on what is under way
    page = context.new_page()
    page.goto(url)
    start_camera(page)
    page.goto("about:blank")
    page.wait_for_timeout(1000)
    calls = analyzer.calls
    page.wait_for_timeout(2000)
    assert analyzer.calls == calls
    context.close()


@pytest.mark.slow
def test_the_camera_of_the_image_tab_is_released(
    open_page: Callable[..., Any], keep_streams: Callable[..., None], url: str
) -> None:
    keep_streams()
    page = open_page(url)
    picture = page.locator("#fm-picture")

    def open_camera() -> None:
        picture.get_by_label("Capture from camera").click()
        picture.get_by_text("Click to Access Webcam").click()
        picture.get_by_label("capture photo").wait_for()

    open_camera()
    show_another_tab(page)
    page.wait_for_function(f"{TRACKS}.join() === 'ended'", timeout=3000)
    page.get_by_role("tab", name="Image").click()
    open_camera()
    picture.get_by_label("capture photo").click()
    page.wait_for_selector("#fm-results .fm-card")
    page.wait_for_function(f"{TRACKS}.join() === 'ended,ended'", timeout=3000)
    show_another_tab(page)  # the picture stays
    page.get_by_role("tab", name="Image").click()
    assert picture.locator("img").is_visible() and page.locator("#fm-results .fm-card").is_visible()


@pytest.mark.slow
def test_a_long_session_fits_the_plot(open_page: Callable[..., Any], url: str) -> None:
    page = open_page(url)
    start_camera(page)
    # A clock that runs ahead: each answer is a step of the plot, until the steps are too many and grow.
    page.evaluate("() => { const now = performance.now(); let more = 0; performance.now = () => now + (more += 250); }")
    page.set_default_timeout(240_000)
    page.wait_for_function("document.querySelector('#fm-live .fm-axes path').getAttribute('d').split('L').length > 200")
    page.wait_for_function("document.querySelector('#fm-live .fm-axes path').getAttribute('d').split('L').length < 130")
    assert re.match("[12]:[0-5][0-9] min", page.inner_text("#fm-live .fm-plot figcaption span:last-child"))
    shoot(page, "webcam-long")


def overlay_box(page: Any) -> tuple[float, ...]:
    """Left, top, right, bottom of the overlay's box, from the video's corner in screen pixels."""
    return tuple(
        page.evaluate("""() => {
            const [video, box] = ['video', '.fm-overlay rect'].map(
                (one) => document.querySelector('#fm-webcam ' + one));
            const [frame, inner] = [video.getBoundingClientRect(), box.getBoundingClientRect()];
            return [inner.left - frame.left, inner.top - frame.top, inner.right - frame.left, inner.bottom - frame.top];
        }""")
    )


def face_on_screen(page: Any) -> tuple[float, ...]:
    """Where the face is in a screenshot of the video, without the overlay and the buttons at its bottom."""
    style = page.add_style_tag(content=".fm-overlay, #fm-webcam button { visibility: hidden !important; }")
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / "webcam-video.png"
    page.locator("#fm-webcam video").screenshot(path=path)
    style.evaluate("style => style.remove()")
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    far = np.abs(pixels - GROUND).max(axis=2) > 60
    far[int(len(far) * 0.8) :] = False
    columns, rows = np.flatnonzero(far.sum(axis=0) > 20), np.flatnonzero(far.sum(axis=1) > 20)
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.slow
def test_webcams_take_turns(open_page: Callable[..., Any]) -> None:
    with serving(FakeAnalyzer(), Limits(webcams=1, webcam_seconds=12)) as url:
        first, second = open_page(url), open_page(url)
        start_camera(first)
        ask_for_the_camera(second)
        second.wait_for_timeout(1000)
        assert (
            first.locator("#fm-webcam .fm-overlay g").count() == 1
            and second.locator("#fm-webcam .fm-overlay g").count() == 0
        )
        second.get_by_text(re.compile(r"You are number 1 in line; your turn comes within (5|10|15) s\.")).wait_for()
        shoot(second, "webcam-waiting")
        # Nobody does anything: the second gets its turn, and the first now waits and says so.
        second.wait_for_selector("#fm-webcam .fm-overlay g")
        first.get_by_text("All places are taken. You are number 1 in line").wait_for()
        shoot(first, "webcam-paused")
        # Its turn comes again, under the id that its face had.
        first.wait_for_selector("#fm-webcam .fm-overlay g")
        assert first.get_attribute("#fm-webcam .fm-overlay g", "data-id") == "1"
        first.close()
        second.close()


@pytest.mark.slow
def test_a_closed_tab_frees_its_place(open_page: Callable[..., Any]) -> None:
    with serving(FakeAnalyzer(), Limits(webcams=1, webcam_seconds=3600)) as url:
        first, second = open_page(url), open_page(url)
        start_camera(first)
        ask_for_the_camera(second)
        second.wait_for_timeout(1000)
        assert second.locator("#fm-webcam .fm-overlay g").count() == 0
        first.close()
        second.wait_for_selector("#fm-webcam .fm-overlay g")
        second.close()


@pytest.mark.slow
def test_two_webcams_at_once_have_trackers_of_their_own(open_page: Callable[..., Any], url: str) -> None:
    pages = [open_page(url), open_page(url)]
    for page in pages:
        start_camera(page)
    for page in pages:
        assert page.get_attribute("#fm-webcam .fm-overlay g", "data-id") == "1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "key"),
    [("--use-fake-ui-for-media-stream", "live_blocked"), ("--use-fake-device-for-media-stream", "live_missing")],
)
def test_a_webcam_that_cannot_be_used_is_explained(playwright: Any, url: str, missing: str, key: str) -> None:
    """Nobody allows the camera, or there is none."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[flag for flag in FLAGS if flag != missing])
    page = browser.new_context(viewport=DESKTOP, locale="fr-FR").new_page()
    page.goto(url)
    page.get_by_role("tab", name="Webcam").click()
    page.get_by_role("button", name=words_in("fr")("live_switch_on")).click()
    page.get_by_text(words_in("fr")(key)).wait_for()
    shoot(page, key.replace("live_", "webcam-"))
    browser.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("locale", "language"), [("es-MX", "es"), ("pt-BR", "pt"), ("zh-CN", "zh"), ("ar-EG", "ar"), ("ko-KR", "en")]
)
def test_the_page_speaks_the_visitors_language(
    open_page: Callable[..., Any], url: str, photo: Path, locale: str, language: str
) -> None:
    page, say = open_page(url, locale=locale), words_in(language)
    # In a language that Gradio has and we have not, its own parts speak it and ours speak English.
    assert page.evaluate("document.documentElement.lang") == language
    assert page.evaluate("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
    for key in ("notice_first", "empty", "options"):
        page.get_by_text(re.sub("<.*?>", "", say(key))[:40]).first.wait_for()
    choose(page, photo)
    page.wait_for_selector("#fm-results .fm-card")
    shown = page.inner_text("#fm-results")
    for text in (
        say.count("faces", 1),
        say.label("happy"),
        say("unit_years", low=23, high=40, value=31),
        say("explain"),
    ):
        assert text in shown
    assert page.get_attribute("#fm-picture .fm-overlay g", "aria-label").startswith(say("face", place=1))
    page.get_by_text(say("options"), exact=True).click()
    page.get_by_label(say("max_faces")).first.wait_for()
    page.get_by_text(say("attribute_age"), exact=True).first.wait_for()
    page.get_by_role("button", name=say("explain")).click()
    page.get_by_text(say("heat_how")).wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name=say("tab_webcam")).click()
    assert page.inner_text(".fm-status output") == say("live_start")
    shoot(page, f"language-{locale}")
    page.get_by_role("tab", name=say("tab_models")).click()
    page.get_by_role("columnheader", name=say("models_commercial")).wait_for()
    assert PREFIX not in page.content().split("<body")[1].split("<script")[0]


@pytest.mark.slow
def test_the_live_page_speaks_the_visitors_language(open_page: Callable[..., Any], url: str) -> None:
    page = open_page(url, locale="de-DE")
    page.get_by_role("tab", name="Webcam").click()
    page.get_by_role("button", name="Kamera starten").click()
    page.wait_for_selector("#fm-webcam .fm-overlay g")
    assert "31 ± 5 Jahre · Weiblich · Ostasiatisch" in page.inner_text("#fm-live .fm-card")
    page.wait_for_timeout(1000)
    assert re.fullmatch(r"\d+ Bilder/s · \d+ ms je Bild · 1 Gesicht", page.inner_text(".fm-status output"))
    assert page.locator("#fm-live .fm-plot li").all_inner_texts() == ["Fröhlich"]
    shoot(page, "webcam-german")


@pytest.mark.slow
def test_models_tab(open_page: Callable[..., Any], url: str) -> None:
    page = open_page(url)
    page.get_by_role("tab", name="Models").click()
    table = page.get_by_role("region", name="Models")
    assert "yunet" in table.inner_text() and "Commercial use" in table.inner_text()
    assert "Worst group" in page.get_by_role("region", name="Measured").inner_text()
    for card in page.get_by_text(re.compile("^Card: ")).all():
        card.click()
    limits = page.locator("summary", has_text="Limits").first
    text = limits.locator("xpath=following-sibling::*[1]")
    assert not text.is_visible()
    shoot(page, "models")
    limits.click()
    assert text.is_visible()


@pytest.mark.slow
def test_the_address_names_the_tab_and_what_was_chosen(browser: Any, url: str, photo: Path) -> None:
    page = browser.new_context(viewport=LAPTOP).new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{url}?tab=video&rate=10&video-attributes=age,nonsense&x=1")
    page.wait_for_selector("#fm-clip")
    page.locator("#fm-clip-options").get_by_text("Options").click()
    chosen = "all => all.filter((one) => one.checked).map((one) => one.closest('label').textContent.trim())"
    boxes = page.locator("#fm-clip-options input[type=checkbox]")
    page.wait_for_function("document.querySelectorAll('#fm-clip-options input[type=checkbox]:checked').length == 1")
    assert boxes.evaluate_all(chosen) == ["Age"]
    assert page.get_by_label("Frames to analyze").input_value() == "10 per second"
    page.locator("#fm-clip-options").get_by_label("Gender", exact=True).check()
    page.wait_for_url("**/?*video-attributes=age%2Cgender*")
    page.get_by_role("tab", name="Models").click()
    page.wait_for_url("**/?*tab=models*")
    page.get_by_role("tab", name="Image").click()
    page.wait_for_function("!location.search.includes('tab=') && location.search.includes('x=1')")

    # The image tab's settings: they hold for the next image, and are named when they change.
    page.goto(f"{url}?tab=image&attributes=age,gender&threshold=0.75&faces=7&detector=haar&second=nonsense")
    choose(page, photo)
    page.wait_for_selector("#fm-results .fm-card")
    card = page.inner_text("#fm-results .fm-card")
    assert "most likely 31" in card and "Female" in card and "Happy" not in card
    page.get_by_text("Options").first.click()
    assert page.locator("#fm-min-score input").first.input_value() == "0.75"
    assert page.get_by_label("Detector").input_value() == "haar"
    assert page.get_by_label("Maximum faces").first.input_value() == "7"
    page.locator("#fm-attributes").get_by_label("Gender").uncheck()
    page.wait_for_function("location.search.includes('attributes=age&')")
    page.locator("#fm-min-score input").first.fill("0.6")
    page.locator("#fm-min-score input").first.press("Enter")
    page.wait_for_function("!location.search.includes('threshold')")
    assert "astronaut" not in page.url

    # Gradio's panels offer nothing that is not there.
    page.goto(url)
    page.get_by_role("button", name="Use via API").click()
    page.get_by_text("/analyze_batch").first.wait_for()
    panel = page.locator(".api-docs").inner_text()
    assert "handle_file('photo.jpg')" in panel and "MCP" not in panel and "Recorder" not in panel
    page.goto(url)
    page.get_by_role("button", name="Settings").click()
    page.get_by_text("Display Theme").wait_for()
    panel = page.locator(".api-docs").inner_text()
    assert "Progressive" not in panel and "Recording" not in panel
    shoot(page, "settings")
    page.context.close()


@pytest.mark.slow
def test_a_phone_says_the_emotion_over_the_face(open_page: Callable[..., Any], url: str) -> None:
    page = open_page(url, PHONE)
    page.get_by_role("tab", name="Webcam").click()
    page.get_by_role("button", name="Start camera").wait_for()
    assert not page.locator("#fm-live .fm-plot").is_visible(), "a plot of nothing"
    start_camera(page)
    assert page.locator("#fm-webcam .fm-overlay text").text_content() == "#1 Happy"
    assert page.locator("#fm-webcam .fm-overlay g").get_attribute("class") == "fm-emotion-happy"
    page.locator("#fm-live .fm-plot").wait_for()
    shoot(page, "webcam-phone")


@pytest.mark.slow
@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_every_tab_fits(open_page: Callable[..., Any], url: str, photo: Path, size: dict[str, int], theme: str) -> None:
    page = open_page(url, size, theme)
    name = f"{'phone' if size is PHONE else 'desktop'}-{theme}"

    def check(tab: str) -> None:
        shoot(page, f"{tab}-{name}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size["width"], f"{tab} is {wide} pixels wide"
        assert page.evaluate(TOO_SMALL) == [], tab
        for target in page.locator(".label-wrap, .fm-download, .icon-button, .source-selection button").all():
            if size is PHONE and target.is_visible():
                assert target.bounding_box()["height"] >= 44, target.inner_text()

    choose(page, photo)
    page.wait_for_selector("#fm-results .fm-card")
    check("image")
    start_camera(page)
    check("webcam")
    page.get_by_role("tab", name="Models").click()
    check("models")
    table = page.get_by_role("region", name="Models")
    assert table.evaluate("one => one.scrollWidth <= one.clientWidth")  # what was measured is not cut off


@pytest.mark.slow
@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: npm install --no-save --no-package-lock axe-core@4")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_bars_the_way(open_page: Callable[..., Any], url: str, photo: Path, theme: str) -> None:
    page = open_page(url, theme=theme)
    page.add_script_tag(path=AXE)

    def check(place: str) -> None:
        page.wait_for_timeout(400)  # until what moves has come to rest
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        grave = [
            f"{rule['id']}: {element['html'][:200]}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for element in rule["nodes"]
            if not any(name in element["html"] for name in GRADIOS_OWN)
        ]
        assert grave == [], place

    check("nothing chosen")
    choose(page, photo)
    page.wait_for_selector("#fm-picture .fm-overlay rect")
    page.get_by_text("Options").click()
    page.get_by_role("button", name="What did the model look at?").click()
    page.wait_for_selector(".fm-explained img")
    check("image")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Webcam").click()
    check("webcam")
    start_camera(page)
    check("webcam at work")
    page.get_by_role("tab", name="Models").click()
    for card in page.get_by_text(re.compile("^Card: ")).all():
        card.click()
    check("models")


@pytest.mark.slow
@pytest.mark.skipif(not (WEIGHTS / "emotion-efficientnet").is_dir(), reason="no weights are bundled")
def test_the_bundled_models_on_the_page(open_page: Callable[..., Any], photo: Path) -> None:
    analyzer = FaceAnalyzer()
    analyzer.warmup()
    with serving(analyzer) as url:
        page = open_page(url)
        choose(page, photo)
        page.wait_for_selector("#fm-results .fm-card")
        assert "1 face" in page.inner_text("#fm-results")
        assert "Happy" in page.inner_text("#fm-results .fm-card header")
        shoot(page, "bundled-image")
        start_camera(page)
        page.wait_for_timeout(1500)
        shoot(page, "bundled-webcam")
        assert "1 face" in page.inner_text(".fm-status")
        assert page.get_attribute("#fm-webcam .fm-overlay g", "data-id") == "1"
        page.close()  # before the server goes, or its frames would fail


@pytest.mark.slow
@pytest.mark.skipif(not (WEIGHTS / "emotion-efficientnet").is_dir(), reason="no weights are bundled")
def test_four_faces_before_the_camera(playwright: Any, astronaut: np.ndarray, tmp_path: Path) -> None:
    analyzer = FaceAnalyzer()
    analyzer.warmup()
    flag = film(astronaut, tmp_path / "four.mjpeg", [(30, 20), (330, 30), (40, 250), (340, 260)], (160, 200))
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, flag])
    with serving(analyzer) as url:
        page = browser.new_context(viewport=DESKTOP, permissions=["camera"]).new_page()
        page.goto(url)
        start_camera(page)
        page.wait_for_function("document.querySelectorAll('#fm-webcam .fm-overlay g').length === 4")
        # The same four, under the same ids, while they move.
        ids = "all => all.map((one) => one.dataset.id).sort().join()"
        seen = set()
        for _ in range(15):
            page.wait_for_timeout(200)
            seen.add(page.eval_on_selector_all("#fm-webcam .fm-overlay g", ids))
        assert seen == {"1,2,3,4"}
        cards = page.eval_on_selector_all("#fm-live .fm-card", "all => all.map((one) => one.dataset.id).join()")
        assert cards == "1,2,3,4" and "4 faces" in page.inner_text(".fm-status")
        shoot(page, "webcam-four")
        browser.close()  # before the server goes


@pytest.mark.slow
def test_fifty_faces_stay_readable(open_page: Callable[..., Any], photo: Path, tmp_path: Path) -> None:
    crowd = Image.new("RGB", (2000, 1000), "slategrey")
    with Image.open(photo) as picture:
        face = picture.crop((150, 20, 310, 220)).resize((120, 150))
    boxes = [Box(x, y, x + 120, y + 150) for y in range(20, 1000, 195) for x in range(30, 2000, 197)]
    for box in boxes:
        crowd.paste(face, (int(box.x1), int(box.y1)))
    name = "a very long name of a picture " * 6 + ".jpg"
    crowd.save(tmp_path / name)

    class Crowd(FakeAnalyzer):
        def boxes(self, pixels: np.ndarray) -> list[Box]:
            return fifty

    fifty = boxes
    with serving(Crowd()) as url:
        for size, label in ((DESKTOP, "desktop"), (PHONE, "phone")):
            page = open_page(url, size)
            choose(page, tmp_path / name)
            page.locator("#fm-picture .fm-overlay rect").nth(49).wait_for()
            cards = page.locator("#fm-results .fm-card")
            assert cards.count() == 50 and page.locator("#fm-results .fm-card:visible").count() == 12
            shoot(page, f"fifty-{label}")
            page.get_by_text("Show 38 more faces").click()
            page.get_by_text("All 50 faces in a table").click()
            assert cards.nth(49).is_visible()
            # No text runs out of its card, no card out of the page.
            assert (
                page.evaluate("""() => [...document.querySelectorAll('.fm-card, .fm-card *')].filter((one) =>
                one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline').length""")
                == 0
            )
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            shoot(page, f"fifty-{label}-open")
            page.close()  # before the server goes


WATCH_JUMPS = """() => {
    window.jumped = 0;
    new PerformanceObserver((list) => {
        for (const {value, hadRecentInput} of list.getEntries()) if (!hadRecentInput) window.jumped += value;
    }).observe({type: 'layout-shift', buffered: true});
}"""


@pytest.mark.slow
def test_fonts_that_come_late_move_nothing(browser: Any, url: str) -> None:
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    held: list[Any] = []
    page.route("**/*.woff2", lambda route: held.append(route))  # no builtin: Playwright marks its handlers
    page.goto(url)
    page.wait_for_selector("#fm-results")
    page.wait_for_timeout(1000)
    before = page.locator("#fm-results").bounding_box()
    page.evaluate(WATCH_JUMPS)
    assert held, "the page asked for no font"
    for route in held:
        route.continue_()
    plex = "(font) => font.status === 'loaded' && /Plex Sans/.test(font.family)"
    page.wait_for_function(f"[...document.fonts].some({plex})")
    page.wait_for_timeout(500)
    assert page.locator("#fm-results").bounding_box() == before
    assert page.evaluate("window.jumped") < 0.05  # a line more or less in the intro is 0.09
    context.close()


@pytest.mark.slow
def test_nothing_jumps(open_page: Callable[..., Any], url: str, photo: Path) -> None:
    page = open_page(url)
    page.evaluate(WATCH_JUMPS)
    page.wait_for_timeout(500)
    started = page.evaluate("window.jumped")
    choose(page, photo)
    page.wait_for_selector("#fm-picture .fm-overlay rect")
    page.wait_for_timeout(500)
    page.get_by_text("Options").click()
    page.locator("#fm-attributes").get_by_label("Age").uncheck()
    page.wait_for_selector("#fm-results .fm-card:not(:has-text('most likely'))")
    page.wait_for_timeout(500)
    # 0.1 is what a page may shift and still count as good (web.dev/articles/cls).
    assert started <= 0.02 and page.evaluate("window.jumped") <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("size", "theme"), [(LAPTOP, "light"), (LAPTOP, "dark"), (PHONE, "light"), (PHONE, "dark")])
def test_the_answer_is_in_view(
    open_page: Callable[..., Any], url: str, photo: Path, size: dict[str, int], theme: str
) -> None:
    page = open_page(url, size, theme)
    choose(page, photo)
    card = page.locator("#fm-results .fm-card")
    card.wait_for()
    page.wait_for_timeout(1000)  # until the page has come to rest
    for part in (page.locator("#fm-picture .fm-overlay rect"), card.locator("header"), card.locator("dl")):
        box = part.bounding_box()
        assert box["y"] >= -4 and box["y"] + box["height"] <= size["height"], part
    wide = page.locator("#fm-results").bounding_box()["width"]
    assert card.bounding_box()["width"] > wide - 24, "one face uses the width"
    page.screenshot(path=ARTEFACTS / f"image-view-{size['width']}-{theme}.png")
