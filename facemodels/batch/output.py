"""The folder of a batch: tables in blocks, each committed by the rename of its manifest.

    settings.json            what was asked for; another run must ask for the same
    faces/part-00000001.*    a row per face
    errors/part-00000001.*   a row per input that could not be analyzed, and why
    crops/part-00000001.tar  where asked for: the faces of the block; and anonymized/ its images and videos
    blocks/00000001.json     the manifest: exactly the inputs of the block's tables
    summary.json             counts, speeds, versions

A table that no manifest names is what a killed run left: it is deleted when the next one begins, and its inputs are
done again. A block from which inputs are to be done again gets new tables without them, under new names, and then a
manifest that names those.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, TextIO

from filelock import FileLock, Timeout

from facemodels.batch.copies import ANONYMIZED, CROPS, END, copy_shard
from facemodels.batch.inputs import Fingerprint, identity
from facemodels.batch.spool import Content, Frames
from facemodels.batch.worker import Result
from facemodels.errors import ArgumentError, FaceModelsError
from facemodels.files import write_errors, written_whole
from facemodels.results import SINKS, CsvTable, ParquetSink, Sink, escape_cell, load_arrow
from facemodels.sources import Seen
from facemodels.video.frames import VideoFrame

SCHEMA = 1
FORMATS = ("parquet", "csv", "jsonl")
_BLOCK_SECONDS = 30.0  # after which a block is committed, however few inputs it has
PART = ".part"  # folder of what is not complete yet
_TABLES = ("faces", "errors", CROPS, ANONYMIZED)  # folders
_OWN = frozenset((*_TABLES, "settings.json", "summary.json", "blocks", ".lock", PART))


@dataclass
class Counts:
    """How much was done.

    Attributes:
        inputs: Images and videos, those with errors among them.
        videos: Videos among them.
        faces: Rows of the table of faces.
        errors: Inputs with an error.
    """

    inputs: int = 0
    videos: int = 0
    faces: int = 0
    errors: int = 0

    def add(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Add the inputs of a manifest."""
        for entry in entries:
            self.inputs += 1
            self.videos += "video" in entry
            self.faces += entry["faces"]
            self.errors += "error" in entry

    def since(self, before: Counts) -> Counts:
        """What was added to earlier counts."""
        return Counts(*(getattr(self, name) - getattr(before, name) for name in vars(self)))


class OutputTables:
    """The folder of a batch. A context manager: leaving it commits what was added, however it is left.

    Args:
        path: The folder; it need not exist yet.
        form: One of `FORMATS`.
        settings: What decides the answers: another run into the folder must have the same.
        labels: Attribute to labels, as for `ParquetSink`.
        block_size: Inputs of a block.
        retry_errors: Forget the inputs of earlier runs that had errors, so that they are done again, as those are whose
            local file was changed since.

    Attributes:
        done: What earlier runs did, and this one has committed.

    Raises:
        ArgumentError: If the folder is none of a batch, was made with other settings, or another run writes into it.
        FaceModelsError: If pyarrow is not installed and the form is Parquet.
        FaceModelsError: If it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        form: str,
        settings: Mapping[str, Any],
        labels: Mapping[str, Sequence[str]],
        block_size: int,
        retry_errors: bool = False,
    ) -> None:
        if form == "parquet":
            load_arrow()  # if it is missing, no folder must be left behind
        self.path = path
        self._seen = Seen()
        self.done = Counts()
        self._form = form
        self._settings = {"format": form, **settings}
        self._labels = labels
        self._block_size = block_size
        self._retry_errors = retry_errors
        self._block: _Block | None = None
        self._number = 0
        self._lock = FileLock(path / ".lock")

    def __enter__(self) -> OutputTables:
        if self.path.exists() and not self.path.is_dir():
            raise ArgumentError(f"{self.path}: cannot be made a folder: it is a file")
        is_new = self.path.is_dir() and not (self.path / "settings.json").exists()
        if is_new and (strange := sorted(entry.name for entry in self.path.iterdir() if entry.name not in _OWN)):
            raise ArgumentError(f"{self.path}: holds other files, {strange[0]} for one; choose a new folder")
        with write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise ArgumentError(f"{self.path}: another run is writing into this folder") from error
        try:
            self._check_settings()
            self._recover()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.commit()
        except FaceModelsError:
            if error is None:
                raise
        finally:
            shutil.rmtree(self.path / PART, ignore_errors=True)
            self._lock.release()

    def claim(self, source: str) -> bool:
        """Whether an input is neither done nor claimed yet; now it is."""
        return self._seen.add(identity(source, str(Path.cwd())))

    def add(self, result: Result) -> None:
        """Add the result of an input; it is committed with its block.

        Raises:
            FaceModelsError: If it cannot be written.
        """
        if self._block is None:
            self._number += 1
            self._block = _Block(self.path, self._number, self._form, self._labels)
        self._block.add(result)
        if len(self._block.inputs) >= self._block_size or self._block.age > _BLOCK_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Commit the block that was begun, if there is one. One that `add` was interrupted over is dropped: nobody
        knows which rows it has, so its inputs are done again.

        Raises:
            FaceModelsError: If it cannot be written; its inputs are not done then.
        """
        block, self._block = self._block, None
        if block is None:
            return
        if block.is_torn:
            block.close()
            return
        try:
            block.commit()
        finally:
            if block.manifest.exists():  # Ctrl-C may come after that
                self.done.add(block.inputs.values())

    def write_summary(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write ``summary.json``: all counts, facts of this run, and the settings."""
        summary = {"schema": SCHEMA, "counts": vars(self.done), **facts, "settings": self._settings}
        _write_json(self.path / "summary.json", summary)
        return summary

    def _check_settings(self) -> None:
        path = self.path / "settings.json"
        if not path.exists():
            _write_json(path, self._settings)
            return
        before = _read_json(path)
        for name in sorted(before.keys() | self._settings.keys()):
            if before.get(name) != self._settings.get(name):
                raise ArgumentError(
                    f"{self.path}: was made with {name} {json.dumps(before.get(name))}, not "
                    f"{json.dumps(self._settings.get(name))}; choose another folder, or the same settings"
                )

    def _recover(self) -> None:
        """Learn what is done, and delete what was not committed."""
        with write_errors(self.path):
            shutil.rmtree(self.path / PART, ignore_errors=True)
            for name in (PART, "faces", "errors", "blocks", *(self._settings.get("copies") or ())):
                (self.path / name).mkdir(exist_ok=True)
            files: set[str] = set()
            for path in sorted((self.path / "blocks").glob("*.json")):
                if path.name.startswith("."):  # being written when the run was killed
                    path.unlink()
                    continue
                manifest = self._without_outdated(path, _read_json(path))
                self._number = max(self._number, manifest["block"])
                files.update(manifest["files"])
                self.done.add(manifest["inputs"].values())
                for source in manifest["inputs"]:
                    self._seen.add(identity(source, manifest["folder"]))
            for folder in _TABLES:
                for file in (self.path / folder).glob("*"):
                    if f"{folder}/{file.name}" not in files:
                        file.unlink()

    def _without_outdated(self, path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
        """A manifest, also on disk, without the inputs that are to be done again."""
        outdated = {
            source
            for source, entry in manifest["inputs"].items()
            if (self._retry_errors and "error" in entry) or _was_changed(source, entry, manifest["folder"])
        }
        if not outdated:
            return manifest
        kept = {source: entry for source, entry in manifest["inputs"].items() if source not in outdated}
        revision = manifest["revision"] + 1
        files = []
        for old in manifest["files"]:
            table, suffix = Path(old).parts[0], Path(old).suffix
            if table == "errors" and not any("error" in entry for entry in kept.values()):
                continue
            files.append(f"{table}/part-{manifest['block']:08}-{revision}{suffix}")
            if suffix == ".tar":
                copy_shard(self.path / old, self.path / files[-1], outdated)
            else:
                _copy_table(self.path / old, self.path / files[-1], self._form, outdated)
        changed = {**manifest, "revision": revision, "files": files, "inputs": kept}
        _write_json(path, changed, indent=None)
        return changed


class _Block:
    """The tables of a block while they are written.

    Attributes:
        inputs: Source to its entry in the manifest.
        is_torn: Whether the tables may hold more, or less, than `inputs` says.
        manifest: The file whose appearing commits the block.
    """

    def __init__(self, path: Path, number: int, form: str, labels: Mapping[str, Sequence[str]]) -> None:
        self.inputs: dict[str, dict[str, Any]] = {}
        self.is_torn = False
        self.manifest = path / "blocks" / f"{number:08}.json"
        self._path = path
        self._number = number
        self._form = form
        self._began = time.monotonic()
        self._shards: dict[str, BinaryIO] = {}
        part = path / PART / "faces"
        with write_errors(path):
            if form == "parquet":
                self._file: IO[Any] = part.open("wb")
                self._sink: Sink = ParquetSink(self._file, labels)
            else:
                self._file = _open_text(part)
                self._sink = SINKS[form](self._file, images=True, videos=True)

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._began

    def add(self, result: Result) -> None:
        """Add the result of an input."""
        self.is_torn = True
        with write_errors(self._path):
            if result.frames:
                self._sink.write_video(result.source, _Frames(result.frames))
            elif result.analysis is not None:
                self._sink.write_image(result.source, result.analysis, result.taken)
            for kind, content in result.copies.items():
                self._append(kind, content)
        result.discard()
        self.inputs[result.source] = _entry(result)
        self.is_torn = False

    def _append(self, kind: str, content: Content) -> None:
        """Add a part to the tar file of this kind of copies."""
        if kind not in self._shards:
            self._shards[kind] = (self._path / PART / kind).open("wb")
        with content.open() as file:
            shutil.copyfileobj(file, self._shards[kind])

    def close(self) -> None:
        """Give the block up."""
        for file in (self._file, *self._shards.values()):
            with suppress(OSError):
                file.close()

    def commit(self) -> None:
        """Make the tables appear, and then the manifest."""
        part = self._path / PART
        name = f"part-{self._number:08}.{self._form}"
        failed = {source: entry["error"] for source, entry in self.inputs.items() if "error" in entry}
        with write_errors(self._path):
            with self._file:
                self._sink.close()
                self._file.flush()
                os.fsync(self._file.fileno())
            files = [f"faces/{name}"]
            (part / "faces").replace(self._path / files[0])
            if failed:
                files.append(f"errors/{name}")
                _write_errors_table(part / "errors", self._form, failed)
                (part / "errors").replace(self._path / files[1])
            for kind, file in self._shards.items():
                with file:
                    file.write(END)
                    file.flush()
                    os.fsync(file.fileno())
                files.append(f"{kind}/part-{self._number:08}.tar")
                (part / kind).replace(self._path / files[-1])
        facts = {"schema": SCHEMA, "block": self._number, "revision": 0, "files": files, "folder": str(Path.cwd())}
        _write_json(self.manifest, {**facts, "inputs": self.inputs}, indent=None)


def _entry(result: Result) -> dict[str, Any]:
    """What a manifest says of an input: its faces, and as far as they apply ``video``, ``error``, and ``file``: size
    and time of modification of its file, with the path where that is not the source.
    """
    entry: dict[str, Any] = {"faces": result.faces}
    if result.is_video:
        entry["video"] = True
    if result.error is not None:
        entry["error"] = result.error
    if result.fingerprint is not None:
        entry["file"] = [*result.fingerprint, *([result.container] if result.container else [])]
    return entry


def _was_changed(source: str, entry: Mapping[str, Any], folder: str) -> bool:
    """Whether the file of an input was changed since; one that is gone, or cannot be reached now, was not."""
    size, changed, *container = entry.get("file", (None, None))
    if size is None:
        return False
    now = Fingerprint.of(container[0] if container else identity(source, folder))
    return now is not None and now.size >= 0 and now != (size, changed)


class _Frames:
    """The analyzed frames of a video, for a `Sink`."""

    error: str | None = None  # errors have a table of their own

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    def __iter__(self) -> Iterator[VideoFrame]:
        return iter(self._frames)

    def facts(self) -> dict[str, Any]:
        """See `VideoAnswer.facts`."""
        analysis = next(iter(self._frames)).analysis
        return {"width": analysis.width, "height": analysis.height, "models": dict(analysis.models)}

    def lines(self) -> Iterator[str]:
        """See `VideoAnswer.lines`."""
        yield f"{len(self._frames)} frames"


def _open_text(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="")


def _write_errors_table(path: Path, form: str, failed: Mapping[str, str]) -> None:
    rows = [{"source": source, "error": error} for source, error in failed.items()]
    with path.open("wb") as file:
        if form == "parquet":
            arrow, parquet = load_arrow()
            texts = {name: [_as_text(row[name]) for row in rows] for name in rows[0]}
            parquet.write_table(arrow.table(texts), file)
            return
    with _open_text(path) as text:
        if form == "csv":
            table = CsvTable(text, tuple(rows[0]))
            for row in rows:
                table.write(row)
        else:
            text.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _copy_table(path: Path, target: Path, form: str, without: Collection[str]) -> None:
    """Copy a table of faces or errors, except for the rows of some inputs."""
    sources = {_as_text(source) for source in without}
    with written_whole(target, overwrite=True) as part, write_errors(target):
        if form == "parquet":
            arrow, parquet = load_arrow()
            table = parquet.read_table(path)
            others = [source not in sources for source in table["source"].to_pylist()]
            parquet.write_table(table.filter(arrow.array(others, arrow.bool_())), part, compression="zstd")
        elif form == "csv":
            cells = {escape_cell(source) for source in sources}
            with path.open(encoding="utf-8", newline="") as old, _open_text(part) as new:
                lines = old.readlines()
                rows, begin = csv.reader(lines), 0
                for row in rows:
                    if begin == 0 or row[0] not in cells:
                        new.writelines(lines[begin : rows.line_num])
                    begin = rows.line_num
        else:
            with path.open(encoding="utf-8") as old, _open_text(part) as new:
                new.writelines(line for line in old if _as_text(json.loads(line)["source"]) not in sources)


def _as_text(name: str) -> str:
    """A file name that may be no text, as text."""
    return name.encode("utf-8", "backslashreplace").decode()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise FaceModelsError(f"{path}: is damaged: {error}") from error


def _write_json(path: Path, value: Mapping[str, Any], indent: int | None = 1) -> None:
    """Write a file that appears whole, and is on disk then."""
    with written_whole(path, overwrite=True) as part, write_errors(path), part.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=indent)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
