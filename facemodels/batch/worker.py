"""What a worker does with a chunk of items: read, decode, analyze. Reading and decoding run ahead, in threads."""

from __future__ import annotations

import io
import struct
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import ExifTags, JpegImagePlugin, TiffImagePlugin

from facemodels.analyzer import FaceAnalyzer
from facemodels.batch.inputs import Fingerprint, Item, UnreachableError
from facemodels.errors import FaceModelsError
from facemodels.images import SizedImage, read_reduced
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
class Result:
    """What came of an item.

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
    """

    source: str
    analysis: Analysis | None = None
    frames: tuple[VideoFrame, ...] = ()
    is_video: bool = False
    taken: datetime | None = None
    error: str | None = None
    is_unreachable: bool = False
    container: str = ""
    fingerprint: Fingerprint | None = None

    @classmethod
    def of(cls, item: Item, **facts: Any) -> Result:
        """What came of this item."""
        return cls(item.source, is_video=item.is_video, container=item.container, fingerprint=item.fingerprint, **facts)

    @property
    def faces(self) -> int:
        """How many faces were found; of a video, in all analyzed frames."""
        return sum(len(frame.analysis) for frame in self.frames) + len(self.analysis or ())


class Worker:
    """Analyzes chunks of items.

    Args:
        analyzer: What analyzes; one with ``threads=1`` leaves the other processors to other workers.
        fps: Frames per second of a video to analyze; None for all.
        beat: Is called when work on an image, or a frame of a video, begins.
    """

    def __init__(self, analyzer: FaceAnalyzer, fps: float | None, beat: Callable[[], None] = lambda: None) -> None:
        self._analyzer = analyzer
        self._fps = fps
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
                waiting.append(number)
                yield decoded_image
                pixels += decoded_image.pixels.size // 3
                if pixels > _BATCH_PIXELS:
                    return

        while len(results) < len(chunk):
            waiting: list[int] = []
            for number, analysis in zip(waiting, self._analyzer.analyze_batch(images()), strict=True):
                found = None if analysis.error else analysis  # a detector may fail, too
                results[number] = replace(results[number], analysis=found, error=analysis.error)
        return [results[number] for number in range(len(chunk))]

    def _decoded(
        self, chunk: Chunk, contents: Sequence[Future[bytes]]
    ) -> Iterator[tuple[int, tuple[datetime | None, SizedImage] | bytes | FaceModelsError]]:
        """Each item's number with its pixels; of a video, with its bytes; or with why there are none."""
        ahead: deque[Future[tuple[datetime | None, SizedImage]]] = deque()
        most = _AHEAD
        # Across the end of a chunk nothing is decoded ahead: what ends the process is in the chunk that is in work.
        begun = 0
        for number, item in enumerate(chunk):
            self._beat()
            while begun <= min(number + most, len(chunk) - 1) and not chunk[begun].is_video:
                ahead.append(self._decoder.submit(_decode, contents[begun]))
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
            frames: list[VideoFrame] = []
            problem = None
            try:
                for frame in stack.enter_context(closing(analyze_video(path, self._analyzer, fps=self._fps))):
                    self._beat()
                    problem = frame.problem
                    if frame.analyzed:
                        frames.append(frame)
            except FaceModelsError as error:
                problem = str(error)
        return Result.of(item, frames=tuple(frames), error=problem)


def _decode(content: Future[bytes]) -> tuple[datetime | None, SizedImage]:
    """The pixels of a photo, and when it was taken."""
    data = content.result()
    return _taken(data), read_reduced(data)


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
