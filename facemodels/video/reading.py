"""Read videos frame by frame with PyAV, as a player shows them."""

from __future__ import annotations

import importlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facemodels.errors import VideoError
from facemodels.video.colours import ColourTable, can_convert, needs_table
from facemodels.video.containers import container_kind, is_cut_short
from facemodels.video.cuts import HEIGHT, WIDTH
from facemodels.video.frames import Problem

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_PIXELS = 40_000_000  # of a frame; 8K has 33 million
# FFmpeg also opens text, images, playlists and addresses: only these formats, and only files.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,ogg,asf,flv"
_ACCEPTED = "Accepted: MP4, MOV, WebM, MKV, AVI, animated GIF, MPEG, MTS, OGG, WMV, FLV"
COUNT_UP_TO = 256 * 2**20  # bytes: of larger files the number of frames is estimated, not counted
_DELAY = Fraction(1, 10)  # seconds by which sound must start earlier for a player to wait for the first frame


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts about a video, from its container and first frame.

    Attributes:
        width: Width in pixels, upright and with square pixels.
        height: Height in pixels, likewise.
        seconds: Its duration; None if the file does not tell.
        frames: Number of frames that a player shows, counted, or in large files estimated from duration and rate; None
            if unknown.
        rate: Average frames per second; None if the file does not tell.
        audio: Whether it has sound.
    """

    width: int
    height: int
    seconds: float | None
    frames: int | None
    rate: float | None
    audio: bool


def video_info(source: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Read facts about a video, without decoding it.

    Args:
        source: Path of the video.
        max_pixels: Maximum pixels per frame; a video with larger ones is refused.

    Raises:
        VideoError: If it is not a readable video.

    Example:
        >>> video_info("party.mp4").seconds      # doctest: +SKIP
        12.4
    """
    with Reader(check_source(source), max_pixels) as reader:
        for _, frame in reader.frames():
            height, width = reader.pixels(frame).shape[:2]
            return VideoInfo(width, height, reader.seconds, reader.total, reader.rate, reader.audio is not None)
        raise reader.no_frames()


def check_source(source: str | os.PathLike[str]) -> Path:
    """The path of an existing file.

    Raises:
        VideoError: If there is none.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise VideoError(f"a video must be the path of a file, not {type(source).__name__}")
    path = Path(source)
    if not path.exists():
        raise VideoError("there is no such file", name=str(path), code="missing")
    if not path.is_file():
        reason = "this is not a file" + (" but a directory" if path.is_dir() else "")
        raise VideoError(reason, name=str(path), code="directory")
    return path.resolve()


def load_av() -> ModuleType:
    """Import PyAV on first use.

    Raises:
        VideoError: If it is not installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise VideoError(
            f"videos are read with PyAV, which is missing ({error}): pip install 'av>=18.1,<19'"
        ) from error


class Reader:
    """One pass over a video.

    Args:
        path: Of the file.
        max_pixels: See `video_info`.

    Attributes:
        seconds, total, rate: As in `VideoInfo`.
        audio: Its sound, or None.
        start: When `frames` has begun: the time in the file's own clock, in seconds, that a player's clock calls 0.
        end: When `frames` has ended: when the last frame gives way, in seconds of a player's clock.
        problem: When `frames` has ended: what is missing or wrong, or None.

    Raises:
        VideoError: If PyAV is missing, or the file is not a readable video.
    """

    def __init__(self, path: Path, max_pixels: int = MAX_PIXELS) -> None:
        self.path = path
        self._max_pixels = max_pixels
        self._av: Any = load_av()
        self.problem: Problem | None = None
        self._damaged = 0
        self._size: tuple[int, int] | None = None
        self._table: ColourTable | None = None
        self._strange_colours = False
        self._reformatter = self._av.video.reformatter.VideoReformatter()
        self._container = self._open()
        try:
            self.video = self._find_video()
        except VideoError:
            self._container.close()
            raise
        self.audio: AudioStream | None = next(iter(self._container.streams.audio), None)
        self.video.thread_type = "AUTO"
        self.video.codec_context.thread_count = min(4, os.cpu_count() or 1)
        rate = self.video.average_rate or self.video.guessed_rate
        self.rate = float(rate) if rate else None
        self.start = Fraction(0)
        self.end = 0.0
        # Fragments and broken files have only an estimate, in millionths of a second.
        duration = self._container.duration
        self.seconds = duration / self._av.time_base if duration and duration > 0 else self._video_seconds()
        self.total = self._visible_frames()

    def _open(self) -> InputContainer:
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
        try:
            return self._av.open(os.fspath(self.path), options=options, metadata_errors="replace")
        except (self._av.error.FFmpegError, OSError) as error:
            raise _not_opened(self.path, error) from error

    def _find_video(self) -> VideoStream:
        cover = self._av.stream.Disposition.attached_pic  # of a song
        for video in self._container.streams.video:
            # Without a codec context: something that this FFmpeg cannot decode.
            if not video.disposition & cover and video.codec_context is not None:
                width, height = video.codec_context.width, video.codec_context.height
                self._check_size(width, height)
                return video
        if self._container.streams.audio:
            raise VideoError("there is no video in it, only sound", name=str(self.path), code="sound")
        raise VideoError("there is no video in it", name=str(self.path), code="no_video")

    def _check_size(self, width: int, height: int) -> None:
        """Refuse frames that are too large.

        Raises:
            VideoError: If they are.
        """
        if width * height > self._max_pixels:
            limit = self._max_pixels // 10**6
            reason = f"frames of {width} x {height} pixels are more than {limit} megapixels"
            name = str(self.path)
            raise VideoError(reason, name=name, code="frame_pixels", width=width, height=height, limit=limit)

    def _video_seconds(self) -> float | None:
        """How long the frames last, sound apart, as the file says."""
        if self.video.duration and self.video.time_base:
            return float(self.video.duration * self.video.time_base)
        hours, _, rest = self.video.metadata.get("DURATION", "").partition(":")  # Matroska: 00:01:02.500000000
        minutes, _, seconds = rest.partition(":")
        try:
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except ValueError:
            return None

    def _visible_frames(self) -> int | None:
        """How many frames a player shows: an edit list hides some, and not every packet becomes a frame."""
        if self.video.frames and len(self.video.index_entries) == self.video.frames:
            visible = sum(not entry.is_discard for entry in self.video.index_entries)
            if container_kind(self.path) == "mp4":
                return visible or None
        seconds = self._video_seconds() or self.seconds
        estimate = round(seconds * self.rate) if seconds and self.rate else self.video.frames
        if self.path.stat().st_size > COUNT_UP_TO:
            return estimate or None
        with self._open() as container:
            video = container.streams[self.video.index]
            try:
                count = sum(
                    _becomes_a_frame(packet, self.video.codec_context.name) for packet in container.demux(video)
                )
            except self._av.error.FFmpegError:  # `frames` will meet it and say so
                return estimate or None
        # Interlaced video may have a packet for each half of a frame.
        return (estimate if estimate and count > 1.9 * estimate else count) or None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def frames(
        self, on_audio: Callable[[av.Packet[AudioStream]], None] | None = None
    ) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yield the time of each frame, in seconds of a player's clock, and the frame.

        Args:
            on_audio: Called with each audio packet.
        """
        last, duration, count, packets = -1.0, 0.0, 0, 0
        sound_end = 0.0  # in the file's own clock
        for packet in self._packets():
            if packet is not None and packet.stream is not self.video:
                if packet.pts is not None and packet.time_base:
                    sound_end = max(sound_end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if on_audio is not None:
                    on_audio(packet)
                continue
            packets += packet is not None and packet.dts is not None and not packet.is_discard
            for frame in self._decoded(packet):
                time = None if frame.pts is None or frame.time_base is None else frame.pts * Fraction(frame.time_base)
                if not count:
                    self.start = self._player_start(time)
                seconds = -1.0 if time is None else float(time - self.start)
                if seconds <= last:  # no time, or one that runs backwards
                    seconds = 0.0 if last < 0 else last + 1 / (self.rate or 25)
                if not can_convert(frame):
                    self._strange_colours = True
                    frame.colorspace = 9 if frame.color_primaries == 9 else 1  # or nothing at all would be seen
                yield seconds, frame
                last, count = seconds, count + 1
                duration = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
        if count:
            self._check_complete(last, duration, sound_end - float(self.start), count, packets)

    def _player_start(self, first: Fraction | None) -> Fraction:
        """What a player's clock calls 0: the first frame, unless the sound begins well before it."""
        first = Fraction(0) if first is None else first
        if self.audio is None or self.audio.start_time is None or not self.audio.time_base:
            return first
        sound = self.audio.start_time * self.audio.time_base
        return sound if _DELAY < first - sound < 3600 else first

    def _packets(self) -> Iterator[av.Packet[Any] | None]:
        """The packets of video and sound; None asks for the frames that the decoder still has."""
        streams = [self.video] if self.audio is None else [self.video, self.audio]
        try:
            yield from self._container.demux(streams)
        except self._av.error.FFmpegError as error:
            self._complain(f"damaged or incomplete and was read up to there: {error.strerror}", "unreadable")
            yield None

    def _decoded(self, packet: av.Packet[VideoStream] | None) -> list[av.VideoFrame]:
        try:
            return self.video.decode(packet)
        except self._av.error.EOFError:
            return []
        except self._av.error.FFmpegError:  # one bad packet; the next ones may be good, and players go on, too
            self._damaged += packet is not None and packet.size > 0  # an empty one repeats the frame before it
            return []

    def _check_complete(self, last: float, duration: float, sound_end: float, count: int, packets: int) -> None:
        """Set `end`, and `problem` if what was read is not what the file promised.

        Neither frames that stand for seconds nor sound that goes on longer make a video incomplete. So the question is
        whether bytes are missing, and only where the container cannot tell, whether time is.

        Args:
            last: When the last frame appeared.
            duration: How long it stands, as it says itself; 0 if it does not.
            sound_end: When the sound ended.
            count: Frames read.
            packets: Visible packets read.
        """
        cut_short = is_cut_short(self.path)
        promised = self._video_seconds()
        kind = container_kind(self.path)
        if cut_short is None and kind in ("mp4", "matroska", "avi", "asf", "flv"):
            whole = promised or self.seconds or 0.0
            cut_short = whole - max(last + duration, sound_end) > self._tolerance
        if not cut_short and kind == "mp4":  # its index names bytes that are not there
            cut_short = packets < (self.total or 0)
        if self._damaged and not cut_short:
            self._complain(f"damaged: {self._damaged} of its pieces were skipped", "damaged", count=self._damaged)
        elif cut_short and self.seconds is not None and self.seconds - last > self._tolerance:
            end, whole = f"{last:.1f}", f"{self.seconds:.1f}"
            self._complain(f"incomplete: it ends after {end} of {whole} seconds", "cut", last=end, seconds=whole)
        elif cut_short:
            self._complain("incomplete: its end is missing", "end")
        elif self._strange_colours:
            self._complain("recorded in colours that cannot be converted: they are not natural here", "colours")
        self.end = last + (duration or 1 / (self.rate or 25))
        if self.problem is None and promised is not None and promised > last and kind not in ("mpeg", "mpegts"):
            self.end = promised  # unlike a stream's, whose length is a guess

    def _complain(self, why: str, code: str, **values: object) -> None:
        if self.problem is None:
            self.problem = Problem(f"{self.path}: the video is {why}", code, **values)

    @property
    def _tolerance(self) -> float:
        """By how many seconds a video may end early without being incomplete."""
        return max(1.0, 3 / (self.rate or 25), 0.02 * (self.seconds or 0))

    def no_frames(self) -> VideoError:
        """The error for a video without frames."""
        why = f", {self._damaged} of its pieces are damaged" if self._damaged else ""
        return VideoError(f"not a single frame could be read from it{why}", name=str(self.path), code="no_frames")

    def pixels(self, frame: av.VideoFrame, shrink: float = 1.0) -> np.ndarray:
        """A frame upright, with square pixels and natural colours: ``(H, W, 3)`` RGB uint8.

        Args:
            frame: The frame.
            shrink: Factor to the size of the first frame.
        """
        if self._size is None:
            ratio = self.video.sample_aspect_ratio or 1
            self._size = max(1, round(frame.width * (ratio if 0.1 < ratio < 10 else 1))), frame.height
            self._check_size(*self._size)  # which the header alone does not tell
        width, height = (max(1, round(side * shrink)) for side in self._size)
        return _upright(self._rgb(frame, width, height), frame)

    def thumbnail(self, frame: av.VideoFrame) -> np.ndarray:
        """A frame as a small grey image, to compare scenes with: ``(HEIGHT, WIDTH)`` uint8 of `cuts`."""
        light = frame.format.components[0]
        if frame.format.is_planar and not frame.format.is_rgb and light.bits in (8, 10):
            # A part of the light's plane as it lies there: many times faster than the scaler.
            plane: Any = frame.planes[0]
            rows = np.frombuffer(plane, np.uint8 if light.bits == 8 else "<u2").reshape(plane.height, -1)
            step = max(1, min(frame.width // WIDTH, frame.height // HEIGHT))
            part = np.ascontiguousarray(rows[::step, : frame.width : step])
            small = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            return (small // 2 ** (light.bits - 8)).astype(np.uint8)
        return frame.reformat(WIDTH, HEIGHT, "gray8", interpolation="AREA", threads=1).to_ndarray()

    def _rgb(self, frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
        if needs_table(frame) and can_convert(frame):
            if self._table is None or not self._table.fits(frame, width, height):
                self._table = ColourTable(frame, width, height)
            return self._table.convert(frame)
        clear = any(component.is_alpha for component in frame.format.components)
        spaces = self._av.video.reformatter.Colorspace
        # Unsaid, it is what players take it for.
        usual = spaces.ITU709 if frame.height >= 720 else spaces.ITU601
        known = {int(space) for space in spaces}
        colours = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgba" if clear else "rgb24",
            src_colorspace=frame.colorspace if frame.colorspace in known else usual,
            threads=1,
        )
        pixels = colours.to_ndarray()
        if clear:
            opacity = pixels[:, :, 3:].astype(np.float32) / 255
            pixels = np.rint(pixels[:, :, :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
        return pixels


def _upright(pixels: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """Pixels turned and mirrored as a frame's display matrix says, to the nearest of the eight ways there are."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return np.ascontiguousarray(pixels)
    # x' = a x + c y, y' = b x + d y; u and v are for perspective, which nobody uses.
    a, b, _u, c, d, *_ = struct.unpack("=9i", bytes(matrix)[:36])
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = cv2.transpose(pixels), c, b
    if a < 0 or d < 0:
        pixels = cv2.flip(pixels, -1 if a < 0 and d < 0 else 1 if a < 0 else 0)
    return np.ascontiguousarray(pixels)


def _becomes_a_frame(packet: av.Packet[Any], codec: str) -> bool:
    """Whether a packet shows something: VP8 hides frames that others refer to, AVI fills gaps with empty packets."""
    if not packet.size or packet.is_discard:
        return False
    return codec not in ("vp8", "libvpx") or bool(bytes(packet)[0] & 0x10)


def _not_opened(path: Path, error: OSError) -> VideoError:
    """The error for a file that could not be opened."""
    name = str(path)
    try:
        empty = not path.stat().st_size
        with path.open("rb"):
            kind = container_kind(path)
    except OSError as cause:
        return VideoError(f"it cannot be read: {cause.strerror}", name=name, code="unreadable")
    if empty:
        return VideoError("this is empty, there were 0 bytes to read", name=name, code="empty")
    if kind is not None:
        reason = f"the video is damaged or incomplete (a recording or download that broke off?): {error.strerror}"
        return VideoError(reason, name=name, code="broken_video")
    return VideoError("this is not a video", name=name, hint=_ACCEPTED, code="no_video")
