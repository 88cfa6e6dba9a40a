"""What `annotate` draws, where, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facemodels import drawing
from facemodels.attributes import EMOTIONS
from facemodels.drawing import COLOURS, OTHER_COLOUR, annotate
from facemodels.errors import ArgumentError
from facemodels.types import Analysis, Box, Classification, Estimate, Face, Quality


def full_face(x: float, y: float, side: float, emotion: str = "happy", track_id: int | None = 3) -> Face:
    points = tuple(
        (x + side * a, y + side * b) for a, b in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
    )
    return Face(
        Box(x, y, x + side, y + side),
        0.9,
        points,
        Classification.of({emotion: 0.93, "other": 0.07}),
        Estimate(31.4, 5.2),
        Classification.of({"female": 0.8, "male": 0.2}),
        Classification.of({"east_asian": 0.6, "white": 0.4}),
        track_id,
    )


def grey(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 110, np.uint8)


def close(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """The same but for smoothed edges."""
    return bool(np.abs(pixel.astype(int) - colour).max() <= 20)


def captions(image: np.ndarray, faces: list[Face]) -> list[Any]:
    """The captions that `annotate` draws."""
    return [caption for caption in drawing.layout(faces, image.shape[1], image.shape[0]) if caption is not None]


def shared(a: Any, b: Any) -> int:
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(across, 0) * max(down, 0)


def frame(face: Face) -> Any:
    box = face.box
    return drawing.Frame(round(box.x1), round(box.y1), round(box.width), round(box.height))


def test_a_caption_says_why_its_answers_may_be_wrong() -> None:
    doubtful = Quality(0.5, 80, 0.01, 0.5, 0, 0, ("blurred", "turned"))
    face = full_face(100, 100, 120).replace(quality=doubtful)
    ((*told, doubts),) = (caption.lines for caption in captions(grey(480, 360), [face]))
    assert doubts == "(blurred, turned)"
    assert told == [*captions(grey(480, 360), [face.replace(quality=None)])[0].lines]


def test_new_array_same_size_input_untouched() -> None:
    image = grey(320, 240)
    image.setflags(write=False)
    out = annotate(image, [full_face(100, 100, 80)])
    assert (out.shape, out.dtype) == ((240, 320, 3), np.uint8)
    assert out.flags.writeable
    assert not np.shares_memory(out, image)
    assert (image == 110).all()
    assert (out != image).any()


def test_no_faces_is_a_copy() -> None:
    image = grey(32, 24)
    for faces in ([], (), Analysis((), 32, 24), Analysis((), 0, 0, {}, "broken")):
        out = annotate(image, faces)
        np.testing.assert_array_equal(out, image)
        assert out is not image


def test_analysis_list_and_generator_draw_the_same() -> None:
    image, faces = grey(320, 240), (full_face(50, 90, 60), full_face(200, 90, 60, "sad"))
    expected = annotate(image, Analysis(faces, 320, 240))
    np.testing.assert_array_equal(annotate(image, list(faces)), expected)
    np.testing.assert_array_equal(annotate(image, (face for face in faces)), expected)
    np.testing.assert_array_equal(annotate(image, faces), expected)


def test_strided_input() -> None:
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    faces = [full_face(100, 100, 80)]
    np.testing.assert_array_equal(annotate(image[:, :, ::-1], faces), annotate(image[:, :, ::-1].copy(), faces))


@pytest.mark.parametrize("emotion", [*EMOTIONS, "bored"])
def test_the_box_has_the_colour_of_the_emotion(emotion: str) -> None:
    out = annotate(grey(320, 240), [full_face(100, 100, 120, emotion)])
    expected = COLOURS.get(emotion, OTHER_COLOUR)
    assert close(out[160, 100], expected)  # left edge
    assert close(out[160, 219], expected)  # right edge
    assert (out[200, 150] == 110).all()  # inside


def test_every_emotion_has_its_own_colour() -> None:
    assert set(COLOURS) == set(EMOTIONS)
    assert len(set(COLOURS.values())) == len(EMOTIONS)


def test_text_stands_out_on_every_colour() -> None:
    """WCAG asks for a contrast of 4.5."""

    def luminance(colour: tuple[int, int, int]) -> float:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.array(colour) / 255]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for colour in (*COLOURS.values(), OTHER_COLOUR):
        low, high = sorted((luminance(colour), luminance(drawing.ink_for(colour))))
        assert (high + 0.05) / (low + 0.05) > 4.5, colour


def test_the_caption_says_everything_when_there_is_room() -> None:
    (caption,) = captions(grey(640, 480), [full_face(200, 200, 150)])
    assert caption.lines == ("#3  happy 93%", "female, 31 ± 5", "east asian")


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"track_id": None}, ("happy 93%", "female, 31 ± 5", "east asian")),
        ({"emotion": None}, ("#3", "female, 31 ± 5", "east asian")),
        ({"age": None}, ("#3  happy 93%", "female", "east asian")),
        ({"gender": None}, ("#3  happy 93%", "31 ± 5", "east asian")),
        ({"ethnicity": None}, ("#3  happy 93%", "female, 31 ± 5")),
        ({"emotion": None, "gender": None, "ethnicity": None, "track_id": None}, ("31 ± 5",)),
        ({"emotion": None, "gender": None, "age": None, "track_id": None}, ("east asian",)),
        ({"landmarks": None}, ("#3  happy 93%", "female, 31 ± 5", "east asian")),
    ],
)
def test_what_a_face_lacks_is_left_out(changes: dict[str, None], lines: tuple[str, ...]) -> None:
    (caption,) = captions(grey(640, 480), [full_face(200, 200, 150).replace(**changes)])
    assert caption.lines == lines


def test_a_face_without_attributes_gets_a_box_only() -> None:
    assert captions(grey(320, 240), [Face(Box(100, 100, 200, 200))]) == []
    out = annotate(grey(320, 240), [Face(Box(100, 100, 200, 200))])
    assert close(out[150, 100], OTHER_COLOUR)


def test_landmarks_are_dots() -> None:
    face = Face(Box(50, 50, 250, 250), landmarks=((120.0, 120.0), (180.0, 121.0)))
    out = annotate(grey(320, 320), [face])
    assert close(out[120, 120], OTHER_COLOUR)
    assert close(out[121, 180], OTHER_COLOUR)
    assert (out[140, 150] == 110).all()


def test_caption_above_then_below_then_inside() -> None:
    image = grey(640, 480)
    (above,) = captions(image, [full_face(200, 200, 150)])
    assert above.frame.y + above.frame.height <= 200
    (below,) = captions(image, [full_face(200, 5, 150)])
    assert below.frame.y >= 155
    (inside,) = captions(image, [Face(Box(0, 0, 640, 480), emotion=Classification.of({"sad": 1.0}))])
    assert inside.frame.y > 240
    assert inside.frame.y + inside.frame.height <= 480


@pytest.mark.parametrize("size", [(640, 480), (200, 300), (90, 40), (40, 40), (4000, 300)])
def test_captions_never_leave_the_image(size: tuple[int, int]) -> None:
    width, height = size
    rng = np.random.default_rng(0)
    for _ in range(15):
        side = rng.uniform(0.1, 1.2) * min(size)
        face = full_face(rng.uniform(-0.5 * side, width), rng.uniform(-0.5 * side, height), side)
        for caption in captions(grey(width, height), [face]):
            assert caption.frame.x >= 0
            assert caption.frame.y >= 0
            assert caption.frame.x + caption.frame.width <= width
            assert caption.frame.y + caption.frame.height <= height


def test_text_grows_with_the_face_and_the_picture() -> None:
    (small,) = captions(grey(640, 480), [full_face(300, 300, 60)])
    (large,) = captions(grey(640, 480), [full_face(300, 250, 220)])
    (huge,) = captions(grey(4000, 3000), [full_face(1000, 1500, 900)])
    assert 9 <= small.size < large.size < huge.size
    assert huge.size > 60


def crowd() -> list[Face]:
    return [
        full_face(20 + 128 * column, 60 + 130 * row, 55, EMOTIONS[(row + column) % 8], row * 10 + column)
        for row in range(5)
        for column in range(10)
    ]


def test_fifty_faces_stay_readable() -> None:
    faces = crowd()
    drawn = captions(grey(1280, 720), faces)
    assert len(drawn) == 50
    for index, (face, caption) in enumerate(zip(faces, drawn, strict=True)):
        assert face.emotion is not None
        assert any(face.emotion.label in line for line in caption.lines)
        assert caption.size >= 9
        assert not any(shared(caption.frame, frame(other)) for other in faces)
        assert not any(shared(caption.frame, other.frame) for other in drawn[:index])


def test_captions_of_neighbours_do_not_overlap() -> None:
    first, second = captions(grey(640, 480), [full_face(200, 200, 40), full_face(250, 200, 40)])
    assert first.frame.width > 50
    assert not shared(first.frame, second.frame)


def test_text_shrinks_before_it_is_dropped() -> None:
    plain = drawing.plate_size(("surprise",), 9)[0]
    (caption,) = captions(grey(plain - 1, 60), [full_face(8, 10, 25, "surprise")])
    assert (caption.lines, caption.size) == (("surprise",), 8)


def test_in_a_dense_crowd_each_face_has_one_caption_that_covers_no_other_face() -> None:
    faces = [full_face(5 + 64 * column, 5 + 64 * row, 60) for row in range(5) for column in range(8)]
    drawn = captions(grey(520, 330), faces)
    assert len(drawn) == 40
    for index, caption in enumerate(drawn):
        for other, face in enumerate(faces):
            assert other == index or shared(caption.frame, frame(face)) <= 0.1 * 60 * 60
    assert {line for caption in drawn for line in caption.lines} >= {"happy"}


def test_captions_are_written_over_the_boxes() -> None:
    """The plate of the first face is whole although the second face's box, drawn later, crosses it."""
    faces = [
        full_face(20, 20, 40, "happy"),
        full_face(4, 12, 84, "sad"),
    ]  # whose upper edge lies under the first one's plate
    image = grey(100, 98)
    plate = captions(image, faces)[0].frame
    assert shared(plate, frame(faces[1])), "they cross"
    out = annotate(image, faces)[plate.y + 3 :, plate.x + 3 :][: plate.height - 6, : plate.width - 6]
    assert not any(close(pixel, COLOURS["sad"]) for pixel in out.reshape(-1, 3))


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 40), (40, 3), (12, 12)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    width, height = size
    assert annotate(grey(width, height), [full_face(0, 0, 40), full_face(-9, -9, 3)]).shape == (height, width, 3)


@pytest.mark.parametrize(
    "box", [Box(-500, -500, -400, -400), Box(900, 900, 950, 980), Box(50, 50, 50, 50), Box(-1e4, -1e4, 1e4, 1e4)]
)
def test_boxes_anywhere(box: Box) -> None:
    assert annotate(grey(200, 100), [full_face(0, 0, 50).replace(box=box)]).shape == (100, 200, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("photo.jpg", "not str: facemodels.read_image"),
        (None, "NoneType"),
        (np.zeros((4, 4), np.uint8), r"uint8 array of shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
    ],
)
def test_refused_images(image: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        annotate(image, [])


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        (None, "an Analysis or several Face, not NoneType"),
        (full_face(0, 0, 9), "several Face, not Face"),
        (5, "not int"),
        ([Box(0, 0, 1, 1)], "must hold Face, not Box"),
        ([full_face(0, 0, 9), {"box": 1}], "not dict"),
        (Analysis((full_face(0, 0, 9),), 640, 480), "640 x 480 pixels, this one has 32 x 24"),
    ],
)
def test_refused_faces(faces: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        annotate(grey(32, 24), faces)
