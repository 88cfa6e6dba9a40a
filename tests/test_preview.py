"""The pictures of training data, augmentation and runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels.errors import DataError
from training.augment import Augment
from training.config import load_config
from training.data import load
from training.preview import MARGIN, augmented, curves, examples, grid, main

NOTHING = Augment(
    *(0, 0, 0, (1, 1), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
)


def test_the_preview_shows_what_the_network_sees() -> None:
    config = replace(load_config("emotion-finetune"), augment=NOTHING, grey=False)
    face = load("synthetic", "train", ".").images[0]
    sheet = np.asarray(augmented(config, [face], copies=2, tile=config.input_size + 2)).astype(int)
    tiles = [sheet[:48, place : place + 48] for place in (0, 50, 100)]
    # Nothing is changed, so all three are the picture; the first was made small once, the others twice.
    assert all(np.abs(tile - tiles[0]).mean() < 1 for tile in tiles[1:])
    grey = np.asarray(augmented(replace(config, grey=True), [face], 1, 50))[:48, 50:98]
    assert (grey == grey[..., :1]).all() and not (sheet[..., :1] == sheet).all()
    moved = np.asarray(augmented(load_config("emotion-finetune"), [face], copies=2))
    again = np.asarray(augmented(load_config("emotion-finetune"), [face], copies=2))
    assert (moved == again).all() and np.abs(moved[:, 80:160].astype(int) - moved[:, 160:]).mean() > 5


def test_examples_have_a_row_per_class_that_is_there() -> None:
    data = load("synthetic", "train", ".")
    assert examples(data, "emotion", each=5).size == (MARGIN + 5 * 80, 8 * 80)
    assert examples(data, "age", each=3).size == (MARGIN + 3 * 80, 9 * 80)
    few = data.take(data.labels["gender"] == 1)
    assert examples(few, "gender", each=3).size == (MARGIN + 3 * 80, 80)
    with pytest.raises(ValueError, match=r"does not label 'mood'; it labels: emotion, "):
        examples(data, "mood")


def test_a_grid_leaves_short_rows_white() -> None:
    black = np.zeros((10, 10), np.uint8)
    sheet = np.asarray(grid([[black, black], [black]], tile=20))
    assert sheet.shape == (40, 40, 3) and sheet[5, 25].max() == 0 and sheet[25, 25].min() == 255


def test_curves(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra evaluate: pip install -e '.[dev]'")
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss,val_accuracy\n0,2,3,0.1\n1,1,2,0.5\n")
    figure = curves(tmp_path, ["loss", "val_loss", "val_accuracy"])
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[2, 1], [3, 2]]
    with pytest.raises(DataError, match=r"log\.csv: lacks age; it has: epoch, loss"):
        curves(tmp_path, ["age"])
    with pytest.raises(DataError, match="is this the folder of a training run"):
        curves(tmp_path / "nowhere", ["loss"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "preview.png"
    main(["demographics-efficientnet", "--smoke", "--out", str(out), "--faces", "3", "--copies", "4"])
    assert capsys.readouterr().out.strip() == str(out)
    with Image.open(out) as image:
        assert image.size == (5 * 80, 3 * 80)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-config", "--smoke"], "error: no config no-such-config; known: "),
        (["emotion-finetune", "--data", "nowhere"], r"error: nowhere: no manifest\.csv here or below"),
        (["demographics-efficientnet", "--data", "."], r"error: no utkface_112-\*\.npz in \."),
        (["emotion-finetune", "--smoke", "--out", "no/such/folder/x.png"], "error: .*No such file"),
    ],
)
def test_errors_are_one_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        main(["--out", str(tmp_path / "x.png"), *arguments])
    assert not (tmp_path / "x.png").exists()


def test_arguments_that_make_no_sense(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("FACEMODELS_DATA", raising=False)
    for arguments, message in (
        ([], "--data or FACEMODELS_DATA"),
        (["--smoke", "--out", "x.txt"], "x.txt"),
        (["--smoke", "--faces", "0"], "at least 1"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["emotion-finetune", *arguments])
        assert stopped.value.code == 2 and message in capsys.readouterr().err
