"""The command line as scripts use it: output, exit codes, errors."""

from __future__ import annotations

import array
import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GROUND, write_clip
from PIL import Image

from facemodels import Analysis, Box, Face, FaceAnalyzer, get_spec
from facemodels.cli import main
from facemodels.cli.console import FAILED, INTERRUPTED, OK, WRONG
from facemodels.cli.run import COMMANDS
from facemodels.errors import FaceModelsError
from facemodels.files import OutputFolder, written_whole
from facemodels.hub.registry import DEFAULT_MODELS
from facemodels.results import CsvSink, describe_face, table_columns
from facemodels.sources import Sources

AGE_MODEL = get_spec(DEFAULT_MODELS["age"]).id


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
    assert rows[1]["face"] == "" and rows[1]["error"] == "this is a damaged or incomplete JPEG file"


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
@pytest.mark.parametrize("option", ["--annotate", "--anonymize"])
def test_originals_are_never_replaced(
    option: str,
    sources: list[str],
    overwrite: bool,
    over: tuple[Path, dict[Path, bytes]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, before = over
    (tmp_path / "link").symlink_to(folder)
    arguments = [source.format(over=folder, link=tmp_path / "link") for source in sources]
    code, out, err = run(capsys, "analyze", *arguments, option, str(folder), *(["--overwrite"] if overwrite else []))
    assert (code, out) == (WRONG, "") and err.startswith(f"facemodels: {option} {folder}") and err.count("\n") == 1
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


# ---------------------------------------------------------------- folders


def gathered(*arguments: Path | str, **options: Any) -> tuple[list[str], Sources]:
    """Names of the files that arguments lead to, and the sources."""
    sources = Sources([str(argument) for argument in arguments], **options)
    return [Path(source.path).name for source in sources], sources


def test_a_folder_gives_what_can_be_read_and_counts_the_rest(tmp_path: Path) -> None:
    names = [
        "a.JPG",
        "b.jfif",
        "c.jpe",
        "d.avif",
        "e.jp2",
        "f.mpo",
        "g.ppm",
        "h.tif",
        "i.gif",
        "j.mp4",
        "k.MTS",
        "l.m2ts",
    ]
    hidden = [".a.jpg", "._a.jpg", "Thumbs.db", "__MACOSX/a.jpg", ".git/a.jpg", "@eaDir/a.jpg", "Trash/b.jpg"]
    others = ["x.txt", "y.txt", "z.xmp", "README"]
    for name in [*names, *hidden, *others, "deep/er/n.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, sources = gathered(tmp_path)
    assert found == [*names, "n.png"]
    assert sources.left_out_text() == "2 .txt, 1 without a suffix, 1 .xmp"
    assert [source.path[-4:] for source in sources if source.is_video] == [".mp4", ".MTS", "m2ts"]
    assert gathered(tmp_path / "__MACOSX")[0] == ["a.jpg"]  # who names it wants it


def test_what_was_left_out_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.doc").touch()
    code, _, err = run(capsys, "analyze", str(folder / "deep"), "--attributes", "gender")
    assert (code, err) == (OK, "")
    (folder / "broken.jpg").unlink()
    code, _, err = run(capsys, "analyze", str(folder), "--attributes", "gender")
    assert code == OK and err == "facemodels: left out: 1 .doc, 1 .txt\n"


def test_links_that_lead_in_circles_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "a.jpg").touch()
    (tmp_path / "one" / "up").symlink_to(tmp_path)
    (tmp_path / "one" / "two").symlink_to(tmp_path / "two")
    (tmp_path / "two" / "one").symlink_to(tmp_path / "one")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    found, sources = gathered(tmp_path)
    assert found == ["a.jpg"] and sources.left_out == {"no files": 2} and not sources.problems


def test_patterns_and_overlapping_arguments_give_each_file_once(folder: Path) -> None:
    assert gathered(folder, folder / "a.jpg", f"{folder}/*.jpg", folder / "deep")[0].count("a.jpg") == 2
    with contextlib.chdir(folder):
        assert gathered("a.jpg", "./a.jpg", "./*.png", "blank.png")[0] == ["a.jpg", "blank.png"]
    found, sources = gathered(f"{folder}/nothing-*.jpg", folder / "blank.png")
    assert found == ["blank.png"] and sources.problems == [f"no file fits the pattern {folder}/nothing-*.jpg"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a folder that cannot be read")
def test_a_folder_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert "closed: the folder cannot be read: Permission denied" in gathered(tmp_path)[1].problems[0]


@pytest.mark.slow
def test_a_hundred_thousand_files_start_at_once_and_take_no_memory(tmp_path: Path) -> None:
    for number in range(100_000):
        os.close(os.open(tmp_path / f"{number}.jpg", os.O_CREAT))
    sources = Sources([str(tmp_path)])
    assert next(iter(sources)).path.endswith(".jpg")  # what knows the suffixes is imported once, and not counted
    tracemalloc.start()
    first = next(iter(sources))
    assert first.path.endswith(".jpg")
    count = sum(1 for _ in sources)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000 and peak < 6e6


def test_a_file_that_is_named_is_told_by_its_content(tmp_path: Path, face_video: Path, photo: Path) -> None:
    shutil.copy(face_video, tmp_path / "video")
    shutil.copy(photo, tmp_path / "photo.mp4")
    for arguments in ([str(tmp_path / "photo.mp4"), str(tmp_path / "video")], [str(tmp_path)]):
        assert [source.is_video for source in Sources(arguments)] == [False, True]
    assert [source.is_video for source in Sources([str(path) for path in tmp_path.iterdir()], animations=True)]
    gif = tmp_path / "a.gif"
    gif.write_bytes(b"GIF89a" + bytes(100))
    for argument in (gif, tmp_path):
        for animations in (False, True):
            assert {s.is_video for s in Sources([str(argument)], animations=animations) if s.path == str(gif)} == {
                animations
            }


@pytest.fixture
def face_video(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few frames of a face that the bundled detector finds."""
    still = Image.new("RGB", (320, 240), GROUND)
    still.paste(Image.fromarray(astronaut[20:220, 150:310]), (60, 20))
    return write_clip(tmp_path_factory.mktemp("videos") / "face.mp4", [np.asarray(still)] * 4, rate=10)


def test_photos_and_videos_of_one_folder(
    face_video: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (face_video, photo):
        shutil.copy(path, tmp_path)
    drawn = tmp_path / "drawn"
    call = ("analyze", str(tmp_path), "--attributes", "gender")
    code, out, err = run(capsys, *call, "--annotate", str(drawn), "--timeline", str(drawn))
    assert (code, err) == (OK, "") and ": 1 face\n" in out and ": 1 person in" in out
    assert sorted(path.name for path in drawn.iterdir()) == ["astronaut.jpg", "face.mp4", "face.svg"]
    shutil.rmtree(drawn)
    image, video = json.loads(run(capsys, *call, "--json")[1])
    assert len(image["faces"]) == 1 and len(video["frames"]) == 4 and video["error"] is None
    rows = list(csv.DictReader(io.StringIO(run(capsys, *call, "--csv")[1])))
    assert tuple(rows[0]) == table_columns(images=True, videos=True)
    assert [(row["face"], row["frame"]) for row in rows] == [("1", ""), *(("", str(number)) for number in range(4))]
    lines = [json.loads(line) for line in run(capsys, *call, "--jsonl")[1].splitlines()]
    assert lines[0]["faces"] == image["faces"] and [line["frame"] for line in lines[1:5]] == [0, 1, 2, 3]
    assert (lines[5]["width"], lines[5]["error"]) == (320, None) and len(lines) == 6


# ---------------------------------------------------------------- output


FORMS = ["text", "csv", "json", "jsonl"]


@pytest.mark.parametrize("encoding", ["cp1252", "cp936", "ascii"])
@pytest.mark.parametrize("form", FORMS)
def test_redirected_output_is_utf8(form: str, encoding: str, tmp_path: Path, photo: Path) -> None:
    source = tmp_path / "Zoë 日本.jpg"
    shutil.copy(photo, source)
    command = [sys.executable, "-m", "facemodels", "analyze", str(source), "--attributes", "age"]
    command += [] if form == "text" else [f"--{form}"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, env=environment)
    assert done.returncode == OK, done.stderr
    assert str(source) in done.stdout.decode()
    assert form != "text" or "±" in done.stdout.decode()


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are no text")
@pytest.mark.parametrize("form", FORMS)
def test_names_that_are_no_text_do_not_end_the_run(form: str, tmp_path: Path, photo: Path) -> None:
    shutil.copy(photo, os.fsencode(tmp_path) + b"/\xff\xe9.jpg")
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(b"no photo")
    command = [sys.executable, "-m", "facemodels", "analyze", str(tmp_path), "--attributes", "age"]
    command += ["--annotate", str(tmp_path / "drawn"), *([] if form == "text" else [f"--{form}"])]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == FAILED and b"this is text, not an image" in done.stderr, done.stderr
    out = done.stdout.decode()
    assert "\\udcff" in out
    if form == "json":
        assert [os.fsencode(item["source"])[-6:] for item in json.loads(out)] == [b"/\xff.jpg", b"\xff\xe9.jpg"]
    assert [os.fsencode(path)[-6:] for path in (tmp_path / "drawn").iterdir()] == [b"\xff\xe9.jpg"]


class Interrupted(FaceAnalyzer):
    """An analyzer that is interrupted at the third image."""

    calls = 0
    error: type[BaseException] = KeyboardInterrupt

    def analyze(self, image: Any, **options: Any) -> Analysis:
        self.calls += 1
        if self.calls == 3:
            raise self.error
        return Analysis((), 4, 4)


@pytest.mark.parametrize("error", [KeyboardInterrupt, FaceModelsError, ZeroDivisionError])
@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_what_is_interrupted_is_complete_as_far_as_it_goes(
    form: str,
    error: type[BaseException],
    over: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Interrupted, "error", error)
    monkeypatch.setattr("facemodels.analyzer.FaceAnalyzer", Interrupted)
    arguments = ["analyze", str(over[0]), f"--{form}"]
    if error is ZeroDivisionError:  # of our own making
        with pytest.raises(error):
            main(arguments)
    else:
        assert main(arguments) == (INTERRUPTED if error is KeyboardInterrupt else FAILED)
    out, err = capsys.readouterr()
    if form == "json":
        assert len(json.loads(out)) == 2
    if form == "jsonl":
        assert len([json.loads(line) for line in out.splitlines()]) == 2
    assert "interrupted" in err or error is not KeyboardInterrupt


def test_a_video_that_is_interrupted_is_complete_as_far_as_it_goes(
    face_video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("facemodels.analyzer.FaceAnalyzer", Interrupted)
    assert main(["analyze", str(face_video), "--json", "--fps", "all"]) == INTERRUPTED
    (video,) = json.loads(capsys.readouterr().out)
    assert video["error"] == "interrupted" and len(video["frames"]) < 4


@pytest.mark.skipif(sys.platform == "win32", reason="ends processes as Unix does")
def test_a_run_that_the_system_ends_leaves_whole_lines(photo: Path, tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.jpg").symlink_to(photo)
    command = [
        sys.executable,
        "-m",
        "facemodels",
        "analyze",
        str(tmp_path),
        "--annotate",
        str(tmp_path / "drawn"),
        "--jsonl",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        process.terminate()
        rest, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED and err == "facemodels: interrupted\n"
    assert all(json.loads(line)["faces"] for line in [first, *rest.splitlines()])
    assert all(path.suffix == ".jpg" and not path.name.startswith(".") for path in (tmp_path / "drawn").iterdir())


BLOCKED = """
import sys
from facemodels.results import SINKS
from facemodels.streams import use_utf8
from facemodels.types import Analysis, Box, Face
use_utf8()
try:
    with SINKS[sys.argv[1]](sys.stdout) as sink:
        for _ in range(1000):
            sink.write_image("a.jpg", Analysis((Face(Box(1, 2, 3, 4), 0.9),) * 1000, 9, 9))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts processes as Unix does")
@pytest.mark.parametrize(("form", "unbuffered"), [("json", ""), ("json", "1"), ("jsonl", ""), ("csv", "")])
def test_an_interruption_while_the_reader_is_slow_cuts_no_item_in_two(form: str, unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-c", BLOCKED, form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        waiting, before = held_by(process.stdout), -1
        while not waiting or waiting != before:  # until the pipe is full
            time.sleep(0.1)
            waiting, before = held_by(process.stdout), waiting
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        out = process.stdout.read()
    assert process.returncode == INTERRUPTED
    if form == "json":
        assert json.loads(out)
    elif form == "jsonl":
        assert all(json.loads(line) for line in out.splitlines())
    else:
        assert out.endswith("\n") and len({line.count(",") for line in out.splitlines()}) == 1


def held_by(pipe: Any) -> int:
    """Bytes in a pipe that nobody has read."""
    import fcntl
    import termios

    size = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, size)
    return size[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_output_that_cannot_be_written_is_said() -> None:
    command = f'"{sys.executable}" -m facemodels models > /dev/full'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == FAILED
    assert done.stderr == "facemodels: cannot write the output: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="closes streams as a Unix shell does")
def test_closed_output_swallows_what_is_written() -> None:
    command = f'"{sys.executable}" -m facemodels models >&- 2>&-'
    assert subprocess.run(command, shell=True, check=False).returncode == OK


@pytest.mark.parametrize(("form", "empty"), [("json", "[]\n"), ("jsonl", ""), ("text", "")])
def test_an_empty_answer(form: str, empty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argument in (str(tmp_path), str(tmp_path / "*.jpg")):
        code, out, err = run(capsys, "analyze", argument, *([] if form == "text" else [f"--{form}"]))
        assert (code, out) == (FAILED, empty) and err.count("\n") == 1


def test_names_stay_on_their_line(tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(photo, tmp_path / "a\n\x1b[31mb.jpg")
    (tmp_path / "c\nd.jpg").touch()
    code, out, err = run(capsys, "analyze", str(tmp_path), "--attributes", "gender")
    assert code == FAILED and "a\\n\\x1b[31mb.jpg: 1 face\n" in out and "c\\nd.jpg: this file is empty" in err
    assert (out.count("\n"), err.count("\n")) == (2, 1)


def test_no_name_twice_and_no_words_of_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        "a.jpg": b"\xff\xd8\xff\xe0",
        "b.jpg": b"",
        "c.jpg": b"words",
        "d.jpg": b"\0\0\0\x18ftypcrx ",
        "e.mp4": b"x",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    code, out, err = run(
        capsys, "analyze", *(str(tmp_path / name) for name in (*files, "gone.jpg", "gone.mp4")), "--csv"
    )
    assert code == FAILED
    lines = err.splitlines()
    for line, name in zip(lines, (*files, "gone.jpg", "gone.mp4"), strict=True):
        assert line.startswith(f"facemodels: {tmp_path / name}: ") and line.count(name) == 1
        assert not re.search("numpy|array|PIL|object", line)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [f"facemodels: {row['source']}: {row['error']}" for row in rows] == lines


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
        (["analyze", "x.jpg", "--annotate", "d", "--anonymize", "./d"], WRONG, "are the same folder, d"),
        (["analyze", "x.jpg", "--max-faces", "0"], WRONG, "--max-faces must be at least 1, not 0"),
        # An example that exists.
        (["analyze", "x.jpg", "--model", "age"], WRONG, f"ATTRIBUTE=MODEL, for example age={AGE_MODEL}"),
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


def terminal_text(command: str, columns: int = 80) -> str:
    """What a command shows in a terminal."""
    pty = pytest.importorskip("pty", reason="needs a Unix terminal")
    shown: list[bytes] = []

    def keep(descriptor: int) -> bytes:
        shown.append(os.read(descriptor, 65536))
        return shown[-1]

    assert pty.spawn(["sh", "-c", f"stty rows 40 cols {columns}; {sys.executable} -m facemodels {command}"], keep) == OK
    return b"".join(shown).decode()


def test_the_table_of_models_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = terminal_text("models", 100)
    assert "demographics-efficientnet " in text and re.search(r"\bgender\b +[^\n]*\n", text)
    assert max(len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in text.splitlines()) <= 100
    out = run(capsys, "models")[1]
    assert "age, gender, ethnicity" in out and not re.search(" $", out, re.MULTILINE)


def test_a_report_in_a_terminal(photo: Path, tmp_path: Path) -> None:
    shutil.copytree(photo.parent, tmp_path / "faces" / "female")
    text = terminal_text(f"evaluate {tmp_path / 'faces'} --crops", 160)
    assert "correct" in text and "| model |" not in text  # rendered


def test_a_card_in_a_terminal() -> None:
    text = terminal_text("card emotion-efficientnet")
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
