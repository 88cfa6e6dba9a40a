"""Batches: every input once, whatever happens; tables that say what the analyzer says."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import pickle
import random
import re
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from conftest import moving_face, write_clip
from hub_server import HubServer, point_at, private_cache
from PIL import Image

from benchmarks.robustness import damaged
from facemodels import (
    Analysis,
    ArgumentError,
    Box,
    Face,
    FaceAnalyzer,
    FaceModelsError,
    VideoFrame,
    analyze_many,
    video_info,
)
from facemodels.batch import output, run, spool
from facemodels.batch.inputs import Inputs, Item, UnreachableError
from facemodels.batch.worker import Chunk, Result, Task, Worker
from facemodels.cli import main
from facemodels.files import OutputFolder
from facemodels.sources import Seen

pq = pytest.importorskip("pyarrow.parquet", reason="tables need pyarrow: pip install -e '.[dev]'")
pa = pytest.importorskip("pyarrow")

PLAIN, CRASH, HANG, EMPTY = 100, 101, 102, 103  # widths of images, for `Detector`


class Detector:
    """Finds one face in every image, unless its width says otherwise. Other processes import it from here."""

    name = "test"

    def detect(self, pixels: np.ndarray, min_score: float) -> list[Face]:
        width = pixels.shape[1]
        if width == CRASH:
            os.kill(os.getpid(), signal.SIGKILL)
        if width == HANG:
            time.sleep(600)
        return [] if width == EMPTY else [Face(Box(10, 10, 60, 60), 0.9)]


@pytest.fixture(scope="module")
def analyzer() -> FaceAnalyzer:
    return FaceAnalyzer(["emotion", "age"], detector=Detector(), threads=1)


class InProcess:
    """The engine that has everything done right here."""

    name = "local"
    restarts = 0

    def __init__(self, analyzer: FaceAnalyzer, task: Task, *, workers: int, time_limit: float) -> None:
        self._worker = Worker(analyzer, task)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *arguments: Any) -> None:
        pass

    def run(self, chunks: Iterable[Chunk]) -> Iterator[list[Result]]:
        for chunk in chunks:
            yield self._worker.analyze(chunk, self._worker.read(chunk))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "LocalEngine", InProcess)


def image(width: int = PLAIN, *, exif: Image.Exif | None = None) -> bytes:
    """A JPEG of noise."""
    pixels = np.random.default_rng(width).integers(0, 255, (80, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "jpeg", **({} if exif is None else {"exif": exif}))
    return stream.getvalue()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos in two folders, one without a face, and one that is none."""
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    for number in range(11):
        (folder / ("trip" if number % 2 else "") / f"{number:02}.jpg").write_bytes(image())
    (folder / "empty.jpg").write_bytes(image(EMPTY))
    (folder / "broken.jpg").write_bytes(b"hello")
    return folder


def inputs_done_names(out: Path) -> list[str]:
    return [name for path in sorted((out / "blocks").iterdir()) for name in json.loads(path.read_text())["inputs"]]


def faces(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "faces").to_pylist()


def errors(out: Path) -> dict[str, str]:
    found = [row for path in sorted((out / "errors").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert len({row["source"] for row in found}) == len(found)
    return {row["source"]: row["error"] for row in found}


def names(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.jpg"))


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_missing_pyarrow_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FaceModelsError, match="need pyarrow, which is missing"):
        analyze_many(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_say_what_the_analyzer_says(here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = analyze_many(photos, out, analyzer, block_size=5)
    rows = faces(out)
    assert sorted(row["source"] for row in rows) == [n for n in names(photos) if n[-9:-4] not in ("empty", "roken")]
    (expected,) = analyzer.analyze(photos / "00.jpg")
    row = next(row for row in rows if row["source"].endswith("00.jpg"))
    assert expected.emotion is not None and expected.age is not None
    assert row["emotion"] == expected.emotion.label and row["age"] == pytest.approx(expected.age.value)
    assert row["emotion_scores"] == pytest.approx(list(expected.emotion.scores.values()))
    assert row["emotion_model"] == analyzer.models["emotion"] and row["width"] == PLAIN and row["x2"] == 60
    assert expected.quality is not None and row["quality"] == pytest.approx(expected.quality.value)
    assert tuple(row["doubts"]) == expected.doubts
    assert "text that begins" in errors(out)[str(photos / "broken.jpg")] and len(errors(out)) == 1
    assert summary == json.loads((out / "summary.json").read_text())
    assert summary["counts"] == {"inputs": 13, "videos": 0, "faces": 11, "errors": 1}
    assert summary["complete"] and summary["run"]["inputs"] == 13
    manifests = [json.loads(path.read_text()) for path in (out / "blocks").iterdir()]
    entries = {source: entry for manifest in manifests for source, entry in manifest["inputs"].items()}
    assert len(entries) == 13 and entries[str(photos / "empty.jpg")]["faces"] == 0


def test_columns_are_typed(here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path) -> None:
    analyze_many(photos, tmp_path / "out", analyzer)
    schema = pq.read_schema(next((tmp_path / "out" / "faces").iterdir()))
    assert schema.field("emotion_scores").type == pa.list_(pa.float32(), 8)
    assert json.loads(schema.field("emotion_scores").metadata[b"labels"])[:2] == ["angry", "disgust"]
    assert schema.field("age").type == pa.float32() and schema.field("taken").type == pa.timestamp("ms")
    assert "gender" not in schema.names


def test_the_date_of_a_photo(here: None, analyzer: FaceAnalyzer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0132] = "2024:05:31 12:00:00"
    (tmp_path / "dated.jpg").write_bytes(image(exif=exif))
    exif[0x0132] = "yesterday"
    (tmp_path / "damaged.jpg").write_bytes(image(exif=exif))
    analyze_many([tmp_path / "dated.jpg", tmp_path / "damaged.jpg"], tmp_path / "out", analyzer)
    taken = {Path(row["source"]).stem: row["taken"] for row in faces(tmp_path / "out")}
    assert taken["dated"].isoformat() == "2024-05-31T12:00:00" and taken["damaged"] is None


def test_csv_and_json_lines(here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path) -> None:
    for form in ("csv", "jsonl"):
        analyze_many(photos, tmp_path / form, analyzer, output=form, block_size=5)
    found = []
    for path in (tmp_path / "csv" / "faces").iterdir():
        with path.open(newline="", encoding="utf-8") as stream:
            found += [row["source"] for row in csv.DictReader(stream)]
    assert len(found) == 11 and not [name for name in found if "broken" in name]
    lines = [line for path in (tmp_path / "jsonl" / "faces").iterdir() for line in path.read_text().splitlines()]
    assert sum(len(json.loads(line)["faces"]) for line in lines) == 11
    assert "broken.jpg" in next((tmp_path / "csv" / "errors").iterdir()).read_text()
    assert "broken.jpg" in json.loads(next((tmp_path / "jsonl" / "errors").iterdir()).read_text())["source"]


def test_a_video_has_a_row_per_face_and_analyzed_frame(here: None, clip: Path, tmp_path: Path) -> None:
    analyzer = FaceAnalyzer(["age"], threads=1)
    summary = analyze_many([clip, tmp_path / "clip.mp4"], tmp_path / "out", analyzer, fps=5)
    rows = faces(tmp_path / "out")
    assert 8 <= len(rows) <= 12 and {row["track_id"] for row in rows} == {1}
    assert [row["frame"] for row in rows] == sorted(row["frame"] for row in rows) and rows[1]["time"] > 0
    assert summary["counts"]["videos"] == 2 and "no such file" in errors(tmp_path / "out")[str(tmp_path / "clip.mp4")]


def test_a_file_name_that_is_no_text(here: None, analyzer: FaceAnalyzer, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / name).write_bytes(image())
    analyze_many(tmp_path / "photos", tmp_path / "out", analyzer)
    assert faces(tmp_path / "out")[0]["source"].endswith("caf\\udce9.jpg")
    assert analyze_many(tmp_path / "photos", tmp_path / "out", analyzer)["run"]["inputs"] == 0


# --- once ------------------------------------------------------------------------------------------------------------


def test_seen_holds_each_name_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Seen, "PENDING", 10)
    seen = Seen()
    assert all(seen.add(f"{number}.jpg") for number in range(100))
    assert not any(seen.add(f"{number}.jpg") for number in range(100)) and seen.add("100.jpg")


def test_a_run_goes_on_where_the_last_one_ended(
    here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(run, "CHUNK_ITEMS", 2)
    add = output.OutputTables.add

    def fail(tables: output.OutputTables, result: Result) -> None:
        if result.source.endswith("08.jpg"):
            raise RuntimeError("power cut")
        add(tables, result)

    with monkeypatch.context() as patch:
        patch.setattr(output.OutputTables, "add", fail)
        with pytest.raises(RuntimeError, match="power cut"):
            analyze_many(photos, out, analyzer, block_size=3)
    assert not json.loads((out / "summary.json").read_text())["complete"]
    (out / "faces" / "part-99999999.parquet").write_bytes(b"not committed")
    (photos / "new.jpg").write_bytes(image())
    done = json.loads((out / "summary.json").read_text())["counts"]["inputs"]
    assert 0 < done < 13
    summary = analyze_many([photos, photos, photos / "00.jpg"], out, analyzer, block_size=3)
    assert summary["run"]["earlier"] == done and summary["counts"]["inputs"] == 14 == done + summary["run"]["inputs"]
    assert Counter(row["source"] for row in faces(out)).most_common(1)[0][1] == 1 and len(faces(out)) == 12


def test_an_input_is_the_same_by_whatever_name(
    here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert analyze_many("photos", "out", analyzer)["run"]["inputs"] == 13
    assert {row["source"].partition("/")[0] for row in faces(tmp_path / "out")} == {"photos"}
    assert analyze_many([photos, "./photos/"], "out", analyzer)["run"]["inputs"] == 0
    (tmp_path / "elsewhere" / "photos").mkdir(parents=True)
    (tmp_path / "elsewhere" / "photos" / "00.jpg").write_bytes(image())
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert analyze_many("photos", "../out", analyzer)["run"]["inputs"] == 1


def test_other_settings_are_refused(here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path) -> None:
    analyze_many(photos, tmp_path / "out", analyzer)
    with pytest.raises(ArgumentError, match="min_score 0.6, not 0.7"):
        analyze_many(photos, tmp_path / "out", analyzer.using(min_score=0.7))
    with pytest.raises(ArgumentError, match='format "parquet", not "csv"'):
        analyze_many(photos, tmp_path / "out", analyzer, output="csv")
    with pytest.raises(ArgumentError, match="models"):
        analyze_many(photos, tmp_path / "out", analyzer.using(models={"age": "age-efficientnet"}))


def test_two_runs_into_one_folder(here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path) -> None:
    def again(progress: object) -> None:
        with pytest.raises(ArgumentError, match="another run is writing"):
            analyze_many(photos, tmp_path / "out", analyzer)

    analyze_many(photos, tmp_path / "out", analyzer, progress=again)


def test_errors_are_retried_when_asked(here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = (photos / "broken.jpg").stat()
    analyze_many(photos, out, analyzer)
    (photos / "broken.jpg").write_bytes(b"jello")
    os.utime(photos / "broken.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert analyze_many(photos, out, analyzer)["run"]["inputs"] == 0
    assert analyze_many(photos, out, analyzer, retry_errors=True)["run"]["inputs"] == 1
    (photos / "broken.jpg").write_bytes(image())
    summary = analyze_many(photos, out, analyzer, retry_errors=True)
    assert summary["run"]["inputs"] == 1 and summary["counts"] == {"inputs": 13, "videos": 0, "faces": 12, "errors": 0}
    assert not errors(out)


def read_rows(out: Path, form: str) -> dict[str, int]:
    """Source to rows in the table of faces, of a batch in any format."""
    count: Counter[str] = Counter()
    for path in sorted((out / "faces").iterdir()):
        if form == "parquet":
            count.update(row["source"] for row in pq.read_table(path).to_pylist())
        elif form == "csv":
            with path.open(newline="", encoding="utf-8") as stream:
                count.update(row["source"] for row in csv.DictReader(stream))
        else:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            count.update(line["source"] for line in lines for _ in line["faces"])
    return dict(count)


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_a_changed_file_is_done_again(
    form: str, here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path
) -> None:
    out, strange = tmp_path / "out", photos / '=a,"b"\r.jpg'
    strange.write_bytes(image())
    shard = tar(tmp_path / "shard.tar", {"a.jpg": image(), "b.jpg": image()})
    missing = tmp_path / "list.txt"
    missing.write_text("later.jpg\n")
    inputs = [photos, shard, missing]
    first = analyze_many(inputs, out, analyzer, output=form, block_size=4)
    assert first["counts"] == {"inputs": 17, "videos": 0, "faces": 14, "errors": 2}
    before = read_rows(out, form)
    strange.write_bytes(image(EMPTY))
    (photos / "04.jpg").write_bytes(image(PLAIN + 10))
    (photos / "broken.jpg").write_bytes(image())
    (photos / "00.jpg").unlink()  # what was said of it stays
    tar(shard, {"a.jpg": image(EMPTY), "b.jpg": image()})
    (tmp_path / "later.jpg").write_bytes(image())
    second = analyze_many(inputs, out, analyzer, output=form, block_size=4)
    assert second["run"]["inputs"] == 6 and second["run"]["earlier"] == 11
    assert second["counts"] == {"inputs": 17, "videos": 0, "faces": 14, "errors": 0}
    gone = {source for source in before if source.endswith(("\r.jpg", "a.jpg"))}
    came = {str(photos / "broken.jpg"), str(tmp_path / "later.jpg")}
    assert read_rows(out, form) == dict.fromkeys(before.keys() - gone | came, 1) and len(gone) == 2
    if form == "parquet":
        assert {row["width"] for row in faces(out) if row["source"].endswith("04.jpg")} == {PLAIN + 10}
        schemas = [pq.read_schema(path) for path in (out / "faces").iterdir()]
        assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)
    assert analyze_many(inputs, out, analyzer, output=form)["run"]["inputs"] == 0


def shards(folder: Path) -> dict[str, tuple[dict[str, Any], Image.Image | bytes]]:
    """Key to facts and image (or video) of all tar files in a folder; no key may be there twice."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        with tarfile.open(path) as shard:
            for member in shard:
                content = shard.extractfile(member)
                assert member.name not in found and content is not None
                found[member.name] = content.read()
    pairs = {}
    for name in [name for name in found if name.endswith(".json")]:
        key = name.removesuffix(".json")
        (other,) = (other for other in found if other.startswith(f"{key}.") and other != name)
        data = found[other]
        pairs[key] = json.loads(found[name]), data if other.endswith(".mp4") else Image.open(io.BytesIO(data))
    assert len(found) == 2 * len(pairs)
    return pairs


def test_crops_and_anonymized_copies(
    here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    exif = Image.Exif()
    exif[0x010E] = "who this is"
    (photos / "same.jpg").write_bytes(image(exif=exif))
    (photos / "trip" / "same.jpg").write_bytes(image(EMPTY))
    shard = tar(tmp_path / "shard.tar", {"a.jpg": image(), "trip/same.jpg": image()})
    write = output.ParquetSink.write_image

    def fail(sink: output.ParquetSink, source: str, *arguments: Any) -> None:
        write(sink, source, *arguments)
        if source.endswith("08.jpg"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(output.ParquetSink, "write_image", fail)
        with pytest.raises(KeyboardInterrupt):
            analyze_many([shard, photos], out, analyzer, block_size=3, crops=True, anonymized=True)
    (out / "crops" / "part-00000099.tar").write_bytes(b"not committed")

    def check() -> None:
        crops, copies = shards(out / "crops"), shards(out / "anonymized")
        rows = Counter((row["source"], row["face"]) for row in faces(out))
        assert Counter((facts["source"], facts["face"]) for facts, _ in crops.values()) == rows
        assert Counter(facts["source"] for facts, _ in copies.values()) == Counter(
            source for source in inputs_done_names(out) if not source.endswith("broken.jpg")
        )
        assert all(one.size == (80, 80) for _, one in crops.values())  # a face of 50 pixels, and room around it
        assert {one.size for _, one in copies.values()} <= {(PLAIN, 80), (EMPTY, 80)}
        assert not any(one.getexif() for _, one in copies.values())

    summary = analyze_many([shard, photos], out, analyzer, block_size=3, crops=True, anonymized=True)
    assert summary["counts"] == {"inputs": 17, "videos": 0, "faces": 14, "errors": 1}
    check()
    (photos / "04.jpg").write_bytes(image(EMPTY))
    tar(shard, {"a.jpg": image(EMPTY), "trip/same.jpg": image()})
    assert analyze_many([shard, photos], out, analyzer, crops=True, anonymized=True)["run"]["inputs"] == 3
    check()
    with pytest.raises(ArgumentError, match=r'made with copies \["crops", "anonymized"\], not \["crops"\]'):
        analyze_many(photos, out, analyzer, crops=True)


@pytest.mark.slow
def test_crops_and_copies_of_videos(
    here: None, astronaut: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    clip = write_clip(tmp_path / "clip.mp4", moving_face(astronaut[20:220, 150:310], 10), rate=5)
    monkeypatch.setattr(spool, "IN_MEMORY", 10_000)
    monkeypatch.setattr(spool, "FRAMES", 3)
    analyze_many(clip, out, FaceAnalyzer(["age"], threads=1), fps=5, crops=True, anonymized=True)
    rows = [(row["source"], row["frame"], row["face"]) for row in faces(out)]
    crops = shards(out / "crops")
    assert [(facts["source"], facts["frame"], facts["face"]) for facts, _ in crops.values()] == rows and len(rows) == 10
    ((facts, copy),) = shards(out / "anonymized").values()
    assert facts == {"source": str(clip)} and isinstance(copy, bytes) and b"ftyp" in copy[:16]
    (tmp_path / "copy.mp4").write_bytes(copy)
    assert video_info(tmp_path / "copy.mp4").frames == 10
    assert not (out / ".part").exists()


def test_long_videos_are_held_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 2_000)
    monkeypatch.setattr(spool, "FRAMES", 4)
    box = Box(1, 2, 3, 4)
    given = [
        VideoFrame(index, index / 5, Analysis((Face(box),) * (index % 3), 10, 10, {}), True) for index in range(99)
    ]
    with spool.FramesWriter(tmp_path) as writer:
        for frame in given:
            writer.add(frame)
            assert len(writer._held) < 4 and writer._spool._data.tell() <= 2_000
        frames = writer.finish()
    assert frames.content.path is not None and frames.content.data == b""
    assert list(frames) == given == list(pickle.loads(pickle.dumps(frames))) and len(frames) == 99
    result = Result("a.mp4", frames=frames)
    assert result.faces == sum(len(frame.analysis) for frame in given)
    assert list(result.packed().frames) == given and not list(tmp_path.iterdir())
    with suppress(KeyError), spool.FramesWriter(tmp_path) as writer:
        for frame in given:
            writer.add(frame)
        assert list(tmp_path.iterdir())
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_a_row_that_is_half_written_is_written_again(
    error: BaseException,
    here: None,
    analyzer: FaceAnalyzer,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    write = output.ParquetSink.write_image

    def fail(sink: output.ParquetSink, source: str, *arguments: Any) -> None:
        write(sink, source, *arguments)
        if source.endswith("08.jpg"):
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(output.ParquetSink, "write_image", fail)
        with pytest.raises((KeyboardInterrupt, FaceModelsError)):
            analyze_many(photos, out, analyzer, block_size=3)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["counts"]["inputs"] == summary["run"]["inputs"] == inputs_done(out) > 0
    assert summary["counts"]["faces"] == len(faces(out))
    assert analyze_many(photos, out, analyzer, block_size=3)["counts"]["inputs"] == 13
    assert Counter(row["source"] for row in faces(out)).total() == 11 == len(faces(out))


def test_ctrl_c_after_a_block_is_committed(
    here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = output._Block.commit

    def interrupted(block: output._Block) -> None:
        commit(block)
        raise KeyboardInterrupt

    monkeypatch.setattr(output._Block, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analyze_many(photos, tmp_path / "out", analyzer, block_size=3)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["counts"]["inputs"] == 3


def test_a_further_head_in_a_batch(here: None, photos: Path, tmp_path: Path) -> None:
    analyzer = FaceAnalyzer(["age"], models={"age": "demographics-efficientnet#age"}, detector=Detector(), threads=1)
    emotions = FaceAnalyzer(models={"emotion": "emotion-efficientnet#emotion_fer2013"}, detector=Detector(), threads=1)
    analyze_many(photos / "00.jpg", tmp_path / "ages", analyzer)
    analyze_many(photos / "00.jpg", tmp_path / "emotions", emotions)
    (row,) = faces(tmp_path / "emotions")
    (expected,) = emotions.analyze(photos / "00.jpg")
    assert expected.emotion is not None and row["emotion"] == expected.emotion.label
    assert (
        row["emotion_scores"] == pytest.approx(list(expected.emotion.scores.values()))
        and len(expected.emotion.scores) == 7
    )
    schema = pq.read_schema(next((tmp_path / "emotions" / "faces").iterdir()))
    assert json.loads(schema.field("emotion_scores").metadata[b"labels"]) == list(expected.emotion.scores)
    assert faces(tmp_path / "ages")[0]["age_model"] == analyzer.models["age"]


def test_nothing_grows_into_the_folder_of_another(here: None, analyzer: FaceAnalyzer, photos: Path) -> None:
    with pytest.raises(ArgumentError, match="holds other files, 00.jpg"):
        analyze_many(photos / "00.jpg", photos, analyzer)
    with pytest.raises(ArgumentError, match="this is the folder to analyze"):
        analyze_many(photos, photos, analyzer)


# --- inputs ----------------------------------------------------------------------------------------------------------


def items(*arguments: str | Path, out: Path, image_column: str | None = None) -> list[Item]:
    inputs = Inputs(
        [str(argument) for argument in arguments], image_column=image_column, output=OutputFolder("out", out)
    )
    return list(inputs.items(Seen().add))


def tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz", "shard.tgz"])
def test_shards(name: str, tmp_path: Path) -> None:
    members = {"000.jpg": image(), "000.json": b"{}", "001.jpg": image(EMPTY)}
    path = tar(tmp_path / name, members, "w" if name.endswith("tar") else "w:gz")
    found = items(path, out=tmp_path / "out")
    assert [item.source for item in found] == [f"{path}#000.jpg", f"{path}#001.jpg"]
    assert [item.read() for item in found] == [members["000.jpg"], members["001.jpg"]]


def test_a_shard_that_is_cut_short(tmp_path: Path) -> None:
    path = tar(tmp_path / "shard.tar", {f"{number}.jpg": image() for number in range(5)})
    whole = path.read_bytes()
    for end in (len(whole) // 2, 512 * 3 + 100):
        path.write_bytes(whole[:end])
        *good, last = items(path, out=tmp_path / "out")
        assert good and last.source == str(path) and "cut short" in str(last.problem)
        with pytest.raises(FaceModelsError, match="cut short"):
            last.read()


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    """A header of a tar file, with any size."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (header("0.jpg", size=-1024), "a header says that -1,024 bytes follow"),
        (header("x", tarfile.XHDTYPE, -1536), "-1,536 bytes"),
        (header("x", tarfile.GNUTYPE_LONGNAME, 2**33), "8,589,934,592 bytes"),
        (header("x", tarfile.XHDTYPE, 14) + b"14 size=-1536\n".ljust(512, b"\0") + header("0.jpg"), "leads back"),
        (header("x", tarfile.XHDTYPE, 11) + b"11 size=4x\n".ljust(512, b"\0") + header("0.jpg"), ""),
        (header("x", tarfile.XHDTYPE, 0) * 3000, "recursion|empty|cut short"),
    ],
)
@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz"])
def test_a_shard_that_leads_astray(content: bytes, problem: str, name: str, tmp_path: Path) -> None:
    content = header("good.jpg", size=4) + b"good".ljust(512, b"\0") + content + bytes(1024)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    first, *others = items(path, out=tmp_path / "out")
    assert first.read() == b"good"
    assert [item for item in others if item.problem and re.search(problem, item.problem)] or not problem


def test_damaged_shards_and_tables_cost_only_themselves(tmp_path: Path) -> None:
    chance = random.Random(0)
    members = {f"{number}.jpg": image() for number in range(3)} | {"a" * 120 + ".jpg": image()}
    sources = [tar(tmp_path / "shard.tar", members), tar(tmp_path / "shard.tgz", members, "w:gz")]
    table = pa.table({"image": pa.array([image(), None, image(EMPTY)], pa.binary())})
    pq.write_table(table, tmp_path / "table.parquet", row_group_size=2)
    with pa.OSFile(str(tmp_path / "table.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    sources += [tmp_path / "table.parquet", tmp_path / "table.arrow"]
    for source in sources:
        for _ in range(60):
            path = tmp_path / f"damaged{source.suffix}"
            path.write_bytes(damaged(source.read_bytes(), chance))
            for item in items(path, out=tmp_path / "out"):
                with suppress(FaceModelsError):
                    item.read()


def test_tables_of_images(tmp_path: Path) -> None:
    data = [image(), image(EMPTY), None]
    table = pa.table({"id": [1, 2, 3], "image": pa.array([{"bytes": d, "path": "x"} if d else None for d in data])})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    with pa.ipc.new_file(tmp_path / "b.arrow", pa.schema([("photo", pa.binary())])) as writer:
        writer.write_table(pa.table({"photo": pa.array(data, pa.binary())}))
    for path in (tmp_path / "a.parquet", tmp_path / "b.arrow"):
        found = items(path, out=tmp_path / "out")
        assert [item.source for item in found] == [f"{path}#{row}" for row in range(3)]
        assert [item.data for item in found[:2]] == data[:2] and found[2].problem == "the cell holds no bytes"
    (missing,) = items(tmp_path / "a.parquet", out=tmp_path / "out", image_column="photo")
    assert "there is no column 'photo'" in str(missing.problem) and "id (int64)" in str(missing.problem)
    (tmp_path / "c.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:200])
    assert "damaged" in str(items(tmp_path / "c.parquet", out=tmp_path / "out")[0].problem)


def test_done_rows_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"image": [image()] * 4}), tmp_path / "a.parquet", row_group_size=2)
    inputs = Inputs(tmp_path / "a.parquet", image_column=None, output=OutputFolder("out", tmp_path / "out"))
    read: list[int] = []
    batches = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile,
        "iter_batches",
        lambda self, **options: read.extend(options["row_groups"]) or batches(self, **options),
    )
    assert [item.source[-1] for item in inputs.items(lambda source: source.endswith("3"))] == ["3"] and read == [1]


def test_lists(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("photos/00.jpg\n\nphotos/none.jpg\n" + str(photos / "02.jpg") + "\n")
    (tmp_path / "list.csv").write_text("id,path\n1,photos/04.jpg\n2,memory://a/b.jpg\n")
    found = items(tmp_path / "list.txt", tmp_path / "list.csv", out=tmp_path / "out")
    assert [item.source for item in found[:4]] == [
        str(photos / name) for name in ("00.jpg", "none.jpg", "02.jpg", "04.jpg")
    ]
    assert found[4].source == "memory://a/b.jpg" and found[4].problem == "there is no such file"
    with pytest.raises(FaceModelsError, match="no such file"):
        found[1].read()
    (tmp_path / "list.csv").write_text("id,file\n1,photos/04.jpg\n")
    with pytest.raises(FaceModelsError, match="lacks the column path"):
        items(tmp_path / "list.csv", out=tmp_path / "out")


def test_folders_patterns_and_stores(photos: Path, tmp_path: Path) -> None:
    import fsspec

    tar(photos / "trip" / "shard.tar", {"a.jpg": image()})
    assert len(items(photos, out=tmp_path / "out")) == 14
    assert len(items(photos / "*.jpg", out=tmp_path / "out")) == 8
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/1.jpg": image(), "/bucket/deep/2.jpg": image(EMPTY), "/bucket/notes.doc": b""})
    store.pipe("/bucket/shard.tar", (photos / "trip" / "shard.tar").read_bytes())
    try:
        found = items("memory://bucket", out=tmp_path / "out")
        assert {item.source for item in found} == {
            *("memory:///bucket/1.jpg", "memory:///bucket/deep/2.jpg", "memory:///bucket/shard.tar#a.jpg")
        }
        assert all(item.data for item in found)  # no other process sees this store
        assert len(items("memory://bucket/*.jpg", out=tmp_path / "out")) == 1
        assert len(items(f"file://{photos}", out=tmp_path / "out")) == 14
    finally:
        store.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("nothing://bucket/", "nothing"),
        ("photos/none/*.jpg", "no file fits"),
        ("empty", "holds no photo or video"),
        ("memory://none", "no photo or video|no such file"),
    ],
)
def test_inputs_that_are_none(argument: str, message: str, here: None, analyzer: FaceAnalyzer, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    argument = argument if "://" in argument else str(tmp_path / argument)
    if argument.startswith("memory"):
        summary = analyze_many(argument, tmp_path / "out", analyzer)
        assert summary["counts"]["errors"] == 1 and "no such file" in errors(tmp_path / "out")[argument]
        return
    with pytest.raises(FaceModelsError, match=message):
        analyze_many(argument, tmp_path / "out", analyzer)


def test_a_store_that_does_not_answer(here: None, analyzer: FaceAnalyzer, tmp_path: Path) -> None:
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    class Gone(MemoryFileSystem):
        protocol = "gone"
        answers = False

        def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
            if not self.answers:
                raise ConnectionError("no route to host")
            return io.BytesIO(image())

        def ls(self, path: str, *arguments: Any, **options: Any) -> Any:
            raise ConnectionError("no route to host")

    fsspec.register_implementation("gone", Gone, clobber=True)
    with pytest.raises(UnreachableError, match="no route to host"):
        analyze_many("gone://bucket/*.jpg", tmp_path / "out", analyzer)
    (tmp_path / "good.jpg").write_bytes(image())
    (tmp_path / "list.txt").write_text("good.jpg\n" + "".join(f"gone://bucket/{n}.jpg\n" for n in range(30)))
    with pytest.raises(FaceModelsError, match="20 inputs in a row could not be reached"):
        analyze_many(tmp_path / "list.txt", tmp_path / "out", analyzer)
    assert len(faces(tmp_path / "out")) == 1 and not errors(tmp_path / "out")
    Gone.answers = True
    assert analyze_many(tmp_path / "list.txt", tmp_path / "out", analyzer)["run"]["faces"] == 30


def test_a_full_disk_keeps_what_was_done(
    here: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = os.fsync, Counter[str]()

    def full(file: int) -> None:
        calls["fsync"] += 1
        if calls["fsync"] > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(FaceModelsError, match="No space left on device"):
            analyze_many(photos, tmp_path / "out", analyzer, block_size=2)
    assert 0 < len(faces(tmp_path / "out")) < 11
    assert analyze_many(photos, tmp_path / "out", analyzer, block_size=2)["counts"]["inputs"] == 13
    assert Counter(row["source"] for row in faces(tmp_path / "out")).total() == 11 == len(faces(tmp_path / "out"))


def test_wrong_arguments(analyzer: FaceAnalyzer, photos: Path, tmp_path: Path) -> None:
    class Local:
        def detect(self, pixels: np.ndarray, min_score: float) -> list[Face]:
            return []

    (tmp_path / "file").touch()
    for options, message in (
        ({"engine": "spark"}, "engine must be one of"),
        ({"output": "xml"}, "output must be one of"),
        ({"workers": 0}, "workers must be"),
        ({"workers": (3, 2)}, "workers must be"),
        ({"time_limit": 0}, "time_limit must be"),
        ({"address": "auto"}, "address"),
        ({"out": tmp_path / "file"}, "it is a file"),
        ({"out": "s3://bucket/out"}, "not to a URL"),
        ({"inputs": []}, "nothing to analyze"),
        ({"analyzer": FaceAnalyzer(["age"], detector=Local())}, "cannot be sent"),
    ):
        with pytest.raises(ArgumentError, match=message):
            analyze_many(**{"inputs": photos, "out": tmp_path / "out", "analyzer": analyzer, **options})
    with pytest.raises(FaceModelsError, match="cannot write"):
        analyze_many(photos, tmp_path / "file" / "out", analyzer)


# --- processes -------------------------------------------------------------------------------------------------------


def test_an_input_that_ends_or_hangs_its_worker_costs_only_itself(
    analyzer: FaceAnalyzer, photos: Path, tmp_path: Path
) -> None:
    (photos / "05-crash.jpg").write_bytes(image(CRASH))
    (photos / "trip" / "06-hang.jpg").write_bytes(image(HANG))
    out = tmp_path / "out"
    summary = analyze_many(photos, out, analyzer, workers=2, time_limit=5)
    assert summary["counts"] == {"inputs": 15, "videos": 0, "faces": 11, "errors": 3}
    assert "SIGKILL" in errors(out)[str(photos / "05-crash.jpg")]
    assert "longer than 5 seconds" in errors(out)[str(photos / "trip" / "06-hang.jpg")]
    assert sorted(row["source"] for row in faces(out)) == [
        name for name in names(photos) if not name.endswith(("crash.jpg", "hang.jpg", "empty.jpg", "broken.jpg"))
    ]
    assert 2 <= summary["run"]["restarts"] <= 4 and summary["run"]["workers"] == 2


RUN = """
import sys
from facemodels import FaceAnalyzer, analyze_many
from test_batch import Detector
{guard}
    analyzer = FaceAnalyzer(["age"], detector=Detector(), threads=1)
    analyze_many(sys.argv[1], sys.argv[2], analyzer, workers=1, block_size=8)
"""


def start(tmp_path: Path, photos: Path, out: Path, guard: str = 'if __name__ == "__main__":') -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(RUN.format(guard=guard))
    path = os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parent.parent)))
    command = [sys.executable, str(script), str(photos), str(out)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True)


def inputs_done(out: Path) -> int:
    manifests = (out / "blocks").glob("[!.]*.json")  # not one that is being written
    return sum(len(json.loads(path.read_text())["inputs"]) for path in manifests)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_loses_nothing(number: signal.Signals, analyzer: FaceAnalyzer, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for index in range(250):
        (photos / f"{index:03}.jpg").write_bytes(image())
    with start(tmp_path, photos, out) as process:
        while len(list((out / "blocks").glob("*.json"))) < 2:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.02)
        before = inputs_done(out)
        process.send_signal(number)
        process.wait(30)
    done = inputs_done(out)
    assert 2 <= before <= done < 250  # a block is written when it is full, or when its first row has waited long enough
    if number == signal.SIGINT:
        assert json.loads((out / "summary.json").read_text())["complete"] is False
    with start(tmp_path, photos, out) as process:
        assert process.wait(120) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["run"]["earlier"] == done and summary["counts"]["inputs"] == 250
    assert Counter(row["source"] for row in faces(out)) == Counter(names(photos))


def test_a_script_without_a_guard_is_told(photos: Path, tmp_path: Path) -> None:
    with start(tmp_path, photos, tmp_path / "out", guard="if True:") as process:
        assert process.wait(60) == 1 and process.stderr is not None
        assert 'call analyze_many below `if __name__ == "__main__":`' in process.stderr.read()


def test_on_the_command_line(photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "astronaut.jpg").write_bytes(photo.read_bytes())
    command = [
        "batch",
        str(tmp_path / "photos"),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "1",
        "--progress",
        "json",
        "--crops",
        "--anonymize",
    ]
    # In a process of its own: every line of its standard error is JSON, and of this one's other tests may write there.
    run = subprocess.run([sys.executable, "-m", "facemodels", *command], capture_output=True, text=True)
    last = [json.loads(line) for line in run.stderr.splitlines()][-1]
    assert last["done"] == last["total"] == last["faces"] == 1 and last["rate"] > 0
    assert run.returncode == 0 and "faces 1, inputs 1, errors 0" in run.stdout
    assert [len(shards(tmp_path / "out" / kind)) for kind in ("crops", "anonymized")] == [1, 1]
    (face,) = FaceAnalyzer(threads=1).analyze(photo)
    (row,) = faces(tmp_path / "out")
    assert face.emotion is not None and (row["emotion"], row["landmarks"][0]) == (
        face.emotion.label,
        pytest.approx(face.landmarks[0][0] if face.landmarks else None),
    )
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"hello")
    (tmp_path / "photos" / "notes.txt").write_bytes(b"hello")
    assert main(command) == 1
    progress, message = capsys.readouterr().err.splitlines()[-2:]
    assert json.loads(progress)["errors"] == 1 and json.loads(message) == {"message": "left out: 1 .txt"}
    assert main([*command, "--fps", "1"]) == 2
    assert "made with fps 5.0, not 1.0" in json.loads(capsys.readouterr().err)["message"]


def test_a_report(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(photo.read_bytes())
    sources = [str(tmp_path / "photos" / f"{number}.jpg") for number in range(3)]
    out = tmp_path / "out"
    analyze_many(tmp_path / "photos", out)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "matplotlib.figure", None)
        assert main(["report", str(out)]) == 1 and not (out / "report").exists()
        assert "needs matplotlib" in capsys.readouterr().err
    labels = tmp_path / "labels.csv"
    lines = [f"{sources[0]},happy,41,a", f"{sources[1]},sad,41,b", "elsewhere.jpg,happy,,a"]
    labels.write_text("source,emotion,age,camera\n" + "\n".join(lines) + "\n")
    assert main(["report", str(out), "--labels", str(labels), "--group", "camera"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "report" / "report.md")
    text = (out / "report" / "report.md").read_text()
    assert "3 faces in 3 images" in text and "| happy | 3 | 100.0% |" in text
    assert "Audit" in text and "50.0" in text and "elsewhere.jpg" in text and "camera" in text
    assert Image.open(out / "report" / "distributions.png").width > 1000
    assert analyze_many(tmp_path / "photos", out)["run"]["inputs"] == 0
    for content, message in (
        ("source,city\na,b\n", "no column of labels"),
        ("source,emotion\na,happy\n", "none of its"),
    ):
        labels.write_text(content)
        assert main(["report", str(out), "--labels", str(labels), "--overwrite"]) == 1
        assert message in capsys.readouterr().err
    assert main(["report", str(out)]) == 2
    assert "report.md: this file exists already; --overwrite" in capsys.readouterr().err
    assert (out / "report" / "report.md").read_text() == text
    assert main(["report", str(out), "--overwrite"]) == 0
    assert "Audit" not in (out / "report" / "report.md").read_text()
    assert main(["report", str(tmp_path / "photos")]) == 2


def test_the_queries_of_the_readme(photo: Path, here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb", reason="the README's queries need duckdb: pip install -e '.[dev]'")
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with Image.open(photo) as picture:
        exif = picture.getexif()
        exif[0x0132] = "2024:05:31 12:00:00"
        picture.save("photos/dated.jpg", exif=exif)
    analyze_many("photos", "tables")
    (sql,) = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)
    months, folders, certain = [duckdb.sql(query).fetchall() for query in sql.split(";") if query.strip()]
    assert [(month.isoformat()[:10], *rest) for month, *rest in months] == [("2024-05-01", "happy", 1)]
    assert folders[0][0] == "photos" and 20 < folders[0][1] < 60
    assert certain[0][:3] == ("photos/dated.jpg", 1, "happy")
    (code,) = re.findall(r"```py\n(.*?)```", readme, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["ages"].loc["happy", "count"] == 1


def test_a_repository_of_the_hub(
    here: None, analyzer: FaceAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfFileSystem

    private_cache(tmp_path, monkeypatch)
    HfFileSystem.clear_instance_cache()
    with HubServer() as server:
        point_at(server.url, monkeypatch)
        shard = tar(tmp_path / "shard.tar", {"a.jpg": image()}).read_bytes()
        server.add("me/photos", {"1.jpg": image(), "deep/2.jpg": image(EMPTY), "deep/shard.tar": shard})
        try:
            summary = analyze_many("hf://me/photos", tmp_path / "out", analyzer)
            assert summary["counts"] == {"inputs": 3, "videos": 0, "faces": 2, "errors": 0}, errors(tmp_path / "out")
            assert {row["source"] for row in faces(tmp_path / "out")} == {
                *("hf://me/photos/1.jpg", "hf://me/photos/deep/shard.tar#a.jpg")
            }
        finally:
            HfFileSystem.clear_instance_cache()


@pytest.mark.slow
def test_an_object_store(here: None, analyzer: FaceAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 as moto speaks it, on loopback."""
    server = pytest.importorskip("moto.server", reason="pip install 'moto[server]' s3fs")
    s3fs = pytest.importorskip("s3fs", reason="pip install 'moto[server]' s3fs")
    s3fs.S3FileSystem.clear_instance_cache()
    moto = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        store = s3fs.S3FileSystem()
        store.mkdir("photos")
        shard = tar(tmp_path / "shard.tar", {"a.jpg": image()}).read_bytes()
        store.pipe({"photos/1.jpg": image(), "photos/deep/2.jpg": image(EMPTY), "photos/shard.tar": shard})
        summary = analyze_many("s3://photos", tmp_path / "out", analyzer)
        assert summary["counts"] == {"inputs": 3, "videos": 0, "faces": 2, "errors": 0}
        assert {row["source"] for row in faces(tmp_path / "out")} == {
            "s3://photos/1.jpg",
            "s3://photos/shard.tar#a.jpg",
        }
        assert analyze_many("s3://photos", tmp_path / "out", analyzer)["run"]["inputs"] == 0
        analyze_many("s3://photos/none.jpg", tmp_path / "none", analyzer)
        assert "no such file" in errors(tmp_path / "none")["s3://photos/none.jpg"]
        with pytest.raises(FaceModelsError):
            analyze_many("s3://no-such-bucket/*.jpg", tmp_path / "no-bucket", analyzer)
    finally:
        moto.stop()
        s3fs.S3FileSystem.clear_instance_cache()


# --- Ray -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ray_finds_this(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's processes import this file."""
    pytest.importorskip("ray", reason="the engine needs Ray: pip install -e '.[dev]'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parent.parent))))


@pytest.mark.slow
def test_on_ray(ray_finds_this: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path) -> None:
    (photos / "05-crash.jpg").write_bytes(image(CRASH))
    out = tmp_path / "out"
    options = {"time_limit": 10, "block_size": 4, "crops": True}
    summary = analyze_many(photos, out, analyzer, engine="ray", workers=(1, 2), **options)
    assert len(shards(out / "crops")) == 11
    assert summary["counts"] == {"inputs": 14, "videos": 0, "faces": 11, "errors": 2}
    assert summary["run"]["engine"] == "ray" and set(errors(out)) == {
        str(photos / name) for name in ("broken.jpg", "05-crash.jpg")
    }
    assert "SIGKILL" in errors(out)[str(photos / "05-crash.jpg")]
    assert Counter(row["source"] for row in faces(out)).most_common(1)[0][1] == 1
    assert analyze_many(photos, out, analyzer, crops=True)["run"]["inputs"] == 0  # the engine is no setting
    with pytest.raises(FaceModelsError, match="the Ray cluster 127.0.0.1:9 cannot be used"):
        analyze_many(photos, tmp_path / "none", analyzer, engine="ray", address="127.0.0.1:9")


@pytest.mark.slow
def test_a_monitor_reads_faces_and_errors_from_the_cluster(
    ray_finds_this: None, analyzer: FaceAnalyzer, photos: Path, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="the engine needs Ray: pip install -e '.[dev]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _metrics_export_port=port,
        _system_config={"metrics_report_interval_ms": 500},
    )
    wanted = {"faces": 11.0, "errors": 1.0}
    found: dict[str, float] = {}
    try:
        summary = analyze_many(photos, tmp_path / "out", analyzer, engine="ray", workers=(1, 1))
        assert {name: summary["counts"][name] for name in wanted} == wanted
        until = time.monotonic() + 60
        while found != wanted and time.monotonic() < until:
            time.sleep(0.5)
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                lines = re.findall(r"^ray_facemodels_(\w+)_total\{.*\} (\S+)$", answer.read().decode(), re.MULTILINE)
                found = {name: float(value) for name, value in lines}
    finally:
        ray.shutdown()
    assert found == wanted


@pytest.mark.slow
def test_a_node_that_is_lost_costs_nothing(
    ray_finds_this: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import scale

    monkeypatch.setattr(run, "CHUNK_ITEMS", 4)
    photos = scale.archive(tmp_path, 120, (160, 120))
    assert "Lost: 0, twice: 0" in scale.cluster(photos, tmp_path / "out")
