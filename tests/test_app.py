"""The app: its handlers as plain functions, and the real thing on a free port, called through `gradio_client`."""

from __future__ import annotations

import base64
import copy
import html
import io
import itertools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_page import downloads

from facemodels import (
    Analysis,
    Box,
    Classification,
    Estimate,
    Face,
    FaceAnalyzer,
    FaceTracker,
    ModelSpec,
    list_models,
    read_image,
)
from facemodels.attributes import ALL_ATTRIBUTES, ATTRIBUTES, EMOTIONS, ETHNICITIES
from facemodels.errors import ArgumentError, FaceModelsError, ImageError
from facemodels.hub.registry import WEIGHTS
from facemodels.images import read_whole
from facemodels.models import AttributeModel
from facemodels.values import Points, Pose

pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError, AuthenticationError

from facemodels import cli
from facemodels.app import Limits, analyzers, build_demo, endpoints, handlers, launch, main, requests, server
from facemodels.app.analyzers import Analyzer, choose, offered_models
from facemodels.app.build import example_clips
from facemodels.app.html.image import analysis_html, examples_html
from facemodels.app.link_preview import FAVICON, tagged
from facemodels.app.progress import Stop
from facemodels.app.settings import EXAMPLES, Settings, read_examples, variables
from facemodels.app.theme import THEMES, make_theme
from facemodels.app.words import words_in

ROOT = Path(__file__).parent.parent


class FakeAnalyzer:
    """Takes whatever stands out from the picture's most common colour for faces; its perceptions are fixed.

    Args:
        copies: How many faces it reports at that place.
        apart: Instead, how many faces it reports side by side, each as high as the picture.
        on_request: Whether it can tell points and pose, too.
    """

    def __init__(self, copies: int = 1, apart: int = 0, on_request: bool = False) -> None:
        self.models = {name: f"{name}-fake@1.0.0" for name in (ALL_ATTRIBUTES if on_request else ATTRIBUTES)}
        self.models["emotion"] = list_models("emotion")[0].id  # an explanation asks how it wants its crops
        self.detector = "fake"
        self.min_score = 0.6
        self.max_faces: int | None = None
        self.copies = copies
        self.apart = apart
        self.counter: list[int] = []
        self.asked: list[tuple[bool, tuple[str, ...]]] = []  # of each analysis: whether it detected, and the attributes

    @property
    def specs(self) -> dict[str, ModelSpec]:
        return {name: list_models(name)[0] for name in ATTRIBUTES}

    def using(
        self,
        models: Mapping[str, str] | None = None,
        detector: str | None = None,
        min_score: float | None = None,
        max_faces: int | None = None,
        min_quality: float | None = None,
    ) -> FakeAnalyzer:
        other = copy.copy(self)
        other.models = {**self.models, **(models or {})}
        other.detector = detector or self.detector
        other.min_score = self.min_score if min_score is None else min_score
        other.max_faces = self.max_faces if max_faces is None else max_faces
        return other

    def analyze(
        self, image: Any, *, boxes: Iterable[Face] | None = None, attributes: Iterable[str] | None = None
    ) -> Analysis:
        self.counter.append(1)
        pixels = read_whole(image).pixels
        height, width = pixels.shape[:2]
        wanted = tuple(self.models) if attributes is None else tuple(attributes)
        self.asked.append((boxes is None, wanted))
        models = {name: model for name, model in self.models.items() if name in wanted}
        found = self.boxes(pixels)[: self.max_faces] if boxes is None else [face.box for face in boxes]
        faces = [self._face(box, number) for number, box in enumerate(found)]
        others = {name: None for name in ALL_ATTRIBUTES if name not in wanted}
        return Analysis(tuple(face.replace(**others) for face in faces), width, height, models)

    def detect(self, image: Any) -> list[Face]:
        return [Face(box, 0.9) for box in self.boxes(read_whole(image).pixels)]

    def boxes(self, pixels: np.ndarray) -> list[Box]:
        height, width = pixels.shape[:2]
        if self.apart:
            edges = np.linspace(0, width, self.apart + 1).tolist()
            return [Box(left, 0.0, right, float(height)) for left, right in itertools.pairwise(edges)]
        far = np.abs(pixels.astype(int) - np.median(pixels, axis=(0, 1))).max(axis=2) > 60
        if not far.any():
            return []
        columns, rows = np.flatnonzero(far.any(axis=0)), np.flatnonzero(far.any(axis=1))
        box = Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        return [box] * self.copies

    @property
    def calls(self) -> int:
        """How often it was asked to analyze, with whatever settings."""
        return len(self.counter)

    def analyze_crops(self, crops: Iterable[Any], *, attributes: Iterable[str] | None = None) -> list[Face]:
        """Happy, female, white and old as far as there is a contrast in the lowest third."""

        def face(crop: np.ndarray) -> Face:
            happy = 0.1 + 0.8 * min(1.0, float(crop[-len(crop) // 3 :].std()) / 128)
            one, other = happy, 1 - happy
            return Face(
                Box(0, 0, 1, 1),
                emotion=Classification.of({"happy": one, "sad": other}),
                age=Estimate(100 * one, 5.0),
                gender=Classification.of({"female": one, "male": other}),
                ethnicity=Classification.of({"east_asian": one, "white": other}),
            )

        return [face(crop) for crop in crops]

    @staticmethod
    def _face(box: Box, number: int) -> Face:
        def scores(labels: tuple[str, ...], best: str) -> Classification:
            return Classification.of({label: 0.5 if label == best else 0.5 / (len(labels) - 1) for label in labels})

        return Face(
            box,
            0.9,
            emotion=scores(EMOTIONS, "happy"),
            age=Estimate(31.4 + number, 5.2),
            gender=Classification.of({"female": 0.75, "male": 0.25}),
            ethnicity=scores(ETHNICITIES, "east_asian"),
            points=ring(box),
            pose=Pose(20.0, 0.0, -10.0),
        )


def ring(box: Box) -> Points:
    """68 points on an ellipse in a box."""
    turns = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    (x, y), wide, high = box.centre, 0.4 * box.width, 0.4 * box.height
    return Points(tuple((float(x + wide * np.cos(turn)), float(y + high * np.sin(turn))) for turn in turns), 0.99)


@contextmanager
def serving(analyzer: Analyzer, limits: Limits | None = None, **options: Any) -> Iterator[str]:
    """The app around an analyzer, with options of `build_demo`, on a free port: yields its address."""
    demo = build_demo(analyzer, limits or Limits(), **options)
    # Gradio looks for a free port from 7860 on; another test run may be doing the same.
    try:
        yield launch(demo, analyzer, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    finally:
        demo.close(verbose=False)


def upload(path: Path, name: str | None = None) -> dict[str, Any]:
    """A file as it stands in Gradio's upload folder, and the argument that a handler gets for it."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"test-app-{path.name}"
    copy.write_bytes(path.read_bytes())
    return {"path": str(copy), "orig_name": name or path.name, "meta": {"_type": "gradio.FileData"}}


def data_url(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    path = tmp_path / "blank.png"
    Image.new("RGB", (320, 240), "navy").save(path)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds no pixel."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


BAD_FILES = {
    "empty.jpg": b"",
    "notes.txt": b"no picture, only words",
    "words.jpg": b"no picture, only words",
    "bomb.png": png_header(50_000, 50_000),
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "truncated.jpg": None,  # cut from the photo
}


@pytest.fixture(params=BAD_FILES)
def bad_file(request: pytest.FixtureRequest, photo: Path, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    content = BAD_FILES[request.param]
    path.write_bytes(photo.read_bytes()[:3000] if content is None else content)
    return path


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize("value", [None, 1, 7, 1000])
def test_max_faces_accepted(value: int | None) -> None:
    assert requests.check_max_faces(value) == value


@pytest.mark.parametrize("value", [0, -1, 1001, True, False, 2.0, "3", [], {}])
def test_max_faces_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"max_faces must be a whole number within 1\.\.1000") as caught:
        requests.check_max_faces(value)
    assert repr(value) in str(caught.value)


def test_attributes_accepted() -> None:
    assert requests.check_attributes(None, ("age", "gender")) == ("age", "gender")
    assert requests.check_attributes(["gender", "gender", "age"], tuple(ATTRIBUTES)) == ("gender", "age")


@pytest.mark.parametrize("value", ["age", [], ["mood"], ["age", 3], [{}], 3, {"age": 1}, [["age"]], True])
def test_attributes_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="attributes must be a list out of emotion, age, gender, ethnicity"):
        requests.check_attributes(value, tuple(ATTRIBUTES))


def test_an_attribute_that_this_analyzer_lacks_is_refused() -> None:
    with pytest.raises(ArgumentError, match="out of emotion, or null"):
        requests.check_attributes(["age"], ("emotion",))


@pytest.mark.parametrize("value", [None, "photo.jpg", 3, [], {}, {"path": None}, {"path": ""}, {"url": "x"}])
def test_image_must_be_an_upload(value: Any) -> None:
    with pytest.raises(ArgumentError, match="image must be an uploaded file"):
        requests.check_image(value)


@pytest.mark.parametrize("path", ["/etc/hostname", "{upload}/../secret.png", "{upload}-other/secret.png", "app.py"])
def test_no_other_file_of_the_machine_can_be_named(path: str) -> None:
    with pytest.raises(ArgumentError, match="not a path of this machine"):
        requests.check_image({"path": path.format(upload=get_upload_folder()), "meta": {"_type": "gradio.FileData"}})


# ---------------------------------------------------------------- handlers


def test_look_keeps_what_was_asked_for(photo: Path) -> None:
    pixels, analysis = handlers.image.analyze_upload(FakeAnalyzer(copies=5), upload(photo), 2, ["age", "gender"])
    assert pixels.shape == (512, 512, 3)
    assert len(analysis) == 2
    assert analysis.faces[0].age == Estimate(31.4, 5.2)
    assert analysis.faces[0].emotion is None and analysis.faces[0].ethnicity is None
    assert analysis.models == {"age": "age-fake@1.0.0", "gender": "gender-fake@1.0.0"}


def test_a_bad_file_is_named_as_the_visitor_knows_it(bad_file: Path) -> None:
    with pytest.raises(ImageError) as caught:
        handlers.image.analyze_upload(FakeAnalyzer(), upload(bad_file, "holiday.jpg"), None, None)
    assert get_upload_folder() not in str(caught.value)


def test_a_folder_is_no_image() -> None:
    with pytest.raises(ImageError):
        handlers.image.analyze_upload(FakeAnalyzer(), {"path": get_upload_folder()}, None, None)


def show(image: Any, attributes: Any = ATTRIBUTES, detector: Any = "fake", min_score: Any = 0.6) -> Any:
    """The image tab's answer, with the usual settings: the HTML, and what it shows."""
    page, shown = handlers.image.show_upload(FakeAnalyzer(), image, 50, list(attributes), detector, min_score, {})
    return page, shown and shown.analysis


def test_show_describes_faces(photo: Path) -> None:
    cards, analysis = show(upload(photo))
    for expected in (
        "<b>1 face</b>",
        "<b>Happy 50%</b>",
        "23 to 40, most likely 31",
        "Female",
        "East",
        "Detection 90%",
        "5 more emotions",
        'src="data:image/jpeg;base64,',
    ):
        assert expected in cards
    assert cards.count('<i aria-hidden="true">') == len(EMOTIONS)
    assert analysis == FakeAnalyzer().analyze(photo)


def test_show_without_a_picture_invites() -> None:
    assert show(None) == (None, None)


def test_show_without_attributes_asks_for_one(photo: Path) -> None:
    message, analysis = show(upload(photo), [])
    assert analysis is None and "at least one attribute" in message


def test_show_says_when_there_is_no_face(blank: Path) -> None:
    message, analysis = show(upload(blank))
    assert "No face found" in message and len(analysis) == 0
    assert downloads(message) == {}, "there is nothing to download"


def test_show_turns_a_bad_file_into_a_message(bad_file: Path) -> None:
    message, analysis = show(upload(bad_file))
    assert analysis is None and 'role="alert"' in message


@pytest.mark.parametrize(
    ("detector", "min_score", "message"),
    [
        ("mtcnn", 0.6, "detector must be one of fake, "),
        (["haar"], 0.6, "got list"),
        ("haar", 1.5, "must be a number within 0..1; got float 1.5"),
        ("haar", "high", "got str"),
    ],
)
def test_a_wrong_detection_is_refused(photo: Path, detector: Any, min_score: Any, message: str) -> None:
    page, analysis = show(upload(photo), detector=detector, min_score=min_score)
    assert analysis is None and message in page


def test_another_detector_and_score_threshold_are_used() -> None:
    chosen = choose(FakeAnalyzer(), {}, "haar", 0.9)
    assert (chosen.detector, chosen.min_score) == ("haar", 0.9)


def test_the_bundled_examples_are_small_say_their_licence_and_can_be_taken() -> None:
    examples, files = Settings().examples, list(EXAMPLES.iterdir())
    assert [path.name for path in examples] == ["admiral.jpg", "astronaut.jpg", "group.jpg"]
    assert sum(path.stat().st_size for path in files) < 300_000
    notice = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert "public domain" in notice and all(path.name in notice for path in files if path.suffix != ".md")
    taken = Path(handlers.image.take_example(examples, 2))
    assert taken.read_bytes() == examples[2].read_bytes() and Path(get_upload_folder()) in taken.parents
    for number in (-1, 3, None, True, "1"):
        with pytest.raises(ArgumentError, match="no example"):
            handlers.image.take_example(examples, number)
    assert [path.name for path in example_clips(examples)] == ["clip.mp4"]
    # Its first frame lies beside it, so that the start need not decode it; another folder's video has no such file.
    av = pytest.importorskip("av", reason="videos need PyAV: pip install -e '.[dev]'")
    with av.open(str(EXAMPLES / "clip.mp4")) as container, Image.open(EXAMPLES / "clip.jpg") as still:
        first = next(container.decode(video=0)).to_image().resize(still.size)
        assert np.abs(np.asarray(still).astype(int) - np.asarray(first)).mean() < 4
    strip = examples_html(example_clips(examples), True, words_in("en"))
    assert 'class="fm-film"' in strip and "public domain" in strip and "data:image/jpeg" in strip


def test_an_explanation_is_a_heat_map_and_says_how_it_was_made(photo: Path) -> None:
    analyzer = FakeAnalyzer(copies=2)
    answer = handlers.image.explain_face(analyzer, upload(photo), analyzer.analyze(photo), 2)
    assert answer["face"] == 2
    for expected in ('<img src="data:image/jpeg;base64,', "“Happy”", "covering one grey patch after the other"):
        assert expected in answer["page"]


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_attribute_is_explained(photo: Path, attribute: str) -> None:
    answer = handlers.image.explain_face(
        FakeAnalyzer(), upload(photo), FakeAnalyzer().analyze(photo), 1, "en", attribute
    )
    assert answer["attribute"] == attribute and answer["page"].count("<img") == 2
    assert ("the number becomes lower" in answer["page"]) == (attribute == "age")


class Scoring(FakeAnalyzer):
    """Finds three faces, of which lower thresholds let more pass; ages depend on the model."""

    def analyze(self, image: Any, *, boxes: Any = None, attributes: Any = None) -> Analysis:
        found = super().analyze(image, boxes=boxes, attributes=attributes)
        scores = (0.95, 0.75, 0.45) if boxes is None else [face.score for face in boxes]
        faces = [
            face.replace(score=score, age=face.age and Estimate(face.age.value + len(self.models["age"]), 5.0))
            for face, score in zip(found, scores, strict=False)
        ]
        kept = tuple(face for face in faces if boxes is not None or face.score >= self.min_score)
        return replace(found, faces=kept)


def test_a_changed_setting_runs_only_what_is_new(photo: Path) -> None:
    analyzer, image = Scoring(apart=3), upload(photo)
    ages = offered_models(analyzer)["age"]

    def ask(shown: Any, attributes: list[str], min_score: float = 0.6, max_faces: int = 50, **more: Any) -> Any:
        analyzer.asked.clear()
        models = {"age": more.pop("age", ages[0])}
        return handlers.image.show_upload(
            analyzer, image, max_faces, attributes, "fake", min_score, models, shown=shown, **more
        )

    _, shown = ask(None, ["emotion"])
    assert analyzer.asked == [(True, ("emotion",))] and len(shown.analysis) == 2
    page, shown = ask(shown, ["emotion", "age"])
    assert analyzer.asked == [(False, ("age",))], "the faces and their emotions were known"
    assert list(shown.analysis.models) == ["emotion", "age"] and shown.analysis.faces[1].age is not None
    _, fewer = ask(shown, ["age"], min_score=0.9)
    assert analyzer.asked == [] and len(fewer.analysis) == 1 and fewer.analysis.faces[0].emotion is None
    _, again = ask(fewer, ["emotion", "age"])
    assert analyzer.asked == [] and again.analysis == shown.analysis, "what was hidden is still known"
    _, one = ask(again, ["emotion", "age"], max_faces=1)
    assert analyzer.asked == [] and len(one.analysis) == 1
    _, more = ask(one, ["age"], min_score=0.3)
    assert analyzer.asked == [(True, ("age",))] and len(more.analysis) == 3, "lower than ever: only detection can tell"

    # Two models side by side.
    page, both = ask(more, ["age"], min_score=0.3, second=f"age={ages[1]}")
    assert analyzer.asked == [(False, ("age",))] and page.count('class="fm-second"') == 3 and ages[1] in page
    _, other = ask(both, ["age"], min_score=0.3, age=ages[1])
    assert other.analysis.models == {"age": ages[1]} and other.analysis != both.analysis
    assert "must be one of" in ask(both, ["age"], second="age=/etc/hostname")[0]
    _, nothing = ask(other, [])
    assert nothing is other, "all boxes unchecked, by mistake, loses nothing"


def several(images: Any, stop: Stop | None = None, attributes: Any = ATTRIBUTES) -> list[str]:
    """What the page shows of several photos, one after the other."""
    analyzer = FakeAnalyzer(copies=2)
    return list(handlers.photos.analyze_photos(analyzer, images, 50, list(attributes), "fake", 0.6, {}, "en", stop))


def test_landmarks_and_pose_are_answered_once_their_layer_is_on(photo: Path) -> None:
    analyzer = FakeAnalyzer(on_request=True)
    known = None

    def show(layers: Any, attributes: list[str] | None = None) -> str:
        nonlocal known
        page, known = handlers.image.show_upload(
            *(analyzer, image, 50, attributes, "fake", 0.6, {}), shown=known, layers=layers
        )
        assert page is not None
        return page

    image = upload(photo)
    page = show([])
    assert analyzer.asked == [(True, tuple(ATTRIBUTES))], "points and pose only on request"
    assert page.count("data-ask") == 2 and 'data-pose=""' in page and "Head pose" not in page
    page = show(["points", "pose", "nonsense", ["x"]])
    assert analyzer.asked[1:] == [(False, ("points", "pose"))], "only the model for points runs"
    assert len(re.findall(r"[\d.]+,[\d.]+", re.findall('data-points="([^"]+)"', page)[0])) == 68
    assert 'data-pose="20.0 0.0 -10.0"' in page and "20° to the right · tilted 10° counterclockwise" in page
    assert 'data-attributes="emotion age gender ethnicity"' in page and 'data-correct="pose"' not in page
    assert json.loads(downloads(page)["astronaut.json"])["faces"][0]["pose"]["yaw"] == 20
    assert "Head pose" not in show("pose") and len(analyzer.asked) == 2, "a layer that is off again"
    assert (
        "cannot be explained" in handlers.image.explain_face(analyzer, image, known.analysis, 1, "en", "pose")["page"]
    )


def test_several_photos_make_one_gallery_one_table_and_one_file_of_each_kind(photo: Path, blank: Path) -> None:
    broken = {**upload(photo, "gone.jpg"), "path": str(Path(get_upload_folder()) / "gone.jpg")}
    images = [upload(photo, "<one>.jpg"), upload(blank), broken, {"path": "/etc/hostname"}]
    first, *_, page = several(images)
    assert "0 of 4 photos" in first
    assert "<b>4 photos · 2 faces · 2 of 2 Happy · ages 31 to 32</b>" in page
    assert page.count('class="fm-photo"') == 4 and page.count("data-photo=") == 2 and page.count("<rect") == 2
    assert "<b>blank.png</b><small>No faces</small>" in page and "This file is no longer here" in page
    assert page.count("<tr>") == 3 and "&lt;one&gt;.jpg" in page and "<one>" not in page
    files = downloads(page)
    assert [line.split(",")[:2] for line in files["faces.csv"].splitlines()[1:3]] == [
        ["<one>.jpg", "1"],
        ["<one>.jpg", "2"],
    ]
    answers = json.loads(files["faces.json"])
    assert [len(answer["faces"]) for answer in answers] == [2, 0, 0, 0] and answers[2]["error"]

    assert Path(handlers.photos.open_photo(images, 0)).read_bytes() == photo.read_bytes()
    for number in (-1, 4, None, True):
        with pytest.raises(ArgumentError, match="no photo"):
            handlers.photos.open_photo(images, number)
    with pytest.raises(ArgumentError, match="not a path of this machine"):
        handlers.photos.open_photo(images, 3)


def test_several_photos_end_when_the_visitor_cancels_and_refuse_what_is_wrong(photo: Path) -> None:
    stop, images = Stop(), [upload(photo)] * 3
    steps = handlers.photos.analyze_photos(FakeAnalyzer(), images, 50, ["age"], "fake", 0.6, {}, "en", stop)
    next(steps)
    stop.wanted = True
    (page,) = steps
    assert page is not None and "1 of 3 photos are done" in page and page.count("data-photo=") == 1
    assert "At most 100 photos at once; these are 101" in several([upload(photo)] * 101)[-1]
    assert "at least one attribute" in several(images, attributes=[])[-1]
    assert several(None) == several([]) == [None]


@pytest.mark.parametrize("name", [f"{300 * 'x'}.png", f"{100 * 'é'}.png", "\ud800.png", "a\0b.png", "../../b.png"])
def test_a_download_has_a_name_that_files_can_have(name: str, photo: Path) -> None:
    image = {**upload(photo), "orig_name": name}
    path = Path(handlers.image.anonymize_upload(FakeAnalyzer(), image, Analysis((), 4, 4)) or "")
    assert path.is_file() and path.name.endswith("-anonymized.png") and path.parent.parent == Path(get_upload_folder())


def test_the_anonymized_copy_hides_every_face_and_has_no_metadata(photo: Path, tmp_path: Path) -> None:
    tagged = tmp_path / "Tagged.JPG"
    with Image.open(photo) as picture:
        exif = picture.getexif()
        exif[0x010F] = "a camera"
        picture.save(tagged, quality=95, exif=exif)
    image, analyzer = upload(tagged), FaceAnalyzer(["gender"])
    path = Path(handlers.image.anonymize_upload(analyzer, image, analyzer.analyze(tagged)) or "")
    assert path.name == "Tagged-anonymized.jpg" and b"a camera" not in path.read_bytes()
    assert len(analyzer.detect(tagged)) == 1 and analyzer.detect(path) == []
    assert handlers.image.anonymize_upload(analyzer, image, None) is None


@pytest.mark.parametrize("place", [0, 2, -1, None, "1", 1.5])
def test_a_face_that_is_not_on_the_page_is_not_explained(photo: Path, place: Any) -> None:
    answer = handlers.image.explain_face(FakeAnalyzer(), upload(photo), FakeAnalyzer().analyze(photo), place)
    assert "there is no face" in answer["page"]
    assert "among the 0" in handlers.image.explain_face(FakeAnalyzer(), upload(photo), None, place)["page"]


def test_a_large_upload_is_decoded_smaller_and_answered_in_its_own_pixels(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyzer = FaceAnalyzer(["gender"])
    large, whole = handlers.image.analyze_upload(analyzer, upload(photo))
    monkeypatch.setattr("facemodels.images.REDUCE_FROM", 512 * 512)
    pixels, analysis = handlers.image.analyze_upload(analyzer, upload(photo))
    assert pixels.shape == (256, 256, 3) and (analysis.width, analysis.height) == (512, 512)
    assert analysis.faces[0].box.iou(whole.faces[0].box) > 0.8
    widths = []
    for shown, read in ((analysis, pixels), (whole, large)):
        face = re.search(r"base64,([^\"]+)", analysis_html(shown, read, "a.jpg", words_in("en")))
        assert face is not None
        widths.append(Image.open(io.BytesIO(base64.b64decode(face.group(1)))).width)
    assert 0.4 < widths[0] / widths[1] < 0.6  # the same part of the image
    assert (
        "covering"
        in handlers.image.explain_face(FaceAnalyzer(["gender"]), upload(photo), analysis, 1, attribute="gender")["page"]
    )


def test_what_cannot_be_explained_says_so(photo: Path) -> None:
    analysis = FakeAnalyzer().analyze(photo)
    faceless = replace(analysis, faces=(Face(Box(0, 0, 9, 9)),))
    for attribute in ("age", "mood", None, ["age"]):
        answer = handlers.image.explain_face(FakeAnalyzer(), upload(photo), faceless, 1, "en", attribute)
        assert "cannot be explained: it was not asked for" in answer["page"]
    assert "not asked for" in handlers.image.explain_face(FakeAnalyzer(), upload(photo), faceless, 1)["page"]
    unknown = replace(analysis, models={"emotion": "mine@1.0.0"})
    assert (
        "the model for emotion must be one of"
        in handlers.image.explain_face(FakeAnalyzer(), upload(photo), unknown, 1)["page"]
    )
    gone = {"path": str(Path(get_upload_folder()) / "gone.jpg"), "orig_name": "holiday.jpg"}
    answer = handlers.image.explain_face(FakeAnalyzer(), gone, analysis, 1)
    assert "holiday.jpg: This file is no longer here: uploads are deleted after 5 minutes" in answer["page"]


def test_a_picture_that_no_browser_shows_comes_whole_for_its_drawing(photo: Path, tmp_path: Path) -> None:
    with Image.open(photo) as picture:
        picture.save(tmp_path / "scan.jpg", format="tiff")  # what counts is what the file holds
    assert 'data-picture="data:image/jpeg' in show(upload(tmp_path / "scan.jpg"))[0]
    assert "data-picture" not in show(upload(photo, "photo.tif"))[0]
    with Image.open(handlers.image.decode_upload(upload(tmp_path / "scan.jpg"))) as whole:
        assert whole.format == "PNG" and np.array_equal(np.asarray(whole), read_image(tmp_path / "scan.jpg"))


def test_downloads_are_named_after_the_upload(photo: Path) -> None:
    image = upload(photo, "my holiday.jpg")
    analyzer = FakeAnalyzer()
    paths = [Path(handlers.image.anonymize_upload(analyzer, image, analyzer.analyze(photo)) or "") for _ in range(2)]
    assert {path.name for path in paths} == {"my holiday-anonymized.jpg"} and len(set(paths)) == 2


@pytest.mark.parametrize("name", ["x" * 5000 + ".jpg", "a\0b.jpg"])
def test_a_name_that_no_file_can_have_is_refused(name: str, photo: Path) -> None:
    image = {"path": str(Path(get_upload_folder()) / name)}
    bad, good = handlers.image.analyze_uploads(FakeAnalyzer(), [image, upload(photo)], None, None)
    assert bad.error and len(good) == 1
    numbered = {**upload(photo), "orig_name": 3}
    assert handlers.image.analyze_uploads(FakeAnalyzer(), [numbered], None, None)[0].error


def test_a_long_name_does_not_show_the_path_on_the_server(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 120 + ".jpg")
    path.write_bytes(b"nothing")
    [bad] = handlers.image.analyze_uploads(FakeAnalyzer(), [upload(path)], None, None)
    assert bad.error and get_upload_folder() not in bad.error and "nnn" in bad.error


def test_follow_gives_ids_and_its_time(astronaut: np.ndarray) -> None:
    tracker, analyzer, frame = FaceTracker(), FakeAnalyzer(), {"url": data_url(astronaut)}
    answers = [handlers.webcam.analyze_frame(analyzer, tracker, frame) for _ in range(4)]
    ids = {face["track_id"] for answer in answers for face in answer["faces"]}
    assert len(ids) == 1 and None not in ids
    assert answers[-1]["error"] is None and answers[-1]["ms"] > 0
    assert json.loads(json.dumps(answers[-1])) == answers[-1]


def test_a_frame_shows_the_chosen_attributes_in_boxes_as_detected(astronaut: np.ndarray) -> None:
    tracker, analyzer, frame = FaceTracker(), FakeAnalyzer(), {"url": data_url(astronaut)}
    moved = {"url": data_url(np.roll(astronaut, 40, axis=1))}
    first = handlers.webcam.analyze_frame(analyzer, tracker, frame, attributes=["emotion", "age"], sent=1234.5)
    assert first["sent"] == 1234.5 and first["faces"][0]["age"] and first["faces"][0]["gender"] is None
    second = handlers.webcam.analyze_frame(analyzer, tracker, moved, attributes=["age"], sent="now")
    detected = analyzer.analyze(read_image(base64.b64decode(moved["url"].partition(",")[2])))
    assert second["faces"][0]["box"] == detected.to_dict()["faces"][0]["box"], "the page smooths"
    assert second["sent"] is None and second["faces"][0]["emotion"] is None, "its track remembers one"
    boxes = handlers.webcam.analyze_frame(analyzer, tracker, frame, attributes=[])
    assert boxes["faces"] and all(boxes["faces"][0][name] is None for name in ATTRIBUTES)
    assert (
        "attributes must be a list"
        in handlers.webcam.analyze_frame(analyzer, tracker, frame, attributes=["mood"])["error"]
    )


@pytest.mark.parametrize(
    "frame",
    [None, "x", {}, {"url": None}, {"url": "https://example.org/x.jpg"}, {"path": "/etc/hostname"}]
    + [{"url": "data:image/jpeg;base64," + text} for text in ("", "###", "AAAA")],
)
def test_a_bad_frame_does_not_end_the_stream(frame: Any) -> None:
    answer = handlers.webcam.analyze_frame(FakeAnalyzer(), FaceTracker(), frame)
    assert answer["faces"] == [] and answer["error"]


def test_other_errors_of_the_package_reach_the_caller_and_bugs_do_not_hide() -> None:
    def refuse(error: Exception) -> None:
        raise error

    with pytest.raises(endpoints.gr.Error, match="no weights"):
        endpoints.answers_errors(refuse)(FaceModelsError("no weights"))
    with pytest.raises(ZeroDivisionError):
        endpoints.answers_errors(refuse)(ZeroDivisionError())


def test_a_card_is_shown_without_its_metadata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = list_models()[0]
    (tmp_path / spec.name).mkdir()
    (tmp_path / spec.name / "README.md").write_text("---\nlicense: mit\n---\n# The card\n", encoding="utf-8")
    monkeypatch.setattr(handlers.models, "WEIGHTS", tmp_path)
    assert handlers.models.card_text(spec).strip() == "# The card"
    (tmp_path / spec.name / "README.md").unlink()
    monkeypatch.setattr(handlers.models, "__file__", str(tmp_path / "a" / "b" / "c" / "models.py"))
    assert handlers.models.card_text(spec) == ""


# ---------------------------------------------------------------- the running app


@pytest.fixture(scope="module")
def analyzer() -> FakeAnalyzer:
    return FakeAnalyzer(copies=3)


@pytest.fixture(scope="module")
def client(analyzer: FakeAnalyzer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(analyzer) as url:
        client = Client(url, download_files=str(tmp_path_factory.mktemp("downloads")), verbose=False)
        before = set(Path(tempfile.gettempdir()).iterdir())
        with closing(client):
            yield client
    for folder in set(Path(tempfile.gettempdir()).iterdir()) - before:
        # The client leaves an empty folder for every file that it downloads.
        if re.fullmatch("[0-9a-f]{40}", folder.name) and not any(folder.iterdir()):
            folder.rmdir()


@pytest.mark.slow
def test_no_request_of_the_described_api_breaks_the_server(analyzer: FakeAnalyzer, tmp_path: Path) -> None:
    """Schemathesis sends what the app's OpenAPI allows, and what it does not, for about a minute."""
    pytest.importorskip("schemathesis", reason="it is installed by: pip install -e '.[fuzz]'")
    with serving(analyzer) as url:
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
        command += [f"{url}gradio_api/openapi.json", "--checks", "not_a_server_error", "--max-examples", "30"]
        command += ["--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-shrink", "--request-timeout", "60"]
        # Gradio describes files in a list by a type that JSON Schema does not have.
        command += ["--exclude-path-regex", "call/v2/analyze_batch", "--max-failures", "20"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        with urllib.request.urlopen(f"{url}gradio_api/info", timeout=30) as answer:
            assert answer.status == 200
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_the_api_is_these_endpoints(client: Client) -> None:
    api = client.view_api(return_format="dict")
    assert api["unnamed_endpoints"] == {}
    arguments = {name: [p["parameter_name"] for p in end["parameters"]] for name, end in api["named_endpoints"].items()}
    asked = ["image", "max_faces", "attributes"]
    assert arguments == {
        "/analyze": asked,
        "/analyze_batch": ["images", *asked[1:]],
        "/annotate": asked,
        "/models": [],
    }
    required = {
        p["parameter_name"] for p in api["named_endpoints"]["/analyze"]["parameters"] if not p["parameter_has_default"]
    }
    assert required == {"image"}


def test_the_api_page_describes_every_argument_and_its_examples_work(client: Client, photo: Path) -> None:
    """The examples are what its snippets are made of; a file is written ``handle_file('photo.jpg')`` there."""

    def filled(example: Any) -> Any:
        if isinstance(example, list):
            return [filled(one) for one in example]
        if isinstance(example, dict):
            assert example["meta"] == {"_type": "gradio.FileData"} and example["url"] == "photo.jpg"
            return handle_file(photo)
        return example

    for name, endpoint in client.view_api(return_format="dict", print_info=False)["named_endpoints"].items():
        given = {}
        for argument in endpoint["parameters"]:
            assert len(argument["python_type"]["description"]) > 20
            assert argument["label"] == argument["parameter_name"]
            given[argument["parameter_name"]] = filled(argument["example_input"])
        assert client.predict(**given, api_name=name)


@pytest.mark.parametrize(("accepted", "language"), [("de-AT,en;q=0.5", "de"), ("ko, ja;q=0.8", "ja"), ("", "en")])
def test_a_link_to_the_page_has_a_preview_of_our_own(client: Client, accepted: str, language: str) -> None:
    request = urllib.request.Request(client.src, headers={"Accept": "text/html", "Accept-Language": accepted})
    with urllib.request.urlopen(request, timeout=30) as answer:
        page = answer.read().decode()
    tags = re.findall(r'<meta (?:property|name)="((?:og|twitter):[^"]+|description)" content="([^"]*)"', page)
    names = [name for name, _ in tags]
    assert len(set(names)) == len(names) and "radio" not in str(tags), "Gradio's own tags"
    found = {name: html.unescape(text) for name, text in tags}
    assert found["og:description"] == found["description"] == html.unescape(words_in(language)("lead"))
    assert found["og:title"] == "facemodels" and found["og:url"] == client.src
    with urllib.request.urlopen(found["og:image"], timeout=30) as answer, Image.open(answer) as picture:
        assert picture.size == (1200, 630) == (int(found["og:image:width"]), int(found["og:image:height"]))
    with urllib.request.urlopen(f"{client.src}favicon.ico", timeout=30) as answer:
        assert answer.read() == FAVICON.read_bytes()


def test_a_page_without_configuration_is_left_alone() -> None:
    assert tagged('<head><meta property="og:title" content="Gradio" />', words_in("en")).endswith('"Gradio" />')


def test_analyze_answers_exactly_the_analysis(client: Client, analyzer: FakeAnalyzer, photo: Path) -> None:
    assert client.predict(handle_file(photo), api_name="/analyze") == analyzer.analyze(photo).to_dict()


def test_analyze_keeps_what_was_asked_for(client: Client, photo: Path) -> None:
    result = client.predict(handle_file(photo), max_faces=2, attributes=["age"], api_name="/analyze")
    assert len(result["faces"]) == 2 and list(result["models"]) == ["age"]
    assert result["faces"][1]["age"] == {"value": 32.4, "error": 5.2} and result["faces"][1]["emotion"] is None


def test_no_face_is_an_answer(client: Client, blank: Path) -> None:
    result = client.predict(handle_file(blank), api_name="/analyze")
    assert (result["faces"], result["width"], result["height"], result["error"]) == ([], 320, 240, None)


def test_annotate_answers_a_picture_of_the_same_size(client: Client, photo: Path, astronaut: np.ndarray) -> None:
    with Image.open(client.predict(handle_file(photo), api_name="/annotate")) as picture:
        assert picture.format == "PNG"
        changed = np.abs(np.asarray(picture).astype(int) - read_image(photo)).max(axis=2) > 0
    assert changed.shape == astronaut.shape[:2] and 0 < changed.mean() < 0.5


def test_a_batch_answers_in_order_and_a_bad_item_keeps_the_rest(
    client: Client, analyzer: FakeAnalyzer, photo: Path, blank: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:3000])
    images = [handle_file(blank), handle_file(broken), {"path": "/etc/hostname"}, handle_file(photo)]
    empty, bad, stranger, good = client.predict(images, max_faces=2, attributes=["age"], api_name="/analyze_batch")
    assert (empty["faces"], empty["error"], empty["width"]) == ([], None, 320)
    assert bad["faces"] == [] and "broken.jpg" in bad["error"] and get_upload_folder() not in bad["error"]
    assert stranger["faces"] == [] and "not a path of this machine" in stranger["error"]
    assert good == client.predict(handle_file(photo), max_faces=2, attributes=["age"], api_name="/analyze")
    assert {tuple(answer["models"]) for answer in (empty, bad, stranger, good)} == {("age",)}
    assert client.predict([], api_name="/analyze_batch") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": "photo.jpg"}, "images must be a list of at most 100 uploaded files; got str 'photo.jpg'"),
        ({"images": [None] * 101}, "got 101 of them"),
        ({"images": [], "max_faces": 0}, "max_faces must be a whole number"),
        ({"images": [], "attributes": []}, "attributes must be a list out of"),
    ],
)
def test_a_wrong_batch_is_explained(client: Client, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(**arguments, api_name="/analyze_batch")
    assert message in str(caught.value.message)


def health(url: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url.rstrip("/") + "/health", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_health_says_ready_only_while_the_models_are_warm(analyzer: FakeAnalyzer) -> None:
    port, during = free_port(), []
    demo = build_demo(analyzer)
    url = launch(
        demo,
        analyzer,
        warmup=lambda: during.append(health(f"http://127.0.0.1:{port}")),
        prevent_thread_lock=True,
        quiet=True,
        server_port=port,
    )
    try:
        assert during == [(503, {"status": "loading", "models": analyzer.models})]
        assert health(url) == (200, {"status": "ready", "models": analyzer.models})
        demo.is_running = False
        assert health(url) == (503, {"status": "stopping", "models": analyzer.models})
    finally:
        demo.close(verbose=False)


def test_models_that_cannot_be_warmed_up_stop_the_server(analyzer: FakeAnalyzer) -> None:
    def refuse() -> None:
        raise FaceModelsError("the weights are damaged")

    port = free_port()
    with pytest.raises(FaceModelsError, match="damaged"):
        launch(build_demo(analyzer), analyzer, warmup=refuse, quiet=True, server_port=port)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)


def test_who_comes_to_a_full_queue_is_told(photo: Path, tmp_path: Path) -> None:
    class SlowAnalyzer(FakeAnalyzer):
        begun, going = threading.Event(), threading.Event()

        def analyze(self, image: Any, **options: Any) -> Analysis:
            self.begun.set()
            assert self.going.wait(20)
            return super().analyze(image, **options)

    slow = SlowAnalyzer()
    with (
        serving(slow, Limits(queue=1, analyses=1)) as url,
        closing(Client(url, download_files=str(tmp_path), verbose=False)) as client,
    ):
        jobs = [client.submit(handle_file(photo), api_name="/analyze")]
        assert slow.begun.wait(20)
        jobs += [client.submit(handle_file(photo), api_name="/analyze") for _ in range(3)]
        end = time.monotonic() + 20
        while sum(job.done() for job in jobs) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        slow.going.set()
        refused = [str(error) for job in jobs if (error := job.exception(timeout=20)) is not None]
        assert refused == ["Queue is full! Please try again."] * 2


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_can_call_it_too(client: Client, analyzer: FakeAnalyzer, photo: Path) -> None:
    def curl(*arguments: str) -> str:
        done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    api = client.src.rstrip("/") + "/gradio_api"
    [path] = json.loads(curl("-F", f"files=@{photo}", f"{api}/upload"))
    data = json.dumps({"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, None, ["age"]]})
    event = json.loads(curl("--json", data, f"{api}/call/analyze"))["event_id"]
    name, _, answer = curl("-N", f"{api}/call/analyze/{event}").strip().partition("\ndata: ")
    assert name == "event: complete"
    [result] = json.loads(answer)
    assert len(result["faces"]) == len(analyzer.analyze(photo)) and list(result["models"]) == ["age"]


def test_models_answers_every_spec(client: Client) -> None:
    result = client.predict(api_name="/models")
    assert [(model["id"], model["license"]) for model in result] == [(spec.id, spec.license) for spec in list_models()]
    assert all(set(model) >= {"name", "version", "attributes", "metrics", "datasets"} for model in result)


@pytest.mark.parametrize("endpoint", ["/analyze", "/annotate"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_faces": 0}, "max_faces must be a whole number within 1..1000, or null for all; got int 0"),
        ({"max_faces": True}, "got bool True"),
        ({"max_faces": "many"}, "got str 'many'"),
        (
            {"attributes": "age"},
            "attributes must be a list out of emotion, age, gender, ethnicity, or null for all; got str 'age'",
        ),
        ({"attributes": ["mood"]}, "got list ['mood']"),
        ({"image": "photo.jpg"}, "image must be an uploaded file"),
        ({"image": None}, "got NoneType None"),
        ({"image": {"path": "/etc/hostname"}}, "not a path of this machine"),
    ],
)
def test_wrong_arguments_are_explained(
    client: Client, photo: Path, endpoint: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(**{"image": handle_file(photo), **arguments}, api_name=endpoint)
    assert message in str(caught.value.message)


def test_bad_files_are_explained_and_the_app_lives_on(client: Client, bad_file: Path, photo: Path) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(bad_file), api_name="/analyze")
    assert "upstream Gradio app" not in str(caught.value.message)
    assert len(client.predict(handle_file(photo), api_name="/analyze")["faces"]) == 3


def test_the_same_picture_from_many_callers_at_once(client: Client, photo: Path) -> None:
    def call(endpoint: str) -> Any:
        answer = client.predict(handle_file(photo), api_name=endpoint)
        return answer if endpoint == "/analyze" else Image.open(answer).convert("RGB").tobytes()

    with ThreadPoolExecutor(8) as pool:
        annotated = list(pool.map(call, ["/annotate"] * 12))
        analyzed = list(pool.map(call, ["/analyze"] * 12))
    assert len(set(annotated)) == 1
    assert all(answer == analyzed[0] for answer in analyzed)


def test_nothing_is_sent_home_or_remembered(analyzer: FakeAnalyzer) -> None:
    demo = build_demo(analyzer)
    assert demo.analytics_enabled is False
    assert demo.delete_cache is None  # uploads are deleted without Gradio: test_uploads.py
    assert server.LAUNCH["run_history"] is False


def test_work_can_begin_in_a_session_that_the_app_has_forgotten(analyzer: FakeAnalyzer) -> None:
    ran = set()
    for event in build_demo(analyzer).fns.values():
        if event.fn and "stop" in signature(event.fn).parameters:
            # What Gradio gives the state of such a session.
            states = [copy.deepcopy(box.value) if box.stateful else None for box in event.inputs]
            answer = event.fn(*states)
            ran.add((event.name, len(list(answer)) if isinstance(answer, Iterator) else 0))
    assert {name for name, _ in ran} == {"handle", "hide", "give_up", "forget", "halt"}
    assert ("handle", 0) not in ran and ("hide", 0) not in ran


def test_webcams_have_a_limit_of_their_own(analyzer: FakeAnalyzer) -> None:
    demo = build_demo(analyzer, Limits(webcams=7, analyses=3, webcam_seconds=11))
    limits = {fn.concurrency_id: fn.concurrency_limit for fn in demo.fns.values() if fn.fn}
    assert (limits["webcam"], limits["analyze"]) == (7, 3)
    assert [fn.time_limit for fn in demo.fns.values() if fn.concurrency_id == "webcam"] == [11]


# ---------------------------------------------------------------- python app.py


def start(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_help_tells_every_setting_and_no_secret() -> None:
    secret = {"FACEMODELS_AUTH": "ada:lovelace"}
    shown = {"COLUMNS": "200", "PYTHONIOENCODING": "ascii"}  # redirected output is UTF-8 all the same
    process = start("--help", GRADIO_SERVER_NAME="0.0.0.0", FACEMODELS_WEBCAMS="9", **shown, **secret)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    words = " ".join(output.split())
    assert "GRADIO_SERVER_NAME (now: 0.0.0.0)" in words and "FACEMODELS_WEBCAMS (now: 9)" in words
    assert "lovelace" not in words
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in words and variables()[name] in words and field.description in words


@pytest.mark.parametrize("how", ["option", "variable"])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("webcams", "many", "must be a whole number of at least 1; got 'many'"),
        ("queue", "0", "must be a whole number of at least 1; got '0'"),
        ("analyses", "1.5", "got '1.5'"),
        ("webcam-seconds", "-3", "got '-3'"),
        ("max-upload", "", "got ''"),
        ("port", "70000", "must be a port within 1..65535; got '70000'"),
        ("theme", "plaid", "must be one of facemodels, soft, "),
        ("auth", "secret-without-a-colon", "must be user:password, neither of them empty"),
        ("auth", ":password", "must be user:password"),
        ("models", "emotion", "must be like emotion=NAME@VERSION"),
        ("models", "mood=x", "with attributes out of emotion, age, gender, ethnicity; got 'mood=x'"),
        ("root-path", "faces", "must be a path such as /faces, or an address"),
        ("examples", "/no/such/folder", "there is no folder '/no/such/folder'"),
    ],
)
def test_a_wrong_setting_is_refused_before_the_start(
    name: str, value: str, message: str, how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "variable" and not value:
        pytest.skip("an empty variable is none")
    monkeypatch.setattr(server, "FaceAnalyzer", lambda **_: pytest.fail("it went on"))
    variable = variables()[name.replace("-", "_")]
    if how == "variable":
        monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        main([f"--{name}={value}"] if how == "option" else [])
    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert f"argument --{name}: {message}" in told or (f"argument --{name}: " in told and message in told)
    assert variable in told and "secret-without-a-colon" not in told


def test_an_empty_folder_of_examples_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match="there is none in"):
        read_examples(str(tmp_path))


def test_settings_reach_what_they_set(monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    seen: dict[str, Any] = {}

    class Analyzer(FakeAnalyzer):
        def __init__(self, **options: Any) -> None:
            super().__init__()
            seen.update(options)

        def warmup(self, attributes: Sequence[str]) -> None:
            seen["warm"] = attributes

    def launch(demo: Any, analyzer: Any, *, warmup: Any, **options: Any) -> None:
        warmup()
        seen.update(options, limits={fn.concurrency_id: fn.concurrency_limit for fn in demo.fns.values() if fn.fn})
        seen["queue"] = demo._queue.max_size
        seen["seconds"] = [fn.time_limit for fn in demo.fns.values() if fn.concurrency_id == "webcam"]

    monkeypatch.setattr(server, "FaceAnalyzer", Analyzer)
    monkeypatch.setattr(server, "launch", launch)
    monkeypatch.setattr(server.signal, "signal", lambda *_: None)
    for name, value in {
        **{"QUEUE": "5", "ANALYSES": "3", "WEBCAMS": "7", "WEBCAM_SECONDS": "11", "MAX_UPLOAD": "2"},
        **{"AUTH": "ada:love:lace", "THEME": "glass", "DETECTOR": "haar", "EXAMPLES": str(photo.parent)},
        "MODELS": "emotion=mine@1.0.0, age=folder/of/mine",
    }.items():
        monkeypatch.setenv(f"FACEMODELS_{name}", value)
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    main(["--port", "7999", "--webcams", "8", "--root-path", "/faces/"])
    assert seen["root_path"] == "/faces"
    assert seen["models"] == {"emotion": "mine@1.0.0", "age": "folder/of/mine"} and seen["detector"] == "haar"
    assert (seen["server_name"], seen["server_port"], seen["theme"], seen["auth"]) == (
        *("0.0.0.0", 7999, "glass"),
        ("ada", "love:lace"),
    )
    assert (seen["limits"]["webcam"], seen["limits"]["analyze"], seen["queue"]) == (8, 3, 5), "the option wins"
    assert seen["seconds"] == [11] and seen["max_file_size"] == 2 * 2**20
    assert seen["warm"] == tuple(ATTRIBUTES)  # what is answered on request only costs no memory before


class Proxy(BaseHTTPRequestHandler):
    """A reverse proxy that offers a server under a path."""

    backend: str
    prefix = "/faces"

    def do_GET(self) -> None:
        if not self.path.startswith(self.prefix):
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        request = urllib.request.Request(
            self.backend + self.path.removeprefix(self.prefix), body, headers, method=self.command
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            while piece := answer.read1():  # answers of queued events stream
                self.wfile.write(piece)
                self.wfile.flush()

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


def test_behind_a_proxy_that_offers_it_under_a_path(photo: Path, tmp_path: Path) -> None:
    analyzer = FakeAnalyzer()
    demo = build_demo(analyzer, Limits())
    try:
        options: dict[str, Any] = {"prevent_thread_lock": True, "quiet": True, "server_name": "127.0.0.1"}
        backend = launch(demo, analyzer, root_path="/faces", **options)
        handler = type("Handler", (Proxy,), {"backend": backend.rstrip("/")})
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{proxy.server_port}/faces/"
        client = Client(address, download_files=tmp_path, verbose=False)
        assert client.predict(handle_file(photo), api_name="/analyze")["faces"]
        with urllib.request.urlopen(address, timeout=30) as page:
            assert f'"root":"{address.rstrip("/")}"' in page.read().decode().replace('": "', '":"')
        proxy.shutdown()
    finally:
        demo.close(verbose=False)


@pytest.mark.parametrize("name", ["facemodels", *THEMES])
def test_no_theme_asks_the_internet(name: str) -> None:
    theme = make_theme(name)
    assert theme._stylesheets == []
    assert not re.search(r"url\(['\"]?(https?:)?//", theme._get_theme_css())


def test_a_start_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(**_: Any) -> None:
        raise FaceModelsError("the weights are damaged")

    monkeypatch.setattr(server, "FaceAnalyzer", refuse)
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 1 and capsys.readouterr().err == "app.py: the weights are damaged\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "emotion=nothing-like-it"], "app.py: unknown model 'nothing-like-it'; known here: "),
        (["--detector", "eyes"], "app.py: "),
    ],
)
def test_a_model_or_detector_that_is_not_there_is_told_before_the_start(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    told = capsys.readouterr().err
    assert caught.value.code == 1 and told.startswith(message) and arguments[1].split("=")[-1] in told


def test_a_port_that_is_taken_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Analyzer(FakeAnalyzer):
        def __init__(self, **_: Any) -> None:
            super().__init__()

        def warmup(self, attributes: Sequence[str]) -> None:
            pytest.fail("it started")

    monkeypatch.setattr(server, "FaceAnalyzer", Analyzer)
    monkeypatch.setattr(server.signal, "signal", lambda *_: None)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            main(["--port", str(port)])
    assert caught.value.code == 1 and str(port) in capsys.readouterr().err


def test_who_has_no_password_gets_nothing_but_health(analyzer: FakeAnalyzer, photo: Path, tmp_path: Path) -> None:
    demo = build_demo(analyzer)
    url = launch(demo, analyzer, prevent_thread_lock=True, quiet=True, auth=("ada", "lovelace"))
    try:
        assert health(url)[0] == 200
        for path in ("config", "gradio_api/info"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"{url}{path}", timeout=5)
            assert caught.value.code == 401
        with pytest.raises((AuthenticationError, ValueError), match="[Ll]ogin"):
            Client(url, auth=("ada", "byron"), verbose=False)
        with closing(Client(url, auth=("ada", "lovelace"), download_files=str(tmp_path), verbose=False)) as client:
            assert len(client.predict(handle_file(photo), api_name="/analyze")["faces"]) == 3
    finally:
        demo.close(verbose=False)


# ---------------------------------------------------------------- other models


def test_the_models_that_are_here_are_offered_the_one_in_use_first() -> None:
    offered = offered_models(FakeAnalyzer())
    assert list(offered) == list(ATTRIBUTES)
    assert offered["age"][0] == "age-fake@1.0.0"
    local = [spec for spec in list_models("age") if analyzers.locate(spec) not in ("hub", "missing")]
    assert set(offered["age"][1:]) == {spec.id for spec in local}
    assert len(offered["emotion"]) == len(set(offered["emotion"]))


def test_a_model_that_is_only_on_the_hub_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyzers, "locate", lambda spec: "hub")
    assert all(len(models) == 1 for models in offered_models(FakeAnalyzer()).values())


def test_another_model_answers_when_it_is_chosen(photo: Path) -> None:
    default = FakeAnalyzer()
    other = offered_models(default)["age"][1]
    _, shown = handlers.image.show_upload(default, upload(photo), 50, list(ATTRIBUTES), "fake", 0.6, {"age": other})
    assert shown.analysis.models == {**default.models, "age": other}


@pytest.mark.parametrize("model", ["emotion-efficientnet@9.9.9", "/etc", "", None, 3, ["age-fake@1.0.0"]])
def test_a_model_that_is_not_offered_is_refused(photo: Path, model: Any) -> None:
    page, analysis = handlers.image.show_upload(
        FakeAnalyzer(), upload(photo), 50, list(ATTRIBUTES), "fake", 0.6, {"age": model}
    )
    assert analysis is None and "the model for age must be one of age-fake@1.0.0, " in page


@pytest.mark.skipif(not (WEIGHTS / "emotion-efficientnet").is_dir(), reason="no weights are bundled")
def test_six_visitors_who_choose_at_once_load_nothing_twice(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    load = AttributeModel.__init__

    def count(self: AttributeModel, spec: ModelSpec, **options: Any) -> None:
        made.append(spec.id)
        load(self, spec, **options)

    monkeypatch.setattr(AttributeModel, "__init__", count)
    analyzer = FaceAnalyzer()
    other = next(model for model in offered_models(analyzer)["emotion"] if model.startswith("emotion4"))
    with ThreadPoolExecutor(6) as pool:
        chosen = list(pool.map(lambda _: choose(analyzer, {"emotion": other}), range(6)))
    assert sorted(made) == sorted(set(made)) and made.count(other) == 1
    assert all(one.models["emotion"] == other for one in chosen)


@pytest.mark.skipif(not (WEIGHTS / "emotion-efficientnet").is_dir(), reason="no weights are bundled")
@pytest.mark.parametrize("how", ["head", "folder"])
def test_heads_and_folders_are_explained_too(photo: Path, tmp_path: Path, how: str) -> None:
    folder = shutil.copytree(WEIGHTS / "emotion-efficientnet", tmp_path / "mine")
    analyzer = FaceAnalyzer(models={"emotion": folder} if how == "folder" else {})
    models = [name for name in offered_models(analyzer)["emotion"] if ("#" in name) == (how == "head")]
    chosen = choose(analyzer, {"emotion": models[0]})
    answer = handlers.image.explain_face(analyzer, upload(photo), chosen.analyze(photo), 1)
    assert "covering one grey patch after the other" in answer["page"]


@pytest.mark.skipif(not (WEIGHTS / "emotion-efficientnet").is_dir(), reason="no weights are bundled")
def test_python_app_py_serves_the_bundled_models(
    photo: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    port, begun = free_port(), time.monotonic()
    process = start(GRADIO_SERVER_PORT=str(port), GRADIO_TEMP_DIR=str(tmp_path / "gradio"))
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for(f"{url}health", process)  # 503 is no answer yet
        # Reported, not judged: both depend on the machine. The aims are 10 seconds and 600 MB.
        record_property("seconds_until_ready", round(time.monotonic() - begun, 1))
        if (memory := Path(f"/proc/{process.pid}/status")).exists():
            record_property("kilobytes_resident", int(re.search(r"VmRSS:\s+(\d+) kB", memory.read_text())[1]))
        with closing(Client(url, download_files=str(tmp_path), verbose=False)) as client:
            [face] = client.predict(handle_file(photo), api_name="/analyze")["faces"]
            assert face["emotion"]["label"] == "happy"
            # What was begun is finished when the system asks the app to stop, and then it is gone.
            job = client.submit([handle_file(photo)] * 10, api_name="/analyze_batch")
            while job.status().code.name not in ("PROCESSING", "FINISHED"):
                time.sleep(0.01)
            process.terminate()
            assert len(job.result(timeout=20)) == 10
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.slow
def test_the_wheel_carries_the_app(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, timeout=600)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("facemodels/app/")}
    folder = ROOT / "facemodels"
    files = {f"facemodels/{path.relative_to(folder).as_posix()}" for path in (folder / "app").rglob("*.*")}
    assert packed == {name for name in files if "__pycache__" not in name}


def test_facemodels_app_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["app", "--port", "70000"])
    told = capsys.readouterr().err
    assert caught.value.code == 2 and "argument --port: must be a port within 1..65535" in told
    with pytest.raises(SystemExit) as caught:
        cli.main(["app", "--models", "emotion=nothing-like-it"])
    assert caught.value.code == 1 and " app: unknown model 'nothing-like-it'" in capsys.readouterr().err


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen[str], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer within {seconds} s")
