"""Who was seen in a clip and when: means, plots, and that it all stays small."""

from __future__ import annotations

import base64
import json
import pickle
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from facemodels import Analysis, ArgumentError, Box, Classification, Estimate, Face, Timeline
from facemodels.app.components import static
from facemodels.app.html.clip import clip_empty_html, clip_html, plot_words, progress_html
from facemodels.app.words import languages, words_in
from facemodels.video.frames import PROBLEMS, Problem
from facemodels.video.plot import LINE_COLOURS, LINE_DASHES, OTHER_LINE, clock

SAY = words_in("en")
SVG = "{http://www.w3.org/2000/svg}"


def seen(*ids: int, happy: float = 0.75, side: float = 40.0) -> Analysis:
    """A frame with these people, side by side."""
    emotion = Classification.of({"happy": happy, "sad": 1 - happy})
    gender = Classification.of({"female": 0.75, "male": 0.25})
    faces = (
        Face(
            Box(50.0 * id_, 0, 50.0 * id_ + side, side),
            0.9,
            None,
            emotion,
            Estimate(30.0 + id_, 5.0),
            gender,
            None,
            id_,
        )
        for id_ in ids
    )
    return Analysis(tuple(faces), 640, 480)


def test_a_person_is_the_mean_of_what_was_seen() -> None:
    timeline = Timeline()
    timeline.add(0.0, seen(1, happy=0.9))
    timeline.add(1.0, seen(1, 2, happy=0.3))
    timeline.add(2.0, seen(2, happy=0.3))
    one, two = timeline.people
    assert (one.track_id, one.first, one.last, one.count) == (1, 0.0, 1.0, 2)
    assert one.emotion is not None and one.emotion.label == "happy" and one.emotion.score == pytest.approx(0.6)
    assert one.age == Estimate(31.0, 5.0) and one.gender is not None and one.gender.label == "female"
    assert one.ethnicity is None and one.picture is None
    assert (two.first, two.last, two.emotion and two.emotion.label) == (1.0, 2.0, "sad")
    assert [scores and round(scores["happy"], 3) for _, scores in one.steps] == [0.9, 0.3, None]
    assert timeline.seconds == 2.0 and timeline.others == 0


def test_lines_break_where_a_person_is_away() -> None:
    timeline = Timeline()
    for time, ids in enumerate(((1,), (1,), (), (1,), (), (1,), (1,))):
        timeline.add(float(time), seen(*ids))
    (person,) = timeline.people
    assert person.lines() == {
        "happy": "M0 0.2500L1 0.2500M3 0.2500h0M5 0.2500L6 0.2500",
        "sad": "M0 0.7500L1 0.7500M3 0.7500h0M5 0.7500L6 0.7500",
    }


def test_an_emotion_that_was_never_seen_has_no_line() -> None:
    timeline = Timeline()
    timeline.add(0.0, seen(1, happy=0.95))
    assert list(timeline.people[0].lines()) == ["happy"]


def test_a_long_clip_takes_no_more_room_than_a_short_one() -> None:
    timeline = Timeline()
    for place in range(20_000):
        timeline.add(place / 5, seen(1, happy=0.2 + 0.6 * (place >= 10_000)))
    (person,) = timeline.people
    assert 120 <= len(person.steps) <= 240 and person.count == 20_000
    times = [time for time, _ in person.steps]
    assert times == sorted(times) and times[0] == 0 and times[-1] > 3900
    values = [scores["happy"] for _, scores in person.steps if scores]
    assert values[:50] == pytest.approx([0.2] * 50) and values[-50:] == pytest.approx([0.8] * 50)


def test_of_a_crowd_those_seen_longest_are_kept() -> None:
    timeline = Timeline(most_people=3)
    for place in range(300):
        timeline.add(float(place), seen(1, 10 + place, *((2,) if place > 200 else ())))
    people = timeline.people
    assert [person.track_id for person in people][:2] == [1, 2] and len(people) == 3
    assert people[0].count == 300 and people[1].count == 99
    assert timeline.others == 2 + 300 - 3
    assert f"and {timeline.others} more" in timeline.to_svg()


def test_the_picture_is_of_the_largest_view() -> None:
    timeline = Timeline()
    for place, side in enumerate((40.0, 45.0, 15.0)):
        pixels = np.full((480, 640, 3), 50 * (place + 1), np.uint8)
        timeline.add(float(place), seen(1, side=side), pixels)
    picture = timeline.people[0].picture
    assert picture is not None and picture.shape == (144, 144, 3) and set(np.unique(picture)) == {100}


def test_faces_without_an_id_are_passed_over() -> None:
    timeline = Timeline()
    timeline.add(0.0, Analysis((Face(Box(0, 0, 9, 9)),), 20, 20))
    assert timeline.people == []


@pytest.mark.parametrize("most", [0, -1, 2.5, True, "3"])
def test_a_wrong_size_is_refused(most: object) -> None:
    with pytest.raises(ArgumentError, match="most_people must be a whole number from 1 up"):
        Timeline(most_people=most)  # type: ignore[arg-type]


def test_the_drawing_is_a_plot_per_person() -> None:
    timeline = Timeline()
    for place in range(10):
        timeline.add(float(place), seen(1, 2))
    drawing = ElementTree.fromstring(timeline.to_svg("<Party> & more.mp4"))
    assert drawing.find(f"{SVG}title").text == "<Party> & more.mp4"  # type: ignore[union-attr]
    plots = drawing.findall(f"{SVG}g")
    assert [plot.get("aria-label") for plot in plots] == ["Person 1", "Person 2"]
    text = "".join(plots[0].itertext())
    assert "Person 1, mostly happy, 0:00 to 0:09" in text and "sad" in text
    colours = {path.get("stroke") for path in plots[0].findall(f"{SVG}path")}
    assert {LINE_COLOURS["happy"], LINE_COLOURS["sad"]} < colours


def contrast(colour: str, ground: str) -> float:
    """Of two colours, as WCAG 2 counts it."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(colour), luminance(ground)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#1f2937", "#27272a"], ids=["white", "dark", "dark zinc"])
def test_lines_stand_out_on_light_and_dark(ground: str) -> None:
    for label, colour in {**LINE_COLOURS, "other": OTHER_LINE}.items():
        assert contrast(colour, ground) >= 3, f"{label}: {contrast(colour, ground):.2f}"


def test_no_line_is_told_by_its_colour_alone() -> None:
    assert set(LINE_DASHES) == set(LINE_COLOURS) and len(set(LINE_DASHES.values())) == len(LINE_DASHES)


def test_the_axes_are_labelled() -> None:
    timeline = Timeline()
    timeline.add(0.0, seen(1))
    timeline.finish(65.0)
    plot = ElementTree.fromstring(timeline.to_svg()).find(f"{SVG}g")
    assert plot is not None
    texts = ["".join(text.itertext()) for text in plot.iter(f"{SVG}text")]
    assert {"score", "time (min:s)", "0:00", "1:05", "0 %", "100 %", "happy", "sad"} <= set(texts)


def test_totals_count_time_and_not_frames() -> None:
    timeline = Timeline()
    timeline.add(0.0, seen(1, happy=0.9))
    timeline.add(3.0, seen(1, 2, happy=0.2))
    timeline.add(4.0, seen(2, happy=0.8))
    timeline.finish(10.0)
    one, two = timeline.people
    assert timeline.seconds == 10 and (one.seconds, two.seconds) == (4, 7)
    assert one.fractions == {"happy": pytest.approx(3 / 4), "sad": pytest.approx(1 / 4)}
    assert list(two.fractions) == ["happy", "sad"] and two.fractions["happy"] == pytest.approx(6 / 7)


def test_totals_of_a_video_that_goes_on() -> None:
    timeline = Timeline()
    timeline.add(0.0, seen(1, happy=0.9))
    assert timeline.people[0].fractions == {"happy": 1.0}
    timeline.add(1.0, seen(1, happy=0.2))
    assert timeline.people[0].fractions == {"happy": 0.5, "sad": 0.5} and timeline.people[0].seconds == 2


def test_a_timeline_is_ready_for_json() -> None:
    timeline = Timeline(most_people=1)
    timeline.add(0.0, seen(1, 2))
    timeline.add(0.5, seen(1))
    timeline.finish(1.0)
    answer = json.loads(json.dumps(timeline.to_dict()))
    assert set(answer) == {"seconds", "people", "others"} and (answer["seconds"], answer["others"]) == (1.0, 1)
    (person,) = answer["people"]
    assert (person["track_id"], person["first"], person["last"], person["seconds"]) == (1, 0.0, 0.5, 1.0)
    assert person["emotion"]["label"] == "happy" and person["age"]["value"] == 31 and person["ethnicity"] is None
    assert person["fractions"] == {"happy": 1.0} and person["count"] == 2
    assert person["steps"][1] == {"time": 0.5, "scores": {"happy": 0.75, "sad": 0.25}}


def test_the_page_and_the_drawing_use_the_same_colours() -> None:
    styles = re.findall(r"\.fm-emotion-(\w+) \{ --emotion: (#\w+);(?: --dash: ([\d ]+);)? \}", static("app.css"))
    assert {label: colour for label, colour, _ in styles} == dict(LINE_COLOURS)
    assert {label: dash for label, _, dash in styles} == dict(LINE_DASHES)


def test_the_page_about_a_clip() -> None:
    timeline = Timeline()
    for place in range(10):
        timeline.add(float(place), seen(1, 2), np.zeros((480, 640, 3), np.uint8))
    problem = Problem("a.mp4: …", "cut", last="<script>", seconds="9.0")
    page = clip_html(timeline, 100, 10, '"<script>.mp4', problem, 5, "data:image/jpeg;base64,x", SAY)
    assert (
        'data-poster="data:image/jpeg;base64,x"' in page
        and "2 people" in page
        and "in 0:09: 100 frames, 10 of them analyzed" in page
    )
    assert page.count("<article") == 2 and page.count('role="img"') == 2 and page.count("<img") == 2
    assert "Not the whole clip" in page and "after 5 minutes" in page
    assert "It ends after &lt;script&gt; of 9.0 seconds. What could be read was analyzed" in page
    assert "<script" not in page and "&lt;script&gt;" in page
    for name, say in languages().items():
        assert clip_html(timeline, 100, 10, "a.mp4", None, 5, None, say).count("<article") == 2
        for problem in (Problem("The English words", code, last=1.5, seconds=2.5, count=3) for code in PROBLEMS):
            page = clip_html(timeline, 100, 10, "a.mp4", problem, 5, None, say)
            assert say(f"clip_problem_{problem.code}", **problem.values) in page and "English" not in page
            assert (say("clip_broken") in page) == (problem.code != "colours"), name


def test_a_problem_goes_to_another_process_whole() -> None:
    problem = pickle.loads(pickle.dumps(Problem("it ends", "cut", last=1.5, seconds=2.5)))
    assert (problem, problem.code, problem.values) == ("it ends", "cut", {"last": 1.5, "seconds": 2.5})


def test_the_drawing_of_a_timeline_speaks_the_pages_language() -> None:
    timeline = Timeline(most_people=1)
    for place in range(10):
        timeline.add(float(place), seen(1, 2))
    for name, say in languages().items():
        text = " ".join(ElementTree.fromstring(timeline.to_svg("a.mp4", plot_words(say))).itertext())
        english = {"mostly", "happy", "sad", "to", "score", "time (min:s)", "more"}
        assert name == "en" or not english & set(re.split("[ ,\n]+", text)), text
        assert name == "en" or all(say(key) in text for key in ("label_happy", "axis_score", "axis_time"))
    assert say("no_face") in Timeline().to_svg("a.mp4", plot_words(say))


def test_the_page_tells_totals_and_axes_and_offers_json() -> None:
    timeline = Timeline()
    for time, emotion in enumerate(("happy", "sad", "happy", "happy")):
        scores = {"happy": 0.6, "sad": 0.4} if emotion == "happy" else {"happy": 0.1, "sad": 0.9}
        face = Face(Box(0, 0, 9, 9), emotion=Classification.of(scores), track_id=1)
        timeline.add(float(time), Analysis((face,), 20, 20))
    timeline.finish(4.0)
    page = clip_html(timeline, 4, 4, "my party.mp4", None, 5, None, SAY)
    assert "mostly <b>Happy</b>, 75% of the time" in page
    assert "<dt>Emotions</dt><dd>Happy\N{NO-BREAK SPACE}75% · Sad\N{NO-BREAK SPACE}25%</dd>" in page
    assert "<b>Score</b>" in page and "<span>0%</span>" in page and "<b>Time</b><span>0:04</span>" in page
    name, data = re.findall(r'download="([^"]+)" href="data:application/json;base64,([^"]+)"', page)[0]
    assert name == "my party.json"
    assert json.loads(base64.b64decode(data)) == {"file": "my party.mp4", **timeline.to_dict()}
    assert "No people" in clip_html(Timeline(), 4, 4, "a.mp4", None, 5, None, SAY)


def test_a_model_of_ones_own_is_shown_with_its_labels() -> None:
    timeline = Timeline()
    face = Face(Box(0, 0, 9, 9), emotion=Classification.of({"<bored>": 1.0}), track_id=1)
    timeline.add(0.0, Analysis((face,), 20, 20))
    page = clip_html(timeline, 1, 1, "a.mp4", None, 5, None, SAY)
    assert "<bored>" not in page.lower() and "&lt;Bored&gt;" in page and "--emotion:" in page
    ElementTree.fromstring(timeline.to_svg())


def test_the_page_while_it_works() -> None:
    assert "<progress aria" in progress_html(0, 300, None, SAY)
    assert 'max="300" value="30"' in progress_html(30, 300, 65.0, SAY)
    assert "30 of 300 frames · about 1:05 left" in progress_html(30, 300, 65.0, SAY)
    assert "30 frames" in progress_html(30, None, None, SAY) and "max=" not in progress_html(30, None, None, SAY)
    assert "No clip yet" in clip_empty_html(SAY)


def test_the_clock() -> None:
    assert [clock(seconds) for seconds in (0, 5.4, 59.6, 65, 3600, 3725)] == [
        *("0:00", "0:05", "1:00", "1:05", "1:00:00", "1:02:05")
    ]
