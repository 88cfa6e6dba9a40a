"""What a face's quality says, and who asks for it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facemodels import ArgumentError, Box, DetectorError, Face, FaceAnalyzer, Pose
from facemodels.detection import check_faces
from facemodels.quality import measure, with_pose
from facemodels.types import DOUBTS


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> Face:
    (face,) = FaceAnalyzer(["gender"], detector="libfacedetection").detect(astronaut)
    return face


def test_a_clear_face_raises_no_doubt(astronaut: np.ndarray, face: Face) -> None:
    quality = measure(astronaut, face)
    assert (quality.value, quality.doubts) == (1.0, ())
    assert quality.size == pytest.approx(face.box.height) and quality.cut == 0
    assert measure(astronaut, face, 2.0).size == pytest.approx(2 * face.box.height)


@pytest.mark.parametrize(
    ("doubt", "change"),
    [
        ("blurred", lambda image: cv2.GaussianBlur(image, (0, 0), 6)),
        ("dark", lambda image: image // 12),
    ],
)
def test_damage_is_named(astronaut: np.ndarray, face: Face, doubt: str, change) -> None:
    quality = measure(change(astronaut), face)
    assert doubt in quality.doubts and doubt in DOUBTS
    assert 0 <= quality.value < 1


def test_small_turned_cut_and_weak_faces_are_named(astronaut: np.ndarray, face: Face) -> None:
    small = cv2.resize(astronaut, None, fx=0.12, fy=0.12, interpolation=cv2.INTER_AREA)
    assert "small" in measure(small, face.scaled(0.12)).doubts
    assert face.landmarks is not None
    right, left, nose, *mouth = face.landmarks
    profile = face.replace(landmarks=(right, left, (left[0], nose[1]), *mouth))
    assert "turned" in measure(astronaut, profile).doubts and measure(astronaut, profile).turn > 0.4
    x = round(face.box.centre[0])
    beside = face.replace(
        box=face.box.moved(-x, 0).clip(512, 512), landmarks=tuple((a - x, b) for a, b in face.landmarks)
    )
    assert "cut" in measure(np.ascontiguousarray(astronaut[:, x:]), beside).doubts
    assert measure(astronaut, face.replace(score=0.61)).doubts == ("weak",)


def test_a_pose_says_how_far_a_face_is_turned(astronaut: np.ndarray, face: Face) -> None:
    seen = face.replace(quality=measure(astronaut, face))
    assert with_pose(seen) is seen
    profile = with_pose(seen.replace(pose=Pose(40.0, 0.0, 0.0)))
    assert profile.doubts == ("turned",) and profile.quality is not None and profile.quality.turn > 0.25
    assert with_pose(profile.replace(pose=Pose(-90.0, 0.0, 0.0))).quality.turn < -1  # type: ignore[union-attr]
    back = with_pose(profile.replace(pose=Pose(5.0, 0.0, 0.0)))
    assert back.doubts == () and back.quality is not None and back.quality.value == 1
    (asked,) = FaceAnalyzer(["pose"], detector="libfacedetection").analyze(astronaut)
    assert asked.quality == with_pose(asked).quality != seen.quality


def test_quality_is_in_results_and_filters(astronaut: np.ndarray) -> None:
    analyzer = FaceAnalyzer(["gender"], detector="libfacedetection")
    (found,) = analyzer.analyze(astronaut)
    assert found.to_dict()["quality"]["doubts"] == [] and found.to_row()["quality"] == 1.0
    dark = astronaut // 12 + np.uint8(2)
    picky = FaceAnalyzer(["gender"], detector="libfacedetection", min_quality=0.99)
    assert len(analyzer.analyze(dark)) == 1 and len(picky.analyze(dark)) == 0
    with pytest.raises(ArgumentError, match="min_quality"):
        FaceAnalyzer(["gender"], detector=None, min_quality=2)


@pytest.mark.parametrize("wrong", [Box(0, 0, float("nan"), 5), Box(0, 0, 5, float("inf"))])
def test_a_detector_that_gives_no_numbers_is_named(wrong: Box) -> None:
    with pytest.raises(DetectorError, match="not finite"):
        check_faces([Face(wrong)], np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(DetectorError, match="not a Face"):
        check_faces([wrong], np.zeros((10, 10, 3), np.uint8))  # type: ignore[list-item]


def test_boxes_outside_of_the_image_are_cut_or_left_out() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    assert [face.box for face in check_faces([Face(Box(-5, -5, 8, 30)), Face(Box(30, 0, 40, 5))], image)] == [
        Box(0, 0, 8, 10)
    ]
