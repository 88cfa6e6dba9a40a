"""Write the copy and the table of a video; each appears under its name when it is complete."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facemodels.errors import ArgumentError, VideoError
from facemodels.files import write_errors, written_whole
from facemodels.results import CsvTable
from facemodels.types import Face
from facemodels.video.frames import VIDEO_COLUMNS, VideoFrame
from facemodels.video.reading import Reader, load_av
from facemodels.video.threads import Behind

if TYPE_CHECKING:
    import av
    from av.audio.resampler import AudioResampler
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_PLAYED_IN_MP4 = {"aac", "mp3", "opus"}  # sound that browsers play there: copied, not encoded again
_CLOCK = 90_000  # ticks per second of the drawn copy: fine enough for every frame rate in use
_FRAMES_AHEAD = 64  # that wait for being drawn: numbers, no pixels
_DRAWN_AHEAD = 4  # that wait for being encoded


def check_target(name: str, target: Path, source: Path, overwrite: bool) -> Path:
    """Check the path of a file to write and make it absolute.

    Raises:
        ArgumentError: If it is the source, by whatever name, cannot be written, or exists and `overwrite` is not set.
    """
    target = target.resolve()
    if target == source or (target.exists() and target.samefile(source)):
        raise ArgumentError(f"{name} is the video itself, {source}: choose another name")
    if not target.parent.is_dir() or target.is_dir():
        missing = "that is a directory" if target.is_dir() else f"there is no directory {target.parent}"
        raise ArgumentError(f"{name} {target} cannot be written: {missing}")
    if target.exists() and not overwrite:
        raise ArgumentError(f"{name} {target} exists already: choose another name, or set overwrite")
    return target


def check_mp4(name: str, target: Path) -> None:
    """Refuse a name without the suffix .mp4.

    Raises:
        ArgumentError: If it is not.
    """
    if target.suffix.lower() != ".mp4":
        raise ArgumentError(f"{name} must be the name of an .mp4 file; got {target}")


def check_max_side(max_side: int | None) -> None:
    """Check the longest side of a copy.

    Raises:
        ArgumentError: If it is neither None nor a whole number from 16 up.
    """
    if max_side is not None and (isinstance(max_side, bool) or not isinstance(max_side, int) or max_side < 16):
        raise ArgumentError(f"max_side must be a whole number from 16 up, or None; got {max_side!r}")


@contextmanager
def write_table(target: Path, *, overwrite: bool) -> Iterator[Callable[[VideoFrame], None]]:
    """Write a CSV file; the context manager's value is called with each frame."""
    with written_whole(target, overwrite=overwrite, error=VideoError) as part:
        with _writing(target):
            file = part.open("w", encoding="utf-8", newline="")
        try:
            with _writing(target):
                rows = CsvTable(file, VIDEO_COLUMNS)

            def write(frame: VideoFrame) -> None:
                with _writing(target):
                    for row in frame.rows():
                        rows.write(row)

            yield write
            with _writing(target):
                file.flush()
        finally:
            with _writing(target):
                file.close()


@contextmanager
def write_copy(
    source: Path,
    target: Path,
    *,
    max_side: int | None,
    overwrite: bool,
    draw: Callable[[np.ndarray, tuple[Face, ...]], np.ndarray],
    sound: bool = True,
) -> Iterator[Callable[[VideoFrame], None]]:
    """Read the video again, draw and encode it in threads; the context manager's value is called with every frame.

    A second pass needs no memory for frames that wait until their faces are known.

    Args:
        source: The video.
        target: The copy.
        max_side: See `analyze_video`.
        overwrite: See `analyze_video`.
        draw: Returns the pixels of the copy for a frame's pixels and faces.
        sound: Whether the copy has the sound.
    """
    with written_whole(target, overwrite=overwrite, error=VideoError) as part:

        def copy(frames: Iterator[VideoFrame]) -> None:
            with Reader(source) as reader, Writer(reader, part, target, sound=sound) as writer:
                with Behind(writer.write, _DRAWN_AHEAD) as encoder:
                    for item in _drawn(reader, frames, draw, max_side, encoder.put):
                        encoder.put(item)
                writer.finish()

        with Behind(copy, _FRAMES_AHEAD) as drawing:
            yield drawing.put


def _drawn(
    reader: Reader,
    frames: Iterator[VideoFrame],
    draw: Callable[[np.ndarray, tuple[Face, ...]], np.ndarray],
    max_side: int | None,
    on_audio: Callable[[Any], None],
) -> Iterator[tuple[float, np.ndarray]]:
    """Time and pixels, ``(H, W, 3)`` RGB uint8, of each frame with its faces; reads the sound to its end, too."""
    originals = reader.frames(on_audio)
    for frame in frames:
        _, original = next(originals, (0.0, None))
        if original is None:
            raise VideoError("the video changed while it was being analyzed", name=str(reader.path))
        longest = max(frame.analysis.width, frame.analysis.height)
        pixels = reader.pixels(original, min(1.0, max_side / longest) if max_side else 1.0)
        height, width = pixels.shape[:2]
        yield frame.time, draw(pixels, frame.analysis.scaled(width, height).faces)
    for _ in originals:  # the sound after the last frame
        pass


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Say of an error that it happened while writing a file: a full disk, say."""
    with write_errors(target, VideoError):
        yield


class Writer:
    """Writes an MP4 file that browsers can stream: H.264, and the sound of `reader`.

    Args:
        reader: The reader of the frames.
        part: Path to write to.
        target: Its final name, for messages.
        sound: Whether to write the sound.
    """

    def __init__(self, reader: Reader, part: Path, target: Path, *, sound: bool = True) -> None:
        self._av: Any = load_av()
        self._reader = reader
        self._target = target
        self._audio = reader.audio if sound else None
        self._video: VideoStream | None = None
        self._sound: _Sound | None = None
        self._early: list[av.Packet[AudioStream]] = []  # sound before the first frame: MP4 names its streams first
        self._held: av.VideoFrame | None = None  # until it is known how long it stands
        self._reformatter = self._av.video.reformatter.VideoReformatter()
        self._durations: dict[int, int] = {}  # of the frames that the encoder has, by time
        with self._errors():
            self._container: OutputContainer = self._av.open(
                os.fspath(part), "w", format="mp4", options={"movflags": "+faststart", "use_editlist": "1"}
            )

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._container.close()
        except (self._av.error.FFmpegError, OSError, ValueError):
            return  # an error is under way already, or the work was cancelled; the file is deleted

    def write(self, items: Iterator[tuple[float, np.ndarray] | av.Packet[AudioStream]]) -> None:
        """Write frames, each with its time on a player's clock, and audio packets."""
        for item in items:
            if isinstance(item, tuple):
                self._write_frame(*item)
            else:
                self._write_audio(item)

    def finish(self) -> None:
        """Flush the encoders and write the file's index."""
        with self._errors():
            if self._video is not None:
                self._encode(round(self._reader.end * _CLOCK))
                self._mux(self._video.encode(None))
            if self._sound is not None:
                self._sound.finish()
            self._container.close()

    def _write_frame(self, time: float, pixels: np.ndarray) -> None:
        height, width = pixels.shape[:2]
        if width % 2 or height % 2:  # H.264 halves the sides for colour
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with self._errors():
            if self._video is None:
                self._begin(pixels.shape[1], pixels.shape[0])
            frame = self._av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pixels), format="rgb24")
            itu709 = self._av.video.reformatter.Colorspace.ITU709
            frame = self._reformatter.reformat(frame, format="yuv420p", dst_colorspace=itu709, threads=1)
            frame.time_base = Fraction(1, _CLOCK)
            frame.pts = round(time * _CLOCK)
            if self._held is not None:
                frame.pts = max(frame.pts, (self._held.pts or 0) + 1)
                self._encode(frame.pts)
            self._held = frame

    def _encode(self, until: int) -> None:
        """Encode the pending frame, now that its end is known."""
        assert self._held is not None and self._held.pts is not None and self._video is not None
        self._durations[self._held.pts] = max(1, until - self._held.pts)
        self._mux(self._video.encode(self._held))

    def _mux(self, packets: list[av.Packet[VideoStream]]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux_one(packet)

    def _write_audio(self, packet: av.Packet[AudioStream]) -> None:
        if self._audio is None:
            return
        if self._video is None:
            self._early.append(packet)
        elif self._sound is not None:
            with self._errors():
                self._sound.write(packet)

    def _begin(self, width: int, height: int) -> None:
        rate = Fraction(self._reader.rate or 25).limit_denominator(1001)
        try:
            self._video = self._container.add_stream("libx264", rate=rate)
        except ValueError as error:
            raise VideoError(f"this PyAV cannot encode H.264 ({error}): install the one of the registry") from error
        context = self._video.codec_context
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = Fraction(1, _CLOCK)
        context.max_b_frames = 0  # frames leave in the order of their times, so that the last one can stand for long
        context.thread_count = min(4, os.cpu_count() or 1)
        context.options = {"preset": "veryfast", "crf": "23"}
        context.colorspace = context.color_primaries = context.color_trc = 1  # ITU 709
        context.color_range = 1  # 16..235
        if self._audio is not None:
            self._sound = _Sound.make(self._av, self._reader, self._container)
        early, self._early = self._early, []
        for packet in early:
            self._write_audio(packet)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with _writing(self._target):
                yield
        except self._av.error.FFmpegError as error:
            raise VideoError(f"cannot write {self._target}: {error.strerror or error}") from error


class _Sound:
    """The sound of the copy: copied if browsers play its codec, else encoded as AAC."""

    def __init__(
        self,
        av: Any,
        reader: Reader,
        container: OutputContainer,
        stream: AudioStream,
        resampler: AudioResampler | None,
    ) -> None:
        assert reader.audio is not None and reader.audio.time_base is not None
        self._av = av
        self._container = container
        self._stream = stream
        self._resampler = resampler  # None: copied
        self._shift = round(reader.start / reader.audio.time_base)
        self._last: int | None = None  # time of the last packet copied
        self._next: int | None = None  # time of the next samples to encode, counted in samples

    @classmethod
    def make(cls, av: Any, reader: Reader, container: OutputContainer) -> _Sound | None:
        """None for sound that this FFmpeg cannot read."""
        audio = reader.audio
        if audio is None or audio.codec_context is None or not audio.time_base or not audio.codec_context.sample_rate:
            return None
        if audio.codec_context.codec.canonical_name in _PLAYED_IN_MP4:
            return cls(av, reader, container, container.add_stream_from_template(audio), None)
        layout = "mono" if audio.codec_context.channels == 1 else "stereo"
        rate = min(audio.codec_context.sample_rate, 48_000)
        stream: Any = container.add_stream("aac", rate=rate, layout=layout)
        return cls(av, reader, container, stream, av.AudioResampler("fltp", layout, rate, 1024))

    def write(self, packet: av.Packet[AudioStream]) -> None:
        if self._resampler is None:
            self._copy(packet)
            return
        try:
            decoded = packet.decode()
        except self._av.error.FFmpegError:
            return  # a bad packet is a moment of silence
        for frame in decoded:
            if frame.pts is not None:
                frame.pts -= self._shift
            self._encode(frame)

    def finish(self) -> None:
        if self._resampler is not None:
            self._encode(None)
            self._container.mux(self._stream.encode(None))

    def _copy(self, packet: av.Packet[AudioStream]) -> None:
        if packet.dts is None or packet.pts is None or (self._last is not None and packet.dts <= self._last):
            return  # the end, or where time runs backwards
        self._last = packet.dts
        packet.pts -= self._shift
        packet.dts -= self._shift
        packet.stream = self._stream
        self._container.mux_one(packet)

    def _encode(self, frame: av.AudioFrame | None) -> None:
        assert self._resampler is not None
        for piece in self._resampler.resample(frame):
            # The encoder wants time without a step back; a gap of more than a tenth of a second is kept.
            seconds = None if piece.pts is None or piece.time_base is None else piece.pts * piece.time_base
            at = self._next if seconds is None else round(seconds * piece.sample_rate)
            if self._next is None or (at is not None and at > self._next + piece.sample_rate // 10):
                self._next = at or 0
            piece.pts, piece.time_base = self._next, Fraction(1, piece.sample_rate)
            self._next += piece.samples
            self._container.mux(self._stream.encode(piece))
