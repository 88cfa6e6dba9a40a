"""Results: frozen, plain, ready for JSON."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import random

import pytest

from facemodels.attributes import ATTRIBUTES
from facemodels.types import Analysis, Box, Classification, Estimate, Face

FULL = Face(
    Box(1.5, 2, 30, 40),
    0.9,
    landmarks=((10.0, 12.0), (20.0, 12.5)),
    emotion=Classification.of({"happy": 0.75, "sad": 0.25}),
    age=Estimate(31.0, 5.0),
    gender=Classification.of({"female": 0.5, "male": 0.5}),
    ethnicity=Classification.of({"white": 0.1, "black": 0.9}),
    track_id=7,
)
ANALYSIS = Analysis((FULL, Face(Box(0, 0, 5, 5))), 640, 480, {"emotion": "emotion-efficientnet@1.3.0"})


def test_box_measures() -> None:
    box = Box(10, 20, 40, 60)
    assert (box.width, box.height, box.area, box.centre) == (30, 40, 1200, (25, 40))


def test_box_geometry() -> None:
    box = Box(10, 20, 40, 60)
    assert box.moved(5, -5) == Box(15, 15, 45, 55)
    assert box.scaled(2) == Box(20, 40, 80, 120) and box.scaled(2, 0.5) == Box(20, 10, 80, 30)
    assert box.interpolate(Box(20, 20, 80, 70), 0.5) == Box(15, 20, 60, 65)
    assert box.interpolate(Box(0, 0, 1, 1), 0) == box and box.interpolate(Box(0, 0, 1, 1), 1) == Box(0, 0, 1, 1)
    assert box.iou(box) == 1 and box.iou(Box(40, 20, 70, 60)) == 0 and box.iou(Box(100, 100, 110, 110)) == 0
    assert box.iou(Box(25, 20, 55, 60)) == pytest.approx(1 / 3) and box.iou(Box(10, 20, 25, 60)) == 0.5
    assert Box(5, 5, 5, 5).iou(Box(5, 5, 5, 5)) == 0  # nothing to share


def test_faces_scale_and_interpolate_with_their_landmarks() -> None:
    half = ANALYSIS.scaled(320, 240)
    assert (half.width, half.height, half.models) == (320, 240, ANALYSIS.models)
    assert half.faces[0].box == Box(0.75, 1, 15, 20) and half.faces[0].landmarks == ((5.0, 6.0), (10.0, 6.25))
    assert half.faces[0].emotion == FULL.emotion and half.faces[1].landmarks is None
    assert ANALYSIS.scaled(640, 480) == ANALYSIS
    other = Face(Box(3.5, 2, 30, 40), landmarks=((20.0, 12.0), (30.0, 12.5)))
    between = FULL.interpolate(other, 0.5)
    assert between.box == Box(2.5, 2, 30, 40) and between.landmarks == ((15.0, 12.0), (25.0, 12.5))
    assert between.track_id == 7 and FULL.interpolate(Face(FULL.box), 0.5) == FULL


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        (Box(-5, -6, 50, 40), Box(0, 0, 50, 40)),
        (Box(10, 10, 700, 500), Box(10, 10, 640, 480)),
        (Box(10, 10, 20, 20), Box(10, 10, 20, 20)),
        (Box(-50, 500, -10, 600), Box(0, 480, 0, 480)),
        (Box(-9, -9, 9999, 9999), Box(0, 0, 640, 480)),
    ],
)
def test_clip(box: Box, clipped: Box) -> None:
    assert box.clip(640, 480) == clipped


def test_clip_never_leaves_the_image_and_keeps_what_is_inside() -> None:
    rng = random.Random(1)
    for _ in range(500):
        x1, y1 = rng.uniform(-300, 300), rng.uniform(-300, 300)
        box = Box(x1, y1, x1 + rng.uniform(0, 400), y1 + rng.uniform(0, 400))
        clipped = box.clip(200, 100)
        assert 0 <= clipped.x1 <= clipped.x2 <= 200
        assert 0 <= clipped.y1 <= clipped.y2 <= 100
        assert clipped.clip(200, 100) == clipped
        assert clipped.area <= box.area + 1e-9


def test_classification_of_takes_the_highest_and_the_first_of_equals() -> None:
    scores = {"a": 0.2, "b": 0.5, "c": 0.3}
    found = Classification.of(scores)
    assert (found.label, found.score, found.scores) == ("b", 0.5, scores)
    assert Classification.of({"a": 0.5, "b": 0.5}).label == "a"


def test_classification_of_keeps_an_own_copy() -> None:
    scores = {"a": 0.4, "b": 0.6}
    found = Classification.of(scores)
    scores["a"] = 9.0
    assert found.scores == {"a": 0.4, "b": 0.6}


def test_regroup_adds_scores_and_may_change_the_winner() -> None:
    fine = Classification.of({"a": 0.4, "b": 0.35, "c": 0.25})
    coarse = fine.regroup({"a": "x", "b": "y", "c": "y"})
    assert fine.label == "a"
    assert coarse.label == "y"
    assert coarse.scores == pytest.approx({"x": 0.4, "y": 0.6})
    assert sum(coarse.scores.values()) == pytest.approx(1)
    assert fine.label == "a"


def test_regroup_needs_every_label() -> None:
    with pytest.raises(KeyError):
        Classification.of({"a": 0.4, "b": 0.6}).regroup({"a": "x"})


@pytest.mark.parametrize("value", [FULL.box, FULL.emotion, FULL.age, FULL, ANALYSIS], ids=lambda v: type(v).__name__)
def test_frozen(value: object) -> None:
    name = dataclasses.fields(value)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, None)


@pytest.mark.parametrize("value", [FULL, ANALYSIS], ids=lambda v: type(v).__name__)
def test_copies_and_pickles(value: object) -> None:
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_replace_makes_a_changed_copy() -> None:
    changed = FULL.replace(track_id=8)
    assert (FULL.track_id, changed.track_id, changed.box) == (7, 8, FULL.box)


def test_to_dict_is_json_and_complete() -> None:
    data = ANALYSIS.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert list(data) == ["schema", "width", "height", "models", "error", "faces"]
    assert data["schema"] == 1
    first, second = data["faces"]
    assert first == {
        "box": {"x1": 1.5, "y1": 2, "x2": 30, "y2": 40},
        "score": 0.9,
        "landmarks": [[10.0, 12.0], [20.0, 12.5]],
        "emotion": {"label": "happy", "score": 0.75, "scores": {"happy": 0.75, "sad": 0.25}},
        "age": {"value": 31.0, "error": 5.0},
        "gender": {"label": "female", "score": 0.5, "scores": {"female": 0.5, "male": 0.5}},
        "ethnicity": {"label": "black", "score": 0.9, "scores": {"white": 0.1, "black": 0.9}},
        "track_id": 7,
        "quality": None,
    }
    assert list(second) == list(first)
    assert all(second[name] is None for name in (*ATTRIBUTES, "landmarks", "track_id"))


def test_to_dict_shares_nothing_with_the_result() -> None:
    data = ANALYSIS.to_dict()
    data["faces"][0]["emotion"]["scores"]["happy"] = 5
    data["models"]["emotion"] = "other"
    assert ANALYSIS.faces[0].emotion is not None
    assert ANALYSIS.faces[0].emotion.scores["happy"] == 0.75
    assert ANALYSIS.models["emotion"] == "emotion-efficientnet@1.3.0"


def test_analysis_counts_and_iterates() -> None:
    assert len(ANALYSIS) == 2
    assert [face.track_id for face in ANALYSIS] == [7, None]
    assert ANALYSIS[0].track_id == 7 and ANALYSIS[-1].track_id is None
    with pytest.raises(IndexError):
        ANALYSIS[2]


def test_no_face_is_an_answer_not_a_falsehood() -> None:
    empty = Analysis((), 640, 480)
    assert len(empty) == 0
    assert bool(empty) is True
    assert empty.to_dict()["faces"] == []
