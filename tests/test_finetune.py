"""The README's way from a labelled folder to a published model, in miniature."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip("keras", reason="training needs Keras: pip install -e '.[dev]'")

from facemodels import FaceAnalyzer, get_spec  # noqa: E402
from facemodels.cli import main  # noqa: E402
from facemodels.cli.console import OK  # noqa: E402
from facemodels.hub import store  # noqa: E402
from training import train  # noqa: E402
from training.config import load_config  # noqa: E402
from training.data import load  # noqa: E402
from training.data.own.prepare import main as own_command  # noqa: E402
from training.release import compile  # noqa: E402
from training.release.__main__ import main as release_command  # noqa: E402
from training.release.export import export  # noqa: E402

pytestmark = pytest.mark.slow

MINE = """
from dataclasses import replace

from training.config import load_config

config = replace(
    load_config("emotion-finetune"),
    model="my-emotions",
    start={start!r},
    network_options={options!r},
    freeze_blocks=1,
    epochs=20,
    patience=20,
    learning_rate=5e-3,
)
"""


def fill(folder: Path, split: str, each: int) -> Path:
    """Drawn faces, called happy where they have hair and angry where not: a rule that no model has learned before."""
    data = load("synthetic", split, ".")
    for label, name in enumerate(("happy", "angry")):
        (folder / name).mkdir(parents=True)
        for row in np.flatnonzero(data.labels["gender"] == label)[:each]:
            Image.fromarray(data.images[row]).save(folder / name / f"{row}.png")
    return folder


def test_the_config_starts_with_every_layer_of_the_release() -> None:
    config = load_config("emotion-finetune")
    model = train.build_model(config)
    source = keras.saving.load_model(store.fetch(get_spec("emotion-efficientnet"), "model.keras"), compile=False)
    layers = [layer for layer in model.layers if layer.weights]
    for layer in layers:
        for ours, theirs in zip(layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True):
            assert np.array_equal(ours, theirs), layer.name
    trained = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert 0.3 < trained / model.count_params() < 0.9  # the first blocks are frozen
    assert (config.margin, config.offset) == (get_spec(config.start).margin, get_spec(config.start).offset)


def test_from_a_labelled_folder_to_a_published_model(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faces, others = fill(tmp_path / "faces", "train", 60), fill(tmp_path / "others", "test", 25)
    options = json.loads((release / "metrics.json").read_text())["config"]["network_options"]
    monkeypatch.chdir(tmp_path)
    Path("my-emotions.py").write_text(MINE.format(start=str(release), options=options))

    own_command([str(faces), "--to", "data/own", "--crops", "--unified"])
    train.main(["my-emotions.py", "--data", "data/own"])
    release_command(["runs/my-emotions", "--data", "data/own"])
    assert list((tmp_path / "data/own/unified/test/Emotion").iterdir())
    mine = Path("runs/my-emotions/release/my-emotions").resolve()
    card = (mine / "README.md").read_text()
    assert "prepared data sets" in card and "Nothing was measured on a known test set" in card
    assert f"the weights of {release}" in card

    # It serves, and reads these faces better than what it started from.
    analyzer = FaceAnalyzer(["emotion"], models={"emotion": mine}, detector=None)
    assert analyzer.models == {"emotion": "my-emotions@1.0.0"}
    command = ["evaluate", str(others), "--crops", "--json", "--model", str(release), "--model", str(mine)]
    capsys.readouterr()
    assert main(command) == OK
    before, after = json.loads(capsys.readouterr().out)["attributes"]["emotion"]["results"]
    assert after["model"] == "my-emotions@1.0.0" and after["count"] == 50
    assert after["accuracy"] >= 0.8 > before["accuracy"]

    # And it can be published, here to a folder, and used from there.
    assert main(["publish", str(mine), "--to", "published"]) == OK
    faces_there = FaceAnalyzer(["emotion"], models={"emotion": Path("published")}, detector=None).analyze_crops(
        sorted(others.rglob("*.png"))[:3]
    )
    assert [asdict(face) for face in faces_there] == [
        asdict(face) for face in analyzer.analyze_crops(sorted(others.rglob("*.png"))[:3])
    ]


def test_a_full_disk_while_exporting_leaves_no_release(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    source = keras.saving.load_model(release / "model.keras", compile=False)
    source.save(run / "model.keras")
    config = json.loads((release / "metrics.json").read_text())["config"]
    (run / "config.json").write_text(json.dumps(config))
    (run / "log.csv").write_text(f"epoch,{config['monitor'][0]}\n0,0.5\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "model.tflite")

    monkeypatch.setattr(compile, "save_tflite", full)
    with pytest.raises(OSError, match="No space left on device"):
        export(run, tmp_path / "release" / "mine", ".")
    assert list((tmp_path / "release").iterdir()) == []
