"""Hidden faces stay hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels import ArgumentError, Box, Face, anonymize
from facemodels.cli import main
from facemodels.detection import make_detector
from facemodels.privacy import CELLS, HOW, MIN_SCORE


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("turns", range(4))
def test_nobody_is_found_any_more(astronaut: np.ndarray, how: str, turns: int) -> None:
    detector = make_detector("libfacedetection")
    assert detector is not None
    image = np.ascontiguousarray(np.rot90(astronaut, turns))
    before = image.copy()
    faces = detector.detect(image, MIN_SCORE)
    assert faces
    hidden = anonymize(image, faces, how)
    assert np.array_equal(image, before) and hidden.shape == image.shape
    assert detector.detect(hidden, 0.6) == []


def test_little_is_left_of_a_patch_and_all_of_the_rest(astronaut: np.ndarray) -> None:
    box = Box(180, 70, 270, 190)
    hidden = anonymize(astronaut, [Face(box)], "pixelate")
    assert len(np.unique(hidden[70:190, 180:270].reshape(-1, 3), axis=0)) <= CELLS**2
    assert np.array_equal(hidden[300:], astronaut[300:])


def test_boxes_at_and_beyond_the_border(astronaut: np.ndarray) -> None:
    for box in (Box(-50, -50, 20, 20), Box(500, 500, 600, 600)):
        assert not np.array_equal(anonymize(astronaut, [box]), astronaut)
    assert np.array_equal(anonymize(astronaut, [Box(900, 900, 950, 950)]), astronaut)
    assert np.array_equal(anonymize(astronaut, []), astronaut)


def test_wrong_arguments_are_named(astronaut: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="blur, pixelate, fill"):
        anonymize(astronaut, [], "mosaic")
    with pytest.raises(ArgumentError, match="Face or Box"):
        anonymize(astronaut, [(1, 2, 3, 4)])  # type: ignore[list-item]


def test_the_command_writes_copies_without_faces_and_metadata(
    astronaut: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, out = tmp_path / "photo.jpg", tmp_path / "out"
    exif = Image.Exif()
    exif[0x010E] = "who this is"
    Image.fromarray(astronaut).save(photo, quality=95, exif=exif)
    assert main(["analyze", str(photo), "--anonymize", str(out), "--attributes", "gender"]) == 0
    assert capsys.readouterr().out
    (written,) = out.iterdir()
    with Image.open(written) as image:
        assert not image.getexif() and image.size == (512, 512)
        detector = make_detector("libfacedetection")
        assert detector is not None and detector.detect(np.asarray(image)) == []
