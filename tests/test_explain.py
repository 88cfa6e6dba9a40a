"""Explanations: an analyzer that looks at one known place is found out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from facemodels import Box, Classification, Face, FaceAnalyzer
from facemodels.crops import cut, face_window
from facemodels.errors import ArgumentError
from facemodels.explain import occlusion_map, view
from facemodels.hub.registry import WEIGHTS, get_spec


class OneEyed:
    """Happy as far as the red square of a crop, 8..16 down and 24..32 across, is red."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def analyze_crops(self, crops: Iterable[np.ndarray]) -> list[Face]:
        crops = list(crops)
        self.asked.append(len(crops))
        return [self._face(crop) for crop in crops]

    @staticmethod
    def _face(crop: np.ndarray) -> Face:
        happy = float((crop[8:16, 24:32, 0] == 255).mean())
        box = Box(0.0, 0.0, float(crop.shape[1]), float(crop.shape[0]))
        return Face(box, emotion=Classification.of({"sad": 1 - happy, "happy": happy}))


@pytest.fixture
def crop() -> np.ndarray:
    crop = np.zeros((40, 48, 3), np.uint8)
    crop[8:16, 24:32, 0] = 255
    return crop


def test_the_place_that_counts_is_the_hottest(crop: np.ndarray) -> None:
    analyzer, before = OneEyed(), crop.copy()
    heat = occlusion_map(analyzer, crop, "happy")
    assert heat.shape == (40, 48) and heat.dtype == np.float64
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert 8 <= y < 16 and 24 <= x < 32
    assert heat.max() > 1 and heat.min() == 0
    assert (heat[:, :15] == 0).all() and (heat[28:] == 0).all(), "far from the place nothing counts"
    assert analyzer.asked == [50], "one call for all"
    assert np.array_equal(crop, before)


def test_what_speaks_against_a_label_is_below_zero(crop: np.ndarray) -> None:
    for_happy, for_sad = (occlusion_map(OneEyed(), crop, label) for label in ("happy", "sad"))
    assert for_sad.min() < -1 and np.allclose(for_sad, -for_happy, atol=1e-6)


def test_an_answer_that_seems_certain_is_explained_too(crop: np.ndarray) -> None:
    class Certain(OneEyed):
        @staticmethod
        def _face(crop: np.ndarray) -> Face:
            happy = 0.9999 + 0.000099 * float((crop[8:16, 24:32, 0] == 255).mean())
            return Face(Box(0, 0, 1, 1), emotion=Classification.of({"sad": 1 - happy, "happy": happy}))

    assert occlusion_map(Certain(), crop, "happy").max() > 1


def test_one_patch_covers_everything(crop: np.ndarray) -> None:
    heat = occlusion_map(OneEyed(), crop, "happy", patches=1)
    assert (heat == heat[0, 0]).all() and heat[0, 0] > 10


def test_nothing_changes_where_nothing_counts() -> None:
    assert (occlusion_map(OneEyed(), np.zeros((48, 48, 3), np.uint8), "happy") == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "bored"}, "no score of 'bored' to explain; known labels: sad, happy"),
        ({"attribute": "gender"}, "the analyzer gives no scores for 'gender'"),
        ({"attribute": "age"}, "the analyzer gives no scores for 'age'"),
        ({"patches": 0}, "0 patches a side do not fit"),
        ({"patches": 40}, "do not fit a crop of 48 x 40 pixels"),
    ],
)
def test_what_cannot_be_explained(crop: np.ndarray, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        occlusion_map(OneEyed(), crop, **{"label": "happy", **change})


def test_the_view_is_the_models_own_crop(astronaut: np.ndarray) -> None:
    spec = get_spec("emotion-efficientnet")
    face = Face(Box(170, 60, 280, 180), landmarks=((200.0, 110.0), (250.0, 120.0)))
    window = face_window(face.box, margin=spec.margin, offset=spec.offset, landmarks=face.landmarks)
    assert np.array_equal(view(astronaut, face, spec, 64), cut(astronaut, window, 64))


@pytest.mark.skipif(not (WEIGHTS / "emotion-efficientnet").is_dir(), reason="no weights are bundled")
def test_a_smile_is_mostly_in_the_lower_half(astronaut: np.ndarray) -> None:
    analyzer = FaceAnalyzer(["emotion"])
    (face,) = analyzer.analyze(astronaut)
    crop = view(astronaut, face, get_spec(analyzer.models["emotion"]))
    (seen,) = analyzer.analyze_crops([crop])
    assert seen.emotion.scores["happy"] == pytest.approx(face.emotion.scores["happy"], abs=0.05)
    heat = occlusion_map(analyzer, crop, "happy")
    assert heat[96:].max() > heat[:96].max()
