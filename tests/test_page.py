"""The page's own HTML: what it says, how it unfolds, what it escapes."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from facemodels import Analysis, Box, Classification, Estimate, Face, annotate, list_models, read_image, video_info
from facemodels.app import endpoints
from facemodels.app.components import static
from facemodels.app.html.image import (
    FIRST_FACES,
    analysis_html,
    empty_html,
    face_html,
    faces_table,
    heat_html,
    summarize,
    thumbnail,
)
from facemodels.app.html.live import LIVE_HTML
from facemodels.app.html.models import fold_sections, models_html
from facemodels.app.html.parts import error_html, header_html
from facemodels.app.lettering import lettering
from facemodels.app.limits import Limits
from facemodels.app.measured import measured
from facemodels.app.requests import gone, named_as_uploaded, too_long
from facemodels.app.theme import make_theme
from facemodels.app.words import PREFIX, Words, languages, texts_of, translations, words_in
from facemodels.attributes import ATTRIBUTES, EMOTIONS, ETHNICITIES, GENDERS, ON_REQUEST
from facemodels.drawing import ENGLISH, layout
from facemodels.errors import FaceModelsError, ImageError, VideoError
from facemodels.hub.registry import WEIGHTS
from facemodels.types import DOUBTS, Quality
from facemodels.video.frames import PROBLEMS

PAGE = Path(__file__).parent.parent / "facemodels" / "app"
SAY = words_in("en")
MODELS = {name: f"{name}-fake@1.0.0" for name in ATTRIBUTES}
FACE = Face(
    Box(170, 60, 280, 180),
    0.9,
    emotion=Classification.of({"happy": 0.75, "sad": 0.25}),
    gender=Classification.of({"female": 0.75, "male": 0.25}),
    ethnicity=Classification.of({"white": 0.5, "east_asian": 0.5}),
)


def downloads(page: str) -> dict[str, str]:
    """What the download links of some HTML hold, by file name."""
    links = re.findall(r'<a [^>]*download="([^"]+)" href="data:[a-z/]+;base64,([^"]+)"', page)
    return {name: base64.b64decode(link).decode() for name, link in links}


def test_fifty_faces_stay_readable_and_the_downloads_are_the_whole_answer(astronaut: np.ndarray) -> None:
    analysis = Analysis(tuple(FACE.replace(age=Estimate(31.4 + place, 5.2)) for place in range(50)), 512, 512, MODELS)
    page = analysis_html(analysis, astronaut, "the party.jpg", SAY)
    first, _, rest = page.partition('<details class="fm-more"')
    assert first.count("<article") == FIRST_FACES
    assert rest.count("<article") == 50 - FIRST_FACES and "Show 38 more faces" in rest
    files = downloads(page)
    assert json.loads(files["the party.json"]) == analysis.to_dict()
    rows = list(csv.DictReader(io.StringIO(files["the party.csv"])))
    assert [row["face"] for row in rows] == [str(place) for place in range(1, 51)]
    assert (rows[1]["source"], rows[1]["age"], rows[1]["gender"]) == ("the party.jpg", "32.4", "female")


def test_the_table_has_a_row_per_face_and_a_column_per_attribute() -> None:
    box = Box(10, 20, 40, 60)
    face = Face(box, 0.9, age=Estimate(31.4, 5.2), gender=Classification.of({"female": 0.75, "male": 0.25}))
    page = faces_table(Analysis((face, Face(box, 0.7)), 99, 99, {"age": "a@1.0.0", "gender": "g@1.0.0"}), SAY)
    cells = re.findall(r"<(?:th scope=\"col\"|td [^>]*)>(.*?)</t[hd]>", page)
    assert cells[:6] == ["Face", "Age", "Gender", "Detection", "Box, pixels", "1"]
    assert cells[5:10] == ["1", "31 ± 5", "Female 75%", "90%", "30 × 40 at 10, 20"]
    assert cells[10:] == ["2", "", "", "70%", "30 × 40 at 10, 20"]


def test_what_models_and_visitors_wrote_is_escaped(astronaut: np.ndarray) -> None:
    odd = Classification.of({"<script>": 1.0})
    face = Face(Box(0, 0, 9, 9), emotion=odd, gender=odd, ethnicity=odd)
    analysis = Analysis((face, face), 512, 512, {"emotion": "e@1.0.0"})
    for page in (
        face_html(face, 1, astronaut, SAY),
        error_html(ValueError("<script>"), SAY),
        heat_html(np.zeros((9, 9, 3)), np.ones((9, 9)), "<script>", SAY),
        analysis_html(analysis, astronaut, '"<script>.jpg', SAY),
        faces_table(analysis, SAY),
    ):
        assert "<script" not in page.lower() and "&lt;script&gt;" in page.lower()
        assert 'download=""' not in page


@pytest.mark.parametrize(
    "box", [Box(-20, -20, 5, 5), Box(500, 500, 540, 560), Box(512, 512, 512, 512), Box(3, 3, 3, 3)]
)
def test_a_thumbnail_of_any_box(box: Box, astronaut: np.ndarray) -> None:
    data = thumbnail(Face(box), astronaut).partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert min(picture.size) >= 1


def test_a_face_without_attributes_has_a_card(astronaut: np.ndarray) -> None:
    assert "Detection 80%" in face_html(Face(Box(10, 10, 90, 90), 0.8), 1, astronaut, SAY)


@pytest.mark.parametrize("language", languages())
def test_doubts_are_told(astronaut: np.ndarray, language: str) -> None:
    say = languages()[language]
    face = Face(Box(10, 10, 90, 90), 0.9)
    for doubt in DOUBTS:
        doubtful = face.replace(quality=Quality(0.5, 80, 0.01, 0.5, 0, 0, (doubt,)))
        told = [
            re.findall('data-doubts="(.*?)"|fm-doubts">(.*?)</p>', face_html(f, 1, astronaut, say))
            for f in (face, doubtful)
        ]
        assert all(say(f"doubt_{doubt}") not in "".join(found) for found in told[0])
        assert len(told[1]) == 2 and all(say(f"doubt_{doubt}") in "".join(found) for found in told[1])


def test_the_image_in_a_line() -> None:
    joy, sorrow = (Classification.of({"happy": score, "sad": 1 - score}) for score in (0.9, 0.2))
    faces = [
        Face(Box(0, 0, 9, 9), emotion=emotion, age=Estimate(age, 5.0))
        for emotion, age in ((joy, 25.0), (sorrow, 58.0), (joy, 40.0))
    ]
    assert summarize(Analysis(tuple(faces), 9, 9, {}), SAY) == ["3 faces", "2 of 3 Happy", "ages 25 to 58"]
    assert summarize(Analysis((FACE,), 9, 9, {}), SAY) == ["1 face"]


def test_an_image_that_no_browser_shows_comes_with_a_preview(astronaut: np.ndarray) -> None:
    analysis = Analysis((FACE,), 512, 512, MODELS)
    assert 'data-picture="data:image/jpeg' in analysis_html(analysis, astronaut, "scan.tif", SAY, embedded=True)
    assert "data-picture" not in analysis_html(analysis, astronaut, "photo.JPG", SAY)


def test_heat_is_red_for_and_blue_against() -> None:
    heat = np.zeros((192, 192))
    heat[:64], heat[128:] = 3.0, -3.0
    page = heat_html(np.full((192, 192, 3), 128, np.uint8), heat, "happy", SAY)
    with Image.open(io.BytesIO(base64.b64decode(re.findall('base64,([^"]+)', page)[1]))) as picture:
        red, green, blue = np.asarray(picture).transpose(2, 0, 1).astype(int)
    assert (red[:40] - blue[:40]).min() > 100 and (blue[150:] - red[150:]).min() > 80
    assert np.abs(red[90:102] - green[90:102]).max() < 40
    assert "no single place" not in page and "no single place" in heat_html(
        np.zeros((9, 9, 3)), np.ones((9, 9)) / 2, "x", SAY
    )


def test_the_models_table_lists_every_model_with_its_licences() -> None:
    specs = list_models()
    page = models_html(specs, {}, [specs[-1].id], SAY)
    assert page.index(f"<b>{specs[-1].name}</b>") < page.index(f"<b>{specs[0].name}</b>"), "in use first"
    assert all(spec.name in page and spec.version in page for spec in specs)
    assert page.count("in use") == 1 and "non-commercial-research" not in page
    rows = {cells[0]: cells[1:] for cells in table_rows(page)}
    licences = ["Apache 2.0", "Non-commercial research", "FER2013, LFW expressions", "no"]
    assert next(rows[name] for name in rows if name.startswith("emotion-eff")) == ["Emotion", *licences]
    assert next(rows[name] for name in rows if name.startswith("yunet")) == [
        *("Detector", "Apache 2.0", "MIT", "WIDER FACE", "yes")
    ]
    stranger = replace(specs[0], license="other", license_name="ask me")
    assert [table_rows(models_html([stranger], {}, (), SAY))[0][at] for at in (3, 5)] == ["ask me", "see its card"]


def table_rows(page: str) -> list[list[str]]:
    """The texts of a page's cells, row by row."""
    rows = (re.findall("<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>(<td.*?)</tr>", page))
    return [[re.sub("<[^>]*>", "", cell) for cell in row] for row in rows]


def test_the_models_table_tells_the_main_figures() -> None:
    row = {"dataset": "Faces & co", "count": 9, "label": "age", "metric": "mae", "value": 5.8712}
    rows = (
        row,
        {**row, "label": "gender", "metric": "accuracy", "value": 0.9431},
        {**row, "label": "gender", "metric": "recall", "value": 0.91},
        {**row, "label": "gender", "metric": "f1", "value": 0.5},
        {**row, "label": "my_own", "metric": "accuracy", "value": 0.72},
    )
    spec = replace(list_models()[0], name="mine", metrics=rows)
    page = models_html([spec], {spec.id: measured(spec)}, (), SAY)
    assert table_rows(page)[1:] == [
        ["mine", "age", "Faces &amp; co", "5.9 years off", "–", "–"],
        ["mine", "gender", "Faces &amp; co", "94.3%", "91.0%", "–"],
        ["mine", "my own", "Faces &amp; co", "72.0%", "–", "–"],
    ]


def test_the_figures_of_a_bundled_model_have_its_worst_group() -> None:
    spec = next(spec for spec in list_models("age") if spec.name == "demographics-efficientnet")
    if not (WEIGHTS / spec.name / "metrics.json").is_file():
        pytest.skip("no weights are bundled")
    tests = json.loads((WEIGHTS / spec.name / "metrics.json").read_text())["tests"]
    results = {(test["dataset"], one["label"]): one for test in tests for one in test["results"]}
    for one in measured(spec):
        result = results[one.dataset, one.label]
        groups = result["fairness"]["groups"] if "fairness" in result else result["groups"]["gender, ethnicity"]
        values = [group["value"] for group in groups.values()]
        assert one.worst == result.get("fairness", {}).get("worst", one.worst), "another group than on the card"
        assert groups[one.worst]["value"] == (one.worst_accuracy or one.worst_error)
        assert (one.worst_accuracy, one.worst_error) in {(min(values), None), (None, max(values))}
        assert one.label == "age" or one.label.endswith("_bin") or 0 < one.recall < 1
    assert measured(replace(spec, version="9.9.9"))[0].worst is None, "the figures of another version"


def test_a_card_is_folded_by_section() -> None:
    card = "# Name\n\nWhat it is.\n\n## How to load\n\ntext\n\n### Deeper\n\nmore\n\n## Limits <b>\n- one\n"
    assert fold_sections(card) == (
        "# Name\n\nWhat it is.\n\n"
        "<details><summary>How to load</summary>\n\ntext\n\n### Deeper\n\nmore\n\n</details>\n\n"
        "<details><summary>Limits &lt;b&gt;</summary>\n\n- one\n\n</details>"
    )
    assert fold_sections("# Name") == "# Name"


def test_no_script_or_style_asks_the_internet() -> None:
    for name in (path.name for path in (PAGE / "static").iterdir()):
        addresses = re.findall(r"https?://[^'\" )]+", static(name))
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, name


# ---------------------------------------------------------------- contrast


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def colour(name: str, theme: Any, dark: bool) -> str:
    """A colour of the theme as ``#rrggbb``: names of other ones are followed, in the dark to those for the dark."""
    value = (getattr(theme, f"{name}_dark", None) if dark else None) or getattr(theme, name)
    return colour(value[1:], theme, dark) if value.startswith("*") else {"white": "#ffffff"}.get(value, value)


@pytest.mark.parametrize("dark", [False, True])
def test_plots_bars_and_empty_boxes_are_seen_on_their_ground(dark: bool) -> None:
    pytest.importorskip("gradio", reason="the theme needs Gradio: pip install -e '.[app]'")
    theme, css = make_theme("facemodels"), static("app.css")
    ground = colour("block_background_fill", theme, dark)
    lines = re.findall(r"[.]fm-emotion-(\w+) [{] --emotion: (#\w{6})", css)
    assert {label for label, _ in lines} == set(EMOTIONS)
    seen = dict(lines)
    bars = dict(re.findall(r"^([.]dark )?[.]fm-bars i i [{] background: var[(]--([\w-]+)[)]", css, re.MULTILINE))
    seen["bar"] = colour(bars[".dark " if dark else ""].replace("-", "_"), theme, dark)
    accent = dict(
        re.findall(r"^([.]dark )?[.]gradio-container [{] --color-accent: var[(]--([\w-]+)[)]", css, re.MULTILINE)
    )
    seen["accent"] = colour(accent[".dark " if dark else ""].replace("-", "_"), theme, dark)
    seen["checkbox"] = colour("checkbox_border_color", theme, dark)
    seen["field"] = colour("neutral_500", theme, dark)
    faint = {name: round(contrast(shade, ground), 2) for name, shade in seen.items() if contrast(shade, ground) < 3}
    assert faint == {}, f"on {ground}"


# ---------------------------------------------------------------- languages


def test_nine_languages_are_there_english_first() -> None:
    assert next(iter(languages())) == "en"
    assert {"en", "de", "fr", "es", "it", "pt", "zh", "ja", "ar"} <= set(languages())


@pytest.mark.parametrize("name", languages())
def test_a_language_says_all_that_english_says(name: str) -> None:
    texts = languages()[name].texts
    assert list(texts) == list(SAY.texts), "other keys, or in another order"
    for key, text in texts.items():
        assert places(text) == places(SAY.texts[key]), f"{key}: other places"
        assert text.strip() == text and text, f"{key} is empty, or has spaces around it"
        assert not re.search(r'["`\\\\]|[$][{]', text), f"{key} would break an attribute or a template"
        assert set(re.findall("<[^>]*>?", text)) <= {"<b>", "</b>"}, f"{key}: only <b> is HTML"


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def unused(keys: Iterable[str]) -> list[str]:
    """The keys that no code of the app can ask for: neither whole nor as a prefix in code with a suffix that exists."""
    code = "".join(path.read_text(encoding="utf-8") for path in [*(PAGE / "static").iterdir(), *PAGE.rglob("*.py")])
    quoted = set(re.findall(r"""["'`]([A-Za-z0-9_]+)["'`]""", code))
    quoted |= set(re.findall(r"texts\[\w+\]\.(\w+)", code))  # in a template
    prefixes = set(re.findall(r"""["'`]([a-z_]+_)(?:\$?\{|' *\+)""", code))
    suffixes = quoted | {*ATTRIBUTES} | {label for row in ATTRIBUTES.values() for label in row.known_labels}
    suffixes |= {*DOUBTS, *ON_REQUEST, *PROBLEMS}
    suffixes |= {row["label"] for spec in list_models() for row in spec.metrics}
    suffixes |= {row.kind.unit for row in ATTRIBUTES.values() if row.kind.unit}

    def used(key: str) -> bool:
        stem = re.sub("_(one|many|none)$", "", key)
        return bool({key, stem} & quoted) or any(
            key.startswith(prefix) and key.removeprefix(prefix) in suffixes for prefix in prefixes
        )

    return [key for key in keys if not used(key)]


def test_every_text_is_used_and_every_label_of_the_models_known() -> None:
    assert unused(SAY.texts) == []
    assert unused(["models_nonsense", "label_nonsense", "nonsense", "lea"]) == [
        *("models_nonsense", "label_nonsense", "nonsense", "lea")
    ]
    assert {f"label_{label}" for label in (*EMOTIONS, *GENDERS, *ETHNICITIES)} <= set(SAY.texts)
    assert {f"attribute_{name}" for name in ATTRIBUTES} <= set(SAY.texts)


@pytest.mark.parametrize("name", sorted(set(languages()) - {"en"}))
def test_the_page_speaks_another_language(name: str, astronaut: np.ndarray) -> None:
    say = languages()[name]
    analysis = Analysis((FACE, FACE.replace(age=Estimate(31.4, 5.2))), 512, 512, MODELS)
    for page in (
        header_html(say),
        empty_html(say),
        analysis_html(analysis, astronaut, "photo.jpg", say),
        analysis_html(replace(analysis, faces=()), astronaut, "photo.jpg", say),
        heat_html(astronaut, np.ones((512, 512)), "happy", say),
        models_html(list_models(), {spec.id: measured(spec) for spec in list_models()}, (), say),
    ):
        spoken = re.sub(r"base64,[^\"]*", "", page)
        for english in ("picture", "Face 1", "faces", "years", "Happy", "Found", "Download", "likely"):
            assert english not in spoken
    assert json.loads(downloads(analysis_html(analysis, astronaut, "p.jpg", say))["p.json"]) == analysis.to_dict()


@pytest.mark.parametrize("name", sorted(languages()))
@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff\xd8\xff\xe0", b"words", b"%PDF-1.7", b"\0\0\0\x18ftypcrx ", b"\0\0\0\x18ftypisom"),
        *(b"8BPS", b"PK\3\4", b"\x80\x81"),
    ],
)
def test_why_an_image_is_refused_is_said_in_the_pages_language(name: str, data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(data)
    error = caught.value.renamed("<my> photo.heic")
    said = error_html(error, languages()[name])
    assert "&lt;my&gt; photo.heic: " in said and not re.search("numpy|array|PIL|Accepted|Readable|decoder", said)
    assert f"refused_{error.code}" in languages()[name].texts


@pytest.mark.parametrize("name", sorted(languages()))
def test_why_a_video_is_refused_is_said_in_the_pages_language(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "photo.mp4").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    clip = {"path": str(tmp_path / "gone.mp4"), "orig_name": "<my> video.mp4"}
    errors: list[FaceModelsError] = [VideoError(**gone(clip)), too_long(tmp_path / "long.mp4", Limits())]
    for path in tmp_path.iterdir():
        with pytest.raises(VideoError) as caught:
            video_info(path)
        errors.append(caught.value)
    for error in errors:
        said = error_html(named_as_uploaded(error, clip), languages()[name])
        assert "&lt;my&gt; video.mp4: " in said and str(tmp_path) not in said and "Accepted" not in said
        assert isinstance(error, VideoError) and f"refused_{error.code}" in languages()[name].texts
    assert len({error.code for error in errors if isinstance(error, VideoError)}) == 5


def test_heic_photos_are_refused_in_german() -> None:
    error = ImageError("HEIC photos can't be read here", name="a.heic", code="heic")
    assert "a.heic: HEIC-Fotos können hier nicht gelesen werden. Speichern Sie" in error_html(error, words_in("de"))


@pytest.mark.parametrize("name", sorted(languages()))
def test_other_errors_say_in_the_pages_language_that_there_is_one(name: str) -> None:
    error, say = FaceModelsError("the weights <b>"), languages()[name]
    detail = "the weights &lt;b&gt;"
    said = detail if name == "en" else f'{say("refused_other")} <small lang="en" dir="ltr">{detail}</small>'
    assert f"<p>{said}</p>" in error_html(error, say)

    # So do the notes of handlers that show nothing themselves.
    def refuse(language: str, file: str) -> None:
        raise ImageError("it is gone", name=file, code="gone", minutes=15)

    with pytest.raises(endpoints.gr.Error) as caught:
        endpoints.answers_visitors(refuse)(name, "<my> photo.jpg")
    assert caught.value.title == say("failed")
    assert caught.value.message == f"&lt;my&gt; photo.jpg: {say('refused_gone', minutes=15)}"


@pytest.mark.parametrize("name", sorted(languages()))
def test_captions_of_videos_speak_the_pages_language(name: str) -> None:
    say = languages()[name]
    speaks = lettering(say)
    if name == "en":
        assert speaks is ENGLISH
        return
    face = FACE.replace(track_id=3, quality=Quality(0.5, 80, 0.01, 0.5, 0, 0, ("blurred", "turned")))
    (caption,) = layout([face], 512, 512, speaks)
    assert caption is not None
    said = " ".join(caption.lines)
    for text in (say.label("happy"), say.label("female"), say("doubt_blurred"), say("doubt_turned")):
        assert html.unescape(text) in said
    known = set(TTFont(str(speaks.font)).getBestCmap())
    words = {key: text for key, text in say.texts.items() if key.startswith(("label_", "doubt_"))}
    assert not {letter for letter in "".join(words.values()) + "#<>±%(), 0123456789" if ord(letter) not in known}
    plain, drawn = (annotate(np.full((512, 512, 3), 90, np.uint8), [face], one) for one in (ENGLISH, speaks))
    assert (plain != drawn).any()


def test_one_and_many() -> None:
    say = words_in("de")
    assert [say.count("faces", number) for number in (1, 2, 50)] == ["1 Gesicht", "2 Gesichter", "50 Gesichter"]


def test_what_gradio_gets_is_apart_from_its_own_words() -> None:
    for name, texts in translations().items():
        assert texts[PREFIX + "language"] == name
        assert len(texts) == len(SAY.texts) + 1 and all(key.startswith(PREFIX) for key in texts)


def test_the_live_page_has_the_texts_that_it_asks_for() -> None:
    asked = set(re.findall(r"texts\[label\]\.(\w+)", LIVE_HTML)) | set(
        re.findall(r"'(live_[a-z_]+)'", static("live.js"))
    )
    given = texts_of("live_", "label_", "axis_")
    assert asked and set(given) == set(languages())
    for key in asked:
        assert any(text.startswith(key) for text in given["en"]), key


@pytest.mark.parametrize("language", [None, 3, "xx", "de-DE", ["de"], {}])
def test_a_language_that_is_none_of_ours_is_english(language: object) -> None:
    assert isinstance(words_in(language), Words) and words_in(language).language == "en"
