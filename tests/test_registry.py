"""The table of models, and what a spec refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import robustness
from facemodels import ModelSpec, UnknownModelError, WeightsError, get_spec, list_models
from facemodels.attributes import ATTRIBUTES, ETHNICITIES, ETHNICITY_FIVE
from facemodels.hub.registry import DEFAULT_MODELS, WEIGHTS


def test_every_attribute_has_a_default_that_answers_it() -> None:
    assert tuple(DEFAULT_MODELS) == tuple(ATTRIBUTES)
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


def test_a_head_states_its_prior_or_none(data: dict) -> None:
    with_prior = {**HEAD, "prior": [0.75, 0.25], "prior_strength": 0.5}
    head = ModelSpec.from_dict({**data, "heads": [with_prior]}).heads[0]
    assert head.prior == (0.75, 0.25) and head.prior_strength == 0.5
    head = ModelSpec.from_dict({**data, "heads": [HEAD]}).heads[0]  # as written before there was such a field
    assert head.prior == () and head.prior_strength == 0


def test_a_head_of_another_attribute_is_refused() -> None:
    spec = get_spec("demographics-efficientnet").with_output("age")
    assert spec.head("age").output == "age"
    with pytest.raises(UnknownModelError, match=r"demographics-efficientnet@[\d.]+#age answers age, not gender"):
        spec.head("gender")


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": "48"}, "input_size must be a whole number, not '48'"),
        ({"input_size": 48.5}, "input_size must be a whole number, not 48.5"),
        ({"input_size": True}, "input_size must be a whole number, not True"),
        ({"input_size": float("inf")}, "input_size must be a whole number, not inf"),
        ({"input_size": 10**400}, "input_size 1000.*000 is not within 1..1024"),
        ({"margin": "0.1"}, "margin must be a number, not '0.1'"),
        ({"margin": float("nan")}, "margin is not a finite number"),
        ({"margin": 10**400}, "margin is not a finite number"),
        ({"align": 1}, "align must be true or false, not 1"),
        ({"tolerance": -1}, "tolerance -1.0 is not within 0..1"),
        ({"version": "١.٢.٣"}, "version .* must look like"),
        ({"version": "1." + "9" * 5000 + ".0"}, "version has 5,004 characters"),
        ({"schema": True}, "schema must be a whole number"),
        ({"license": ["mit"]}, r"license must be a text, not \['mit'\]"),
        ({"license": "\x1b[2J"}, "license has characters that cannot be printed"),
        ({"license": "\ud800"}, "license has characters that cannot be printed"),
        ({"license_name": 3}, "license_name must be a text"),
        ({"repo_id": "../x"}, "repo_id '../x' must look like owner/name"),
        ({"revision": "../../x"}, "revision '../../x' is not a commit"),
        ({"datasets": "FER2013"}, "datasets must be a list"),
        ({"datasets": [None]}, r"datasets\[0\] must be a text, not None"),
        ({"metrics": [3]}, r"metrics\[0\] must be an object, not 3"),
        ({"metrics": [{"value": {}}]}, r"metrics\[0\]\['value'\] must be a text, not {}"),
        (
            {"files": {"model.tflite": {"sha256": "0" * 64, "size": "9"}}},
            r"files\['model.tflite'\].size must be",
        ),
        ({"files": {3: {}}}, "a key of files must be a text, not 3"),
        ({"heads": None}, "heads must be a list, not None"),
        ({"heads": {}}, "heads must be a list, not {}"),
        ({"heads": [{"output": []}]}, r"heads\[0\].attribute is missing"),
        ({"heads": [{"attribute": []}]}, r"heads\[0\].attribute must be a text, not \[\]"),
        ({"folder": "/tmp"}, "unknown fields folder"),
    ],
)
def test_a_field_of_another_type_is_named(data: dict, change: dict, message: str) -> None:
    with pytest.raises(WeightsError, match=f"somebody's config.json is not a usable model spec: {message}"):
        ModelSpec.from_dict({**data, **change}, "somebody's config.json")


@pytest.mark.parametrize("change", [{"labels": None}, {"output": ["a"]}, {"views": []}, {"labels": [["a"]]}])
def test_a_field_of_a_head_is_named(data: dict, change: dict) -> None:
    data["heads"][0] |= change
    with pytest.raises(WeightsError, match=rf"heads\[0\].{next(iter(change))}(\[0\])? must be "):
        ModelSpec.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_is_no_object_is_no_spec(data: object) -> None:
    with pytest.raises(WeightsError, match="must be an object"):
        ModelSpec.from_dict(data)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"name": "a", "name": "b"}', "'name' appears twice"),
        (b'{"files": {"a": 1, "a": 1}}', "'a' appears twice"),
        (b"\xff", "utf-8"),
        (b" " * 2**21, "2,097,152 bytes, and 1,048,576 are allowed"),
        (b'{"schema": ' + b"9" * 10_000 + b"}", "config.json"),
    ],
)
def test_json_that_is_no_spec(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        ModelSpec.from_file(path)


def test_mutated_specs_are_refused_in_one_way(tmp_path: Path) -> None:
    """A few of the thousands that `python -m benchmarks.robustness specs` tries."""
    trial = robustness.try_specs(400, tmp_path)
    assert trial.failures == []
    assert trial.results["refused"] > 200 and trial.results["used"] > 5  # so the mutations are neither tame nor blunt


def test_a_missing_field_is_named(data: dict) -> None:
    del data["license"]
    with pytest.raises(WeightsError, match="license"):
        ModelSpec.from_dict(data)


HEAD = {"attribute": "emotion", "output": "emotion", "kind": "classification", "labels": ["happy", "sad"], "views": {}}
ROW = {"dataset": "mine", "label": "emotion", "metric": "accuracy", "value": 0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": [{**HEAD, "attribute": "mood"}]}, r"heads\[0\] .*attribute 'mood' is unknown; known: emotion"),
        ({"heads": [{**HEAD, "attribute": "age", "labels": ["1", "2"]}]}, r"heads\[0\] .*kind 'classification'.*'age'"),
        ({"heads": [{**HEAD, "attribute": "gender", "kind": "age"}]}, r"heads\[0\] .*kind 'age'.*'classification'"),
        ({"heads": [HEAD, HEAD]}, "output 'emotion' appears twice"),
        ({"heads": [{**HEAD, "labels": ["sad", "sad"]}]}, r"heads\[0\] .*labels: 'sad' appears twice"),
        ({"heads": [{**HEAD, "labels": []}]}, r"heads\[0\] .*labels: there are none"),
        (
            {"heads": [{**HEAD, "attribute": "pose", "kind": "pose", "labels": ["yaw", "roll"]}]},
            r"heads\[0\] .*labels: pose needs yaw, pitch, … roll, in this order",
        ),
        ({"heads": [{**HEAD, "labels": ["glad"]}]}, r"heads\[0\] .*labels: 'glad' can be no emotion; known: angry"),
        ({"heads": [{**HEAD, "attribute": "age", "kind": "age", "labels": ["nan"]}]}, "labels: 'nan' can be no age"),
        ({"heads": [{**HEAD, "views": {"two": {"happy": "good"}}}]}, r"heads\[0\] .*views: 'two' does not map"),
        ({"heads": [{**HEAD, "prior": [0.5]}]}, r"heads\[0\] .*prior: needs a positive number for each label"),
        ({"heads": [{**HEAD, "prior": [1, float("nan")]}]}, r"heads\[0\]\.prior\[1\] is not a finite number"),
        ({"heads": [{**HEAD, "prior": [0.5, 0.5], "prior_strength": 2}]}, r"prior_strength: 2.0 is not within 0\.\.1"),
        ({"heads": [{**HEAD, "prior_strength": 1.0}]}, r"heads\[0\] .*prior_strength: needs a prior"),
        ({"metrics": [{"foo": 1}]}, r"metrics\[0\]: value None is not a number"),
        ({"metrics": [ROW, {**ROW, "value": float("nan")}]}, r"metrics\[1\].*value.* is not a finite number"),
        ({"metrics": [{**ROW, "metric": None}]}, r"metrics\[0\]: metric is missing"),
    ],
)
def test_a_spec_that_cannot_work_is_refused(data: dict, change: dict, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        ModelSpec.from_dict({**data, **change})


def test_a_file_that_is_no_spec(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in ("", "[1]", "{nonsense"):
        path.write_text(content)
        with pytest.raises(WeightsError, match="config.json"):
            ModelSpec.from_file(path)
