"""What holds for every input, tried on a few hundred that Hypothesis makes up; the same ones in every run."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="property tests need Hypothesis: pip install -e '.[dev]'")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemodels import Analysis, Box, Classification, Estimate, Face, FaceTracker, ModelSpec, WeightsError, get_spec
from facemodels.attributes import ATTRIBUTES
from facemodels.crops import Window, cut, face_window
from facemodels.results import SINKS, CsvTable, escape_cell, table_columns


def tried(examples: int) -> Callable[[Any], Any]:
    """As many examples, the same in every run, whatever else the machine does."""
    calm = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=calm)


pixels = st.floats(-1e4, 1e4, width=32)
sizes = st.integers(1, 4000)
fractions = st.floats(0, 1, width=32)


@st.composite
def boxes(draw: st.DrawFn, least: float = 0.0) -> Box:
    x, y = draw(pixels), draw(pixels)
    return Box(x, y, x + least + draw(st.floats(0, 1e4, width=32)), y + least + draw(st.floats(0, 1e4, width=32)))


@st.composite
def classifications(draw: st.DrawFn, labels: tuple[str, ...]) -> Classification:
    weights = draw(st.lists(st.floats(0, 1, width=32), min_size=len(labels), max_size=len(labels)))
    total = sum(weights)
    scores = [weight / total if total > 1e-6 else 1 / len(labels) for weight in weights]
    return Classification.of(dict(zip(labels, scores, strict=True)))


estimates = st.builds(Estimate, st.floats(0, 120, width=32), st.floats(0, 60, width=32))
faces = st.builds(
    Face,
    boxes(least=1.0),
    st.none() | fractions,
    st.none() | st.lists(st.tuples(pixels, pixels), min_size=5, max_size=5).map(tuple),
    emotion=st.none() | classifications(ATTRIBUTES["emotion"].labels),
    age=st.none() | estimates,
)
analyses = st.builds(
    Analysis,
    st.lists(faces, max_size=4).map(tuple),
    st.sampled_from((640, 1280)),
    st.just(480),
    st.just({"emotion": "emotion-efficientnet@1.2.0"}),
) | st.just(Analysis((), 0, 0, {}, "it broke"))


@tried(200)
@given(boxes(), sizes, sizes)
def test_a_clipped_box_lies_inside(box: Box, width: int, height: int) -> None:
    inside = box.clip(width, height)
    assert 0 <= inside.x1 <= inside.x2 <= width and 0 <= inside.y1 <= inside.y2 <= height
    assert inside.clip(width, height) == inside


@tried(200)
@given(boxes(), boxes())
def test_overlap_is_a_fraction_and_mutual(a: Box, b: Box) -> None:
    assert 0 <= a.iou(b) <= 1 + 1e-9
    assert a.iou(b) == pytest.approx(b.iou(a))
    if a.width > 1e-3 and a.height > 1e-3:
        assert a.iou(a) == pytest.approx(1)


@tried(100)
@given(boxes(), boxes(), fractions)
def test_between_two_boxes_lies_a_box(a: Box, b: Box, fraction: float) -> None:
    between = a.interpolate(b, fraction)
    for name in ("x1", "y1", "x2", "y2"):
        low, high = sorted((getattr(a, name), getattr(b, name)))
        assert low - 1e-6 <= getattr(between, name) <= high + 1e-6


@tried(200)
@given(boxes(least=1.0), st.floats(0, 2), st.booleans(), st.tuples(pixels, pixels), st.tuples(pixels, pixels))
def test_a_window_holds_its_box(
    box: Box, margin: float, align: bool, left: tuple[float, float], right: tuple[float, float]
) -> None:
    window = face_window(box, margin=margin, align=align, landmarks=(left, right))
    assert window.width == window.height >= max(box.width, box.height) - 1e-6
    assert (window.cx, window.cy) == pytest.approx(box.centre, abs=1e-6)
    assert -180 <= window.angle <= 180 and (align or window.angle == 0)


@tried(100)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.builds(
        Window, pixels, pixels, st.floats(1, 1e4), st.floats(1, 1e4), st.floats(-360, 360), st.floats(-0.3, 0.3),
        st.booleans(),
    ),
    st.integers(0, 2**31),
)  # fmt: skip
def test_a_crop_shows_nothing_that_the_image_lacks(height: int, width: int, window: Window, seed: int) -> None:
    image = np.random.default_rng(seed).integers(50, 201, (height, width, 3), np.uint8)
    before = image.copy()
    crop = cut(image, window, 16)
    assert crop.shape == (16, 16, 3) and crop.dtype == np.uint8
    assert image.min() <= crop.min() and crop.max() <= image.max()
    assert np.array_equal(image, before)


@tried(60)
@given(st.lists(analyses, min_size=1, max_size=6))
def test_a_tracker_keeps_faces_apart(frames: list[Analysis]) -> None:
    tracker, again = FaceTracker(), FaceTracker()
    largest = 0
    for frame in frames:
        tracked = tracker.update(frame)
        assert tracked == again.update(frame)
        if frame.error is not None:
            assert tracked == frame
            continue
        ids = [face.track_id for face in tracked]
        assert len(set(ids)) == len(ids) == len(frame) and all(ids)
        largest = max(largest, *ids) if ids else largest
        for face in tracked:
            assert all(map(math.isfinite, face.box.to_dict().values()))
            assert face.box.x1 <= face.box.x2 and face.box.y1 <= face.box.y2
            if face.emotion is not None:
                assert sum(face.emotion.scores.values()) == pytest.approx(1, abs=1e-5)
                assert face.emotion.score == face.emotion.scores[face.emotion.label]
        json.dumps(tracked.to_dict(), allow_nan=False)
    assert largest <= sum(len(frame) for frame in frames)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SPEC = get_spec("demographics-efficientnet").to_dict()


@tried(300)
@given(st.dictionaries(st.sampled_from(sorted(SPEC)), anything, min_size=1, max_size=3), st.booleans())
def test_a_spec_is_used_or_refused(change: dict[str, Any], whole: bool) -> None:
    data = {**SPEC, **change} if whole else change
    try:
        spec = ModelSpec.from_dict(data)
    except WeightsError as error:
        assert "the spec is not a usable model spec: " in str(error)
    else:
        assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict(), allow_nan=False))) == spec


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@tried(60)
@given(st.lists(st.tuples(texts, analyses), max_size=3))
def test_every_format_gives_back_what_was_written(answers: list[tuple[str, Analysis]]) -> None:
    written = {}
    for name, kind in SINKS.items():
        stream = io.StringIO(newline="")
        with kind(stream) as sink:
            for source, analysis in answers:
                sink.write_image(source, analysis)
        written[name] = stream.getvalue()
    expected = [{"source": source, **analysis.to_dict()} for source, analysis in answers]
    assert json.loads(written["json"]) == json.loads(json.dumps(expected))
    assert [json.loads(line) for line in written["jsonl"].split("\n")[:-1]] == json.loads(json.dumps(expected))
    rows = list(csv.DictReader(io.StringIO(written["csv"], newline="")))
    wanted = [source for source, analysis in answers for _ in range(1 if analysis.error is not None else len(analysis))]
    assert [row["source"] for row in rows] == [str(escape_cell(source)) for source in wanted]
    assert all(row["error"] or float(row["x2"]) >= float(row["x1"]) for row in rows)
    assert all(None not in row and set(row) == set(table_columns()) for row in rows)


@tried(200)
@given(st.dictionaries(st.sampled_from(("source", "error")), texts, min_size=2))
def test_no_cell_is_a_formula(row: dict[str, str]) -> None:
    stream = io.StringIO(newline="")
    CsvTable(stream, ("source", "error")).write(row)
    (read,) = csv.DictReader(io.StringIO(stream.getvalue(), newline=""))
    for name, text in row.items():
        assert read[name] == "-" or not read[name].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert read[name].removeprefix("'") == text.removeprefix("'")
