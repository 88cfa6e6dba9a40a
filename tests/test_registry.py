"""The table of models, and what a spec refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from facemodels import ModelSpec, UnknownModelError, WeightsError, get_spec, list_models
from facemodels.hub.registry import DEFAULT_MODELS, ETHNICITIES, ETHNICITY_FIVE, WEIGHTS
from facemodels.types import ATTRIBUTES


def test_every_attribute_has_a_default_that_answers_it() -> None:
    assert tuple(DEFAULT_MODELS) == ATTRIBUTES
    for attribute, name in DEFAULT_MODELS.items():
        assert attribute in get_spec(name).attributes
        assert get_spec(name) in list_models(attribute)


def test_a_name_and_a_pinned_name() -> None:
    spec = get_spec("emotion-efficientnet")
    assert get_spec(spec.id) == spec
    with pytest.raises(UnknownModelError, match=r"emotion-efficientnet@99\.0\.0.*known here: .*emotion-efficientnet"):
        get_spec("emotion-efficientnet@99.0.0")
    with pytest.raises(UnknownModelError, match="nothing"):
        get_spec("nothing")
    with pytest.raises(UnknownModelError, match="emotion, age, gender, ethnicity"):
        list_models("mood")


def test_labels_stand_in_the_published_order() -> None:
    emotion = get_spec("emotion-efficientnet").head("emotion")
    assert emotion.labels == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
    ethnicity = get_spec("demographics-efficientnet").head("ethnicity")
    assert ethnicity.labels == ETHNICITIES
    assert ethnicity.views["five"] == ETHNICITY_FIVE
    assert get_spec("demographics-efficientnet").head("gender").labels == ("female", "male")


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_spec("yunet").name = "other"  # type: ignore[misc]


def test_a_spec_survives_json() -> None:
    for spec in list_models():
        assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.fixture
def data() -> dict:
    return json.loads((WEIGHTS / "emotion-efficientnet" / "config.json").read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2, this version of facemodels reads 1"),
        ({"colour": "red"}, "unknown fields colour"),
        ({"name": "../escape"}, "name"),
        ({"version": "latest"}, "must look like"),
        ({"input_size": 100000}, "input_size"),
        ({"input_size": "many"}, "many"),
        ({"margin": 50.0}, "margin"),
        ({"heads": []}, "heads"),
        ({"files": {"../../x.tflite": {"sha256": "0" * 64, "size": 1}}}, "plain file name"),
        ({"files": {"/etc/passwd": {"sha256": "0" * 64, "size": 1}}}, "plain file name"),
        ({"files": {"model.tflite": {"sha256": "0" * 64, "size": 2**40}}}, "size"),
        ({"files": {"model.tflite": {"sha256": "abc", "size": 1}}}, "sha256"),
        ({"files": {"model.tflite": {"size": 1}}}, "sha256"),
        ({"files": ["model.tflite"]}, "usable"),
    ],
)
def test_a_bad_spec_is_refused(data: dict, change: dict, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        ModelSpec.from_dict({**data, **change}, "somebody's config.json")


def test_a_missing_field_is_named(data: dict) -> None:
    del data["license"]
    with pytest.raises(WeightsError, match="license"):
        ModelSpec.from_dict(data)


def test_a_file_that_is_no_spec(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in ("", "[1]", "{nonsense"):
        path.write_text(content)
        with pytest.raises(WeightsError, match="config.json"):
            ModelSpec.from_file(path)
