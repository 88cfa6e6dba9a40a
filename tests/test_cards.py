"""Every spec, card and file that ships, compared with one another."""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from facemodels import ModelSpec, list_models
from facemodels.attributes import ATTRIBUTES, ON_REQUEST
from facemodels.hub import store
from facemodels.hub.registry import WEIGHTS, get_spec

ROOT = Path(__file__).parent.parent
CARDS = ROOT / "model_cards"
SPECS = [spec for spec in list_models() if set(spec.attributes) & set(ATTRIBUTES)]
LANDMARKS = get_spec("landmarks-efficientnet")
DETECTOR = get_spec("libfacedetection")

every_model = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


def test_all_four_attributes_ship() -> None:
    assert {attribute for spec in SPECS for attribute in spec.attributes} == {"emotion", "age", "gender", "ethnicity"}
    assert {path.stem for path in CARDS.glob("[!_]*.md")} == {spec.name for spec in [*SPECS, LANDMARKS, DETECTOR]}
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*")) < 64e6


def test_the_detector_is_a_model_too() -> None:
    assert DETECTOR in list_models() and set(DETECTOR.files) == {"graph.tflite", "arrays.json"}
    assert store.locate(DETECTOR) == "bundled"
    for name, expected in DETECTOR.files.items():
        store.verify(WEIGHTS / DETECTOR.name / name, expected)
    card = (WEIGHTS / DETECTOR.name / "README.md").read_text(encoding="utf-8")
    assert card == (CARDS / f"{DETECTOR.name}.md").read_text(encoding="utf-8")
    assert f"# {DETECTOR.name} {DETECTOR.version}\n" in card
    data = ModelCard(card).data
    assert data.license == DETECTOR.license and data.library_name == "litert"
    rows = json.loads((WEIGHTS / DETECTOR.name / "arrays.json").read_text(encoding="utf-8"))["arrays"]
    assert f"{sum(math.prod(row['shape']) for row in rows):,} parameters" in card


def test_landmarks_too() -> None:
    from training.landmarks.card import headline, write_card

    release = WEIGHTS / LANDMARKS.name
    assert LANDMARKS.attributes == tuple(ON_REQUEST) and LANDMARKS.files["model.tflite"].size < 2e6
    for name, expected in LANDMARKS.files.items():
        store.verify(release / name, expected)
    measured = json.loads((release / "metrics.json").read_text(encoding="utf-8"))
    assert (measured["model"], measured["limit"]) == (LANDMARKS.id, None)
    assert list(LANDMARKS.metrics) == headline(measured) and LANDMARKS.tolerance >= measured["keras_litert_difference"]
    card = (release / "README.md").read_text(encoding="utf-8")
    assert card == write_card(LANDMARKS, measured) == (CARDS / f"{LANDMARKS.name}.md").read_text(encoding="utf-8")
    assert "$" not in card and "runs/" not in card


@every_model
def test_files_are_those_of_the_spec(spec: ModelSpec) -> None:
    assert set(spec.files) == {"model.keras", "model.tflite"}
    for name, expected in spec.files.items():
        content = (WEIGHTS / spec.name / name).read_bytes()
        assert len(content) == expected.size
        assert hashlib.sha256(content).hexdigest() == expected.sha256


@every_model
def test_the_keras_file_holds_built_in_layers_only(spec: ModelSpec) -> None:
    with zipfile.ZipFile(WEIGHTS / spec.name / "model.keras") as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        config = json.loads(archive.read("config.json"))
    layers = config["config"]["layers"]
    assert layers and all(layer["module"] == "keras.layers" and layer["class_name"] != "Lambda" for layer in layers)


@every_model
def test_the_card_is_the_same_in_both_places(spec: ModelSpec) -> None:
    card, release = (
        path.read_text(encoding="utf-8") for path in (CARDS / f"{spec.name}.md", WEIGHTS / spec.name / "README.md")
    )
    # Its pictures stay beside the weights.
    assert card.replace(f"](../facemodels/weights/{spec.name}/", "](") == release


@every_model
def test_the_card_is_what_its_figures_make(spec: ModelSpec) -> None:
    from training.config import config_from
    from training.release.card import write_card

    release = WEIGHTS / spec.name
    measured = json.loads((release / "metrics.json").read_text(encoding="utf-8"))
    pictures = [path.name for path in release.glob("*.png")]
    card = write_card(spec, config_from(measured["config"]), measured, pictures)
    assert card == (release / "README.md").read_text(encoding="utf-8")


@every_model
def test_the_cards_pictures_are_there(spec: ModelSpec) -> None:
    text = (WEIGHTS / spec.name / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert shown and {path.name for path in (WEIGHTS / spec.name).glob("*.png")} == set(shown)


@every_model
def test_card_and_spec_agree(spec: ModelSpec) -> None:
    card = ModelCard.load(CARDS / f"{spec.name}.md")
    data = card.data
    assert (data.license, data.license_name) == (spec.license, spec.license_name)
    assert data.library_name == "keras" and data.pipeline_tag == "image-classification"
    assert tuple(data.datasets) == spec.datasets
    assert set(spec.attributes) <= set(data.tags)
    on_card = {
        (f"{r.dataset_name} {r.dataset_split}", r.dataset_config, r.metric_type): r.metric_value
        for r in data.eval_results
    }
    in_spec = {(row["dataset"], row["label"], row["metric"]): row["value"] for row in spec.metrics}
    assert on_card == in_spec and in_spec
    text = card.text
    assert text.startswith(f"\n# {spec.name} {spec.version}") or text.startswith(f"# {spec.name} {spec.version}")
    for heading in ("How to load", "What was measured", "Meant for", "Not meant for", "Limits", "Licence"):
        assert f"## {heading}" in text
    for label in (label for head in spec.heads if head.kind == "classification" for label in head.labels):
        assert label in text
    assert "$" not in text  # nothing of the template is left
    assert "runs/" not in text  # nor a folder that only whoever trained has


@every_model
def test_spec_and_measurements_agree(spec: ModelSpec) -> None:
    measured = json.loads((WEIGHTS / spec.name / "metrics.json").read_text())
    assert measured["model"] == spec.id and measured["limit"] is None and measured["backend"] == "litert"
    results = {(test["dataset"], r["label"]): r for test in measured["tests"] for r in test["results"]}
    keys = {
        "accuracy": "accuracy",
        "recall": "macro_recall",
        "f1": "macro_f1",
        "mae": "mae",
        "within_one_bin": "within_one",
    }
    for row in spec.metrics:
        result = results[row["dataset"], row["label"]]
        assert row["value"] == round(result[keys[row["metric"]]], 6) and row["count"] == result["count"]
        if "confusion" in result:
            hits = sum(line[i] for i, line in enumerate(result["confusion"]))
            assert sum(map(sum, result["confusion"])) == result["count"]
            assert math.isclose(hits / result["count"], result["accuracy"], abs_tol=1e-9)
    assert spec.tolerance >= measured["keras_litert_difference"]


@every_model
def test_the_card_shows_every_measured_figure(spec: ModelSpec) -> None:
    text = (CARDS / f"{spec.name}.md").read_text(encoding="utf-8")
    for row in spec.metrics:
        value = f"{row['value']:.2f}" if row["metric"] == "mae" else f"{row['value']:.1%}"
        assert f"| {row['dataset']} | {row['label']} |" in text and f"| {value} | {row['count']} |" in text
