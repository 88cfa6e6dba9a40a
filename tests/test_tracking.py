"""Ids that last and values that do not flicker."""

from __future__ import annotations

import copy
import itertools
import pickle
import random
from typing import Any

import pytest

from facemodels.errors import ArgumentError
from facemodels.types import Analysis, Box, Classification, Estimate, Face
from facemodels.video.tracking import FaceTracker

SIZE = (1280, 720)


def square(x: float, y: float, side: float = 100) -> Box:
    return Box(x, y, x + side, y + side)


def frame(*faces: Face | Box, models: dict[str, str] | None = None) -> Analysis:
    return Analysis(tuple(Face(item) if isinstance(item, Box) else item for item in faces), *SIZE, models or {})


def ids(analysis: Analysis) -> list[int | None]:
    return [face.track_id for face in analysis]


def mood(happy: float) -> Classification:
    return Classification.of({"happy": happy, "sad": 1 - happy})


# ---------------------------------------------------------------- ids


def test_ids_start_at_one_in_the_order_of_the_faces() -> None:
    assert ids(FaceTracker().update(frame(square(0, 0), square(300, 0), square(600, 0)))) == [1, 2, 3]


def test_a_face_keeps_its_id_while_it_moves_and_the_order_changes() -> None:
    tracker = FaceTracker()
    for step in range(30):
        a, b = square(10 + 15 * step, 100), square(900, 300 + 5 * step)
        swapped = step % 2 == 1
        assert ids(tracker.update(frame(b, a) if swapped else frame(a, b))) == ([2, 1] if swapped else [1, 2])


def test_the_order_of_the_faces_is_kept() -> None:
    tracker = FaceTracker(smoothing=0)
    tracker.update(frame(square(0, 0), square(300, 0)))
    out = tracker.update(frame(square(300, 0), square(0, 0), square(600, 0)))
    assert ids(out) == [2, 1, 3]
    assert [face.box.x1 for face in out] == [300, 0, 600]


def test_an_id_survives_absence_of_max_age_updates_and_no_longer() -> None:
    for away, expected in ((0, 1), (1, 1), (3, 1), (4, 2)):
        tracker = FaceTracker(max_age=3)
        tracker.update(frame(square(100, 100)))
        for _ in range(away):
            assert ids(tracker.update(frame())) == []
        assert ids(tracker.update(frame(square(104, 100)))) == [expected], away


def test_max_age_zero_forgets_at_once() -> None:
    tracker = FaceTracker(max_age=0)
    assert ids(tracker.update(frame(square(100, 100)))) == [1]
    assert ids(tracker.update(frame(square(100, 100)))) == [1]
    tracker.update(frame())
    assert ids(tracker.update(frame(square(100, 100)))) == [2]


def test_ids_are_never_used_twice() -> None:
    tracker = FaceTracker(max_age=1)
    seen: set[int | None] = set()
    for step in range(20):
        new = ids(tracker.update(frame(square(100 + 300 * (step % 3), 100))))
        if step % 3 == 0:
            assert not seen & set(new)
        seen.update(new)


def test_fast_motion_is_followed_by_distance() -> None:
    """No overlap between two frames, but less than one face away."""
    tracker = FaceTracker()
    tracker.update(frame(square(100, 100)))
    moved = square(165, 155)
    assert square(100, 100).iou(moved) < 0.3
    assert ids(tracker.update(frame(moved))) == [1]


def test_steady_fast_motion_is_foreseen() -> None:
    tracker = FaceTracker()
    for step in range(12):
        x = 100 + 8 * step * (step + 1) / 2  # ever faster, at last 88 pixels a frame
        assert ids(tracker.update(frame(square(x, 100)))) == [1], step


@pytest.mark.parametrize("box", [square(600, 100), square(130, 130, 40), square(0, 0, 400)])
def test_far_away_or_of_another_size_is_another_face(box: Box) -> None:
    tracker = FaceTracker()
    tracker.update(frame(square(100, 100)))
    assert ids(tracker.update(frame(box))) == [2]


def test_a_newcomer_does_not_take_the_id_of_one_who_stays() -> None:
    tracker = FaceTracker()
    tracker.update(frame(square(100, 100)))
    assert ids(tracker.update(frame(square(140, 100), square(101, 100)))) == [2, 1]


@pytest.mark.parametrize("speed", [5, 12, 25, 50])
@pytest.mark.parametrize("hidden", [False, True])
def test_crossing_faces_do_not_swap(speed: float, hidden: bool) -> None:
    """With trembling boxes; `hidden`: the one behind is not seen while they overlap much."""
    for seed in range(10):
        rng, tracker = random.Random(seed), FaceTracker()
        for step in range(int(800 / speed)):
            a = square(200 + speed * step + rng.gauss(0, 1), 300 + rng.gauss(0, 1))
            b = square(1000 - speed * step + rng.gauss(0, 1), 310 + rng.gauss(0, 1))
            if hidden and a.iou(b) > 0.5:
                tracker.update(frame(a))
            else:
                found = ids(tracker.update(frame(a, b)))
        assert found == [1, 2], seed


def test_another_frame_size_means_new_faces() -> None:
    tracker = FaceTracker()
    tracker.update(frame(square(100, 100)))
    out = tracker.update(Analysis((Face(square(100, 100)),), 720, 1280))
    assert ids(out) == [2]
    assert out.faces[0].box == square(100, 100)


def test_reset_starts_over() -> None:
    tracker = FaceTracker()
    tracker.update(frame(Face(square(100, 100), emotion=mood(1.0)), models={"emotion": "m@1.0.0"}))
    tracker.reset()
    out = tracker.update(frame(square(100, 100)))
    assert ids(out) == [1]
    assert out.faces[0].emotion is None
    assert out.models == {}


# ---------------------------------------------------------------- analyses


def test_no_faces_is_passed_on() -> None:
    out = FaceTracker().update(frame(models={"age": "m@1.0.0"}))
    assert out == Analysis((), *SIZE, {"age": "m@1.0.0"})


def test_an_error_is_passed_on_and_ages_nobody() -> None:
    tracker = FaceTracker(max_age=0)
    tracker.update(frame(square(100, 100)))
    broken = Analysis((), 0, 0, {}, "not an image")
    for _ in range(5):
        assert tracker.update(broken) is broken
    assert ids(tracker.update(frame(square(100, 100)))) == [1]


def test_the_analysis_that_came_is_unchanged() -> None:
    tracker = FaceTracker()
    first, second = frame(Face(square(100, 100), emotion=mood(0.9))), frame(Face(square(104, 100), emotion=mood(0.1)))
    before = copy.deepcopy((first, second))
    tracker.update(first)
    out = tracker.update(second)
    assert (first, second) == before
    assert out != second
    assert (out.width, out.height, out.error) == (*SIZE, None)


def test_same_input_same_output_and_no_randomness() -> None:
    rng = random.Random(0)
    frames = [
        frame(*(Face(square(rng.uniform(0, 900), rng.uniform(0, 500)), emotion=mood(rng.random())) for _ in range(6)))
        for _ in range(20)
    ]
    one, two = FaceTracker(), FaceTracker()
    assert [one.update(item) for item in frames] == [two.update(item) for item in frames]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda tracker: pickle.loads(pickle.dumps(tracker))])
def test_copies_and_pickles_go_on_alone(duplicate: Any) -> None:
    tracker = FaceTracker()
    tracker.update(frame(Face(square(100, 100), emotion=mood(0.9))))
    twin = duplicate(tracker)
    following = frame(Face(square(105, 100), emotion=mood(0.2)), square(600, 100))
    assert twin.update(following) == tracker.update(following)
    twin.reset()
    assert ids(tracker.update(following)) == [1, 2]


def test_nothing_piles_up() -> None:
    tracker = FaceTracker(max_age=2)
    for step in range(300):
        tracker.update(frame(square((step * 397) % 1100, (step * 211) % 600)))
    assert len(pickle.dumps(tracker)) < 5000


# ---------------------------------------------------------------- smoothing


def test_the_first_values_are_those_seen() -> None:
    face = Face(square(100, 100), 0.8, ((120.0, 130.0),), mood(0.7), Estimate(30, 5))
    assert FaceTracker().update(frame(face)).faces[0] == face.replace(track_id=1)


def test_without_smoothing_all_is_as_seen() -> None:
    tracker = FaceTracker(smoothing=0, switch_margin=0)
    for happy, x in ((0.9, 100), (0.2, 103), (0.6, 110)):
        face = Face(square(x, 100), 0.8, ((x + 20.0, 130.0),), mood(happy), Estimate(30 * happy, 5))
        out = tracker.update(frame(face)).faces[0]
        assert out.emotion is not None
        assert out.emotion.label == face.emotion.label  # type: ignore[union-attr]
        assert out.emotion.scores == pytest.approx(face.emotion.scores)  # type: ignore[union-attr]
        assert out.replace(emotion=None) == face.replace(emotion=None, track_id=1)


def test_estimates_are_smoothed() -> None:
    tracker = FaceTracker(smoothing=0.75)
    tracker.update(frame(Face(square(100, 100), age=Estimate(20, 4))))
    age = tracker.update(frame(Face(square(100, 100), age=Estimate(40, 8)))).faces[0].age
    assert age == Estimate(pytest.approx(25), pytest.approx(5))


def test_scores_are_smoothed_and_sum_to_one() -> None:
    tracker = FaceTracker(smoothing=0.75)
    tracker.update(frame(Face(square(100, 100), emotion=mood(0.8))))
    emotion = tracker.update(frame(Face(square(100, 100), emotion=mood(0.4)))).faces[0].emotion
    assert emotion is not None
    assert emotion.scores == pytest.approx({"happy": 0.7, "sad": 0.3})
    assert (emotion.label, emotion.score) == ("happy", pytest.approx(0.7))


def test_scores_sum_to_one_whatever_comes() -> None:
    rng, tracker = random.Random(0), FaceTracker(smoothing=0.5)
    for step in range(100):
        raw = [rng.random() ** 4 for _ in range(8)]
        total = sum(raw) * (1.001 if step else 1)  # later ones are a little off
        scores = {f"label {index}": value / total for index, value in enumerate(raw)}
        out = tracker.update(frame(Face(square(100, 100), emotion=Classification.of(scores))))
        emotion = out.faces[0].emotion
        assert emotion is not None
        assert list(emotion.scores) == list(scores)
        assert sum(emotion.scores.values()) == pytest.approx(1)
        assert emotion.score == emotion.scores[emotion.label]


def test_a_label_switches_only_with_a_lead() -> None:
    tracker = FaceTracker(smoothing=0, switch_margin=0.2)
    labels = []
    for happy in (0.6, 0.45, 0.41, 0.39, 0.45, 0.59, 0.61):
        emotion = tracker.update(frame(Face(square(100, 100), emotion=mood(happy)))).faces[0].emotion
        assert emotion is not None
        assert emotion.score == pytest.approx(emotion.scores[emotion.label])
        labels.append(emotion.label)
    assert labels == ["happy", "happy", "happy", "sad", "sad", "sad", "happy"]


def test_a_wavering_label_does_not_flicker() -> None:
    rng, tracker = random.Random(0), FaceTracker()
    labels = []
    for _ in range(200):
        out = tracker.update(frame(Face(square(100, 100), emotion=mood(min(max(rng.gauss(0.5, 0.05), 0), 1)))))
        labels.append(out.faces[0].emotion.label)  # type: ignore[union-attr]
    assert len(set(labels)) == 1


def test_a_lasting_change_is_soon_shown() -> None:
    tracker = FaceTracker()
    for _ in range(20):
        tracker.update(frame(Face(square(100, 100), emotion=mood(0.95))))
    updates = 0
    while True:
        updates += 1
        emotion = tracker.update(frame(Face(square(100, 100), emotion=mood(0.05)))).faces[0].emotion
        if emotion is not None and emotion.label == "sad":
            break
    assert updates <= 4


def test_an_attribute_not_asked_for_keeps_its_last_value() -> None:
    tracker = FaceTracker()
    full = Face(square(100, 100), emotion=mood(0.9), age=Estimate(30, 5), gender=mood(0.3))
    tracker.update(frame(full, models={"emotion": "e@1.0.0", "age": "a@1.0.0"}))
    for _ in range(3):
        out = tracker.update(frame(square(102, 100)))
        face = out.faces[0]
        assert (face.emotion, face.age, face.gender, face.ethnicity) == (full.emotion, full.age, full.gender, None)
        assert out.models == {"emotion": "e@1.0.0", "age": "a@1.0.0"}
    tracker.update(frame())
    assert tracker.update(frame(square(102, 100))).faces[0].age == full.age


def test_each_face_keeps_its_own_values() -> None:
    tracker = FaceTracker()
    tracker.update(frame(Face(square(0, 0), age=Estimate(10, 2)), Face(square(500, 0), age=Estimate(70, 2))))
    out = tracker.update(frame(square(505, 0), square(5, 0), square(900, 0)))
    assert [face.age.value if face.age else None for face in out] == [70, 10, None]


def test_another_models_labels_replace_the_old() -> None:
    tracker = FaceTracker()
    tracker.update(frame(Face(square(100, 100), emotion=mood(0.9))))
    other = Classification.of({"calm": 0.6, "angry": 0.4})
    assert tracker.update(frame(Face(square(100, 100), emotion=other))).faces[0].emotion == other


def test_a_still_face_does_not_tremble() -> None:
    rng, tracker = random.Random(0), FaceTracker()
    raw, smooth = [], []
    for _ in range(100):
        face = Face(square(300 + rng.gauss(0, 1.5), 200), landmarks=((340 + rng.gauss(0, 1.5), 230.0),))
        out = tracker.update(frame(face)).faces[0]
        assert out.landmarks is not None
        raw.append(face.box.x1)
        smooth.append(out.box.x1)
    tremble = [sum(abs(b - a) for a, b in itertools.pairwise(values)) for values in (raw, smooth)]
    assert tremble[1] < 0.5 * tremble[0]


def test_a_moving_box_is_not_left_behind() -> None:
    tracker = FaceTracker(smoothing=0.9)
    for step in range(20):
        box = square(50 + 40 * step, 100)
        out = tracker.update(frame(box)).faces[0].box
        assert abs(out.x1 - box.x1) < 35
    assert (out.width, out.height) == pytest.approx((100, 100))


def test_boxes_stay_between_what_was_seen() -> None:
    """So boxes inside the image give boxes inside the image."""
    rng, tracker = random.Random(0), FaceTracker(smoothing=0.95)
    for _ in range(100):
        x, y, side = rng.uniform(0, 30), rng.uniform(0, 20), rng.uniform(80, 120)
        out = tracker.update(frame(square(x, y, side))).faces[0].box
        assert 0 <= out.x1 < out.x2 <= 150
        assert 0 <= out.y1 < out.y2 <= 140


def test_landmarks_that_come_and_go() -> None:
    tracker = FaceTracker()
    points = ((120.0, 130.0), (150.0, 130.0))
    expected = [points, None, points[:1], points]
    for value in expected:
        out = tracker.update(frame(Face(square(100, 100), landmarks=value))).faces[0]
        assert (out.landmarks is None) == (value is None)
        assert value is None or out.landmarks == tuple(pytest.approx(point) for point in value)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_age", value) for value in (-1, 1.5, "3", True, None)),
        *(("min_overlap", value) for value in (0, -0.1, 1.1, float("nan"), "a", None, True)),
        *(("smoothing", value) for value in (-0.1, 1, 1.0, 2, float("nan"), "a", None)),
        *(("switch_margin", value) for value in (-0.1, 1.1, float("nan"), "a", None)),
    ],
)
def test_refused_parameters(name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{name} must be .* not {value!r}"):
        FaceTracker(**{name: value})


def test_parameters_at_their_ends() -> None:
    FaceTracker(max_age=0, min_overlap=1, smoothing=0, switch_margin=1)
    FaceTracker(min_overlap=0.001, smoothing=0.999, switch_margin=0)


@pytest.mark.parametrize("value", [None, [], (Face(square(0, 0)),), {"faces": []}])
def test_refused_analyses(value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"must be an Analysis, not {type(value).__name__}"):
        FaceTracker().update(value)
