"""Evaluation on labelled pictures: what is read, what is measured, what is written, and what is refused."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from facemodels import Box, Classification, Estimate, Face
from facemodels.cli import main
from facemodels.cli.console import FAILED, OK, WRONG
from facemodels.errors import ArgumentError, DataError, FaceModelsError, UnknownModelError
from facemodels.evaluation import metrics
from facemodels.evaluation.evaluate import MAX_GROUPS, POSES, Evaluation, comparable, evaluate
from facemodels.evaluation.labels import read_labels
from facemodels.evaluation.report import check_folder, markdown, write
from facemodels.hub.registry import get_spec

EMOTION, DEMOGRAPHICS = get_spec("emotion-efficientnet").id, get_spec("demographics-efficientnet").id


@pytest.fixture(scope="session")
def crop(astronaut: np.ndarray) -> np.ndarray:
    """The astronaut's face: a smiling woman of 41 years."""
    return astronaut[60:190, 160:290]


@pytest.fixture
def folder(tmp_path: Path, crop: np.ndarray) -> Path:
    """``Emotion/happy`` with three faces and ``Emotion/sad`` with one, which every model will call happy, too."""
    for place, shift in {"happy/1.jpg": 0, "happy/deeper/2.PNG": 1, "happy/3.jpg": 2, "sad/4.jpg": 3}.items():
        path = tmp_path / "faces" / "Emotion" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(crop, shift, axis=1)).save(path, quality=95)
    (tmp_path / "faces/Emotion/happy/notes.txt").write_text("no picture")
    (tmp_path / "faces/Emotion/.cache").mkdir()
    return tmp_path / "faces"


ROWS = [
    "path,emotion,age,gender,ethnicity,light,note",
    "a.png,happy,41,female,white,day,x",
    "b.png,Happy,40,Female,White,day,y",
    "c.png,sad,,male,,night,z",
]


@pytest.fixture
def table(tmp_path: Path, crop: np.ndarray) -> Path:
    """Three crops of the astronaut in a csv; the last line is wrong about her and leaves things out."""
    for place, name in enumerate("abc"):
        Image.fromarray(np.roll(crop, place, axis=0)).save(tmp_path / f"{name}.png")
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(ROWS) + "\n")
    return file


def results(evaluation: Evaluation, attribute: str) -> list[dict[str, Any]]:
    return evaluation.report["attributes"][attribute]["results"]


# --- what is measured ------------------------------------------------------------------------------------------------


def test_a_folder_of_crops(folder: Path) -> None:
    found = evaluate(folder, crops=True)
    report = found.report
    assert (report["pictures"], report["faces"], report["models"]) == (4, 4, [EMOTION])
    assert list(report["attributes"]) == ["emotion"] and report["detector"] is None
    (result,) = results(found, "emotion")
    assert result["accuracy"] == 0.75 and result["accuracy_interval"] == metrics.wilson_interval(0.75, 4)
    assert result["balanced_accuracy"] == 0.5
    assert result["classes"]["happy"] == {"precision": 0.75, "recall": 1, "f1": pytest.approx(6 / 7), "support": 3}
    labels = report["attributes"]["emotion"]["labels"]
    assert result["confusion"][labels.index("sad")][labels.index("happy")] == 1 == np.sum(result["confusion"]) - 3
    assert [row["truth"] for row in found.answers] == ["happy"] * 3 + ["sad"]
    assert all(row["answer"] == "happy" and 0.3 < row["score"] <= 1 for row in found.answers)
    for inside in ("Emotion", "."):
        same = evaluate(folder / inside, [EMOTION], crops=True).report
        assert same["attributes"] == report["attributes"]


def test_a_csv_with_groups_and_what_is_not_known(table: Path) -> None:
    found = evaluate(table, crops=True, groups=["light", "pose"])
    assert found.report["columns_not_used"] == ["note"]
    assert {name: rows["results"][0]["count"] for name, rows in found.report["attributes"].items()} == {
        **{"emotion": 3, "age": 2, "gender": 3, "ethnicity": 2}
    }
    (gender,) = results(found, "gender")
    right = [row["truth"] == row["answer"] for row in found.answers if row["attribute"] == "gender"]
    assert gender["accuracy"] == pytest.approx(np.mean(right))
    day = {"value": np.mean(right[:2]), "interval": metrics.wilson_interval(np.mean(right[:2]), 2), "count": 2}
    assert gender["groups"]["light"]["day"] == day == gender["groups"]["emotion"]["happy"]
    assert gender["groups"]["light"]["night"]["value"] == right[2]
    assert gender["groups"]["age"] == {"40-49": day}  # the face of unknown age is in no group of it
    assert gender["groups"]["ethnicity"] == {"white": day}
    turned = gender["groups"]["pose"]  # as the landmarks model sees it
    assert turned.keys() <= set(POSES) and sum(group["count"] for group in turned.values()) == 3
    (age,) = results(found, "age")
    said = [row["answer"] for row in found.answers if row["attribute"] == "age"]
    off = np.abs(np.array(said) - [41, 40])
    assert age["mae"] == pytest.approx(off.mean()) and age["bias"] == pytest.approx(np.mean(said) - 40.5)
    assert age["mae_interval"] is None  # of two faces
    assert 1 < age["expected_error"] < 20


def test_photos_are_searched_for_their_largest_face(tmp_path: Path, astronaut: np.ndarray, photo: Path) -> None:
    small = cv2.resize(np.ascontiguousarray(astronaut[:256, 96:352, ::-1]), (128, 128))[
        :, ::-1
    ]  # mirrored, half as big
    both = np.concatenate([astronaut, np.pad(small, ((0, 384), (0, 0), (0, 0)), "edge")], axis=1)
    Image.fromarray(both).save(tmp_path / "both.png")
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(tmp_path / "empty.png")
    (tmp_path / "one.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "faces.csv").write_text("path,emotion\nboth.png,happy\nempty.png,sad\none.jpg,happy\n")
    found = evaluate(tmp_path / "faces.csv")
    assert found.report["without_face"] == [str(tmp_path / "empty.png")]
    assert found.report["faces"] == 2 and results(found, "emotion")[0]["accuracy"] == 1
    assert "**No face was found in 1** of them" in markdown(found.report)

    (tmp_path / "faces.csv").write_text("path,emotion\nempty.png,sad\n")
    with pytest.raises(DataError, match=r"no face in any of 1 images.*--crops"):
        evaluate(tmp_path / "faces.csv")


def test_a_csv_says_which_face_of_a_photo_is_meant(tmp_path: Path, astronaut: np.ndarray) -> None:
    small = Image.fromarray(astronaut[20:220, 150:310])
    photo = Image.new("RGB", (500, 250), "grey")
    photo.paste(small, (20, 20))
    photo.paste(small.resize((80, 100)), (350, 60))
    photo.save(tmp_path / "both.png")
    rows = ["both.png,375,85,425,150,sad", "both.png,50,60,150,190,happy", "both.png,200,0,260,60,fear"]
    (tmp_path / "faces.csv").write_text("\n".join(["path,x1,y1,x2,y2,emotion", *rows, ""]))
    images, unused = read_labels(tmp_path / "faces.csv")
    assert unused == [] and [image.labels["emotion"] for image in images] == ["sad", "happy", "fear"]
    found = [Face(Box(52, 58, 152, 192), 0.9), Face(Box(372, 80, 424, 152), 0.8)]
    chosen = [image.choose(found) for image in images]
    assert chosen == [found[1], found[0], Face(Box(200, 0, 260, 60))], "a box where nothing was found is a face itself"
    assert images[2].choose([]) == chosen[2]
    for bad, message in (("1,2,3,x", "must be four numbers"), ("5,5,5,9", "is empty"), ("1,2,,4", "must be four")):
        (tmp_path / "bad.csv").write_text(f"path,x1,y1,x2,y2,emotion\nboth.png,{bad},sad\n")
        with pytest.raises(DataError, match=rf"bad\.csv:2: .*{message}"):
            read_labels(tmp_path / "bad.csv")


def test_models_side_by_side(folder: Path, release: Path) -> None:
    found = evaluate(folder, [EMOTION, release], crops=True)
    bundled, tiny = results(found, "emotion")
    assert bundled["accuracy"] == 0.75 and tiny["model"].startswith("emotion-efficientnet@")
    (difference,) = found.report["attributes"]["emotion"]["differences"]
    assert difference["difference"] == pytest.approx(tiny["accuracy"] - 0.75)
    assert difference["against"] == bundled["model"]
    assert len(found.answers) == 8
    with pytest.raises(ArgumentError, match="was given twice"):
        evaluate(folder, [EMOTION, EMOTION], crops=True)
    with pytest.raises(ArgumentError, match="none of these models answers that"):
        evaluate(folder, [DEMOGRAPHICS], crops=True)
    with pytest.raises(UnknownModelError, match="known here"):
        evaluate(folder, ["no-such-model"], crops=True)


def test_a_head_asked_for_by_name_is_named(folder: Path) -> None:
    head = f"{EMOTION}#emotion_fer2013"
    found = evaluate(folder, [EMOTION, head], crops=True)
    eight, seven = (result["model"] for result in results(found, "emotion"))
    assert seven == f"{eight}#emotion_fer2013" and {row["model"] for row in found.answers} == {eight, seven}


def test_labels_of_a_kind_that_a_model_does_not_know() -> None:
    seven = [Classification.of({"white": 0.3, "east_asian": 0.35, "southeast_asian": 0.35})]
    truth, answers, labels = comparable("ethnicity", ["asian"], {"m": seven}, [("white", "east_asian")])
    assert (truth, labels) == (["asian"], ("white", "black", "asian", "indian", "other"))
    assert answers["m"][0].scores["asian"] == pytest.approx(0.7)
    # Five groups meet seven: everything is told in five.
    truth, answers, _ = comparable("ethnicity", ["latino", "black"], {"m": seven * 2}, [("white", "other")])
    assert truth == ["other", "black"]
    truth, answers, labels = comparable("ethnicity", ["latino"], {"m": seven}, [("white", "east_asian")])
    assert (truth, len(labels), answers["m"]) == (["latino"], 7, seven)


def test_a_label_that_a_model_cannot_answer_is_wrong(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def four(self: object, crops: Sequence[np.ndarray]) -> list[Face]:
        return [Face(None, emotion=Classification.of({"happy": 0.8, "sad": 0.2}), age=Estimate(30, 4)) for _ in crops]  # type: ignore[arg-type]

    monkeypatch.setattr("facemodels.analyzer.FaceAnalyzer.analyze_crops", four)
    table.write_text("path,emotion\na.png,contempt\nb.png,happy\n")
    found = evaluate(table, [EMOTION], crops=True)
    (result,) = results(found, "emotion")
    assert (result["cannot_answer"], result["accuracy"]) == (["contempt"], 0.5)
    assert "does not know contempt: wrong on each such face" in markdown(found.report)


def test_the_numbers_are_those_of_scikit_learn() -> None:
    scores = pytest.importorskip("sklearn.metrics", reason="pip install -e '.[dev]'")
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 300)
    truth = np.where(rng.random(300) < 0.5, probabilities.argmax(1), rng.integers(0, 4, 300))
    said = probabilities.argmax(1)
    assert metrics.accuracy(truth, probabilities) == scores.accuracy_score(truth, said)
    assert metrics.confusion(truth, probabilities) == scores.confusion_matrix(truth, said).tolist()
    expected = np.array(scores.precision_recall_fscore_support(truth, said))
    table = metrics.class_table(truth, probabilities, ("a", "b", "c", "d"))
    assert np.allclose([list(row.values()) for row in table.values()], expected.T)


def test_calibration_in_fifteen_bins() -> None:
    """A model that is right as often as it says has no error; one that is always sure has all of it."""
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 20000)
    honest = np.stack([sure, 1 - sure], axis=1)
    truth = (rng.random(20000) > sure).astype(int)
    rows = metrics.calibration(truth, honest)
    assert len(rows) == 8 and sum(row["count"] for row in rows) == 20000  # 0.5 to 1 lies in the upper 8 of 15
    assert all(abs(row["confidence"] - row["accuracy"]) < 0.03 for row in rows)
    assert metrics.calibration_error(truth, honest) < 0.015
    boastful = np.stack([np.full(20000, 0.999), np.full(20000, 0.001)], axis=1)
    assert metrics.calibration_error(truth, boastful) == pytest.approx(0.999 - (truth == 0).mean())


def test_intervals_hold_the_true_figure_in_19_of_20_samples() -> None:
    rng = np.random.default_rng(0)
    held = Counter[str]()
    for _ in range(2000):
        low, high = metrics.wilson_interval((rng.random(80) < 0.8).mean(), 80)
        held["share"] += low <= 0.8 <= high
        interval = metrics.mean_interval(rng.exponential(5, 80))
        assert interval is not None
        held["mean"] += interval[0] <= 5 <= interval[1]
    assert all(0.92 < count / 2000 < 0.975 for count in held.values()), held
    assert metrics.mean_interval(np.arange(4.0)) is None


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "new", "message"),
    [
        (0, "file,emotion,age,gender,ethnicity,light,note", r"labels\.csv:1: lacks the column path"),
        (0, "path,emotoin,aeg,sex,race,light,note", r"labels\.csv:1: no column of labels \(emotion, age"),
        (0, "path,emotion,age,gender,ethnicity,dark,note", r"labels\.csv:1: lacks the column light"),
        (1, "a.png,glad,41,female,white,day,x", r"labels\.csv:2: emotion 'glad' is out of range; known: angry"),
        (2, "b.png,happy,131,female,white,day,x", r"labels\.csv:3: age '131' is out of range; known: years, 0\.\.130"),
        (2, "b.png,happy,-4,female,white,day,x", r"labels\.csv:3: age '-4'"),
        (2, "b.png,happy,20-29,female,white,day,x", r"labels\.csv:3: age '20-29'"),
        (3, "c.png,sad,,man,,night,z", r"labels\.csv:4: gender 'man' is out of range; known: female, male"),
        (3, "gone.png,sad,,,,night,z", r"labels\.csv:4: no such image: .*gone\.png"),
        (3, "a.png,sad,,,,night,z", r"labels\.csv:4: a\.png is already listed in .*labels\.csv:2"),
        (3, "c.png,sad", r"labels\.csv:4: 2 cells where the header has 7"),
        (3, ",sad,,,,night,z", r"labels\.csv:4: no such image"),
    ],
)
def test_a_bad_csv_is_named_with_its_line(table: Path, line: int, new: str, message: str) -> None:
    rows = [*ROWS]
    rows[line] = new
    table.write_text("\n".join(rows))
    with pytest.raises(DataError, match=message):
        read_labels(table, ["light"])


def test_every_bad_line_of_a_csv_is_named_at_once(table: Path) -> None:
    rows = [*ROWS]
    rows[1] = "a.png,glad,131,female,white,day,x"
    rows[2] = "gone.png,happy"
    rows[3] = "gone.png,sad,,man,,night,z"
    table.write_text("\n".join(rows))
    with pytest.raises(DataError) as caught:
        read_labels(table, ["light"])
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 problems:"
    assert sorted(re.findall(r"csv:(\d)", str(caught.value))) == ["2", "2", "3", "4", "4"]
    table.write_text("\n".join([ROWS[0], *[f"gone{number}.png,sad,,,,," for number in range(100)]]))
    with pytest.raises(DataError, match="and 80 more$"):
        read_labels(table)


def test_csv_files_that_hold_nothing_or_are_not_there(table: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: no such file"):
        read_labels(tmp_path / "gone.csv")
    for text, message in (("", "lacks the column path"), ("path,age\n", "no image has a label")):
        table.write_text(text)
        with pytest.raises(DataError, match=message):
            read_labels(table)
    table.write_text("path,age\na.png,\n")
    with pytest.raises(DataError, match="no image has a label"):
        read_labels(table)
    table.write_bytes(b"path,age\n\xff\xfe,3\n")
    with pytest.raises(DataError, match=r"labels\.csv: cannot be read as a csv file"):
        read_labels(table)


def test_a_name_is_no_group(tmp_path: Path) -> None:
    lines = ["path,emotion,person"]
    for number in range(MAX_GROUPS + 1):
        (tmp_path / f"{number}.png").touch()
        lines.append(f"{number}.png,happy,p{number}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"labels\.csv:1: the column person has 51 values"):
        evaluate(tmp_path / "labels.csv", groups=["person"])


def make(folder: Path, *places: str) -> Path:
    for place in places:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if path.suffix else path.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["x/readme.txt"], r"expected a folder per label, found x\. Known labels: emotion: angry"),
        (["train/Emotion/happy/1.png"], r"expected a folder per label, found train"),
        ([], r"found no folder"),
        (["happy/1.png", "glad/1.png"], r"glad: emotion 'glad' is out of range; known: angry"),
        (["happy/1.png", "sad/notes.txt"], r"sad: contains no images"),
        (["happy/1.png", "stray.png"], r"stray\.png: has no label"),
        (["Emotion/happy/1.png", "other/1.png"], r"other: is not an attribute; beside Emotion/"),
        (["Emotion/notes.txt"], r"emotion has no folder per label; known: angry"),
        (["Age/20-29/1.png"], r"20-29: age '20-29' is out of range; known: years"),
    ],
)
def test_a_wrong_folder_is_named(tmp_path: Path, places: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labels(make(tmp_path, *places))


def test_folders_that_are_right(tmp_path: Path) -> None:
    make(tmp_path, "a/Age/31/1.png", "a/Gender/female/1.png", "a/.hidden/1.png", "b/East Asian/1.png", "b/black/1.jpg")
    pictures, _ = read_labels(tmp_path / "a")
    assert [picture.labels for picture in pictures] == [{"age": "31"}, {"gender": "female"}]
    pictures, _ = read_labels(tmp_path / "b")
    assert [picture.labels["ethnicity"] for picture in pictures] == ["east_asian", "black"]
    with pytest.raises(ArgumentError, match="only a csv has columns"):
        read_labels(tmp_path / "b", ["light"])


def test_pictures_that_cannot_be_read(table: Path) -> None:
    broken = table.parent / "b.png"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(DataError, match=r"labels\.csv:3: .*b\.png.*--skip-unreadable"):
        evaluate(table, crops=True)
    found = evaluate(table, crops=True, skip_unreadable=True)
    assert found.report["faces"] == 2 and "labels.csv:3" in found.report["unreadable"][0]
    assert "**1 could not be read**" in markdown(found.report)
    for name in "ac":
        (table.parent / f"{name}.png").write_bytes(b"")
    with pytest.raises(DataError, match="none could be read"):
        evaluate(table, crops=True, skip_unreadable=True)


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.fixture
def found(table: Path) -> Iterator[Evaluation]:
    pytest.importorskip("sklearn", reason="pictures need the extra evaluate: pip install -e '.[dev]'")
    yield evaluate(table, crops=True, groups=["light"])


def test_a_report_is_whole(found: Evaluation, tmp_path: Path) -> None:
    file = write(found, tmp_path / "deep" / "report")
    names = {path.name for path in file.parent.iterdir()}
    assert names == {
        *("report.json", "report.md", "answers.csv", f"age-errors-{DEMOGRAPHICS}.png".replace("@", "-")),
        *(f"emotion-confusion-{EMOTION}.png".replace("@", "-"), "emotion-calibration.png"),
        *(f"{name}-confusion-{DEMOGRAPHICS}.png".replace("@", "-") for name in ("gender", "ethnicity")),
        *("gender-calibration.png", "ethnicity-calibration.png"),
    }
    assert json.loads((file.parent / "report.json").read_text()) == json.loads(json.dumps(found.report))
    text = file.read_text()
    for name in names - {"report.json", "report.md", "answers.csv"}:
        assert f"![{name}]({name})" in text
        with Image.open(file.parent / name) as image:
            assert min(image.size) > 300 and np.asarray(image.convert("L")).std() > 5
    for words in (
        "## Emotion",
        "## Age",
        "| light |",
        "night",
        "66.7%",
        "(few)",
        "Columns not used: note",
        "macro recall",
        "answered neutral",
    ):
        assert words in text
    with (file.parent / "answers.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 + 2 + 3 + 2 and rows[0]["answer"] == "happy"

    (file.parent / "emotion-confusion-old-1.0.0.png").touch()
    assert {path.name for path in write(found, file.parent).parent.iterdir()} == names  # replaced, not mixed
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report"]


def test_names_that_are_no_text_do_not_cost_a_report(found: Evaluation, tmp_path: Path) -> None:
    answers = [{**answer, "path": "\udcff.png"} for answer in found.answers]
    strange = Evaluation({**found.report, "unreadable": ["\udcff.png: no image"]}, answers)
    file = write(strange, tmp_path / "report")
    assert "\\udcff.png" in (file.parent / "answers.csv").read_text()
    assert json.loads((file.parent / "report.json").read_text())["unreadable"] == ["\udcff.png: no image"]


def test_a_report_never_replaces_other_things(found: Evaluation, tmp_path: Path) -> None:
    mine = make(tmp_path / "mine", "thesis.txt")
    with pytest.raises(ArgumentError, match="holds other files than a report"):
        write(found, mine)
    with pytest.raises(ArgumentError, match="is a file"):
        check_folder(mine / "thesis.txt")
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_a_full_disk_leaves_the_earlier_report(
    found: Evaluation, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that may write no file above 2,000 bytes, as if the disk were full."""
    pytest.importorskip("resource", reason="needs Unix limits")
    target = tmp_path / "reports" / "mine"
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
        "from facemodels.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "evaluate", str(table), "--crops", "--out", str(target)]

    def run(*more: str) -> str:
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == FAILED, done.stderr
        return done.stderr

    assert f"{target}: the report cannot be written" in run() and not target.exists()
    assert list(target.parent.iterdir()) == []
    write(found, target)
    before = (target / "report.json").read_bytes()
    assert "nothing was kept" in run("--overwrite")
    assert (target / "report.json").read_bytes() == before and [path.name for path in target.parent.iterdir()] == [
        "mine"
    ]

    original = Path.rename

    def stuck(self: Path, to: Path) -> Path:
        if self.name == "new":
            raise PermissionError(13, "in use", str(self))
        return original(self, to)

    monkeypatch.setattr(Path, "rename", stuck)
    with pytest.raises(FaceModelsError, match="in use"):
        write(found, target)
    assert (target / "report.json").read_bytes() == before


def test_pictures_need_their_extra(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ArgumentError, match=r"pip install 'matplotlib>=3.10,<4' 'scikit-learn"):
        check_folder(tmp_path / "out")
    assert "## Gender" in markdown(evaluate(table, crops=True).report)  # the tables need nothing


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason="pictures need the extra evaluate: pip install -e '.[dev]'")
    assert main(["evaluate", str(folder), "--crops", "--model", EMOTION, "--out", str(tmp_path / "out")]) == OK
    out, err = capsys.readouterr()
    assert f"| {EMOTION} | 75.0% | 30.1% to 95.4% |" in out
    assert err == f"written: {tmp_path / 'out' / 'report.md'}\n"
    assert main(["evaluate", str(folder), "--crops", "--out", str(tmp_path / "out")]) == WRONG
    assert "earlier report" in capsys.readouterr().err
    mine = tmp_path / "out" / "notes.txt"
    mine.write_text("keep")
    command = ["evaluate", str(folder), "--crops", "--model", EMOTION, "--out", str(tmp_path / "out"), "--overwrite"]
    assert main(command) == WRONG
    assert "other files than a report, notes.txt" in capsys.readouterr().err and mine.read_text() == "keep"
    mine.unlink()
    assert main(["evaluate", str(tmp_path / "out" / "answers.csv"), *command[2:]]) == WRONG
    assert "to be evaluated" in capsys.readouterr().err
    assert main(command) == OK
    capsys.readouterr()
    assert main(["evaluate", str(folder), "--crops", "--json"]) == OK
    assert json.loads(capsys.readouterr().out)["faces"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], FAILED, "nowhere: no such file"),
        (["FOLDER", "--model", "nothing"], WRONG, "known here"),
        (["FOLDER", "--group", "light"], WRONG, "only a csv has columns"),
        (["FOLDER", "--min-score", "3"], WRONG, "min_score"),
        (["FOLDER", "--detector", "mtcnn"], WRONG, "mtcnn"),
        (["FOLDER", "--out", "FOLDER"], WRONG, "holds other files"),
    ],
)
def test_errors_are_one_clear_line(
    folder: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *(argument.replace("FOLDER", str(folder)) for argument in arguments)]) == code
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and out == ""
