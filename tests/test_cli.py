"""The command line as scripts use it: output, exit codes, errors."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels import Analysis, Box, Face
from facemodels.cli import main
from facemodels.cli.console import FAILED, OK, WRONG
from facemodels.cli.run import COMMANDS
from facemodels.errors import FaceModelsError
from facemodels.files import OutputFolder, written_whole
from facemodels.results import CsvSink, describe_face, table_columns
from facemodels.sources import Sources


@pytest.fixture
def folder(tmp_path: Path, photo: Path) -> Path:
    """Two photos of one face, an empty scene, a broken file, and something that is no picture."""
    (tmp_path / "deep").mkdir()
    shutil.copy(photo, tmp_path / "a.jpg")
    shutil.copy(photo, tmp_path / "deep" / "a.jpg")
    Image.fromarray(np.full((90, 120, 3), 80, np.uint8)).save(tmp_path / "blank.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the script that is installed."""
    monkeypatch.setattr(sys, "argv", ["facemodels"])


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json_is_one_array_with_sources(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "analyze", str(folder), "--json")
    items = json.loads(out)
    assert code == FAILED
    assert [Path(item["source"]).name for item in items] == ["a.jpg", "blank.png", "broken.jpg", "a.jpg"]
    assert [len(item["faces"]) for item in items] == [1, 0, 0, 1]
    assert [item["error"] is None for item in items] == [True, True, False, True]
    assert items[0]["faces"] == items[3]["faces"]
    assert "broken.jpg" in err
    assert set(items[0]) - {"source"} == set(Analysis((), 1, 1).to_dict())


def test_csv_has_a_row_per_face(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "analyze", str(folder / "a.jpg"), str(folder / "broken.jpg"), "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == FAILED
    assert tuple(rows[0]) == table_columns()
    assert rows[0]["gender"] in ("female", "male") and float(rows[0]["age"]) > 10 and rows[0]["error"] == ""
    assert rows[1]["face"] == "" and "broken.jpg" in rows[1]["error"]


def test_text_and_annotated_copies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = folder / "drawn" / "here"
    photos = [str(folder / "a.jpg"), str(folder / "deep" / "a.jpg")]
    code, out, err = run(capsys, "analyze", *photos, "--annotate", str(drawn), "--attributes", "emotion")
    assert (code, err) == (OK, "")
    assert out.count(": 1 face\n") == 2 and "happy" in out and "age" not in out
    assert sorted(path.name for path in drawn.iterdir()) == ["a-2.jpg", "a.jpg"]  # neither overwrites the other
    with Image.open(drawn / "a.jpg") as image, Image.open(photos[0]) as original:
        assert image.size == original.size
        assert np.abs(np.asarray(image, int) - np.asarray(original, int)).max() > 100


def unchanged(folder: Path, before: dict[Path, bytes]) -> bool:
    """Whether a folder holds just these files with these bytes."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.fixture
def over(tmp_path: Path, photo: Path) -> tuple[Path, dict[Path, bytes]]:
    """A folder with photos of one name in two formats, and its bytes."""
    folder = tmp_path / "over"
    folder.mkdir()
    shutil.copy(photo, folder / "a.jpg")
    Image.fromarray(np.full((90, 120, 3), 80, np.uint8)).save(folder / "a.png")
    shutil.copy(photo, folder / "b.jpg")
    return folder, {path: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "sources",
    [["{over}"], ["{over}/."], ["{over}/a.jpg"], ["{over}/*.jpg"], ["{over}/a.png", "{over}/b.jpg"], ["{link}/b.jpg"]],
)
def test_originals_are_never_replaced(
    sources: list[str],
    overwrite: bool,
    over: tuple[Path, dict[Path, bytes]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, before = over
    (tmp_path / "link").symlink_to(folder)
    arguments = [source.format(over=folder, link=tmp_path / "link") for source in sources]
    code, out, err = run(
        capsys, "analyze", *arguments, "--annotate", str(folder), *(["--overwrite"] if overwrite else [])
    )
    assert (code, out) == (WRONG, "") and err.startswith(f"facemodels: --annotate {folder}") and err.count("\n") == 1
    assert unchanged(folder, before)


def test_a_photo_of_another_folder_is_not_replaced_either(
    over: tuple[Path, dict[Path, bytes]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, before = over
    (tmp_path / "other").mkdir()
    shutil.copy(folder / "a.png", tmp_path / "other" / "b.png")
    sources = [str(tmp_path / "other" / "b.png"), str(folder / "b.jpg")]
    code, out, err = run(capsys, "analyze", *sources, "--annotate", str(folder), "--overwrite")
    assert (code, out) == (WRONG, "") and "one of the files to analyze" in err
    assert unchanged(folder, before)


def test_links_to_a_photo_are_that_photo(
    over: tuple[Path, dict[Path, bytes]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, before = over
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    (drawn / "a.jpg").symlink_to(folder / "a.jpg")
    (drawn / "b.jpg").hardlink_to(folder / "b.jpg")
    for source in ("a.jpg", "b.jpg"):
        code, out, err = run(
            capsys, "analyze", str(folder / source), "--annotate", str(drawn), "--attributes", "gender", "--overwrite"
        )
        assert (code, out) == (WRONG, "") and "one of the files to analyze" in err
    assert unchanged(folder, before) and (drawn / "a.jpg").is_symlink()


def test_only_overwrite_replaces_what_an_earlier_call_made(
    over: tuple[Path, dict[Path, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, before = over
    drawn = folder / "drawn"
    command = ["analyze", str(folder), "--annotate", str(drawn), "--attributes", "gender"]
    assert run(capsys, *command)[0] == OK
    made = {path: path.read_bytes() for path in drawn.iterdir()}
    assert sorted(path.name for path in made) == ["a-2.jpg", "a.jpg", "b.jpg"]
    (drawn / "a.jpg").write_bytes(b"mine")
    code, out, err = run(capsys, *command)
    assert (code, out) == (WRONG, "") and "exists already" in err and "--overwrite" in err
    assert (drawn / "a.jpg").read_bytes() == b"mine"
    code, out, _ = run(capsys, *command, "--overwrite")
    # Its own drawings are no sources, however the folder is searched.
    assert code == OK and "drawn" not in out and unchanged(folder, before | made)
    code, out, _ = run(capsys, "analyze", f"{folder}/**/*.jpg", *command[2:], "--overwrite")
    assert code == OK and "drawn" not in out


def test_names_that_differ_in_case_only_stay_apart(tmp_path: Path) -> None:
    folder = OutputFolder("--annotate", tmp_path)
    names = [folder.claim(source, ".jpg").name for source in ("a.png", "A.jpg", "x/a.png", "É.jpg", "e\u0301.jpg")]
    assert names == ["a.jpg", "A-2.jpg", "a-3.jpg", "É.jpg", "e\u0301-2.jpg"]


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    folder = OutputFolder("--annotate", tmp_path)
    for _ in range(2):
        target = folder.claim("ü" * 125 + ".tiff", ".jpg")
        with written_whole(target) as part:
            part.write_bytes(b"x")
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interruption_leaves_no_half_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "a.jpg") as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(FaceModelsError, match="appeared"), written_whole(tmp_path / "a.jpg") as part:
        part.write_bytes(b"new")
        (tmp_path / "a.jpg").write_bytes(b"of somebody else")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.jpg": b"of somebody else"}


def test_standard_input(photo: Path) -> None:
    command = [sys.executable, "-m", "facemodels", "analyze", "-", "--json", "--attributes", "gender"]
    done = subprocess.run(command, input=photo.read_bytes(), capture_output=True, timeout=120, check=False)
    assert done.returncode == OK, done.stderr
    (item,) = json.loads(done.stdout)
    assert item["source"] == "-" and set(item["faces"][0]["gender"]["scores"]) == {"female", "male"}
    assert done.stderr == b""  # no progress bar where there is no terminal


def test_sources(folder: Path) -> None:
    sources = Sources([str(folder), str(folder / "*.jpg")])
    names = [Path(source.path).relative_to(folder).as_posix() for source in sources]
    assert names == ["a.jpg", "blank.png", "broken.jpg", "deep/a.jpg"]
    assert list(Sources(["missing.jpg"])) == [("missing.jpg", False)]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["analyze", "missing.jpg"], FAILED, "missing.jpg"),
        (["analyze", "no-such-*.jpg"], FAILED, "no-such-"),
        (["analyze", "x.jpg", "--attributes", "mood"], WRONG, "mood"),
        (["analyze", "x.jpg", "--min-score", "7"], WRONG, "min_score"),
        (["analyze", "x.jpg", "--model", "age"], WRONG, "ATTRIBUTE=MODEL"),
        (["analyze", "x.jpg", "--model", "age=nothing"], WRONG, "nothing"),
        (["analyze", "x.jpg", "--detector", "mtcnn"], WRONG, "mtcnn"),
        (["card", "nothing"], WRONG, "known here"),
        (["download", "nothing"], WRONG, "known here"),
        (["publish", "no-such-folder"], FAILED, "no-such-folder"),
        (["models", "--remote", "me"], FAILED, "HF_HUB_OFFLINE"),
    ],
)
def test_errors_are_one_clear_line(
    arguments: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    got, _, err = run(capsys, *arguments)
    assert got == code
    assert message in err and err.startswith("facemodels: ") and err.count("\n") == 1


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "analyze", str(tmp_path))
    assert code == FAILED and "holds no photo or video" in err


def test_a_wrong_command_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == WRONG
    for arguments in (["guess"], ["analyze"], ["analyze", "x.jpg", "--json", "--csv"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == WRONG
    assert "usage" in capsys.readouterr().err


def test_every_command_explains_itself_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stopped:
            main([command.name, "--help"])
        out = capsys.readouterr().out
        assert stopped.value.code == 0
        assert command.description.splitlines()[0] in out and f"examples:\n  facemodels {command.name}" in out
    with pytest.raises(SystemExit):
        main(["help", "card"])
    assert "usage: facemodels card" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "hint"),
    [("analyse", "facemodels analyze\n"), ("photo.jpg", "facemodels analyze photo.jpg"), ("x", "known:")],
)
def test_a_wrong_command_is_answered_by_a_hint(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([word])
    assert hint in capsys.readouterr().err


def test_names_of_the_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for path, name in (("/bin/facemodels", "facemodels"), ("/x/facemodels/__main__.py", "python -m facemodels")):
        monkeypatch.setattr(sys, "argv", [path])
        main([])
        assert f"usage: {name} " in capsys.readouterr().err


def test_cells_are_no_formulas() -> None:
    stream = io.StringIO()
    with CsvSink(stream) as sink:
        for source in ("=HYPERLINK(1).jpg", "@SUM.jpg", "+1.jpg", "-1+2.jpg", "a.jpg", "-"):
            sink.write_image(source, Analysis((Face(Box(-1.5, 0, 3, 4)),), 9, 9))
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert [row["source"] for row in rows] == ["'=HYPERLINK(1).jpg", "'@SUM.jpg", "'+1.jpg", "'-1+2.jpg", "a.jpg", "-"]
    assert {row["x1"] for row in rows} == {"-1.5"}


def test_models_and_card(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "models")
    assert code == OK
    line = next(line for line in out.splitlines() if line.startswith("emotion-efficientnet"))
    assert "bundled" in line and "non-commercial" in line and "MB" in line and "%" in line
    code, out, _ = run(capsys, "models", "--json")
    assert {spec["name"] for spec in json.loads(out)} >= {"emotion-efficientnet", "demographics-efficientnet", "yunet"}
    code, out, _ = run(capsys, "card", "emotion-efficientnet")
    assert code == OK and "## Not meant for" in out


def test_a_card_in_a_terminal() -> None:
    pty = pytest.importorskip("pty", reason="needs a Unix terminal")
    shown: list[bytes] = []

    def keep(descriptor: int) -> bytes:
        shown.append(os.read(descriptor, 65536))
        return shown[-1]

    assert pty.spawn([sys.executable, "-m", "facemodels", "card", "emotion-efficientnet"], keep) == OK
    text = b"".join(shown).decode()
    assert "Not meant for" in text and "## Not meant for" not in text  # rendered
    assert "license_name" not in text and "\x1b[" in text


def test_download_of_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "download")
    assert code == OK
    assert len(out.splitlines()) == 2 and "emotion-efficientnet: " in out


def test_a_reader_that_leaves_early(photo: Path) -> None:
    command = f"{sys.executable} -m facemodels models --json | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.stderr == b"" and done.stdout == b"["


def test_describe_without_attributes() -> None:
    assert describe_face(Face(Box(1, 2, 31, 42))) == "30x40 at 1,2"


def test_publish_to_a_folder_and_use_it(
    release: Path, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "publish", str(release), "--to", str(tmp_path / "mine"), "--dry-run")
    assert code == OK and "would write" in err and not (tmp_path / "mine").exists()
    code, out, _ = run(capsys, "publish", str(release), "--to", str(tmp_path / "mine"))
    assert code == OK and json.loads(out)["files"]["model.tflite"]["size"] > 0
    answers = [
        run(capsys, "analyze", str(photo), "--json", "--attributes", "emotion", "--model", f"emotion={folder}")[1]
        for folder in (release, tmp_path / "mine")
    ]
    assert answers[0] == answers[1] and len(json.loads(answers[0])[0]["faces"]) == 1
    code, _, err = run(capsys, "publish", str(release), "--to", str(tmp_path / "mine"))
    assert code == WRONG and "not an empty folder" in err
    code, _, err = run(capsys, "publish", str(release), "--version", "9.9.9", "--dry-run")
    assert code == WRONG and "9.9.9" in err
