"""The bundled models: golden outputs, two backends with one answer, any batch size, many threads."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facemodels import ArgumentError, ModelSpec, WeightsError, get_spec, list_models, models
from facemodels.attributes import ALL_ATTRIBUTES
from facemodels.hub.golden import golden_crops, golden_difference
from facemodels.hub.registry import WEIGHTS, Head, WeightsFile
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


@pytest.mark.slow
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
            assert np.allclose(together[name][index], alone[name][0], rtol=1e-5, atol=1e-5)


def test_rows_sum_to_one_and_nothing_is_kept(model: AttributeModel) -> None:
    first = model.probabilities(noise(model, 1))
    kept = {name: rows.copy() for name, rows in first.items()}
    model.probabilities(255 - noise(model, 1))
    for name, rows in first.items():
        (head,) = (head for head in model.spec.heads if head.output == name)
        if ALL_ATTRIBUTES[head.attribute].kind.probabilities:
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


def copy_of(name: str, folder: Path, changes: dict[int, int], file: str = "model.tflite") -> ModelSpec:
    """A folder with a bundled model of which some bytes are changed, and whose spec says so."""
    shutil.copytree(WEIGHTS / name, folder)
    content = bytearray((folder / file).read_bytes())
    for offset, value in changes.items():
        content[offset] = value
    return replaced(folder, file, bytes(content))


def replaced(folder: Path, file: str, content: bytes) -> ModelSpec:
    """The spec of a folder in which a file gets other content."""
    (folder / file).write_bytes(content)
    spec = ModelSpec.from_file(folder / "config.json")
    entry = WeightsFile(hashlib.sha256(content).hexdigest(), len(content))
    return replace(spec, folder=folder, files={**spec.files, file: entry})


def test_what_was_checked_is_what_runs(tmp_path: Path) -> None:
    """The file is not opened again: neither for another batch size, nor by another backend's library."""
    folder = tmp_path / "copy"
    shutil.copytree(WEIGHTS / "gender-efficientnet", folder)
    spec = replace(ModelSpec.from_file(folder / "config.json"), folder=folder)
    model, original = AttributeModel(spec), AttributeModel(replace(spec, folder=None))
    model.warmup()
    for name in spec.files:
        (folder / name).write_bytes(b"something else")
    crops = noise(model, 5)
    expected = original.probabilities(crops)
    assert all(np.array_equal(rows, expected[name]) for name, rows in model.probabilities(crops).items())


def test_bundled_bytes_need_no_child_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a child process was started"))
    AttributeModel(get_spec("gender-efficientnet")).warmup()
    AttributeModel(copy_of("gender-efficientnet", tmp_path / "copy", {})).warmup()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({20: 0}, "SIGSEGV|SIGBUS"),  # ends the process that opens it
        ({4: 0}, "cannot be run by LiteRT"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the signals are Linux's")
def test_somebody_elses_file_never_ends_this_process(tmp_path: Path, changes: dict[int, int], message: str) -> None:
    spec = copy_of("gender-efficientnet", tmp_path / "copy", changes)
    with pytest.raises(WeightsError, match=rf"model\.tflite of gender-efficientnet@.* is not used: .*({message})"):
        AttributeModel(spec)


def test_somebody_elses_file_that_works(tmp_path: Path) -> None:
    original = (WEIGHTS / "gender-efficientnet" / "model.tflite").read_bytes()
    spec = copy_of("gender-efficientnet", tmp_path / "copy", {})
    spec = replaced(tmp_path / "copy", "model.tflite", original + bytes(16))  # other bytes, the same model
    model = AttributeModel(spec)
    expected = AttributeModel(get_spec("gender-efficientnet")).probabilities(noise(model, 2))
    assert all(np.array_equal(rows, expected[name]) for name, rows in model.probabilities(noise(model, 2)).items())
    golden = json.loads((tmp_path / "copy" / "golden.json").read_text())
    golden["outputs"]["gender"][0][0] += 0.5
    (tmp_path / "copy" / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(WeightsError, match=r"not used: its answers differ from .*golden\.json by 0\.\d+, and"):
        AttributeModel(spec)


def test_somebody_elses_file_gets_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = copy_of("gender-efficientnet", tmp_path / "copy", {})
    spec = replaced(tmp_path / "copy", "model.tflite", (tmp_path / "copy" / "model.tflite").read_bytes() + bytes(16))
    monkeypatch.setitem(models.TRIAL_SECONDS, "litert", 0.05)
    with pytest.raises(WeightsError, match=r"the child process that ran it first did not end within 0\.05 s"):
        AttributeModel(spec)
    monkeypatch.setitem(models.TRIAL_SECONDS, "litert", 60)
    if sys.platform == "linux":
        monkeypatch.setattr(models, "TRIAL_MEMORY", 50 * 2**20)
        with pytest.raises(WeightsError, match="the child process that ran it first (was ended|ended with)|not used: "):
            AttributeModel(spec)


@pytest.mark.parametrize("damage", ["no zip", "no config", "other config", "cut weights"])
def test_a_damaged_keras_file_is_one_kind_of_error(tmp_path: Path, damage: str) -> None:
    pytest.importorskip("keras")
    source = WEIGHTS / "gender-efficientnet" / "model.keras"
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if damage == "no config":
        del parts["config.json"]
    elif damage == "other config":
        parts["config.json"] = b'{"module": "keras", "class_name": "Functional", "config": {"layers": 3}}'
    elif damage == "cut weights":
        parts["model.weights.h5"] = parts["model.weights.h5"][:1000]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    wrong = b"no zip" if damage == "no zip" else content.getvalue()
    with pytest.raises(WeightsError, match=r"gender-efficientnet.* cannot be loaded by Keras: "):
        AttributeModel.of_content(get_spec("gender-efficientnet"), wrong, "keras")


@pytest.mark.slow
def test_somebody_elses_keras_file(tmp_path: Path) -> None:
    """Checked without Keras first; then Keras opens it in a child process."""
    pytest.importorskip("keras")
    source = zipfile.ZipFile(WEIGHTS / "gender-efficientnet" / "model.keras")
    config = source.read("config.json")
    spec = copy_of("gender-efficientnet", tmp_path / "copy", {})

    def spec_with(config: bytes, weights: bytes) -> ModelSpec:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, data in (("config.json", config), ("metadata.json", b"{}"), ("model.weights.h5", weights)):
                archive.writestr(name, data)
        return replaced(spec.folder or tmp_path, "model.keras", content.getvalue())

    stranger = spec_with(config.replace(b'"module": "keras.layers"', b'"module": "os"', 1), b"")
    with pytest.raises(WeightsError, match=r"model\.keras of gender-efficientnet@.* not used: it holds .* 'os'"):
        AttributeModel(stranger, backend="keras")
    with pytest.raises(WeightsError, match=r"not used: gender-efficientnet@.* cannot be loaded by Keras"):
        AttributeModel(spec_with(config, b"no weights"), backend="keras")


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("torch", r"KERAS_BACKEND=torch .*set KERAS_BACKEND=tensorflow"),
        (None, "pip install 'keras>=3.15,<4' 'tensorflow>=2.21,<2.23'"),
    ],
)
def test_keras_that_cannot_be_imported(variable: str | None, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if variable:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    with pytest.raises(WeightsError, match=message):
        AttributeModel(get_spec("gender-efficientnet"), backend="keras")


def test_an_unknown_backend() -> None:
    with pytest.raises(ArgumentError, match="litert, keras"):
        AttributeModel(SPECS[0], backend="onnx")


def test_a_file_that_does_not_fit_its_spec(tmp_path: Path) -> None:
    spec = get_spec("emotion-efficientnet")
    wrong = replace(spec, heads=(replace(spec.heads[0], labels=("happy", "sad"), prior=(), prior_strength=0.0),))
    with pytest.raises(WeightsError, match="expected the output 'emotion' with 2 values"):
        AttributeModel(wrong).warmup()
    copy = copy_of("emotion-efficientnet", tmp_path / "copy", {})
    copy = replaced(tmp_path / "copy", "model.tflite", (tmp_path / "copy" / "model.tflite").read_bytes() + bytes(16))
    with pytest.raises(WeightsError, match="not used: .*expected the output 'emotion' with 2 values"):
        AttributeModel(replace(copy, heads=wrong.heads))


def test_outputs_that_are_not_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = AttributeModel(SPECS[0])
    broken = {head.output: np.full((1, len(head.labels)), np.nan, np.float32) for head in SPECS[0].heads}
    monkeypatch.setattr("facemodels.models.Interpreters.run", lambda self, batch: broken)
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "does not hold the golden outputs"),
        (b'{"seeds": 3, "outputs": []}', "does not hold the golden outputs"),
        (json.dumps({"seeds": [0] * 1000, "outputs": {}}).encode(), "1,000 seeds, and 100 are allowed"),
        (json.dumps({"seeds": [-1], "outputs": {}}).encode(), "does not hold the golden outputs"),
        (json.dumps({"seeds": [0], "outputs": {"gender": [["a"]]}}).encode(), "does not hold the golden outputs"),
        (json.dumps({"seeds": [0], "outputs": {"gender": [[1] * 5]}}).encode(), "does not hold the golden outputs"),
        (b" " * 2**21, "larger than 1,048,576 bytes"),
    ],
)
def test_golden_outputs_that_are_none(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        golden_difference(AttributeModel(get_spec("gender-efficientnet")), path)
