"""What the benchmarks rest on; nothing here is timed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("skimage", reason="scikit-image brings the picture: pip install -e '.[dev]'")

from benchmarks.accuracy import accuracy_table, serving_table
from benchmarks.detection import Outcome, kinds_table
from benchmarks.peers import OURS, PROGRAM, Peer, Raw, hint, measure, peers, peers_table
from benchmarks.quality import Step, threshold
from benchmarks.speed import group, milliseconds, multiply_adds, row, write_video
from benchmarks.tables import newest, with_tables
from facemodels import get_spec, video_info
from facemodels.detection import LibFaceDetection
from facemodels.models import AttributeModel


@pytest.mark.parametrize("count", [1, 6])
def test_the_group_picture_holds_that_many_faces(count: int) -> None:
    picture = group(count)
    assert picture.shape == (480, 640, 3)
    assert len(LibFaceDetection().detect(picture)) == count


def test_rows_are_medians_with_their_spread() -> None:
    assert str(row("x", [1.0, 2.0, 30.0], "ms")) == "| x | 2.00 ms | 1.20 .. 24.40 |"
    calls: list[int] = []
    assert len(milliseconds(lambda: calls.append(1), runs=4, warm=2)) == 4 and len(calls) == 6


def test_multiply_adds_of_efficientnet_lite0() -> None:
    """407 million at 224 px, as published, shrink with the area: 75 million at 96 px."""
    found = multiply_adds(AttributeModel(get_spec("emotion-efficientnet")))
    assert found == pytest.approx(407e6 * (96 / 224) ** 2, rel=0.1)


TALKING = """
version = "1.0"
def analyze(image):
    print("hello")
    return [image.shape[1]]
def answer(face):
    return {"box": [0, 0, face, face], "emotion": "surprised", "age": 30.0, "gender": "female"}
"""


def test_packages_take_turns_on_the_same_photos(tmp_path: Path) -> None:
    ours, *_ = peers(tmp_path)
    talking = Peer("talking", (sys.executable, "-c", TALKING + PROGRAM), ours.name)
    missing = [peer for peer in peers(tmp_path) if peer.name not in OURS]
    photos = [Raw.write(tmp_path, "six", group(6))]
    faces = [
        (Raw.write(tmp_path, "face", group(1)[:200, :200]), facts)
        for facts in ({"emotion": "surprise"}, {"emotion": "sad"}, {"age": 34.0, "gender": "male"})
    ]
    measured, left_out = measure([ours, talking, *missing], photos, faces, runs=2)
    assert set(measured) == {ours.name, "talking"} and set(left_out) == {peer.name for peer in missing}
    assert measured[ours.name].faces == [6] and measured["talking"].faces == [1]
    made = peers_table([ours, talking, *missing], measured)
    row = next(line for line in made.splitlines() if "talking" in line)
    assert row.startswith("| talking | 1.0 | ") and row.endswith(" | 1 | 50.0% | 4.00 years | - | 3 of 3 |")
    assert "--install" in hint(tmp_path)


def test_a_package_that_ends_is_left_out(tmp_path: Path) -> None:
    ending = Peer("ending", (sys.executable, "-c", "version, analyze = '1', exit" + PROGRAM), "ours")
    measured, left_out = measure([ending], [Raw.write(tmp_path, "one", group(1))], [])
    assert not measured and "it ended with" in left_out["ending"]


def test_the_table_of_accuracy_compares_with_the_release() -> None:
    def model(accuracy: float, mae: float) -> dict:
        results = [{"label": "gender", "count": 1200, "accuracy": accuracy}, {"label": "age", "count": 9, "mae": mae}]
        return {"model": "m@1.0.0", "tests": [{"dataset": "D", "results": results}]}

    table = accuracy_table([model(0.945, 4.5)], [model(0.94, 4.4)])
    assert "| m@1.0.0 | gender | D | 94.50 correct | 94.00 | 1,200 |" in table
    assert "| m@1.0.0 | age | D | 4.50 years mean error | 4.40 | 9 |" in table


def test_the_table_of_serving_files() -> None:
    validation = {"float16": {"D age mae": 4.5}, "int8": {"D age mae": 4.53}}
    release = {"model": "m@1.0.0", "serving": {"file": "int8", "validation": validation}}
    assert "| m@1.0.0 | D age mae | 4.5000 | 4.5300 | +0.0300 | int8 |" in serving_table([release])
    assert serving_table([{"model": "m@1.0.0"}]) == ""


def test_the_newest_result_goes_into_the_page(tmp_path: Path) -> None:
    results, page = tmp_path / "results", tmp_path / "README.md"
    results.mkdir()
    for day, text in (("2026-01-31", "old"), ("2026-02-01", "new ![plot](speed.png)")):
        (results / f"speed-{day}.md").write_text(f"# Speed\n\n{text}\n")
    assert newest("speed", page, results) == "new ![plot](results/speed.png)"
    assert "benchmarks.peers --write" in newest("peers", page, results)
    page.write_text("<!-- models: made by python -m benchmarks.tables -->\nold\n")
    with pytest.raises(ValueError, match="lacks the marker <!-- /models -->"):
        with_tables(page)
    page.write_text(page.read_text() + "<!-- /models -->\nafter\n")
    made = with_tables(page)
    assert "| model | answers |" in made and "old" not in made and made.endswith("<!-- /models -->\nafter\n")


def test_few_scenes_may_lack_a_kind_of_face() -> None:
    table = kinds_table({"a": Outcome([("clear", 0.9), ("clear", 0.2)], [0.7], [0.7])}, 0.6, empty=2)
    assert table.endswith("| a | 50.0% | 50.0% | - | - | - | - | 50.0 |")


def test_a_threshold_lies_where_answers_have_got_worse() -> None:
    def step(degree: float, right: float, off: float) -> Step:
        return Step("side", degree, 0.0, 0.0, right, off, 100)

    steps = [step(64, 0.95, 4.0), step(32, 0.94, 4.5), step(16, 0.90, 4.75)]
    assert threshold(steps, "degree") == pytest.approx(24)  # gender has lost 3 points of the 1 to 5
    assert threshold([*steps[:2], step(16, 0.94, 5.5)], "degree") == pytest.approx(24)  # ages are a quarter further off
    assert threshold(steps[:2], "degree") is None


def test_the_video_that_is_measured(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="videos need PyAV: pip install -e '.[dev]'")
    info = video_info(write_video(tmp_path / "video.mp4", 1, 10))
    assert (info.width, info.height, info.frames, info.rate) == (960, 540, 10, 10)
