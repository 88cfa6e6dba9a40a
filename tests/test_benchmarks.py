"""What the benchmarks rest on; nothing here is timed."""

from __future__ import annotations

import pytest

pytest.importorskip("skimage", reason="scikit-image brings the picture: pip install -e '.[dev]'")

from benchmarks.speed import group, milliseconds, multiply_adds, row
from facemodels import get_spec
from facemodels.detectors import LibFaceDetection
from facemodels.models import AttributeModel


@pytest.mark.parametrize("count", [1, 6])
def test_the_group_picture_holds_that_many_faces(count: int) -> None:
    picture = group(count)
    assert picture.shape == (480, 640, 3)
    assert len(LibFaceDetection().detect(picture)) == count


def test_rows_are_medians_with_their_spread() -> None:
    assert str(row("x", [1.0, 2.0, 30.0], "ms")) == "| x | 2.00 ms | 1.20 .. 24.40 |"
    calls: list[int] = []
    assert len(milliseconds(lambda: calls.append(1), runs=4, warm=2)) == 4 and len(calls) == 6


def test_multiply_adds_of_efficientnet_lite0() -> None:
    """407 million at 224 px, as published, shrink with the picture's area: 75 million at 96 px."""
    found = multiply_adds(AttributeModel(get_spec("emotion-efficientnet")))
    assert found == pytest.approx(407e6 * (96 / 224) ** 2, rel=0.1)
