"""Output formats: rows of an analysis, and one sink per format.

To add a format: a subclass of `Sink` with a `name`, in `SINKS`. The command line offers each of them as an option.
"""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import IO, Any, ClassVar, Protocol, TextIO

from facemodels.attributes import ALL_ATTRIBUTES, face_texts
from facemodels.errors import FaceModelsError
from facemodels.streams import uninterrupted
from facemodels.types import ROW_COLUMNS, Analysis, Face

FRAME_COLUMNS = ("frame", "time", "analyzed", "track_id")


def table_columns(*, images: bool = True, videos: bool = False) -> tuple[str, ...]:
    """The columns of a table of faces in images, in videos, or in both.

    Example:
        >>> table_columns()[:4]
        ('source', 'face', 'x1', 'y1')
    """
    return ("source", *(("face",) if images else ()), *(FRAME_COLUMNS if videos else ()), *ROW_COLUMNS, "error")


def describe_face(face: Face) -> str:
    """One line about a face: its position, what is perceived in it, and its doubts."""
    box = face.box
    doubts = [f"({', '.join(face.doubts)})"] if face.doubts else []
    where = f"{box.width:.0f}x{box.height:.0f} at {box.x1:.0f},{box.y1:.0f}"
    return "  ".join([where, *face_texts(face.values), *doubts])


def printable(name: str) -> str:
    """A file name on one line: control characters and invalid text are escaped.

    Example:
        >>> printable("a\\nb.jpg")
        'a\\\\nb.jpg'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)


def escape_cell(value: Any) -> Any:
    """Escape a cell that a spreadsheet would take for a formula, by an apostrophe in front.

    Example:
        >>> escape_cell("=HYPERLINK(1).jpg"), escape_cell("-"), escape_cell(-1.5)
        ("'=HYPERLINK(1).jpg", '-', -1.5)
    """
    begins = isinstance(value, str) and value != "-" and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if begins else value


class CsvTable:
    """A CSV table that grows row by row, with its header.

    Args:
        stream: A text stream, opened with ``newline=""`` where that can be said.
        columns: Of the table.
    """

    def __init__(self, stream: TextIO, columns: Sequence[str]) -> None:
        self._stream = stream
        self._row = io.StringIO(newline="")
        # With this line terminator a cell with "\r" or "\n" is quoted; with "\n" one with "\r" would begin a new row.
        self._writer = csv.DictWriter(self._row, columns, lineterminator="\r\n")
        self._writer.writeheader()
        self._end_row()

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row; a column that it lacks stays empty."""
        self._writer.writerow({column: escape_cell(value) for column, value in row.items()})
        self._end_row()

    def _end_row(self) -> None:
        with uninterrupted():
            self._stream.write(self._row.getvalue().removesuffix("\r\n") + "\n")
            self._row.seek(0)
            self._row.truncate()


class Frame(Protocol):
    """A frame of a video with its faces: a `VideoFrame`."""

    @property
    def index(self) -> int: ...

    @property
    def time(self) -> float: ...

    @property
    def analysis(self) -> Analysis: ...

    @property
    def analyzed(self) -> bool: ...

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row per face."""
        ...


class VideoAnswer(Protocol):
    """A video while it is being analyzed: iterating it does the work."""

    error: str | None
    """After the last frame: why there are none, or fewer than there should be."""

    def __iter__(self) -> Iterator[Frame]: ...

    def facts(self) -> dict[str, Any]:
        """Facts known after the last frame: width, height and models."""
        ...

    def lines(self) -> Iterator[str]:
        """A readable summary of the people seen; the first line is a headline."""
        ...


class Sink(ABC):
    """Writes the results of one source after the other to a stream (of text, unless a sink says otherwise).

    A context manager: leaving it completes the output, also after an error. An interruption never splits an item.

    Args:
        stream: Where to write.
        images: Whether images are to come.
        videos: Whether videos are to come.
    """

    name: ClassVar[str]
    help: ClassVar[str]  # of the option on the command line

    def __init__(self, stream: IO[Any], *, images: bool = True, videos: bool = False) -> None:
        self.stream = stream

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, BrokenPipeError):
            self.close()

    @abstractmethod
    def write_image(self, source: str, analysis: Analysis, taken: datetime | None = None) -> None:
        """Write the result of an image, or why it could not be analyzed.

        Args:
            source: The image.
            analysis: Its result.
            taken: When the photo was taken; only formats with a column for it use it.
        """

    @abstractmethod
    def write_video(self, source: str, video: VideoAnswer) -> None:
        """Write the results of a video as they come."""

    def close(self) -> None:
        """Complete the output; the stream stays open."""
        with uninterrupted():
            self.stream.flush()


class TextSink(Sink):
    """Readable lines; failed sources are left out."""

    name = "text"
    help = "print readable lines (the default)"

    def write_image(self, source: str, analysis: Analysis, taken: datetime | None = None) -> None:
        if analysis.error is not None:
            return
        count = len(analysis)
        lines = [f"{printable(source)}: {count or 'no'} {'face' if count == 1 else 'faces'}"]
        lines += [f"  {describe_face(face)}" for face in analysis]
        with uninterrupted():
            self.stream.write("\n".join(lines) + "\n")

    def write_video(self, source: str, video: VideoAnswer) -> None:
        for _frame in video:
            pass
        for number, line in enumerate(video.lines()):
            self.stream.write(f"  {line}\n" if number else f"{printable(source)}: {line}\n")
        self.stream.flush()


class CsvSink(Sink):
    """A table: a row per face (of a video, per face and frame), and one for a source that failed."""

    name = "csv"
    help = "print one CSV row per face (of a video, per face and frame)"

    def __init__(self, stream: TextIO, *, images: bool = True, videos: bool = False) -> None:
        super().__init__(stream)
        self._table = CsvTable(stream, table_columns(images=images, videos=videos))

    def write_image(self, source: str, analysis: Analysis, taken: datetime | None = None) -> None:
        if analysis.error is not None:
            self._table.write({"source": source, "error": analysis.error})
        for number, face in enumerate(analysis, start=1):
            self._table.write({"source": source, "face": number, **face.to_row()})

    def write_video(self, source: str, video: VideoAnswer) -> None:
        for frame in video:
            for row in frame.rows():
                self._table.write({"source": source, **row})
        if video.error is not None:
            self._table.write({"source": source, "error": video.error})
        self.stream.flush()


class JsonSink(Sink):
    """One JSON array with an object per source, written incrementally; ``[]`` without sources."""

    name = "json"
    help = "print one JSON array, an object per photo or video"

    def __init__(self, stream: TextIO, *, images: bool = True, videos: bool = False) -> None:
        super().__init__(stream)
        self._before = "[\n"  # what stands between the array so far and the next object

    def _begin(self, text: str) -> None:
        self.stream.write(self._before + text)
        self._before = ",\n"

    def write_image(self, source: str, analysis: Analysis, taken: datetime | None = None) -> None:
        text = json.dumps({"source": source, **analysis.to_dict()}, ensure_ascii=False, indent=2)
        with uninterrupted():
            self._begin(text)

    def write_video(self, source: str, video: VideoAnswer) -> None:
        before, has_begun, is_whole = "\n", False, False
        try:
            with uninterrupted():
                self._begin(json.dumps({"source": source}, ensure_ascii=False)[:-1] + ', "frames": [')
                has_begun = True
            for frame in video:
                text = json.dumps(frame.to_dict(), ensure_ascii=False)
                with uninterrupted():
                    self.stream.write(before + text)
                    before = ",\n"
            is_whole = True
        finally:
            if has_begun:
                rest = {**video.facts(), "error": video.error if is_whole else "interrupted"}
                with uninterrupted():
                    self.stream.write("\n], " + json.dumps(rest, ensure_ascii=False)[1:])
        self.stream.flush()

    def close(self) -> None:
        with uninterrupted():
            self.stream.write("[]\n" if self._before == "[\n" else "\n]\n")
            super().close()


class JsonLinesSink(Sink):
    """A JSON object per line, each written at once: one per image; of a video one per frame, and one at its end."""

    name = "jsonl"
    help = "print one JSON object per line and photo (of a video, per frame), each at once: for long runs"

    def _write(self, source: str, item: Mapping[str, Any]) -> None:
        text = json.dumps({"source": source, **item}, ensure_ascii=False)
        with uninterrupted():
            self.stream.write(text + "\n")
            self.stream.flush()

    def write_image(self, source: str, analysis: Analysis, taken: datetime | None = None) -> None:
        self._write(source, analysis.to_dict())

    def write_video(self, source: str, video: VideoAnswer) -> None:
        for frame in video:
            self._write(source, frame.to_dict())
        self._write(source, {**video.facts(), "error": video.error})


class ParquetSink(Sink):
    """A Parquet file: a typed row per face (of a video, per face and analyzed frame).

    The columns are those of the requested attributes, with the scores of all labels as a list of fixed size, whose
    order stands in the column's metadata under ``labels``; and the name and version of the model behind each. Failed
    sources have no row.

    Args:
        stream: A binary stream.
        labels: Attribute to the labels of the head that answers it, for every attribute that is answered.

    Raises:
        FaceModelsError: If pyarrow is not installed.
    """

    name = "parquet"
    help = "write a Parquet file with a row per face (of a video, per face and analyzed frame)"

    _GROUP: ClassVar[int] = 10_000  # rows that are held before they are written

    def __init__(self, stream: IO[Any], labels: Mapping[str, Sequence[str]]) -> None:
        super().__init__(stream)
        self._arrow, parquet = load_arrow()
        self._labels = labels
        self._rows: list[dict[str, Any]] = []
        self._writer = parquet.ParquetWriter(stream, self._schema(), compression="zstd")

    def _schema(self) -> Any:
        arrow = self._arrow
        types = {
            **{"string": arrow.string(), "int": arrow.int64(), "float": arrow.float32()},
            **{"double": arrow.float64(), "date": arrow.timestamp("ms")},
        }
        columns = {
            **{"source": "string", "width": "int", "height": "int", "taken": "date"},
            **{"face": "int", "frame": "int", "time": "double", "track_id": "int"},
            **dict.fromkeys(("x1", "y1", "x2", "y2", "score"), "float"),
        }
        fields = [arrow.field(name, types[kind]) for name, kind in columns.items()]
        for name, labels in self._labels.items():
            for column, kind in ALL_ATTRIBUTES[name].kind.typed_columns(name, labels).items():
                item, _, size = kind.removesuffix("]").partition("[")
                metadata = {"labels": json.dumps(list(labels)[: int(size)])} if size else None
                whole = arrow.list_(types[item], int(size)) if size else types[item]
                fields.append(arrow.field(column, whole, metadata=metadata))
            fields.append(arrow.field(f"{name}_model", arrow.dictionary(arrow.int32(), arrow.string())))
        fields.append(arrow.field("landmarks", arrow.list_(types["float"])))
        fields.append(arrow.field("quality", types["float"]))
        fields.append(arrow.field("doubts", arrow.list_(types["string"])))
        return arrow.schema(fields)

    def write_image(self, source: str, analysis: Analysis, taken: datetime | None = None) -> None:
        self._write(analysis, {"source": source, "taken": taken})

    def write_video(self, source: str, video: VideoAnswer) -> None:
        for frame in video:
            if frame.analyzed:
                self._write(frame.analysis, {"source": source, "frame": frame.index, "time": frame.time})

    def _write(self, analysis: Analysis, of_all: dict[str, Any]) -> None:
        # A file name that is no text becomes one, as elsewhere in output.
        of_all["source"] = of_all["source"].encode("utf-8", "backslashreplace").decode()
        of_all |= {"width": analysis.width, "height": analysis.height}
        of_all |= {f"{name}_model": model for name, model in analysis.models.items()}
        for number, face in enumerate(analysis, start=1):
            row = {**of_all, "face": number, "track_id": face.track_id, "score": face.score, **face.box.to_dict()}
            for name, value in face.values.items():
                row |= ALL_ATTRIBUTES[name].kind.typed_cells(name, value, self._labels[name])
            if face.quality is not None:
                row |= {"quality": face.quality.value, "doubts": face.doubts}
            if face.landmarks is not None:
                row["landmarks"] = [number for point in face.landmarks for number in point]
            self._rows.append(row)
        if len(self._rows) >= self._GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._writer.schema))
            self._rows.clear()

    def close(self) -> None:
        self._flush()
        self._writer.close()
        super().close()


def load_arrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet, loaded when they are needed.

    Raises:
        FaceModelsError: If pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise FaceModelsError(
            f'Parquet and Arrow files need pyarrow, which is missing ({error}): pip install ".[batch]" in the checkout'
        ) from error
    return pyarrow, pyarrow.parquet


SINKS: Mapping[str, type[Sink]] = {sink.name: sink for sink in (TextSink, CsvSink, JsonSink, JsonLinesSink)}
