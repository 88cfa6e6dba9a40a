"""Inspect a file's bytes, without a decoder: whether it is a video, and whether its end is missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

Kind = Literal["mp4", "matroska", "avi", "gif", "asf", "flv", "ogg", "mpeg", "mpegts"]

# Brands of the MP4 family that hold photos or sound alone.
_NO_VIDEO_BRANDS = {
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1", b"miaf"),
    *(b"avif", b"avis", b"crx ", b"jxl ", b"jp2 ", b"jpx ", b"jpm ", b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "),
}
# Boxes that a QuickTime file without a brand begins with.
_QUICKTIME = {b"moov", b"mdat", b"wide", b"pnot", b"free", b"skip"}
_OGG_VIDEO = (b"\x80theora", b"OVP80", b"BBCD", b"\x01video", b"fishead")
_EBML, _SEGMENT, _CLUSTER, _UNKNOWN_SIZE = 0x1A45DFA3, 0x18538067, 0x1F43B675, -1
_MATROSKA_LEVEL_1 = {
    *(0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF),
}
_HEAD = 4096


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a video, judged by its first bytes and not by its name.

    GIFs count as images, which they are for `read_image`; `analyze_video` takes animated ones all the same. A file with
    sound alone may pass where only its index tells (Matroska, MPEG): `video_info` then says what is missing.

    Args:
        path: Path of the file. One that cannot be read is not a video.

    Example:
        >>> is_video(__file__)
        False
    """
    return container_kind(Path(path)) not in (None, "gif")


def begins_a_video(head: bytes) -> bool:
    """The same of the first bytes of a file, 2,048 or more if it has as many."""
    return _kind(head) not in (None, "gif")


def container_kind(path: Path) -> Kind | None:
    """The container of a video file, or None if it is not a readable video."""
    try:
        with path.open("rb") as file:
            return _kind(file.read(_HEAD))
    except (OSError, ValueError):  # ValueError: a name with a null character
        return None


def _kind(head: bytes) -> Kind | None:
    start = head[4:8]
    if start == b"ftyp":
        return None if head[8:12] in _NO_VIDEO_BRANDS else "mp4"
    if start in _QUICKTIME and len(head) >= 16:
        return "mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"AVIX"):
        return "avi"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        return "asf"
    if head.startswith(b"FLV\x01"):
        return "flv"
    if head.startswith(b"OggS"):
        return "ogg" if any(mark in head for mark in _OGG_VIDEO) else None
    if head.startswith((b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")):
        return "mpeg"
    return "mpegts" if _is_transport_stream(head) else None


def _is_transport_stream(head: bytes) -> bool:
    """Packets of 188 bytes, with a time stamp before or check bytes after them on discs and in broadcasts."""
    return any(
        head[first + 5 * step : first + 5 * step + 1] and all(head[first + n * step] == 0x47 for n in range(6))
        for step in (188, 192, 204)
        for first in range(step)
    )


def is_cut_short(path: Path) -> bool | None:
    """Whether a file is shorter than its container says: an interrupted download or recording.

    Returns:
        None if the container does not tell.

    Raises:
        OSError: If the file cannot be read.
    """
    checks: dict[Kind | None, Callable[[BinaryIO, int], bool | None]] = {
        "mp4": _mp4_cut_short,
        "matroska": _matroska_cut_short,
        "avi": _avi_cut_short,
        "gif": _gif_cut_short,
        "asf": _asf_cut_short,
        "ogg": _ogg_cut_short,
    }
    check = checks.get(container_kind(path))
    if check is None:
        return None
    with path.open("rb") as file:
        return check(file, path.stat().st_size)


def _mp4_cut_short(file: BinaryIO, end: int) -> bool | None:
    position = 0
    while position < end:
        file.seek(position)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size == 0 and any(head):
            return None  # to the end of the file, wherever that is
        if size < 8 or not head[4:8].strip().isalnum():
            return False  # what follows the last box is not part of the video
        position += size
    return position > end and head[4:8] not in (b"free", b"skip", b"wide")


def _matroska_cut_short(file: BinaryIO, end: int) -> bool | None:
    position = 0
    identity, start, size = _element(file, position)
    while identity != _SEGMENT:
        if size == _UNKNOWN_SIZE or start + size >= end:
            return None
        position = start + size
        identity, start, size = _element(file, position)
    if size == _UNKNOWN_SIZE:
        return None
    if start + size > end:
        return True
    position, last = start, start + size
    while position < last:
        identity, start, size = _element(file, position)
        if size == _UNKNOWN_SIZE:
            return None
        if identity not in _MATROSKA_LEVEL_1:
            return True  # a download that reserved its room and did not fill it
        position = start + size
    return False


def _element(file: BinaryIO, position: int) -> tuple[int, int, int]:
    """An EBML element: its identity, where its content starts, and how long that is."""
    file.seek(position)
    head = file.read(12)
    if not head or not head[0]:
        return 0, position + 1, 0
    length = 9 - head[0].bit_length()
    identity = int.from_bytes(head[:length], "big")
    if length >= len(head) or not head[length]:
        return 0, position + 1, 0
    width = 9 - head[length].bit_length()
    size = int.from_bytes(head[length : length + width], "big") & ((1 << 7 * width) - 1)
    return identity, position + length + width, _UNKNOWN_SIZE if size == (1 << 7 * width) - 1 else size


def _avi_cut_short(file: BinaryIO, end: int) -> bool | None:
    position = 0
    while position < end:
        file.seek(position)
        head = file.read(8)
        if head[:4] != b"RIFF":
            return False
        size = int.from_bytes(head[4:], "little")
        if size in (0, 0xFFFFFFFF):
            return None  # its writer never came back to say
        position += 8 + size
    return position > end


def _gif_cut_short(file: BinaryIO, end: int) -> bool | None:
    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    head = file.read(13)
    if len(head) < 13:
        return True
    file.seek(table(head[10]), os.SEEK_CUR)
    while file.tell() < end:
        mark = file.read(1)
        if mark == b"\x2c":
            image = file.read(9)
            file.seek(table(image[-1]) + 1, os.SEEK_CUR)
        elif mark == b"\x21":
            file.seek(1, os.SEEK_CUR)
        else:
            return mark != b"\x3b"  # the end
        while (length := file.read(1)) not in (b"", b"\0"):
            file.seek(length[0], os.SEEK_CUR)
        if length == b"":
            return True
    return file.tell() > end


def _asf_cut_short(file: BinaryIO, end: int) -> bool | None:
    head = file.read(_HEAD)
    found = head.find(b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65")  # file properties
    if found < 0:
        return None
    return True if int.from_bytes(head[found + 40 : found + 48], "little") > end else None


def _ogg_cut_short(file: BinaryIO, end: int) -> bool | None:
    file.seek(max(0, end - (1 << 17)))  # more than a page
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 4:  # the last page is marked as such
        return True
    segments = page[26]
    return 27 + segments + sum(page[27 : 27 + segments]) > len(page)
