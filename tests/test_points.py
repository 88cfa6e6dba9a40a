"""Points and poses: from a head's outputs to the image, tables, drawings and videos."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from facemodels import Analysis, Box, Face, FaceAnalyzer, FaceTracker, Points, Pose, Timeline, annotate, models
from facemodels.attributes import ON_REQUEST
from facemodels.crops import face_window
from facemodels.kinds import POINT_LABELS
from facemodels.results import CsvSink, describe_face
from facemodels.values import POSE_LABELS
from training.landmarks.mesh import mirrored_order

GRID = [(0.2 + 0.6 * (i % 10) / 9, 0.2 + 0.6 * (i // 10) / 6) for i in range(68)]
POSE = (12.0, -5.0, 3.0)
SPEC = {
    "name": "fixed",
    "version": "1.0.0",
    "kind": "attributes",
    "heads": [
        {"attribute": "points", "output": "points", "kind": "points", "labels": list(POINT_LABELS)},
        {"attribute": "pose", "output": "pose", "kind": "pose", "labels": list(POSE_LABELS)},
    ],
    "input_size": 32,
    "margin": 0.1,
    "offset": 0.05,
    "align": True,
    "repo_id": "me/fixed",
    "revision": None,
    "files": {"model.tflite": {"sha256": "0" * 64, "size": 1}},
    "license": "mit",
    "schema": 1,
}


class Fixed:
    """In place of an interpreter: the same answer to every crop."""

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        points = np.float32([*np.ravel(GRID), 3.0])
        return {"points": np.tile(points, (len(batch), 1)), "pose": np.tile(np.float32(POSE), (len(batch), 1))}


@pytest.fixture
def analyzer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaceAnalyzer:
    class Model(models.AttributeModel):
        def __init__(self, spec: Any, **_: Any) -> None:
            self.spec, self._backend = spec, Fixed()

    monkeypatch.setattr("facemodels.analyzer.AttributeModel", Model)
    (tmp_path / "config.json").write_text(json.dumps(SPEC))
    return FaceAnalyzer(["points", "pose"], models=dict.fromkeys(ON_REQUEST, tmp_path), detector=None)


def rolled(degrees: float) -> Face:
    """A face whose eyes stand on a line that is turned clockwise."""
    turn = math.radians(degrees)
    eyes = [
        (100 - 20 * math.cos(turn), 100 - 20 * math.sin(turn)),
        (100 + 20 * math.cos(turn), 100 + 20 * math.sin(turn)),
    ]
    return Face(Box(60, 50, 140, 150), 0.9, landmarks=(*eyes, (100, 110), (90, 130), (110, 130)))


@pytest.mark.parametrize("degrees", [0, 30, 170])
def test_answers_are_placed_in_the_image(analyzer: FaceAnalyzer, degrees: float) -> None:
    given = rolled(degrees)
    (face,) = analyzer.analyze(np.zeros((220, 240, 3), np.uint8), boxes=[given])
    assert face.points is not None and face.pose is not None
    window = face_window(given.box, margin=0.1, offset=0.05, landmarks=given.landmarks)
    assert np.allclose(face.points.points, window.to_image(np.array(GRID)))
    assert face.points.score == pytest.approx(1 / (1 + math.exp(-3)))
    assert (face.pose.yaw, face.pose.pitch) == POSE[:2]
    assert face.pose.roll == pytest.approx((degrees + POSE[2] + 180) % 360 - 180)


def test_every_way_in_gives_pixels_of_the_original(analyzer: FaceAnalyzer) -> None:
    (face,) = analyzer.analyze_crops([np.zeros((60, 90, 3), np.uint8)])
    assert face.points is not None and face.pose is not None
    assert np.allclose(face.points.points, np.array(GRID) * (90, 60)) and face.pose.roll == POSE[2]
    (larger,) = Analysis((face,), 90, 60).scaled(180, 180)
    assert np.allclose(larger.points.points, np.array(GRID) * (180, 180))


def test_they_are_answered_on_request_only() -> None:
    analyzer = FaceAnalyzer(["emotion"], detector=None)
    assert set(analyzer.models) == {"emotion"} and not set(ON_REQUEST) & set(FaceAnalyzer(detector=None).models)
    plain = Face(Box(0, 0, 1, 1)).to_dict()
    assert not set(ON_REQUEST) & set(plain)


@pytest.fixture
def face() -> Face:
    points = tuple((100 + 80 * x, 50 + 80 * y) for x, y in GRID)
    return Face(Box(100, 50, 180, 130), 0.9, points=Points(points, 0.95), pose=Pose(*POSE))


def test_in_json_csv_and_text(face: Face) -> None:
    analysis = Analysis((face,), 300, 200, {"pose": "landmarks-efficientnet@1.0.0"})
    jsonschema.validate(json.loads(json.dumps(analysis.to_dict())), Analysis.schema())
    said = analysis.to_dict()["faces"][0]
    assert said["pose"] == {"yaw": 12.0, "pitch": -5.0, "roll": 3.0} and len(said["points"]["points"]) == 68
    table = io.StringIO()
    with CsvSink(table) as sink:
        sink.write_image("a.jpg", analysis)
    head, row = (line.split(",") for line in table.getvalue().splitlines())
    cells = dict(zip(head, row, strict=True))
    assert (cells["yaw"], cells["pitch"], cells["roll"], cells["points_score"]) == ("12.0", "-5.0", "3.0", "0.95")
    assert 0 <= float(cells["mouth_open"]) <= 1
    assert "pose yaw +12° pitch -5° roll +3°" in describe_face(face)


def test_typed_cells_come_back(face: Face) -> None:
    for name, labels in (("points", POINT_LABELS), ("pose", POSE_LABELS)):
        kind, value = ON_REQUEST[name].kind, getattr(face, name)
        cells = kind.typed_cells(name, value, labels)
        assert set(cells) == set(kind.typed_columns(name, labels))
        assert kind.typed_value(name, cells, labels) == value
    assert ON_REQUEST["points"].kind.typed_columns("points", POINT_LABELS)["points"] == "float[136]"


def eye(height: float) -> Points:
    """Points whose eyes are 30 px wide and open by `height`, and whose mouth is 40 px wide and open as far."""
    points = [(0.0, 0.0)] * 68
    for first in (36, 42):
        outline = ((0, 0), (10, -height / 2), (20, -height / 2), (30, 0), (20, height / 2), (10, height / 2))
        points[first : first + 6] = outline
    points[60:68] = (
        (0, 0),
        (10, -height / 2),
        (20, -height / 2),
        (30, -height / 2),
        (40, 0),
        *((x, height / 2) for x in (30, 20, 10)),
    )
    return Points(tuple(points), 1.0)


def test_openness() -> None:
    closed, wide = eye(1), eye(25)
    assert (closed.right_eye_open, closed.left_eye_open, closed.mouth_open) == (0, 0, 0)
    assert (wide.right_eye_open, wide.left_eye_open, wide.mouth_open) == (1, 1, 1)
    half = eye(6)
    assert 0.3 < half.right_eye_open == half.left_eye_open < 0.7
    assert Points(((5.0, 5.0),) * 68, 1.0).mouth_open == 0, "all in one place: no division by zero"


def test_the_drawing_shows_them_and_the_caption_does_not(face: Face) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    bare = annotate(image, [face.replace(points=None, pose=None)])
    dotted, arrow = annotate(image, [face.replace(pose=None)]), annotate(image, [face.replace(points=None)])
    for x, y in face.points.points:  # type: ignore[union-attr]
        assert dotted[round(y - 0.5), round(x - 0.5)].max() > 100
    middle = arrow[60:120, 105:175].astype(int) - bare[60:120, 105:175]
    assert np.abs(middle).max() > 100, "an arrow from the middle of the box"
    assert middle[:, 40:].any() and not middle[:, :25].any(), "to the right, where the face is turned"


def test_in_a_video(face: Face) -> None:
    tracker, timeline = FaceTracker(smoothing=0.5), Timeline()
    first = tracker.update(Analysis((face,), 300, 200))
    timeline.add(0.0, first)
    moved = Face(Box(110, 60, 190, 140), 0.9)
    (later,) = tracker.update(Analysis((moved,), 300, 200))
    shift = np.array(later.points.points) - face.points.points  # type: ignore[union-attr]
    assert np.allclose(shift, (later.box.x1 - 100, later.box.y1 - 50), atol=0.5), "they go with the box"
    timeline.add(1.0, Analysis((later.replace(pose=Pose(20, 5, 179)),), 300, 200))
    (person,) = timeline.people
    assert person.points is None and person.pose.yaw == pytest.approx(16)
    assert person.to_dict()["pose"]["pitch"] == 0


def test_roll_is_averaged_around_the_circle() -> None:
    kind = ON_REQUEST["pose"].kind
    mean = kind.blend(Pose(0, 0, 170), Pose(0, 0, -170), 0.5)
    assert abs(mean.roll) == pytest.approx(180)


@pytest.fixture(scope="module")
def real() -> FaceAnalyzer:
    return FaceAnalyzer(["points", "pose"], detector="libfacedetection")


def compare(one: Face, other: Face, back: Any) -> tuple[float, float]:
    """How far the points of `other` lie, taken `back` to the image of `one`: eye distances, median and largest."""
    assert one.points is not None and other.points is not None
    here, there = np.array(one.points.points), np.array([back(x, y) for x, y in other.points.points])
    eyes = np.linalg.norm(here[36:42].mean(0) - here[42:48].mean(0))
    off = np.linalg.norm(here - there, axis=1) / eyes
    return float(np.median(off)), float(off.max())


def test_the_bundled_model_stays_itself_when_mirrored_turned_and_cut(real: FaceAnalyzer, astronaut: np.ndarray) -> None:
    (face,) = real.analyze(astronaut)
    assert face.points is not None and face.pose is not None and face.landmarks is not None
    points = np.array(face.points.points)
    eyes = np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0))
    corners = [points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]]
    assert np.linalg.norm(np.array(face.landmarks) - corners, axis=1).mean() < 0.12 * eyes, "as the detector sees it"
    assert face.points.score > 0.9 and abs(face.pose.yaw) < 12 and abs(face.pose.pitch) < 15 and abs(face.pose.roll) < 8

    (mirrored,) = real.analyze(np.ascontiguousarray(astronaut[:, ::-1]))
    order = mirrored_order()
    swapped = mirrored.replace(points=Points(tuple(mirrored.points.points[i] for i in order), 1.0))
    assert compare(face, swapped, lambda x, y: (512 - x, y))[0] < 0.06
    assert abs(mirrored.pose.yaw + face.pose.yaw) < 5 and abs(mirrored.pose.roll + face.pose.roll) < 5

    turn = cv2.getRotationMatrix2D((220, 110), -30, 1.0)
    (rolled,) = real.analyze(cv2.warpAffine(astronaut, turn, (512, 512)))
    inverse = cv2.invertAffineTransform(turn)
    assert compare(face, rolled, lambda x, y: tuple(inverse @ (x - 0.5, y - 0.5, 1) + 0.5))[0] < 0.06
    assert rolled.pose.roll - face.pose.roll == pytest.approx(30, abs=5)
    assert rolled.pose.yaw == pytest.approx(face.pose.yaw, abs=6)

    (cropped,) = real.analyze(np.ascontiguousarray(astronaut[30:220, 130:330]))
    assert compare(face, cropped, lambda x, y: (x + 130, y + 30))[0] < 0.06
