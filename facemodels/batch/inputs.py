"""What a batch is asked to analyze, one `Item` after the other; nothing is collected."""

from __future__ import annotations

import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, Self

from facemodels.errors import ArgumentError, FaceModelsError
from facemodels.evaluation.tables import read_table
from facemodels.files import OutputFolder
from facemodels.image_formats import image_suffixes
from facemodels.images import MAX_BYTES
from facemodels.results import load_arrow
from facemodels.sources import VIDEO_SUFFIXES, Sources

Claim = Callable[[str], bool]

_TARS = frozenset((".tar", ".tgz"))
_TABLES = frozenset((".parquet", ".arrow", ".feather"))
_LISTS = frozenset((".txt", ".csv"))
_IN_THIS_PROCESS = ("memory://",)  # stores that other processes do not see
_MOST_SUFFIXES = 50  # counted one by one
_ROWS = 16  # of a table of images that are held at a time
_MOST_ROWS = 1_000_000  # of a row group of such a table
_MOST_HEADER = 2**20  # bytes of the names and attributes of a shard's member
# Headers of a tar file whose content `tarfile` reads whole: long names, and attributes.
_READ_WHOLE = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE
)  # fmt: skip
# What `tarfile` and pyarrow raise over damaged files, beside errors of their own.
_DAMAGED = (ArithmeticError, EOFError, LookupError, OSError, RecursionError, TypeError, ValueError)


class UnreachableError(FaceModelsError):
    """A store did not answer: the input may be in order."""


class Fingerprint(NamedTuple):
    """What tells that a local file was changed, as far as that shows without reading it.

    Attributes:
        size: In bytes; -1 if there is no such file.
        changed: Its time of modification, in nanoseconds.
    """

    size: int
    changed: int

    @classmethod
    def of(cls, path: str) -> Fingerprint | None:
        """Of a file as it is now; None for a URL, and for a file that cannot be reached."""
        if _is_url(path):
            return None
        try:
            status = os.stat(path)  # noqa: PTH116 pathlib interns every name, and of done inputs there are many
        except FileNotFoundError:
            return cls(-1, 0)
        except (OSError, ValueError):
            return None
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Item:
    """An image or a video to analyze, small enough to send to another process.

    Attributes:
        source: What it is called in the results.
        location: The path or URL of the file that holds it.
        offset: Where it begins there, in bytes.
        length: How many bytes it has; None means up to the end.
        data: Its bytes, where they were read already.
        is_video: Whether it is to be analyzed as a video.
        problem: Why it cannot be read, where that is known already.
        container: The path or URL of the file that holds it among others, if one does.
        fingerprint: Of that file, or of its own, taken before it is read.
    """

    source: str
    location: str = ""
    offset: int = 0
    length: int | None = None
    data: bytes | None = None
    is_video: bool = False
    problem: str | None = None
    container: str = ""
    fingerprint: Fingerprint | None = None

    @property
    def path(self) -> Path | None:
        """The local file, if the item is a whole one."""
        whole = self.data is None and self.length is None and not _is_url(self.location)
        return Path(self.location) if whole else None

    def read(self) -> bytes:
        """Its bytes; of an image that is too large, enough to see that.

        Raises:
            FaceModelsError: If it cannot be read; an `UnreachableError` if that may pass.
        """
        if self.problem is not None:
            raise FaceModelsError(self.problem)
        if self.data is not None:
            return self.data
        most = -1 if self.is_video else MAX_BYTES + 1
        with _opened(self.location) as file, _as_read_errors(self.location):
            file.seek(self.offset)
            return file.read(most if self.length is None else self.length if self.is_video else min(self.length, most))


class Inputs:
    """The items that arguments name, in order. Iterate `items`, as often as needed: everything is walked anew.

    Args:
        arguments: Folders, files, glob patterns, lists (``.txt`` with a path a line, ``.csv`` with a column ``path``;
            relative to the list), tar shards (in WebDataset's layout, or any other), Parquet and Arrow files with a
            column of encoded images, and URLs of all these that fsspec opens.
        image_column: The column of images in tables; None takes ``image``, or the only one of bytes.
        output: The folder that is written into, which is no input.

    Attributes:
        problems: What the last walk could not find, a message each.
        left_out: Suffix to how many files of folders and shards have it and were left out.

    Raises:
        ArgumentError: If there are no arguments, or one is the folder that is written into.
    """

    def __init__(
        self,
        arguments: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        image_column: str | None,
        output: OutputFolder,
    ) -> None:
        several = [arguments] if isinstance(arguments, (str, os.PathLike)) else arguments
        self.arguments = [os.fspath(argument) for argument in several]
        if not self.arguments:
            raise ArgumentError("there is nothing to analyze: name a folder, a file or a pattern")
        self.problems: list[str] = []
        self.left_out: Counter[str] = Counter()
        self._image_column = image_column
        self._output = output
        for argument in self.arguments:
            if not _is_url(argument):
                output.check_root(argument)

    def items(self, claim: Claim) -> Iterator[Item]:
        """The items for whose `source` `claim` says yes; it is asked once for each, before anything of it is read.

        Raises:
            FaceModelsError: If a store cannot be reached, or a list is damaged.
        """
        self.problems.clear()
        self.left_out.clear()
        for argument in self.arguments:
            for item in self._expanded(argument, claim):
                folder = str(Path.cwd())  # wherever it is read
                if item.location and not _is_url(item.location):
                    item = replace(item, location=identity(item.location, folder))
                if item.container and not _is_url(item.container):
                    item = replace(item, container=identity(item.container, folder))
                if item.location.startswith(_IN_THIS_PROCESS) and item.data is None:
                    item = _with_data(item)
                yield item

    def _expanded(self, argument: str, claim: Claim) -> Iterator[Item]:
        if _is_url(argument):
            for location in self._remote(argument):
                yield from self._opened(location, claim, is_named=location == argument)
            return
        sources = Sources([argument], also=_TARS | _TABLES, outputs=(self._output,))
        for source in sources:
            if source.is_video:
                yield from _whole(source.path, claim, is_video=True)
            else:
                yield from self._opened(source.path, claim, is_named=sources.are_files)
        self.problems += sources.problems
        self.left_out += sources.left_out

    def _opened(self, location: str, claim: Claim, *, is_named: bool) -> Iterator[Item]:
        """What is in a file: many items, or itself."""
        suffix = _suffix(location)
        if suffix in _TARS or location.lower().endswith(".tar.gz"):
            yield from _with_fingerprint(location, self._shard(location, claim))
        elif suffix in _TABLES:
            yield from _with_fingerprint(location, self._table(location, claim))
        elif suffix in _LISTS and is_named:
            for entry in _entries(location):
                yield from self._opened(entry, claim, is_named=False)
        else:
            yield from _whole(location, claim, is_video=suffix in VIDEO_SUFFIXES)

    def _remote(self, url: str) -> Iterator[str]:
        """The files of a URL: a file, a folder with its subfolders, or a pattern."""
        fsspec = _load_fsspec()
        with _as_read_errors(url):
            system, path = fsspec.url_to_fs(url)
            folder = path[: magic.start()] if (magic := re.search(r"[^/]*[*?[]", path)) else path
            if magic:
                found = iter(sorted(system.glob(path)))
            elif system.isdir(path):
                found = _walked(system, path)
            else:
                yield url
                return
            count = 0
            for name in found:
                if _suffix(name) in image_suffixes() | VIDEO_SUFFIXES | _TARS | _TABLES:
                    count += 1
                    yield system.unstrip_protocol(name)
                else:
                    self._leave_out(name)
            if not count:
                self.problems.append(f"{url}: holds no photo or video")
                with suppress(FileNotFoundError):
                    system.ls(folder)  # a pattern fits nothing in a store that does not answer, too

    def _leave_out(self, name: str) -> None:
        suffix = _suffix(name) or "without a suffix"
        self.left_out[suffix if suffix in self.left_out or len(self.left_out) < _MOST_SUFFIXES else "others"] += 1

    def _shard(self, location: str, claim: Claim) -> Iterator[Item]:
        """The images and videos in a tar file. One that is not compressed is only indexed here."""
        plain = _suffix(location) == ".tar"
        try:
            with (
                _opened(location) as file,
                tarfile.open(fileobj=file, mode="r:" if plain else "r|gz", tarinfo=_Header) as tar,
            ):
                at = -1
                while member := tar.next():
                    if tar.offset <= at:
                        raise tarfile.ReadError(f"the header of {member.name!r} leads back")
                    at = tar.offset
                    tar.members = []  # type: ignore[attr-defined]  # else it keeps them all
                    suffix = _suffix(member.name)
                    if not member.isfile():
                        continue
                    if suffix not in image_suffixes() | VIDEO_SUFFIXES:
                        self._leave_out(member.name)
                        continue
                    name = f"{location}#{member.name}"
                    item = Item(name, location, member.offset_data, member.size, is_video=suffix in VIDEO_SUFFIXES)
                    if not claim(name):
                        continue
                    if not plain and (content := tar.extractfile(member)):
                        item = replace(item, data=content.read(MAX_BYTES + 1))
                    yield item
                if plain:
                    file.seek(tar.offset)
                    if file.read(512) != bytes(512):
                        raise tarfile.ReadError("the mark at its end is missing")
        except (tarfile.TarError, *_DAMAGED) as error:
            yield from _claimed(Item(location, problem=f"the shard is damaged or cut short: {error}"), claim)
        except FaceModelsError as error:
            yield from _claimed(Item(location, problem=str(error)), claim)

    def _table(self, location: str, claim: Claim) -> Iterator[Item]:
        """The images in a Parquet or Arrow file."""
        arrow, parquet = load_arrow()
        number = 0
        try:
            with _opened(location) as file:
                if _suffix(location) == ".parquet":
                    table = parquet.ParquetFile(file)
                    column = self._column(arrow, table.schema_arrow)
                    groups = range(table.num_row_groups)
                    parts: Iterator[Any] = (
                        (table.metadata.row_group(group).num_rows, _batches(table, group, column)) for group in groups
                    )
                else:
                    reader = arrow.ipc.open_file(file)
                    column = self._column(arrow, reader.schema)
                    batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
                    parts = ((batch.num_rows, iter([batch])) for batch in batches)
                for rows, contents in parts:
                    if not 0 <= rows <= _MOST_ROWS:
                        raise OSError(f"{rows:,} rows in one group")
                    names = [f"{location}#{row}" for row in range(number, number + rows)]
                    number += rows
                    wanted = [claim(name) for name in names]
                    if any(wanted):
                        images = (image for batch in contents for image in _cells(batch.column(column)))
                        for name, image, is_wanted in zip(names, images, wanted, strict=True):
                            if is_wanted:
                                yield _from_cell(name, image)
        except (arrow.ArrowException, *_DAMAGED) as error:
            yield from _claimed(Item(location, problem=f"the table is damaged: {error}"), claim)
        except FaceModelsError as error:
            yield from _claimed(Item(location, problem=str(error)), claim)

    def _column(self, arrow: Any, schema: Any) -> str:
        """The column of images.

        Raises:
            FaceModelsError: If there is none, or several.
        """

        def holds_bytes(kind: Any) -> bool:
            if arrow.types.is_struct(kind):  # of the Hugging Face data sets: bytes and path
                return any(field.name == "bytes" for field in kind)
            return arrow.types.is_binary(kind) or arrow.types.is_large_binary(kind)

        columns = [field.name for field in schema if holds_bytes(field.type)]
        if self._image_column is None and len(columns) == 1:
            return columns[0]
        wanted = self._image_column or "image"
        if wanted not in columns:
            raise FaceModelsError(
                f"there is no column {wanted!r} of encoded images; it has: "
                f"{', '.join(f'{field.name} ({field.type})' for field in schema)}. Choose one with image_column"
            )
        return wanted


class _Header(tarfile.TarInfo):
    """A header that does not make `tarfile` go back, or hold much in memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """See `tarfile.TarInfo.frombuf`."""
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or (info.type in _READ_WHOLE and info.size > _MOST_HEADER):
            raise tarfile.ReadError(f"a header says that {info.size:,} bytes follow")
        return info


def _walked(system: Any, path: str) -> Iterator[str]:
    for folder, _, files in system.walk(path, on_error="raise"):
        yield from (f"{folder}/{name}" for name in sorted(files))


def _batches(table: Any, group: int, column: str) -> Iterator[Any]:
    yield from table.iter_batches(batch_size=_ROWS, row_groups=[group], columns=[column])


def _cells(column: Any) -> list[Any]:
    """What is in a column; pyarrow does not check by itself that its cells lie within the file, and crashes."""
    column.validate(full=True)
    return column.to_pylist()


def _from_cell(name: str, image: Any) -> Item:
    """An item of a table: bytes, or a dict of bytes and path."""
    data = image.get("bytes") if isinstance(image, dict) else image
    if data is None:
        return Item(name, problem="the cell holds no bytes")
    return Item(name, name, data=data)


def _claimed(item: Item, claim: Claim) -> Iterator[Item]:
    if claim(item.source):
        yield item


def _whole(location: str, claim: Claim, *, is_video: bool) -> Iterator[Item]:
    """A file that is one item."""
    if claim(location):
        yield Item(location, location, is_video=is_video, fingerprint=Fingerprint.of(location))


def _with_fingerprint(location: str, items: Iterator[Item]) -> Iterator[Item]:
    """The items of a file, all with its fingerprint."""
    fingerprint = Fingerprint.of(location)
    for item in items:
        yield replace(item, container=location, fingerprint=fingerprint)


def _with_data(item: Item) -> Item:
    try:
        return replace(item, data=item.read())
    except FaceModelsError as error:
        return replace(item, problem=str(error))


def _entries(location: str) -> Iterator[str]:
    """The paths and URLs of a list, those that are relative taken from its folder."""
    base, _, _ = location.rpartition("/") if _is_url(location) else (str(Path(location).parent), "", "")
    for entry in _from_csv(location) if _suffix(location) == ".csv" else _from_text(location):
        absolute = _is_url(entry) or Path(entry).is_absolute()
        yield entry if absolute else f"{base}/{entry}" if _is_url(base) else str(Path(base) / entry)


def _from_csv(location: str) -> Iterator[str]:
    if _is_url(location):
        raise ArgumentError(f"{location}: a csv list must be a local file; a text list can be a URL")
    yield from (row["path"] for _, row in read_table(Path(location), ("path",)) if row["path"])


def _from_text(location: str) -> Iterator[str]:
    with _opened(location) as file, _as_read_errors(location):
        for line in file:
            if entry := os.fsdecode(line).strip():
                yield entry


def _suffix(name: str) -> str:
    return PurePosixPath(name.partition("?")[0]).suffix.lower()


def identity(source: str, folder: str) -> str:
    """What tells an input from all others: a URL, or an absolute path.

    Args:
        source: The input.
        folder: What a path is relative to.
    """
    return source if _is_url(source) else os.path.normpath(Path(folder) / source)  # links are not followed


def _is_url(text: str) -> bool:
    return re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text) is not None


def _opened(location: str) -> Any:
    """The file at a path or URL, open for reading, as a context manager.

    Raises:
        FaceModelsError: If it cannot be opened; an `UnreachableError` if that may pass.
    """
    with _as_read_errors(location):
        if not _is_url(location):
            return Path(location).open("rb")
        file: BinaryIO = _load_fsspec().open(location, "rb").open()
        return closing(file)


def _load_fsspec() -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise FaceModelsError(
            f'URLs are opened by fsspec, which is missing ({error}): pip install ".[batch]" in the checkout'
        ) from error
    return fsspec


@contextmanager
def _as_read_errors(location: str) -> Iterator[None]:
    """Turn what a file system raises (a store may raise nearly anything) into an error that says what it was."""
    try:
        yield
    except FaceModelsError:
        raise
    except FileNotFoundError as error:
        raise FaceModelsError("there is no such file") from error
    except Exception as error:
        if not _is_url(location) and isinstance(error, OSError):
            raise FaceModelsError(f"it cannot be read: {error.strerror or error}") from error
        if isinstance(error, ImportError) or (isinstance(error, ValueError) and "rotocol" in str(error)):
            raise ArgumentError(f"{location}: {error}") from error  # no such protocol, or its package is missing
        raise UnreachableError(f"the store does not answer: {error or type(error).__name__}") from error
