"""The JSON Schema of results, against results of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from facemodels import Analysis, Box, Classification, Estimate, Face, FaceAnalyzer, FaceTracker
from facemodels.attributes import ATTRIBUTES, ON_REQUEST
from facemodels.hub.registry import WEIGHTS
from facemodels.types import SCHEMA, Quality

jsonschema = pytest.importorskip("jsonschema", reason="pip install -e '.[dev]'")

SHAPE = Analysis.schema()
FULL = Face(
    Box(1.5, 2, 30, 40),
    0.9,
    landmarks=((10.0, 12.0), (20.0, -0.5)),
    emotion=Classification.of({"happy": 0.75, "sad": 0.25}),
    age=Estimate(31.0, 5.0),
    gender=Classification.of({"female": 0.5, "male": 0.5}),
    ethnicity=Classification.of({"white": 0.0, "black": 1.0}),
    track_id=7,
    quality=Quality(0.5, 12.0, 0.01, 0.3, -0.1, 0.0, ("small",)),
)
ANALYSIS = Analysis((FULL, Face(Box(0, 0, 5, 5))), 640, 480, {"emotion": "emotion-efficientnet@1.3.0"})


@pytest.fixture(scope="module")
def check() -> Callable[[Any], None]:
    jsonschema.Draft202012Validator.check_schema(SHAPE)
    return jsonschema.Draft202012Validator(SHAPE).validate


@pytest.mark.parametrize(
    "analysis", [ANALYSIS, Analysis((), 640, 480), Analysis((), 0, 0, ANALYSIS.models, "broken.jpg is empty")]
)
def test_results_fit(check: Callable[[Any], None], analysis: Analysis) -> None:
    check(json.loads(json.dumps(analysis.to_dict())))


@pytest.mark.skipif(not (WEIGHTS / "emotion-efficientnet").is_dir(), reason="no weights are bundled")
def test_real_results_fit(check: Callable[[Any], None], astronaut: np.ndarray) -> None:
    analyzer = FaceAnalyzer()
    good, blank, bad = analyzer.analyze_batch([astronaut, np.zeros((50, 60, 3), np.uint8), b"no picture"])
    assert (len(good), len(blank), bad.error is None) == (1, 0, False)
    for analysis in (good, blank, bad, FaceTracker().update(good)):
        check(json.loads(json.dumps(analysis.to_dict())))


def test_the_schema_names_what_results_have() -> None:
    result = ANALYSIS.to_dict()
    face = SHAPE["properties"]["faces"]["items"]
    assert SHAPE["properties"]["schema"]["const"] == SCHEMA and SHAPE["$id"].endswith(f":{SCHEMA}")
    assert SHAPE["required"] == list(SHAPE["properties"]) == list(result)
    assert [*face["required"], "quality"] == list(result["faces"][0]), "points and pose only where asked for"
    assert [*face["required"], "quality", *ON_REQUEST] == list(face["properties"])
    assert SHAPE["properties"]["models"]["propertyNames"]["enum"] == [*ATTRIBUTES, *ON_REQUEST]


def broken(*path: str | int, to: Any) -> Any:
    """A good result with one value changed or added."""
    result = json.loads(json.dumps(ANALYSIS.to_dict()))
    place = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return result


@pytest.mark.parametrize(
    "result",
    [
        {},
        broken("schema", to=2),
        broken("extra", to=1),
        broken("width", to=1.5),
        broken("faces", 0, "extra", to=1),
        broken("faces", 0, "score", to=1.5),
        broken("faces", 0, "box", "x1", to=None),
        broken("faces", 0, "box", "w", to=3),
        broken("faces", 0, "landmarks", 0, to=[1]),
        broken("faces", 0, "emotion", "scores", to={}),
        broken("faces", 0, "emotion", "scores", "happy", to=75),
        broken("faces", 0, "age", to=31.0),
        broken("faces", 0, "track_id", to="7"),
        broken("models", "mood", to="mood@1.0.0"),
        broken("models", "emotion", to="emotion-efficientnet"),
    ],
)
def test_other_shapes_are_refused(check: Callable[[Any], None], result: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(result)
