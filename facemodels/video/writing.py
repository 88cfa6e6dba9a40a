"""Writing the drawn copy and the table, each beside its final name until it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from facemodels.drawing import annotate
from facemodels.errors import VideoError
from facemodels.results import CsvTable
from facemodels.video.frames import VIDEO_COLUMNS, VideoFrame
from facemodels.video.reading import Reader, load_av

_PLAYED_IN_MP4 = {"aac", "mp3", "opus"}  # sound that browsers play there: copied, not encoded again
_CLOCK = 90_000  # ticks per second of the drawn copy: fine enough for every frame rate in use


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
def write_table(target: Path) -> Iterator[Callable[[VideoFrame], None]]:
    """A CSV file that grows with every frame."""
    with _part(target) as part:
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
def draw_copy(source: Path, target: Path, max_side: int | None) -> Iterator[Callable[[VideoFrame], None]]:
    """The clip read again, drawn on and encoded: give it every frame of the clip in order."""
    with _part(target) as part, Reader(source) as reader:
        writer = Writer(reader, part, target)
        try:
            pictures = reader.frames(writer.hear)

            def write(frame: VideoFrame) -> None:
                _, picture = next(pictures)
                longest = max(frame.analysis.width, frame.analysis.height)
                shrink = min(1.0, max_side / longest) if max_side else 1.0
                pixels = reader.pixels(picture, shrink)
                height, width = pixels.shape[:2]
                writer.see(annotate(pixels, frame.analysis.scaled(width, height).faces), frame.time)

            yield write
            for _ in pictures:  # the sound after the last frame
                pass
            writer.finish()
        finally:
            writer.close()


class Writer:
    """An MP4 file that browsers play while it loads: H.264, and the sound of `reader`."""

    def __init__(self, reader: Reader, part: Path, target: Path) -> None:
        self._av = load_av()
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

    def __init__(self, av: Any, reader: Reader, container: Any, stream: Any, resampler: Any) -> None:
        self._av = av
        self._container = container
        self._stream = stream
        self._resampler = resampler  # None: copied
        self._shift = round(reader.start / reader.audio.time_base)
        self._last: int | None = None  # time of the last packet copied
        self._next: Any = None  # time of the next samples to encode, counted in samples

    @classmethod
    def make(cls, av: Any, reader: Reader, container: Any) -> _Sound | None:
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
