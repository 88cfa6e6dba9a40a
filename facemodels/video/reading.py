"""Reading clips, frame by frame, through PyAV."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from facemodels.errors import VideoError

MAX_PIXELS = 40_000_000  # of a frame; 8K has 33 million
# FFmpeg also opens text, pictures, playlists and addresses: only these formats, and only files.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,ogg,asf"
_ACCEPTED = "Accepted: MP4, MOV, WebM, MKV, AVI, animated GIF, MPEG, OGG, WMV"
_PLAYED_IN_MP4 = {"aac", "mp3", "opus"}  # sound that browsers play there: copied, not encoded again


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
    with Reader(check_source(source)) as reader:
        for _, picture in reader.frames():
            height, width = reader.pixels(picture).shape[:2]
            return VideoInfo(width, height, reader.seconds, reader.total, reader.rate, reader.audio is not None)
        raise reader.no_frames()


def check_source(source: str | os.PathLike[str]) -> Path:
    if not isinstance(source, (str, os.PathLike)):
        raise VideoError(f"a video must be the path of a file, not {type(source).__name__}")
    path = Path(source)
    if not path.exists():
        raise VideoError(f"{path}: there is no such file")
    if not path.is_file():
        raise VideoError(f"{path}: this is not a file" + (" but a directory" if path.is_dir() else ""))
    return path.resolve()


def load_av() -> Any:
    """The library that reads and writes clips, loaded when it is needed.

    Raises:
        VideoError: If it is not installed.
    """
    try:
        av: ModuleType = importlib.import_module("av")
    except ImportError as error:
        raise VideoError(f"clips are read with PyAV, which is missing ({error}): pip install 'av>=18.1,<19'") from error
    return av


class Reader:
    """One reading of a clip.

    Attributes:
        seconds, total, rate: As in `VideoInfo`.
        audio: Its sound, a PyAV stream, or None.
        problem: When `frames` has ended: why that was not the end of the clip, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._av = load_av()
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

    def __enter__(self) -> Reader:
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
