"""What a worker does with a chunk of items: read, decode, analyze. Reading and decoding run ahead, in threads."""

from __future__ import annotations

import io
import struct
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, JpegImagePlugin, TiffImagePlugin

from facemodels.analyzer import FaceAnalyzer
from facemodels.batch.copies import ANONYMIZED, CROPS, anonymized, anonymized_video, crops
from facemodels.batch.inputs import Fingerprint, Item, UnreachableError
from facemodels.batch.spool import Content, Frames, FramesWriter, Spool
from facemodels.errors import FaceModelsError
from facemodels.images import SizedImage, read_reduced, read_whole
from facemodels.types import Analysis
from facemodels.video.analyze import analyze_video
from facemodels.video.frames import VideoFrame

Chunk = tuple[Item, ...]

_READERS = 8
_AHEAD = 2  # images that are decoded before they are needed
_AHEAD_PIXELS = 16_000_000  # of an image after which none is
_BATCH_PIXELS = 100_000_000  # of the images whose faces share the models' batches
# What Pillow raises over a damaged header or EXIF block.
_EXIF_ERRORS = (AssertionError, LookupError, OSError, SyntaxError, TypeError, ValueError, Warning, struct.error)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done with every item, beside the analysis.

    Attributes:
        fps: Frames per second of a video to analyze; None for all.
        copies: Which copies to make, out of `CROPS` and `ANONYMIZED`.
        scratch: A folder for what is too large to hold; None takes that for temporary files.
    """

    fps: float | None = 5.0
    copies: tuple[str, ...] = ()
    scratch: Path | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an item.

    Attributes:
        source: The item's.
        analysis: Of an image: its faces. None if it could not be analyzed.
        frames: Of a video: those that were analyzed.
        is_video: Whether it is a video.
        taken: When the photo was taken, as far as it says.
        error: Why it could not be analyzed, or not to its end.
        is_unreachable: Whether that may pass.
        container: The item's.
        fingerprint: The item's.
        copies: Kind to the part of a tar file that holds them.
    """

    source: str
    analysis: Analysis | None = None
    frames: Frames = field(default_factory=Frames)
    is_video: bool = False
    taken: datetime | None = None
    error: str | None = None
    is_unreachable: bool = False
    container: str = ""
    fingerprint: Fingerprint | None = None
    copies: Mapping[str, Content] = field(default_factory=dict)

    @classmethod
    def of(cls, item: Item, **facts: Any) -> Result:
        """The result for this item."""
        return cls(item.source, is_video=item.is_video, container=item.container, fingerprint=item.fingerprint, **facts)

    @property
    def faces(self) -> int:
        """How many faces were found; of a video, in all analyzed frames."""
        return self.frames.faces + len(self.analysis or ())

    def packed(self) -> Result:
        """The same without files of this machine."""
        copies = {kind: content.packed() for kind, content in self.copies.items()}
        return replace(self, frames=self.frames.packed(), copies=copies)

    def discard(self) -> None:
        """Delete its files."""
        for content in (self.frames.content, *self.copies.values()):
            content.discard()


class Worker:
    """Analyzes chunks of items.

    Args:
        analyzer: What analyzes; one with ``threads=1`` leaves the other processors to other workers.
        task: What to do.
        beat: Is called when work on an image, or a frame of a video, begins.
    """

    def __init__(self, analyzer: FaceAnalyzer, task: Task, beat: Callable[[], None] = lambda: None) -> None:
        self._analyzer = analyzer
        self._task = task
        self._decode = partial(_decode, read_whole if ANONYMIZED in task.copies else read_reduced)
        # Pixels of which copies are made are held, so it is one image at a time.
        self._batch_pixels = 0 if task.copies else _BATCH_PIXELS
        self._beat = beat
        self._readers = ThreadPoolExecutor(_READERS, "read")
        self._decoder = ThreadPoolExecutor(1, "decode")

    def read(self, chunk: Chunk) -> list[Future[bytes]]:
        """Begin to read the items of a chunk; of a video that is a local file, nothing."""
        return [self._readers.submit(bytes if item.is_video and item.path else item.read) for item in chunk]

    def analyze(self, chunk: Chunk, contents: Sequence[Future[bytes]]) -> list[Result]:
        """The results of a chunk, in order.

        Args:
            chunk: The items.
            contents: What `read` gave for them.
        """
        results: dict[int, Result] = {}
        decoded = self._decoded(chunk, contents)

        def images() -> Iterator[SizedImage]:
            pixels = 0
            for number, image in decoded:
                item = chunk[number]
                if isinstance(image, FaceModelsError):
                    unreachable = isinstance(image, UnreachableError)
                    results[number] = Result.of(item, error=str(image), is_unreachable=unreachable)
                    continue
                if isinstance(image, bytes):
                    results[number] = self._video(item, image)
                    continue
                taken, decoded_image = image
                results[number] = Result.of(item, taken=taken)
                waiting.append((number, decoded_image if self._task.copies else None))
                yield decoded_image
                pixels += decoded_image.pixels.size // 3
                if pixels > self._batch_pixels:
                    return

        while len(results) < len(chunk):
            waiting: list[tuple[int, SizedImage | None]] = []
            analyses = self._analyzer.analyze_batch(images())
            for (number, image), analysis in zip(waiting, analyses, strict=True):
                found = None if analysis.error else analysis  # a detector may fail, too
                copies = {} if image is None or found is None else self._copied(chunk[number], image, found)
                results[number] = replace(results[number], analysis=found, error=analysis.error, copies=copies)
        return [results[number] for number in range(len(chunk))]

    def _decoded(
        self, chunk: Chunk, contents: Sequence[Future[bytes]]
    ) -> Iterator[tuple[int, tuple[datetime | None, SizedImage] | bytes | FaceModelsError]]:
        """Each item's number with its pixels; of a video, with its bytes; or with why there are none."""
        ahead: deque[Future[tuple[datetime | None, SizedImage]]] = deque()
        most = _AHEAD
        # Across the end of a chunk nothing is decoded ahead: what ends the process is in the chunk that is in progress.
        begun = 0
        for number, item in enumerate(chunk):
            self._beat()
            while begun <= min(number + most, len(chunk) - 1) and not chunk[begun].is_video:
                ahead.append(self._decoder.submit(self._decode, contents[begun]))
                begun += 1
            try:
                if item.is_video:
                    begun = number + 1
                    yield number, contents[number].result()
                    continue
                taken, image = ahead.popleft().result()
            except FaceModelsError as error:
                yield number, error
                continue
            most = _AHEAD if image.pixels.size // 3 < _AHEAD_PIXELS else 0
            yield number, (taken, image)

    def _video(self, item: Item, data: bytes) -> Result:
        with ExitStack() as stack:
            path = item.path
            if path is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="facemodels-"))
                path = Path(folder) / "video"
                path.write_bytes(data)
            scratch = self._task.scratch
            frames = stack.enter_context(FramesWriter(scratch))
            cuts = stack.enter_context(Spool(scratch))

            def keep(frame: VideoFrame, pixels: np.ndarray) -> None:
                for part in crops(item, pixels, frame.analysis, frame.index):
                    cuts.write(part)

            wanted, copies = self._task.copies, {}
            problem: str | None = None
            try:
                work = analyze_video(
                    path, self._analyzer, fps=self._task.fps, preview=keep if CROPS in wanted else None
                )
                for frame in stack.enter_context(closing(work)):
                    self._beat()
                    problem = frame.problem
                    if frame.analyzed:
                        frames.add(frame)
                if ANONYMIZED in wanted:
                    copies[ANONYMIZED] = anonymized_video(item, path, self._analyzer, scratch, self._beat)
                if CROPS in wanted:
                    copies[CROPS] = cuts.finish()
            except FaceModelsError as error:
                problem = str(error)
            return Result.of(item, frames=frames.finish(), copies=copies, error=problem)

    def _copied(self, item: Item, image: SizedImage, analysis: Analysis) -> dict[str, Content]:
        """The copies of an image that are wanted."""
        copies = {}
        if CROPS in self._task.copies:
            copies[CROPS] = Content(b"".join(crops(item, image.pixels, analysis)))
        if ANONYMIZED in self._task.copies:
            copies[ANONYMIZED] = Content(anonymized(item, image, analysis, self._analyzer))
        return copies


def _decode(read: Callable[[bytes], SizedImage], content: Future[bytes]) -> tuple[datetime | None, SizedImage]:
    """The pixels of a photo, and when it was taken."""
    data = content.result()
    return _taken(data), read(data)


def _taken(data: bytes) -> datetime | None:
    """When a photo was taken, as its EXIF block says; None where it has none, or a damaged one."""
    is_jpeg = data.startswith(b"\xff\xd8\xff")
    if not is_jpeg and not data.startswith((b"II*", b"MM\0*")):
        return None
    try:
        with (JpegImagePlugin.jpeg_factory if is_jpeg else TiffImagePlugin.TiffImageFile)(io.BytesIO(data)) as image:
            block = image.getexif()
            taken = block.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
            return datetime.strptime(taken or block[ExifTags.Base.DateTime], "%Y:%m:%d %H:%M:%S")
    except _EXIF_ERRORS:
        return None
