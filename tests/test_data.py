"""The data set readers, on small made-up copies of the public layouts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from facemodels.attributes import EMOTIONS
from facemodels.errors import DataError
from facemodels.evaluation.labels import read_labels
from training.data import manifest, preparing
from training.data.__main__ import main as data_command
from training.data.affectnet.prepare import prepare as affectnet
from training.data.ckplus.prepare import prepare as ckplus
from training.data.face_data import digest
from training.data.fairface.prepare import prepare as fairface
from training.data.fer2013.prepare import prepare as fer2013
from training.data.manifest import Sample, read_manifest
from training.data.own.prepare import main as own_command
from training.data.own.prepare import prepare as own
from training.data.rafdb.prepare import prepare as rafdb
from training.data.utkface.prepare import prepare as utkface

ROOT = Path(__file__).parent.parent
VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def face(seed: int, side: int = 24) -> np.ndarray:
    """An image unlike those of other seeds."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def save(path: Path, seed: int, side: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(face(seed, side)).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def splits(samples: list[Sample]) -> Counter[str]:
    return Counter(sample.split for sample in samples)


# --- small copies of the public layouts ------------------------------------------------------------------------------


def make_fer2013(folder: Path, votes: bool = False, name: str = "fer2013.csv") -> Path:
    """Forty rows of Training and five of either test; row 3 copies a PrivateTest row, row 4 is black."""
    pixels = [np.random.default_rng(row).integers(0, 256, 48 * 48) for row in range(50)]
    pixels[3], pixels[4] = pixels[49], np.zeros(48 * 48, int)
    usage = ["Training"] * 40 + ["PublicTest"] * 5 + ["PrivateTest"] * 5
    rows = [(row % 7, usage[row], " ".join(map(str, pixels[row]))) for row in range(50)]
    if name == "fer2013.csv":
        lines = ["emotion,pixels,Usage", *(f'{emotion},"{text}",{use}' for emotion, use, text in rows)]
    else:
        lines = ["emotion, Usage, pixels", *(f"{emotion},{use},{text}" for emotion, use, text in rows)]
    write(folder / name, "\n".join(lines) + "\n")
    if votes:  # all happy; row 0 without a majority, row 1 no face
        counts = ["0,10,0,0,0,0,0,0,0,0"] * 50
        counts[0], counts[1] = "5,5,0,0,0,0,0,0,0,0", "0,2,0,0,0,0,0,0,0,8"
        write(folder / "fer2013new.csv", "\n".join([VOTES, *(f"{usage[i]},x,{counts[i]}" for i in range(50))]))
    return folder


def make_fer2013_folders(folder: Path) -> Path:
    for index, emotion in enumerate(EMOTIONS[:7]):
        for i in range(3):
            save(folder / "train" / emotion / f"Training_{i}.png", 10 * index + i)
        save(folder / "test" / emotion / f"PrivateTest_{index}.png", 100 + index)
        save(folder / "test" / emotion / f"PublicTest_{index}.png", 200 + index)
    return folder


def make_affectnet(folder: Path) -> Path:
    """The lists: training with a header, validation without one, as they are given out."""
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    for i in range(24):
        save(folder / "Manually_Annotated_Images" / str(i % 3) / f"{i}.png", i, 32)
    rows = [f'{i % 3}/{i}.png,4,6,20,22,"1;2;3",{i % 11},0.1,-0.2' for i in range(24)]
    write(folder / "Manually_Annotated_file_lists/training.csv", "\n".join([header, *rows[:20]]))
    write(folder / "Manually_Annotated_file_lists/validation.csv", "\n".join(rows[20:]) + "\n")
    return folder


def make_affectnet_annotations(folder: Path) -> Path:
    for part, count in (("train_set", 16), ("val_set", 8)):
        (folder / part / "annotations").mkdir(parents=True)
        for i in range(count):
            save(folder / part / "images" / f"{i}.jpg", 100 * count + i)
            np.save(folder / part / "annotations" / f"{i}_exp.npy", np.array(str(i % 8)))
            np.save(folder / part / "annotations" / f"{i}_val.npy", np.array("0.5"))
    return folder


def make_rafdb(folder: Path) -> Path:
    names = [f"train_{i:05d}" for i in range(1, 22)] + [f"test_{i:04d}" for i in range(1, 8)]
    for seed, name in enumerate(names):
        save(folder / "basic/Image/aligned" / f"{name}_aligned.jpg", seed)
    lines = [f"{name}.jpg {i % 7 + 1}" for i, name in enumerate(names)]
    write(folder / "basic/EmoLabel/list_patition_label.txt", "\n".join(lines) + "\n")
    return folder


def make_ckplus(folder: Path, landmarks: bool = True) -> Path:
    """Thirty people, two sequences of six frames each; the second one's emotion is not known."""
    for subject in range(30):
        for sequence in ("001", "002"):
            place = f"S{subject:03d}/{sequence}"
            for frame in range(1, 7):
                name = f"S{subject:03d}_{sequence}_{frame:08d}"
                save(
                    folder / "cohn-kanade-images" / place / f"{name}.png", 100 * subject + frame + int(sequence) * 7, 40
                )
                if landmarks:
                    points = "\n".join(f"  {x:.7e}   {y:.7e}" for x, y in ((10, 10), (30, 20), (20, 30)))
                    write(folder / "Landmarks" / place / f"{name}_landmarks.txt", points)
            (folder / "Emotion" / place).mkdir(parents=True)
        write(
            folder / f"Emotion/S{subject:03d}/001/S{subject:03d}_001_00000006_emotion.txt",
            f"   {float(subject % 7 + 1):.7e}\n",
        )
    return folder


def make_utkface(folder: Path) -> Path:
    for i in range(60):
        save(folder / "UTKFace" / f"{i}_{i % 2}_{i % 5}_201701{i:04d}.jpg.chip.jpg", i)
    return folder


def make_fairface(folder: Path) -> Path:
    ages = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
    races = ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")
    for part, count in (("train", 30), ("val", 10)):
        lines = ["file,age,gender,race,service_test"]
        for i in range(1, count + 1):
            save(folder / part / f"{i}.jpg", 1000 * count + i)
            lines.append(f"{part}/{i}.jpg,{ages[i % 9]},{('Male', 'Female')[i % 2]},{races[i % 7]},True")
        write(folder / f"fairface_label_{part}.csv", "\n".join(lines) + "\n")
    return folder


LAYOUTS: dict[str, tuple[Callable[[Path], Path], preparing.Prepare]] = {
    "fer2013": (make_fer2013, fer2013),
    "fer2013 folders": (make_fer2013_folders, fer2013),
    "affectnet": (make_affectnet, affectnet),
    "affectnet annotations": (make_affectnet_annotations, affectnet),
    "rafdb": (make_rafdb, rafdb),
    "ckplus": (make_ckplus, ckplus),
    "utkface": (make_utkface, utkface),
    "fairface": (make_fairface, fairface),
}


# --- every data set --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_becomes_a_manifest(tmp_path: Path, name: str) -> None:
    make, prepare = LAYOUTS[name]
    file = prepare(make(tmp_path / "source"), tmp_path / "target", unified=True)
    assert file == tmp_path / "target" / "manifest.csv"
    samples = read_manifest(file)
    assert {"train", "validation", "test"} <= set(splits(samples))
    pixels: dict[str, set[bytes]] = {}
    for sample in samples:
        side = "test" if sample.split == "public_test" else sample.split
        pixels.setdefault(side, set()).add(manifest.read_sample(sample).tobytes())
    assert sum(map(len, pixels.values())) == len(set().union(*pixels.values()))

    # The unified folders hold each image once per attribute, those of test parts apart.
    unified = tmp_path / "target" / "unified"
    column, attribute = ("gender", "Gender") if "gender" in samples[0].labels else ("emotion", "Emotion")
    for split, members in (("train", ("train", "validation")), ("test", ("test",))):
        expected = Counter(sample.labels[column] for sample in samples if sample.split in members)
        found = Counter(path.parent.name for path in (unified / split / attribute).rglob("*.*"))
        assert found == expected
    assert sorted(path.name for path in (tmp_path / "target").iterdir() if path.name.startswith(".")) == []

    # A second run gives the same bytes.
    first = file.read_bytes()
    prepare(tmp_path / "source", tmp_path / "target")
    assert file.read_bytes() == first and not unified.exists()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_missing_source_or_an_empty_one(tmp_path: Path, name: str) -> None:
    prepare = LAYOUTS[name][1]
    with pytest.raises(DataError, match="nowhere.*--help"):
        prepare(tmp_path / "nowhere", tmp_path / "target")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: (holds no|no usable image)"):
        prepare(tmp_path / "empty", tmp_path / "target")
    assert not (tmp_path / "target").exists()


BROKEN = [
    ("fer2013", "fer2013.csv", ("emotion,pixels,Usage", "emotion,pixels"), r"fer2013\.csv:1: lacks the column Usage"),
    ("fer2013", "fer2013.csv", ("\n2,", "\n9,"), r"fer2013\.csv:4: emotion '9' is out of range"),
    ("fer2013", "fer2013.csv", ('"0 0', '"0'), r"fer2013\.csv:6: pixels are not 2304 numbers"),
    ("fer2013", "fer2013.csv", ('"0 0', '"0 256'), r"fer2013\.csv:6: pixels"),
    ("fer2013", "fer2013.csv", ("PublicTest", "Publik"), r"fer2013\.csv:42: unknown Usage 'Publik'"),
    ("affectnet", "Manually_Annotated_file_lists/training.csv", (",4,6,", ",4,,"), r"training\.csv:2: the face box"),
    ("affectnet", "Manually_Annotated_file_lists/training.csv", (",10,0.1", ",11,0.1"), r"csv:12: expression '11'"),
    ("affectnet", "Manually_Annotated_file_lists/training.csv", ("0/0.png", "../0.png"), r"csv:2: .* lies outside"),
    (
        "affectnet",
        "Manually_Annotated_file_lists/validation.csv",
        (",4,", ",4,4,"),
        r"validation\.csv:1: lacks|:1: 10 cells",
    ),
    ("rafdb", "basic/EmoLabel/list_patition_label.txt", (".jpg 5", ".jpg 8"), r"label\.txt:5: emotion '8' is out of"),
    ("rafdb", "basic/EmoLabel/list_patition_label.txt", (".jpg 1", ".jpg"), r"label\.txt:1: expected a line like"),
    ("ckplus", "Emotion/S003/001/S003_001_00000006_emotion.txt", ("4.0", "9.0"), r"S003_001_00000006_emotion\.txt:1"),
    ("ckplus", "Landmarks/S003/001/S003_001_00000006_landmarks.txt", ("3.0", "x"), r"00000006_landmarks\.txt"),
    ("fairface", "fairface_label_train.csv", ("3-9", "9-Mar"), r"train\.csv:2: age_bin '9-mar' is out of range"),
    ("fairface", "fairface_label_val.csv", ("Male", ""), r"val\.csv:3: gender '\(nothing\)' is out of range"),
    ("fairface", "fairface_label_val.csv", (",True\n", "\n"), r"val\.csv:2: 4 cells where the header has 5"),
]


@pytest.mark.parametrize(("name", "file", "change", "message"), BROKEN)
def test_a_malformed_file_is_named_with_its_line(
    tmp_path: Path, name: str, file: str, change: tuple[str, str], message: str
) -> None:
    make, prepare = LAYOUTS[name]
    broken = make(tmp_path / "source") / file
    assert change[0] in broken.read_text()
    broken.write_text(broken.read_text().replace(*change, 1))
    with pytest.raises(DataError, match=message):
        prepare(tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


IMAGES = {
    "affectnet": "Manually_Annotated_Images/0/3.png",
    "affectnet annotations": "train_set/images/3.jpg",
    "rafdb": "basic/Image/aligned/train_00003_aligned.jpg",
    "fairface": "train/3.jpg",
}


@pytest.mark.parametrize("name", IMAGES)
def test_missing_images_are_counted_and_broken_ones_named(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, prepare = LAYOUTS[name]
    sample = make(tmp_path / "source") / IMAGES[name]
    whole = len(read_manifest(prepare(tmp_path / "source", tmp_path / "target")))
    sample.write_bytes(sample.read_bytes()[:20])
    with pytest.raises(DataError, match=sample.name):
        prepare(tmp_path / "source", tmp_path / "target")
    assert len(read_manifest(tmp_path / "target")) == whole  # the earlier result is as it was
    sample.unlink()
    caplog.clear()
    assert len(read_manifest(prepare(tmp_path / "source", tmp_path / "target"))) == whole - 1
    assert "left out 1 images that are listed but do not exist" in caplog.text and sample.name in caplog.text


# --- one by one ------------------------------------------------------------------------------------------------------


def test_fer2013_follows_usage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = read_manifest(fer2013(make_fer2013(tmp_path / "source"), tmp_path / "target"))
    count = splits(samples)
    assert count["test"] == count["public_test"] == 5
    assert count["train"] + count["validation"] == 38 and count["validation"] > 0  # without rows 3 and 4
    assert "1 training images that are also in a test part" in caplog.text
    assert "1 training images of one colour" in caplog.text
    by_name = {sample.path.stem: sample for sample in samples}
    assert by_name["fer0000009"].labels == {"emotion": "fear"}  # 9 % 7 = 2
    pixels = np.random.default_rng(9).integers(0, 256, 48 * 48).astype(np.uint8).reshape(48, 48)
    assert np.array_equal(manifest.read_sample(by_name["fer0000009"])[..., 0], pixels)

    other = fer2013(make_fer2013(tmp_path / "kaggle", name="icml_face_data.csv"), tmp_path / "target2")
    assert other.read_bytes() == (tmp_path / "target" / "manifest.csv").read_bytes()


def test_fer2013_with_votes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_fer2013(tmp_path / "source", votes=True)
    rows = {sample.path.stem: sample.labels for sample in read_manifest(fer2013(source, tmp_path / "target"))}
    assert rows["fer0000000"] == {"emotion_fer2013": "angry", "emotion_votes": "0 0 0 5 0 0 5 0"}
    assert rows["fer0000001"] == {"emotion_fer2013": "disgust"}
    assert rows["fer0000002"] == {
        **{"emotion": "happy", "emotion_fer2013": "fear", "emotion_votes": "0 0 0 10 0 0 0 0"}
    }
    fer2013(source, tmp_path / "target", unified=True)
    assert len(list((tmp_path / "target/unified/train/Emotion/happy").iterdir())) == 36
    assert "left out 2 images without a category from unified/" in caplog.text
    votes = source / "fer2013new.csv"
    lines = votes.read_text().splitlines()
    for shortened in (lines[:-1], [*lines, lines[-1]]):
        votes.write_text("\n".join(shortened))
        with pytest.raises(DataError, match="fer2013new.*complete"):
            fer2013(source, tmp_path / "target2")
    votes.write_text("\n".join(lines).replace("5,5,0", "5,-,0"))
    with pytest.raises(DataError, match=r"fer2013new\.csv:2: a vote"):
        fer2013(source, tmp_path / "target2")


def test_votes_of_other_images_are_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.fer2013.prepare.FERPLUS_UNTRUSTED", (2,))
    samples = read_manifest(fer2013(make_fer2013(tmp_path / "source", votes=True), tmp_path / "target"))
    assert [p.labels for p in samples if p.path.stem == "fer0000002"] == [{"emotion_fer2013": "fear"}]


def test_fer2013_folders(tmp_path: Path) -> None:
    source = make_fer2013_folders(tmp_path / "source")
    count = splits(read_manifest(fer2013(source, tmp_path / "target")))
    assert count["test"] == count["public_test"] == 7 and count["train"] + count["validation"] == 21
    write(source / "fer2013new.csv", VOTES)
    with pytest.raises(DataError, match="add the csv"):
        fer2013(source, tmp_path / "target")
    (source / "fer2013new.csv").unlink()
    save(source / "train" / "bored" / "1.png", 1)
    with pytest.raises(DataError, match="bored: not an emotion"):
        fer2013(source, tmp_path / "target")


def test_affectnet_cuts_faces_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_affectnet(tmp_path / "source")
    y, x = np.mgrid[:32, :32]
    smooth = np.stack([8 * x, 8 * y, 0 * x], axis=2).astype(np.uint8)
    Image.fromarray(smooth).save(source / "Manually_Annotated_Images/0/6.png")
    samples = read_manifest(affectnet(source, tmp_path / "target"))
    assert splits(samples)["test"] == 2 and len(samples) == 24 - 6
    assert "left out 6 rows without an emotion" in caplog.text
    by_name = {sample.path.stem: sample for sample in samples}
    assert by_name["6"].labels == {"emotion": "angry"} and by_name["1"].labels == {"emotion": "happy"}
    cut, expected = manifest.read_sample(by_name["6"]), smooth[6:28, 4:24]
    assert cut.shape == expected.shape and np.abs(cut.astype(int) - expected).mean() < 6


def test_affectnet_annotations_that_do_not_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_affectnet_annotations(tmp_path / "source")
    (source / "train_set/annotations/5_exp.npy").unlink()
    assert len(read_manifest(affectnet(source, tmp_path / "target"))) == 23
    assert "left out 1 images without an annotation" in caplog.text
    (source / "val_set/annotations/5_exp.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"5_exp\.npy"):
        affectnet(source, tmp_path / "target")
    np.save(source / "val_set/annotations/5_exp.npy", np.array("12"))
    with pytest.raises(DataError, match=r"5_exp\.npy: expression '12' is out of range"):
        affectnet(source, tmp_path / "target")


def test_rafdb_counts_from_one(tmp_path: Path) -> None:
    samples = read_manifest(rafdb(make_rafdb(tmp_path / "source"), tmp_path / "target"))
    labels = {sample.path.stem: sample.labels["emotion"] for sample in samples}
    assert [labels[f"train_0000{i}_aligned"] for i in range(1, 8)] == [
        *("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
    ]
    assert splits(samples)["test"] == 7


def test_ckplus_keeps_people_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_ckplus(tmp_path / "source")
    samples = read_manifest(ckplus(source, tmp_path / "target"))
    assert "left out 30 sequences without an emotion" in caplog.text
    assert len(samples) == 30 * 4
    side = {sample.group: sample.split for sample in samples}
    assert len(side) == 30 and all(side[sample.group] == sample.split for sample in samples)
    emotions = {p.path.stem: p.labels["emotion"] for p in samples if p.group == "S001"}
    assert emotions == {
        "S001_001_00000001": "neutral",
        **{f"S001_001_0000000{frame}": "contempt" for frame in (4, 5, 6)},
    }
    # The landmarks span 10..30; with 15 % on each side the square is 7..33.
    first = next(sample for sample in samples if sample.path.stem == "S001_001_00000001")
    frame = np.asarray(Image.open(source / "cohn-kanade-images/S001/001/S001_001_00000001.png"))
    assert np.array_equal(manifest.read_sample(first), frame[7:33, 7:33])


def test_ckplus_that_is_not_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_ckplus(tmp_path / "source", landmarks=False)
    (source / "cohn-kanade-images/S004/001/S004_001_00000006.png").unlink()
    write(source / "Emotion/S099/001/S099_001_00000006_emotion.txt", "1.0")
    samples = read_manifest(ckplus(source, tmp_path / "target"))
    assert len(samples) == 29 * 4 and manifest.read_sample(samples[0]).shape == (40, 40, 3)
    for message in ("whole frames", "1 sequences that lack frames", "1 emotions whose sequence is missing"):
        assert message in caplog.text


def test_utkface_reads_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_utkface(tmp_path / "source")
    save(source / "UTKFace" / "61_1_20170109142408075.jpg.chip.jpg", 500)
    save(source / "UTKFace" / "20_3_0_20170109142408075.jpg.chip.jpg", 501)
    samples = read_manifest(utkface(source, tmp_path / "target"))
    assert len(samples) == 60 and "left out 2 images whose names" in caplog.text
    by_age = {sample.labels["age"]: sample.labels for sample in samples}
    assert by_age["7"] == {"age": "7", "gender": "female", "ethnicity_five": "asian"}
    # An image's split comes from its name alone, so that more images change nothing.
    before = {sample.path.name: sample.split for sample in samples}
    save(source / "UTKFace" / "77_0_0_20170109142408075.jpg.chip.jpg", 502)
    after = {sample.path.name: sample.split for sample in read_manifest(utkface(source, tmp_path / "target"))}
    assert before.items() <= after.items()


def test_fairface_labels(tmp_path: Path) -> None:
    samples = read_manifest(fairface(make_fairface(tmp_path / "source"), tmp_path / "target"))
    assert splits(samples)["test"] == 10
    labels = {sample.path.parts[-2:]: sample.labels for sample in samples}
    assert labels["train", "8.jpg"] == {"age_bin": "70+", "gender": "male", "ethnicity": "black"}
    assert labels["val", "2.jpg"] == {"age_bin": "10-19", "gender": "male", "ethnicity": "latino"}


# --- splits ----------------------------------------------------------------------------------------------------------


def test_groups_and_copies_never_straddle() -> None:
    rng = np.random.default_rng(0)
    samples = [Sample(Path(f"{i}.png"), "", {}, f"person {rng.integers(200)}") for i in range(1000)]
    digests = [f"pixels {rng.integers(5000)}" for _ in samples]
    settled = manifest.assign_splits(samples, digests, lambda reason, what: pytest.fail(reason))
    assert len(settled) == 1000 and set(splits(settled)) == {"train", "validation", "test"}
    for keys in ([sample.group for sample in samples], digests, [sample.group for sample in settled]):
        sides: dict[str, set[str]] = {}
        for key, sample in zip(keys, settled, strict=True):
            sides.setdefault(key, set()).add(sample.split)
        assert all(len(side) == 1 for side in sides.values())


def test_hashed_shares() -> None:
    samples = [Sample(Path(f"{i}.png"), "", {}, f"{i}.png") for i in range(3000)]
    digests = [str(i) for i in range(3000)]
    count = splits(manifest.assign_splits(samples, digests, lambda reason, what: None))
    assert 240 < count["test"] < 360 and 240 < count["validation"] < 360
    # A set with a test part of its own gives no training image away to testing.
    own = [Sample(sample.path, "train", {}, sample.group) for sample in samples]
    again = splits(manifest.assign_splits(own, digests, lambda reason, what: None))
    assert again == {"train": count["train"] + count["test"], "validation": count["validation"]}


def test_a_test_part_takes_its_copies_out_of_training() -> None:
    left: list[str] = []
    samples = [
        *(Sample(Path(name), split, {}, name) for name, split in (("a", "train"), ("b", "train"), ("c", "train"))),
        *(Sample(Path(name), split, {}, name) for name, split in (("d", "test"), ("e", "public_test"))),
    ]
    settled = manifest.assign_splits(samples, ["1", "2", "1", "1", "1"], lambda reason, what: left.append(what.strip()))
    assert left == ["a", "c"] and [sample.path.name for sample in settled] == ["b", "d", "e"]


def test_copies_are_found_across_formats(tmp_path: Path) -> None:
    image = Image.fromarray(face(1)).convert("L")
    image.save(tmp_path / "grey.png")
    image.convert("RGB").save(tmp_path / "colour.bmp")
    digests = {digest(manifest.read_sample(Sample(tmp_path / name, "", {}, ""))) for name in ("grey.png", "colour.bmp")}
    assert len(digests) == 1


# --- the manifest ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for i in range(3):
        save(tmp_path / f"{i}.png", i)
    text = "path,split,emotion,age,group\n0.png,train,happy,30,a\n1.png,train,sad,,a\n2.png,test,,7,b\n"
    return write(tmp_path / "manifest.csv", text)


def test_a_manifest_is_read_and_written(small: Path) -> None:
    samples = read_manifest(small)
    assert [sample.labels for sample in samples] == [
        {"emotion": "happy", "age": "30"},
        {"emotion": "sad"},
        {"age": "7"},
    ]
    assert samples[2].where == f"{small}:4"
    before = small.read_text()
    manifest.write_manifest(small, samples)
    assert small.read_text() == before
    assert [path.name for path in small.parent.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",group", "", r":1: lacks the column group; it has: path, split, emotion, age"),
        ("emotion,age", "emotoin,age", r":1: unknown column emotoin; known: path, split, group, emotion"),
        ("happy", "glad", r":2: emotion 'glad' is out of range; known: angry"),
        (",7,", ",131,", r":4: age '131' is out of range; known: 0\.\.130"),
        ("train,sad", "dev,sad", r":3: unknown split 'dev'; known: train, validation"),
        ("train,sad", "validation,sad", r":3: group 'a' is in validation here and in train in .*:2"),
        ("1.png", "gone.png", r":3: no such image: .*gone\.png"),
        ("1.png", "0.png", r":3: 0\.png is already listed in .*:2"),
        ("1.png,train,sad,,a", "1.png,train", r":3: 2 cells where the header has 5"),
        ("1.png,train", ",train", r":3: path and group must not be empty"),
        ("2.png", "\udcff.png", r"cannot be read as a csv file"),
    ],
)
def test_a_bad_manifest_is_named_with_its_line(small: Path, old: str, new: str, message: str) -> None:
    small.write_bytes(small.read_text().replace(old, new, 1).encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"manifest\.csv" + (message if message[0] == ":" else ".*" + message)):
        read_manifest(small)


def test_no_manifest_or_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.csv: no such file"):
        read_manifest(tmp_path)
    write(tmp_path / "manifest.csv", "path,split,emotion,group\n")
    with pytest.raises(DataError, match="lists no images"):
        read_manifest(tmp_path)
    write(tmp_path / "manifest.csv", "")
    with pytest.raises(DataError, match=":1: lacks the column path, split, group"):
        read_manifest(tmp_path)


def test_votes_are_checked() -> None:
    manifest.check_label("emotion_votes", "0 0 0 5 0 0 5 0", "")
    for value in ("1 2 3", "0 0 0 5 0 0 5 -1", "0 0 0 5 0 0 5 x"):
        with pytest.raises(DataError, match="here: emotion_votes .* is not 8 whole numbers"):
            manifest.check_label("emotion_votes", value, "here")


# --- nothing half-written --------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_fer2013(tmp_path / "source")

    def full(self: Path, data: bytes) -> int:
        if self.name == "fer0000020.png":
            raise OSError(28, "No space left on device", str(self))
        return original(self, data)

    original = Path.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DataError, match=r"target: could not be prepared: .*No space left on device.*fer0000020"):
            fer2013(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    fer2013(source, tmp_path / "target")  # and goes through once there is room


def test_a_run_that_fails_while_moving_leaves_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_fer2013(tmp_path / "source")
    fer2013(source, tmp_path / "target")
    original = Path.replace

    def stuck(self: Path, target: Path) -> Path:
        if target == tmp_path / "target" / "images":
            raise PermissionError(13, "in use", str(self))
        return original(self, target)

    monkeypatch.setattr(Path, "replace", stuck)
    with pytest.raises(DataError, match="could not be prepared.*in use"):
        fer2013(source, tmp_path / "target")
    assert manifest.find_manifests(tmp_path) == []


def test_a_killed_run_is_no_result(tmp_path: Path) -> None:
    source = make_utkface(tmp_path / "source")
    write(tmp_path / "target/.partial/manifest.csv", "path,split,age,group\n")
    assert manifest.find_manifests(tmp_path) == []
    utkface(source, tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["manifest.csv"]


def test_the_target_may_not_hold_other_things(tmp_path: Path) -> None:
    source = make_utkface(tmp_path / "source")
    for target in (source, tmp_path):
        with pytest.raises(DataError, match="holds the data set itself"):
            utkface(source, target)
    mine = save(tmp_path / "target/images/mine.png", 0)
    with pytest.raises(DataError, match="images: is not of a finished run"):
        utkface(source, tmp_path / "target")
    assert mine.is_file() and len(list((source / "UTKFace").iterdir())) == 60


# --- the commands ----------------------------------------------------------------------------------------------------


def test_list_counts_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fairface(make_fairface(tmp_path / "a"), tmp_path / "prepared/fairface")
    utkface(make_utkface(tmp_path / "b"), tmp_path / "prepared/utkface")
    data_command(["list", str(tmp_path / "prepared"), "--sheet", str(tmp_path / "sheet.png")])
    text = capsys.readouterr().out
    assert "fairface/manifest.csv: 40 images" in text and "utkface/manifest.csv: 60 images" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["gender", "train", "validation", "test", "all"] in rows
    female = next(row for row in rows if row[:1] == ["female"])
    assert female[-2:] == ["5", "20"]  # FairFace: odd numbers of 10 and of 40
    assert ["70+", "0", "0", "0", "0"] in rows  # UTKFace's ages stop at 59: an empty class shows
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 150 + 10 * 72 and sheet.shape[0] > 20 * 72
    assert (sheet[:, 150:] < 250).any(axis=2).mean() > 0.3  # images are on it


def test_list_names_what_is_wrong(tmp_path: Path, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="no manifest.csv here or below"):
        data_command(["list", str(tmp_path / "nowhere")])
    utkface(make_utkface(tmp_path / "source"), tmp_path / "good")
    small.write_text(small.read_text().replace("happy", "glad"))
    with pytest.raises(SystemExit, match=r"manifest\.csv:2: emotion 'glad'"):
        data_command(["list", str(tmp_path)])
    assert "good/manifest.csv: 60 images" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        data_command(["list", str(tmp_path), "--sheet", "sheet.txt"])
    assert "sheet.txt" in capsys.readouterr().err


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line(tmp_path: Path) -> None:
    source, target = make_rafdb(tmp_path / "source"), tmp_path / "target"
    done = run("-m", "training.data.rafdb.prepare", str(source), "--to", str(target), "--unified")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(target / "manifest.csv") and (target / "unified/test/Emotion").is_dir()
    assert "28 images, 0 of them exact copies" in done.stderr


def test_reading_data_needs_no_keras() -> None:
    modules = "training.data, training.data.__main__, training.data.fer2013.prepare"
    done = run("-c", f"import sys, {modules}; assert not {{'keras', 'tensorflow', 'torch', 'jax'}} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["fer2013", "affectnet", "rafdb", "ckplus", "utkface", "fairface"])
def test_help_says_what_to_download(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import importlib

    module = importlib.import_module(f"training.data.{name}.prepare")
    with pytest.raises(SystemExit):
        preparing.command(module.prepare, module.__doc__, ["--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("Download", "Licence:", "Cite:", "SOURCE", "Splits:", "--unified"))
    with pytest.raises(SystemExit, match="error: .*nowhere"):
        preparing.command(module.prepare, module.__doc__, [str(tmp_path / "nowhere"), "--to", str(tmp_path / "to")])


# --- as training data ------------------------------------------------------------------------------------------------


def test_manifests_become_training_data(tmp_path: Path) -> None:
    fer2013(make_fer2013(tmp_path / "a", votes=True), tmp_path / "prepared/fer2013")
    data = manifest.face_data(tmp_path / "prepared/fer2013", "train")
    assert set(data.targets) == {"emotion", "emotion_fer2013"} and set(data.labels) == set(data.targets)
    assert np.allclose(data.targets["emotion_fer2013"].sum(1), 1)
    assert data.targets["emotion"][0].tolist() == [0, 0, 0, 0.5, 0, 0, 0.5, 0] and data.labels["emotion"][0] == -1
    assert data.targets["emotion"][1].tolist() == [1] * 8  # not known

    fairface(make_fairface(tmp_path / "b"), tmp_path / "prepared/fairface")
    utkface(make_utkface(tmp_path / "c"), tmp_path / "prepared/utkface")
    alone = manifest.face_data(tmp_path / "prepared/utkface", "test")
    assert set(alone.labels) == {"age", "gender", "ethnicity_five"} and set(alone.groups) == {
        "gender",
        "ethnicity",
        "age",
    }
    for rows in alone.targets.values():
        assert rows.shape[0] == len(alone) > 0
    other = alone.labels["ethnicity_five"] == 4
    assert set(alone.targets["ethnicity"][other].sum(1)) == {2}  # Middle Eastern or Latino

    shutil.rmtree(tmp_path / "prepared/fer2013")
    both = manifest.face_data(tmp_path / "prepared", "train")
    assert "age" not in both.labels and (both.labels["age_bin"] >= 0).all()  # by bin, which both can be scored on
    assert both.targets["age"].shape == (len(both), 101) and len(both.images) == len(both)
    with pytest.raises(DataError, match="nowhere: no manifest.csv"):
        manifest.face_data(tmp_path / "nowhere", "train")


def test_unified_folders_are_what_evaluation_reads(tmp_path: Path) -> None:
    rafdb(make_rafdb(tmp_path / "source"), tmp_path / "target", unified=True)
    counts = {}
    for split in ("test", "train"):
        samples, _ = read_labels(tmp_path / "target/unified" / split)
        counts[split] = len(samples)
    assert counts == {"test": 7, "train": 21}


def test_large_images_are_shrunk(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), cv2.resize(face(0), (400, 300)))
    write(tmp_path / "manifest.csv", "path,split,emotion,group\na.png,train,happy,a\n")
    assert manifest.face_data(tmp_path, "train").images[0].shape == (96, 128, 3)


# --- your own images -----------------------------------------------------------------------------------------------


def test_own_photos_are_cut_as_the_model_sees_them(tmp_path: Path, photo: Path, astronaut: np.ndarray) -> None:
    from facemodels import FaceAnalyzer

    for name in ("happy/1.jpg", "sad/2.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        (tmp_path / "photos" / name).write_bytes(photo.read_bytes())
    Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).save(tmp_path / "photos/sad/empty.png")
    samples = read_manifest(own(tmp_path / "photos", tmp_path / "own"))
    assert [sample.labels["emotion"] for sample in samples] == ["happy", "sad"]
    assert len(splits(samples)) == 1  # copies stay together
    cut_out = manifest.read_sample(samples[0])
    assert cut_out.shape == (160, 160, 3)
    # The crop says what the photo says: same framing, same turn.
    analyzer = FaceAnalyzer(["emotion"])
    (whole,), (face,) = analyzer.analyze(astronaut).faces, analyzer.analyze_crops([cut_out])
    assert whole.emotion and face.emotion
    assert face.emotion.scores == pytest.approx(whole.emotion.scores, abs=0.1)


def test_own_photos_with_boxes_give_the_faces_that_are_meant(tmp_path: Path, astronaut: np.ndarray) -> None:
    both = Image.new("RGB", (520, 260), "grey")
    portrait = Image.fromarray(astronaut[20:220, 150:310])
    both.paste(portrait, (20, 20))
    both.paste(portrait.resize((120, 150)), (360, 60))
    both.save(tmp_path / "both.png")
    rows = ["both.png,384,90,451,175,sad", "both.png,50,60,140,175,happy"]
    table = write(tmp_path / "corrections.csv", "\n".join(["path,x1,y1,x2,y2,emotion", *rows]))
    samples = read_manifest(own(table, tmp_path / "own"))
    assert [sample.labels["emotion"] for sample in samples] == ["sad", "happy"]
    assert len(splits(samples)) == 1 and len({sample.group for sample in samples}) == 1, "one photo, one side"
    small, large = (manifest.read_sample(sample).astype(int) for sample in samples)
    assert small.shape == large.shape == (160, 160, 3)
    assert np.abs(small - large).mean() < 40, "the same face, cut alike"


def test_own_images_of_one_person_go_together(tmp_path: Path) -> None:
    lines = ["path,gender,age,ethnicity,person"]
    for i in range(60):
        save(tmp_path / f"{i}.png", i)
        lines.append(f"{i}.png,{('female', 'male')[i % 2]},{i}.5,{('asian', 'white', '')[i % 3]},p{i % 20}")
    table = write(tmp_path / "labels.csv", "\n".join(lines))
    samples = read_manifest(own(table, tmp_path / "own", unified=True, crops=True))
    assert len(samples) == 60 and set(splits(samples)) == {"train", "validation", "test"}
    sides: dict[str, set[str]] = {}
    for sample in samples:
        sides.setdefault(sample.group, set()).add(sample.split)
    assert len(sides) == 20 and all(len(found) == 1 for found in sides.values())
    assert samples[0].labels == {"gender": "female", "age": "0", "ethnicity_five": "asian"}
    assert (tmp_path / "own/unified/test/Gender").is_dir()
    assert len(manifest.face_data(tmp_path / "own", "train")) == splits(samples)["train"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.png,glad", r"labels\.csv:3: emotion 'glad' is out of range"),
        ("gone.png,sad", r"labels\.csv:3: no such image"),
        ("broken.png,sad", r"labels\.csv:3: .*broken\.png.*; repair or remove it"),
    ],
)
def test_own_images_that_are_not_in_order(tmp_path: Path, line: str, message: str) -> None:
    save(tmp_path / "0.png", 0)
    save(tmp_path / "1.png", 1)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write(tmp_path / "labels.csv", f"path,emotion\n0.png,happy\n{line}\n")
    with pytest.raises(DataError, match=message):
        own(tmp_path / "labels.csv", tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_the_command_for_own_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        save(tmp_path / "faces" / ("happy", "sad")[i % 2] / f"{i}.png", i)
    own_command([str(tmp_path / "faces"), "--to", str(tmp_path / "own"), "--crops"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "own/manifest.csv")
    with pytest.raises(SystemExit, match="error: .*nowhere: no such folder"):
        own_command([str(tmp_path / "nowhere"), "--to", str(tmp_path / "own")])
