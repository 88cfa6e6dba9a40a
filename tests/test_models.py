"""The bundled models: golden outputs, two backends with one answer, any batch size, many threads."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facemodels import ArgumentError, ModelSpec, WeightsError, list_models
from facemodels.hub.golden import golden_crops, golden_difference
from facemodels.hub.registry import WEIGHTS, Head
from facemodels.models import AttributeModel, decode

SPECS = [spec for spec in list_models() if spec.heads]


@pytest.fixture(scope="module", params=SPECS, ids=lambda spec: spec.id)
def model(request: pytest.FixtureRequest) -> AttributeModel:
    return AttributeModel(request.param)


def noise(model: AttributeModel, count: int) -> np.ndarray:
    size = model.spec.input_size
    return np.random.default_rng(count).integers(0, 256, (count, size, size, 3), np.uint8)


def test_golden_outputs(model: AttributeModel) -> None:
    difference = golden_difference(model, WEIGHTS / model.spec.name / "golden.json")
    assert difference <= model.spec.tolerance


def test_other_golden_outputs_are_noticed(model: AttributeModel, tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    golden = json.loads((WEIGHTS / model.spec.name / "golden.json").read_text())
    name = model.spec.heads[0].output
    golden["outputs"][name][0][0] += 0.5
    path.write_text(json.dumps(golden))
    assert golden_difference(model, path) > 0.4
    del golden["outputs"][name]
    path.write_text(json.dumps(golden))
    with pytest.raises(WeightsError, match="outputs"):
        golden_difference(model, path)


def test_keras_gives_the_same_numbers(model: AttributeModel) -> None:
    pytest.importorskip("keras")
    exact = AttributeModel(model.spec, backend="keras")
    crops = np.concatenate([noise(model, 3), golden_crops(model.spec.input_size, (5, 6, 7))])
    ours, theirs = model.probabilities(crops), exact.probabilities(crops)
    for name in ours:
        assert np.abs(ours[name] - theirs[name]).max() <= model.spec.tolerance


def test_batch_size_and_neighbours_do_not_matter(model: AttributeModel) -> None:
    crops = noise(model, 21)
    together = model.probabilities(crops)
    for index in (0, 7, 20):
        alone = model.probabilities(crops[index : index + 1])
        for name in together:
            assert np.abs(together[name][index] - alone[name][0]).max() < 1e-5


def test_rows_sum_to_one_and_nothing_is_kept(model: AttributeModel) -> None:
    first = model.probabilities(noise(model, 1))
    kept = {name: rows.copy() for name, rows in first.items()}
    model.probabilities(255 - noise(model, 1))
    for name, rows in first.items():
        assert np.allclose(rows.sum(1), 1, atol=1e-4)
        assert np.array_equal(rows, kept[name])  # not a view into memory that the next call overwrites


def test_no_crop_is_no_answer(model: AttributeModel) -> None:
    size = model.spec.input_size
    answers = model.predict(np.empty((0, size, size, 3), np.uint8))
    assert answers == {attribute: [] for attribute in model.spec.attributes}


def test_threads_share_a_model(model: AttributeModel) -> None:
    crops = noise(model, 8)
    expected = [model.predict(crops[i : i + 1]) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: model.predict(crops[i % 8 : i % 8 + 1]), range(64)))
    assert all(answer == expected[i % 8] for i, answer in enumerate(answers))


def test_an_unknown_backend() -> None:
    with pytest.raises(ArgumentError, match="litert, keras"):
        AttributeModel(SPECS[0], backend="onnx")


def test_a_file_that_does_not_fit_its_spec(release: Path) -> None:
    spec = replace(ModelSpec.from_file(release / "config.json"), folder=release)
    wrong = replace(spec, heads=(replace(spec.heads[0], labels=("yes", "no")),))
    with pytest.raises(WeightsError, match="expected the output 'emotion' with 2 values"):
        AttributeModel(wrong).warmup()


def test_outputs_that_are_not_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = AttributeModel(SPECS[0])
    broken = {head.output: np.full((1, len(head.labels)), np.nan, np.float32) for head in SPECS[0].heads}
    monkeypatch.setattr(model._backend, "run", lambda batch: broken)
    with pytest.raises(WeightsError, match="not a number"):
        model.warmup()


def test_decode_ages() -> None:
    head = Head("age", "age", "age", tuple(str(year) for year in range(101)))
    rows = np.zeros((2, 101), np.float32)
    rows[0, 30] = 1
    rows[1, [20, 40]] = 0.5
    sure, split = decode(head, rows)
    assert (sure.value, sure.error) == (30, 0)  # type: ignore[union-attr]
    assert (split.value, split.error) == (30, 10)  # type: ignore[union-attr]


def test_decode_labels() -> None:
    head = Head("gender", "gender", "classification", ("female", "male"))
    (answer,) = decode(head, np.array([[0.2, 0.6]], np.float32))  # rows that are off are brought to one
    assert answer.label == "male"  # type: ignore[union-attr]
    assert answer.score == pytest.approx(0.75)  # type: ignore[union-attr]
    assert sum(answer.scores.values()) == pytest.approx(1, abs=1e-12)  # type: ignore[union-attr]
    assert list(answer.scores) == ["female", "male"]  # type: ignore[union-attr]
