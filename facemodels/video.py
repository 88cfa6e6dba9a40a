"""Clips: the faces in a video followed over time, and a copy with them drawn, frame by frame through PyAV.

Nothing grows with the length of a clip. Frames stream through; what waits for the next analyzed frame, so that boxes
can glide to it, is numbers and not pictures: the drawn copy comes from a second reading of the file, a little behind.
"""

from __future__ import annotations

import csv as csv_format
import importlib
import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from facemodels.drawing import annotate
from facemodels.errors import ArgumentError, VideoError
from facemodels.timeline import Timeline
from facemodels.tracking import FaceTracker
from facemodels.types import ROW_COLUMNS, Analysis, Box, Face

VIDEO_COLUMNS = ("frame", "time", "analyzed", "track_id", *ROW_COLUMNS)

MAX_PIXELS = 40_000_000  # of a frame; 8K has 33 million
# FFmpeg also opens text, pictures, playlists and addresses: only these formats, and only files.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,ogg,asf"
_ACCEPTED = "Accepted: MP4, MOV, WebM, MKV, AVI, animated GIF, MPEG, OGG, WMV"
_PLAYED_IN_MP4 = {"aac", "mp3", "opus"}  # sound that browsers play there: copied, not encoded again
_CLOCK = 90_000  # ticks per second of the drawn copy: fine enough for every frame rate in use
_MEMORY = 0.55  # seconds after which the tracker has half forgotten a score, at any sampling rate
_AWAY = 2.0  # seconds that a face may be away and still keep its id


class ImageAnalyzer(Protocol):
    """What answers for one frame: a `FaceAnalyzer`, or anything with its `analyze`."""

    def analyze(self, image: Any, /) -> Analysis:
        """See `FaceAnalyzer.analyze`."""
        ...


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a clip says of itself, and its first frame shows.

    Attributes:
        width: Width in pixels, upright and with square pixels.
        height: Height in pixels, likewise.
        seconds: Length; None where the file does not say.
        frames: Number of frames, counted or estimated from length and rate; None where neither is known.
        rate: Frames per second on average; None where the file does not say.
        audio: Whether it has sound.
    """

    width: int
    height: int
    seconds: float | None
    frames: int | None
    rate: float | None
    audio: bool


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame of a clip, and the faces in it.

    Attributes:
        index: Its number, from 0.
        time: Seconds since the first frame.
        analysis: The faces with their `track_id`; boxes in pixels of the upright frame.
        analyzed: Whether the models saw this very frame; else its faces are carried over from the analyzed frames
            around it, their boxes moved along.
        total: Frames in the clip, as far as the file tells: for progress. None where it does not.
        problem: Of the last frame: why the clip ended early or is incomplete; None when all is well.
    """

    index: int
    time: float
    analysis: Analysis
    analyzed: bool
    total: int | None = None
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the number, the time, and the faces as `Face.to_dict` gives them."""
        faces = [face.to_dict() for face in self.analysis]
        return {"frame": self.index, "time": round(self.time, 4), "analyzed": self.analyzed, "faces": faces}

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row per face for a table with the columns `VIDEO_COLUMNS`."""
        place = {"frame": self.index, "time": round(self.time, 4), "analyzed": int(self.analyzed)}
        for face in self.analysis:
            yield {**place, "track_id": face.track_id, **face.to_row()}


def video_info(source: str | os.PathLike[str]) -> VideoInfo:
    """What is known of a clip before it is analyzed.

    Args:
        source: Path of the clip.

    Raises:
        VideoError: If it is no clip that can be read.

    Example:
        >>> video_info("party.mp4").seconds      # doctest: +SKIP
        12.4
    """
    with _Reader(_check_source(source)) as reader:
        for _, picture in reader.frames():
            height, width = reader.pixels(picture).shape[:2]
            return VideoInfo(width, height, reader.seconds, reader.total, reader.rate, reader.audio is not None)
        raise reader.no_frames()


def analyze_video(
    source: str | os.PathLike[str],
    analyzer: ImageAnalyzer,
    *,
    fps: float | None = 5.0,
    annotated: str | os.PathLike[str] | None = None,
    csv: str | os.PathLike[str] | None = None,
    timeline: Timeline | None = None,
    tracker: FaceTracker | None = None,
    max_side: int | None = None,
) -> Generator[VideoFrame, None, None]:
    """Analyze a clip, frame after frame.

    The work is done while the result is iterated. To cancel, leave the loop and call ``close()`` on the result
    (``contextlib.closing`` does): the files asked for then do not appear. They are written beside their final names, as
    ``NAME.part``, and appear whole when the last frame is done.

    Args:
        source: Path of the clip: MP4, MOV, WebM, MKV, AVI, animated GIF and more. Turned clips are analyzed upright.
        analyzer: A `FaceAnalyzer`.
        fps: How many frames per second the models see; None for every frame. Faces are followed over the others.
        annotated: Write a copy with the faces drawn, as an ``.mp4`` that browsers play (H.264), with the same frames
            at the same times and the sound.
        csv: Write a table with a row per face and frame, with the columns `VIDEO_COLUMNS`; times in seconds, boxes in
            pixels, `analyzed` 1 or 0 (see `VideoFrame.analyzed`).
        timeline: Is told what was seen: who, when, with which emotion. For a plot.
        tracker: Follows the faces; by default one that suits `fps`.
        max_side: Longest side of the annotated copy in pixels; larger clips are shrunk. None keeps their size.

    Returns:
        A generator over all frames. The last one says in `VideoFrame.problem` if the clip turned out incomplete: what
        could be read is kept. No face in a frame is an empty analysis, not an error.

    Raises:
        ArgumentError: If an argument has a wrong value, or a file to write is the clip itself.
        VideoError: If the source is no clip, has no video or no frame in it, or a file cannot be written; on the call
            or while iterating.

    Example:
        >>> from facemodels import FaceAnalyzer
        >>> for frame in analyze_video("party.mp4", FaceAnalyzer(), annotated="drawn.mp4"):      # doctest: +SKIP
        ...     print(f"{frame.index + 1} of {frame.total or '?'}: {len(frame.analysis)} faces")
    """
    path = _check_source(source)
    if fps is not None and (isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < math.inf):
        raise ArgumentError(f"fps must be a number above 0, or None for every frame; got {fps!r}")
    if max_side is not None and (isinstance(max_side, bool) or not isinstance(max_side, int) or max_side < 16):
        raise ArgumentError(f"max_side must be a whole number from 16 up, or None; got {max_side!r}")
    targets = {"annotated": annotated, "csv": csv}
    paths = {name: _check_target(name, Path(target), path) for name, target in targets.items() if target is not None}
    if "annotated" in paths and paths["annotated"].suffix.lower() != ".mp4":
        raise ArgumentError(f"annotated must be the name of an .mp4 file; got {paths['annotated']}")
    if len(set(paths.values())) < len(paths):
        raise ArgumentError(f"annotated and csv are the same file: {paths['csv']}")
    return _run(_Reader(path), analyzer, fps, paths, timeline, tracker, max_side)


def _check_source(source: str | os.PathLike[str]) -> Path:
    if not isinstance(source, (str, os.PathLike)):
        raise VideoError(f"a video must be the path of a file, not {type(source).__name__}")
    path = Path(source)
    if not path.exists():
        raise VideoError(f"{path}: there is no such file")
    if not path.is_file():
        raise VideoError(f"{path}: this is not a file" + (" but a directory" if path.is_dir() else ""))
    return path.resolve()


def _check_target(name: str, target: Path, source: Path) -> Path:
    target = target.resolve()
    if target == source or (target.exists() and target.samefile(source)):
        raise ArgumentError(f"{name} is the clip itself, {source}: choose another name")
    if not target.parent.is_dir() or target.is_dir():
        missing = "that is a directory" if target.is_dir() else f"there is no directory {target.parent}"
        raise ArgumentError(f"{name} {target} cannot be written: {missing}")
    return target


def _run(
    reader: _Reader,
    analyzer: ImageAnalyzer,
    fps: float | None,
    targets: dict[str, Path],
    timeline: Timeline | None,
    tracker: FaceTracker | None,
    max_side: int | None,
) -> Generator[VideoFrame, None, None]:
    with ExitStack() as stack:
        stack.enter_context(reader)
        if tracker is None:
            updates = min(rate for rate in (fps, reader.rate, 30.0) if rate)
            tracker = FaceTracker(max_age=max(1, round(_AWAY * updates)), smoothing=0.5 ** (1 / updates / _MEMORY))
        writers: list[Callable[[VideoFrame], None]] = []
        if "csv" in targets:
            writers.append(stack.enter_context(_table(targets["csv"])))
        if "annotated" in targets:
            writers.append(stack.enter_context(_drawing(reader.path, targets["annotated"], max_side)))
        for frame in _followed(reader, analyzer, fps, tracker, timeline):
            for write in writers:
                write(frame)
            yield frame


def _followed(
    reader: _Reader, analyzer: ImageAnalyzer, fps: float | None, tracker: FaceTracker, timeline: Timeline | None
) -> Iterator[VideoFrame]:
    """All frames in order; those between two analyzed ones come when the second is known."""
    before: VideoFrame | None = None
    waiting: list[tuple[int, float]] = []
    sample = -1
    for index, (time, picture, is_last) in enumerate(_with_last(reader.frames())):
        # A grid of times, not every n-th frame: frame rates may vary. Half a tick forgives rounded times.
        due = index if fps is None else math.floor(time * fps + 1e-3)
        if due == sample and not is_last:
            waiting.append((index, time))
            continue
        sample = due
        pixels = reader.pixels(picture)
        analysis = tracker.update(analyzer.analyze(pixels))
        if timeline is not None:
            timeline.add(time, analysis, pixels)
        problem = reader.problem if is_last else None
        total = index + 1 if is_last and problem is None else reader.total and max(reader.total, index + 1)
        now = VideoFrame(index, time, analysis, True, total, problem)
        if before is not None:
            yield from (_between(before, now, index, time) for index, time in waiting)
        waiting.clear()
        yield now
        before = now
    if before is None:
        raise reader.no_frames()


def _with_last(frames: Iterable[tuple[float, Any]]) -> Iterator[tuple[float, Any, bool]]:
    """Each item, and whether it is the last one."""
    held: tuple[float, Any] | None = None
    for item in frames:
        if held is not None:
            yield *held, False
        held = item
    if held is not None:
        yield *held, True


def _between(before: VideoFrame, after: VideoFrame, index: int, time: float) -> VideoFrame:
    """A frame that was not analyzed: boxes on their way, and what the earlier analyzed frame says of them."""
    share = (time - before.time) / max(after.time - before.time, 1e-9)
    later = {face.track_id: face for face in after.analysis}
    faces = [_moved(face, later.pop(face.track_id, None), share) for face in before.analysis]
    # Who is in one of the two frames only is shown in the half that is nearer to it.
    faces += [face for face in later.values() if share >= 0.5]
    analysis = replace(before.analysis, faces=tuple(face for face in faces if face is not None))
    return VideoFrame(index, time, analysis, False, before.total)


def _moved(face: Face, later: Face | None, share: float) -> Face | None:
    if later is None:
        return face if share < 0.5 else None
    landmarks = face.landmarks
    if landmarks is not None and later.landmarks is not None and len(landmarks) == len(later.landmarks):
        pairs = zip(landmarks, later.landmarks, strict=True)
        landmarks = tuple((a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share) for a, b in pairs)
    a, b = face.box, later.box
    edges = ((a.x1, b.x1), (a.y1, b.y1), (a.x2, b.x2), (a.y2, b.y2))
    return face.replace(box=Box(*(start + (end - start) * share for start, end in edges)), landmarks=landmarks)


# ---------------------------------------------------------------- reading


def _pyav() -> Any:
    """The library that reads and writes clips, loaded when it is needed.

    Raises:
        VideoError: If it is not installed.
    """
    try:
        av: ModuleType = importlib.import_module("av")
    except ImportError as error:
        raise VideoError(f"clips are read with PyAV, which is missing ({error}): pip install 'av>=18.1,<19'") from error
    return av


class _Reader:
    """One reading of a clip.

    Attributes:
        seconds, total, rate: As in `VideoInfo`.
        audio: Its sound, a PyAV stream, or None.
        problem: When `frames` has ended: why that was not the end of the clip, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._av = _pyav()
        self.problem: str | None = None
        self._damaged = 0
        self._size: tuple[int, int] | None = None
        try:
            options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
            self._container = self._av.open(os.fspath(path), options=options, metadata_errors="replace")
        except (self._av.error.FFmpegError, OSError) as error:
            raise VideoError(_not_opened(path, error)) from error
        try:
            self.video = self._find_video()
        except VideoError:
            self._container.close()
            raise
        self.audio: Any = next(iter(self._container.streams.audio), None)
        self.video.thread_type = "AUTO"
        self.video.codec_context.thread_count = min(4, os.cpu_count() or 1)
        rate = self.video.average_rate or self.video.guessed_rate
        self.rate = float(rate) if rate else None
        self.seconds = self._length()
        estimate = round(self.seconds * self.rate) if self.seconds and self.rate else None
        self.total: int | None = self.video.frames or estimate or None

    def _find_video(self) -> Any:
        pictures = self._av.stream.Disposition.attached_pic  # the cover of a song
        for video in self._container.streams.video:
            # Without a codec context: something that this FFmpeg cannot decode.
            if not video.disposition & pictures and video.codec_context is not None:
                width, height = video.codec_context.width, video.codec_context.height
                if width * height > MAX_PIXELS:
                    most = f"{MAX_PIXELS // 10**6} megapixels"
                    raise VideoError(f"{self.path}: frames of {width} x {height} pixels are more than {most}")
                return video
        sound = ", only sound" if self._container.streams.audio else ""
        raise VideoError(f"{self.path}: there is no video in it{sound}")

    def _length(self) -> float | None:
        if self.video.duration and self.video.time_base:
            return float(self.video.duration * self.video.time_base)
        hours, _, rest = self.video.metadata.get("DURATION", "").partition(":")  # Matroska: 00:01:02.500000000
        minutes, _, seconds = rest.partition(":")
        try:
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except ValueError:
            return self._container.duration / self._av.time_base if self._container.duration else None

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def start(self) -> Fraction:
        """Time of the first frame in the file's own clock, in seconds."""
        if self.video.start_time is None or self.video.time_base is None:
            return Fraction(0)
        return Fraction(self.video.start_time * self.video.time_base)

    def frames(self, hear: Callable[[Any], None] | None = None) -> Iterator[tuple[float, Any]]:
        """Seconds and PyAV frame of each frame; `hear` is given the sound's packets as they come along."""
        streams = [self.video] + ([self.audio] if hear is not None and self.audio is not None else [])
        last, count = -1.0, 0
        for packet in self._packets(streams):
            if packet.stream is not self.video and hear is not None:
                hear(packet)
                continue
            for picture in self._decoded(packet):
                time = -1.0 if picture.pts is None else float(picture.pts * picture.time_base - self.start)
                if time <= last:  # no time, or one that runs backwards
                    time = 0.0 if last < 0 else last + 1 / (self.rate or 25)
                yield time, picture
                last, count = time, count + 1
        self._judge(last, count)

    def _packets(self, streams: list[Any]) -> Iterator[Any]:
        try:
            yield from self._container.demux(streams)
        except self._av.error.FFmpegError as error:
            self.problem = f"{self.path}: the clip is damaged or incomplete and was read up to there: {error.strerror}"

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            return packet.decode()
        except self._av.error.EOFError:
            return []
        except self._av.error.FFmpegError:  # one bad packet; the next ones may be good, and players go on, too
            self._damaged += 1
            return []

    def _judge(self, last: float, count: int) -> None:
        """Whether what was read is what the file promised: its last frame came at `last` seconds."""
        if self.problem is not None or not count:
            return
        if self.seconds is not None and self.seconds - last > self._patience:
            why = f"incomplete: it ends after {last:.1f} of {self.seconds:.1f} seconds"
        elif self._damaged:
            why = f"damaged: {self._damaged} of its pieces were skipped"
        elif count < 0.9 * self.video.frames - 1:  # AVI, whose length is a guess from the size of what is there
            why = f"incomplete: it has {count} of {self.video.frames} frames"
        else:
            return
        self.problem = f"{self.path}: the clip is {why}"

    @property
    def _patience(self) -> float:
        """How much earlier than promised the last frame may begin, in seconds: some stand still for a while."""
        return max(1.0, 3 / (self.rate or 25), 0.02 * (self.seconds or 0))

    def no_frames(self) -> VideoError:
        why = f", {self._damaged} of its pieces are damaged" if self._damaged else ""
        return VideoError(f"{self.path}: not a single frame could be read from it{why}")

    def pixels(self, picture: Any, shrink: float = 1.0) -> np.ndarray:
        """A frame upright, with square pixels, in the size of the first: ``(H, W, 3)`` RGB uint8."""
        if self._size is None:
            ratio = self.video.sample_aspect_ratio or 1
            self._size = max(1, round(picture.width * (ratio if 0.1 < ratio < 10 else 1))), picture.height
        width, height = (max(1, round(side * shrink)) for side in self._size)
        clear = any(component.is_alpha for component in picture.format.components)
        spaces = self._av.video.reformatter.Colorspace
        # Unsaid, it is what players take it for.
        usual = spaces.ITU709 if picture.height >= 720 else spaces.ITU601
        known = {int(space) for space in spaces}
        colours = picture.reformat(
            width=width,
            height=height,
            format="rgba" if clear else "rgb24",
            src_colorspace=picture.colorspace if picture.colorspace in known else usual,
            threads=1,
        )
        pixels = colours.to_ndarray()
        if clear:
            share = pixels[:, :, 3:].astype(np.float32) / 255
            pixels = np.rint(pixels[:, :, :3] * share + 255 * (1 - share)).astype(np.uint8)
        return np.ascontiguousarray(np.rot90(pixels, round((picture.rotation or 0) / 90)))


def _not_opened(path: Path, error: OSError) -> str:
    """Why a file could not be opened, for people."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as reason:
        return f"{path}: it cannot be read: {reason.strerror}"
    if not head:
        return f"{path}: this is empty, there were 0 bytes to read"
    if head[4:8] == b"ftyp" or head[:4] in (b"\x1a\x45\xdf\xa3", b"GIF8", b"OggS") or head[8:] == b"AVI ":
        return f"{path}: the clip is damaged or incomplete (a recording or download that broke off?): {error.strerror}"
    return f"{path}: this is not a video. {_ACCEPTED}"


# ---------------------------------------------------------------- writing


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A name to write to; what is there becomes `target` at the end, and is deleted if anything goes wrong."""
    part = target.with_name(f"{target.name}.part")
    try:
        yield part
        with _writing(target):
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Say of an error that it happened while writing a file: a full disk, say."""
    try:
        yield
    except OSError as error:  # FFmpeg's are of this kind where the system is the cause
        raise VideoError(f"cannot write {target}: {error.strerror or error}") from error


@contextmanager
def _table(target: Path) -> Iterator[Callable[[VideoFrame], None]]:
    """A CSV file that grows with every frame."""
    with _part(target) as part:
        with _writing(target):
            file = part.open("w", encoding="utf-8", newline="")
        try:
            writer = csv_format.DictWriter(file, VIDEO_COLUMNS, lineterminator="\n")

            def write(frame: VideoFrame) -> None:
                with _writing(target):
                    writer.writerows(frame.rows())

            with _writing(target):
                writer.writeheader()
            yield write
            with _writing(target):
                file.flush()
        finally:
            with _writing(target):
                file.close()


@contextmanager
def _drawing(source: Path, target: Path, max_side: int | None) -> Iterator[Callable[[VideoFrame], None]]:
    """The clip read again, drawn on and encoded: give it every frame of the clip in order."""
    with _part(target) as part, _Reader(source) as reader:
        writer = _Writer(reader, part, target)
        try:
            pictures = reader.frames(writer.hear)

            def write(frame: VideoFrame) -> None:
                _, picture = next(pictures)
                longest = max(frame.analysis.width, frame.analysis.height)
                shrink = min(1.0, max_side / longest) if max_side else 1.0
                pixels = reader.pixels(picture, shrink)
                writer.see(annotate(pixels, _scaled(frame.analysis, pixels).faces), frame.time)

            yield write
            for _ in pictures:  # the sound after the last frame
                pass
            writer.finish()
        finally:
            writer.close()


def _scaled(analysis: Analysis, pixels: np.ndarray) -> Analysis:
    """The same faces in a picture of another size."""
    across, down = pixels.shape[1] / analysis.width, pixels.shape[0] / analysis.height
    if across == down == 1:
        return analysis
    faces = []
    for face in analysis:
        box, landmarks = face.box, face.landmarks
        if landmarks is not None:
            landmarks = tuple((x * across, y * down) for x, y in landmarks)
        box = Box(box.x1 * across, box.y1 * down, box.x2 * across, box.y2 * down)
        faces.append(face.replace(box=box, landmarks=landmarks))
    return replace(analysis, faces=tuple(faces), width=pixels.shape[1], height=pixels.shape[0])


class _Writer:
    """An MP4 file that browsers play while it loads: H.264, and the sound of `reader`."""

    def __init__(self, reader: _Reader, part: Path, target: Path) -> None:
        self._av = _pyav()
        self._reader = reader
        self._target = target
        self._video: Any = None
        self._sound: _Sound | None = None
        self._early: list[Any] = []  # sound that comes before the first frame: MP4 wants all streams named first
        self._last = -1
        with self._errors():
            self._container = self._av.open(
                os.fspath(part), "w", format="mp4", options={"movflags": "+faststart", "use_editlist": "1"}
            )

    def see(self, pixels: np.ndarray, time: float) -> None:
        """The next frame: ``(H, W, 3)`` RGB uint8, and when it is shown, in seconds."""
        height, width = pixels.shape[:2]
        if width % 2 or height % 2:  # H.264 halves the sides for colour
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with self._errors():
            if self._video is None:
                self._begin(pixels.shape[1], pixels.shape[0])
            picture = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture = picture.reformat(
                format="yuv420p", dst_colorspace=self._av.video.reformatter.Colorspace.ITU709, threads=1
            )
            picture.time_base = Fraction(1, _CLOCK)
            picture.pts = self._last = max(round(time * _CLOCK), self._last + 1)
            self._container.mux(self._video.encode(picture))

    def hear(self, packet: Any) -> None:
        """The next packet of the sound."""
        if self._video is None:
            self._early.append(packet)
        elif self._sound is not None:
            with self._errors():
                self._sound.take(packet)

    def finish(self) -> None:
        """Write what is still under way, and the file's index."""
        with self._errors():
            if self._video is not None:
                self._container.mux(self._video.encode(None))
            if self._sound is not None:
                self._sound.finish()
            self._container.close()

    def close(self) -> None:
        """Let go of the file, whatever state it is in."""
        try:
            self._container.close()
        except (self._av.error.FFmpegError, OSError, ValueError):
            return  # an error is under way already, or the clip was cancelled; the file is deleted

    def _begin(self, width: int, height: int) -> None:
        rate = Fraction(self._reader.rate or 25).limit_denominator(1001)
        try:
            self._video = self._container.add_stream("libx264", rate=rate)
        except ValueError as error:
            raise VideoError(f"this PyAV cannot encode H.264 ({error}): install the one of the registry") from error
        context = self._video.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = Fraction(1, _CLOCK)
        context.thread_count = min(4, os.cpu_count() or 1)
        context.options = {"preset": "veryfast", "crf": "23"}
        context.colorspace = context.color_primaries = context.color_trc = 1  # ITU 709
        context.color_range = 1  # 16..235
        if self._reader.audio is not None:
            self._sound = _Sound.make(self._av, self._reader, self._container)
        early, self._early = self._early, []
        for packet in early:
            self.hear(packet)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with _writing(self._target):
                yield
        except self._av.error.FFmpegError as error:
            raise VideoError(f"cannot write {self._target}: {error.strerror or error}") from error


class _Sound:
    """The clip's sound on its way into the copy: as it is where browsers play that, else encoded as AAC."""

    def __init__(self, av: Any, reader: _Reader, container: Any, stream: Any, resampler: Any) -> None:
        self._av = av
        self._container = container
        self._stream = stream
        self._resampler = resampler  # None: copied
        self._shift = round(reader.start / reader.audio.time_base)
        self._last: int | None = None  # time of the last packet copied
        self._next: Any = None  # time of the next samples to encode, counted in samples

    @classmethod
    def make(cls, av: Any, reader: _Reader, container: Any) -> _Sound | None:
        """None for sound that this FFmpeg cannot read."""
        audio = reader.audio
        if audio.codec_context is None or not audio.time_base or not audio.codec_context.sample_rate:
            return None
        if audio.codec_context.codec.canonical_name in _PLAYED_IN_MP4:
            return cls(av, reader, container, container.add_stream_from_template(audio), None)
        layout = "mono" if audio.codec_context.channels == 1 else "stereo"
        rate = min(audio.codec_context.sample_rate, 48_000)
        stream = container.add_stream("aac", rate=rate, layout=layout)
        return cls(av, reader, container, stream, av.AudioResampler("fltp", layout, rate, 1024))

    def take(self, packet: Any) -> None:
        if self._resampler is None:
            self._copy(packet)
            return
        try:
            heard = packet.decode()
        except self._av.error.FFmpegError:
            return  # a bad packet is a moment of silence
        for sound in heard:
            if sound.pts is not None:
                sound.pts -= self._shift
            self._encode(sound)

    def finish(self) -> None:
        if self._resampler is not None:
            self._encode(None)
            self._container.mux(self._stream.encode(None))

    def _copy(self, packet: Any) -> None:
        if packet.dts is None or packet.pts is None or (self._last is not None and packet.dts <= self._last):
            return  # the end, or a place where time runs backwards
        self._last = packet.dts
        packet.pts -= self._shift
        packet.dts -= self._shift
        packet.stream = self._stream
        self._container.mux_one(packet)

    def _encode(self, sound: Any) -> None:
        for piece in self._resampler.resample(sound):
            # The encoder wants time without a step back; a gap of more than a tenth of a second is kept.
            at = self._next if piece.pts is None else round(piece.pts * piece.time_base * piece.sample_rate)
            if self._next is None or at > self._next + piece.sample_rate // 10:
                self._next = at
            piece.pts, piece.time_base = self._next, Fraction(1, piece.sample_rate)
            self._next += piece.samples
            self._container.mux(self._stream.encode(piece))
