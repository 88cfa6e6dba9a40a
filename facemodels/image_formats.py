"""Detect the format of an encoded image: readable formats, and files that are commonly mistaken for images.

Only Pillow's own decoders for the formats below are used, and pillow-heif's where it is installed, whatever else a
program has registered with Pillow; none of Pillow's global switches is touched.
"""

from __future__ import annotations

import importlib.util
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import BinaryIO, NamedTuple

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,  # noqa: F401  # of the JPEG files that hold several images
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from facemodels.video.containers import begins_a_video

Opener = Callable[[BinaryIO], ImageFile.ImageFile]


class Format(NamedTuple):
    """A format that can be read.

    Attributes:
        start: How its files begin, a regular expression.
        open: Opens them; reads only the header.
        pillow_names: Its names in Pillow.
    """

    start: bytes
    open: Opener
    pillow_names: tuple[str, ...]


_HEIF = rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)"
_HEIF_SUFFIXES = frozenset((".heic", ".heics", ".heif", ".heifs", ".hif"))


def _open_heif(file: BinaryIO) -> ImageFile.ImageFile:
    from pillow_heif.as_plugin import HeifImageFile

    return HeifImageFile(file)


@cache
def formats() -> Mapping[str, Format]:
    """The formats that can be read here, by their usual names."""
    found = {
        "JPEG": Format(rb"\xff\xd8\xff", JpegImagePlugin.jpeg_factory, ("JPEG", "MPO")),
        "PNG": Format(rb"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile, ("PNG",)),
        "WebP": Format(rb"RIFF....WEBP", WebPImagePlugin.WebPImageFile, ("WEBP",)),
        "GIF": Format(rb"GIF8[79]a", GifImagePlugin.GifImageFile, ("GIF",)),
        "BMP": Format(rb"BM", BmpImagePlugin.BmpImageFile, ("BMP",)),
        "TIFF": Format(rb"II[*+]\0|MM\0[*+]", TiffImagePlugin.TiffImageFile, ("TIFF",)),
        "PPM": Format(rb"P[1-6f]\s", PpmImagePlugin.PpmImageFile, ("PPM",)),
        "AVIF": Format(rb"....ftyp(avi[fs]|(mif1|msf1).{4,64}avi[fs])", AvifImagePlugin.AvifImageFile, ("AVIF",)),
        "JPEG 2000": Format(
            rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImagePlugin.Jpeg2KImageFile, ("JPEG2000",)
        ),
    }
    if importlib.util.find_spec("pillow_heif") is not None:
        found["HEIC"] = Format(_HEIF, _open_heif, ())
    return found


def format_of(data: bytes) -> str | None:
    """The key of `formats` for the bytes of a file, or None; the first 100 are enough."""
    return next((name for name, one in formats().items() if re.match(one.start, data, re.DOTALL)), None)


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of files that can be read here, lower case: those of the decoders that are present.

    Example:
        >>> ".jpg" in image_suffixes()
        True
    """
    known = {name for one in formats().values() for name in one.pillow_names}
    found = frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in known)
    return found | _HEIF_SUFFIXES if "HEIC" in formats() else found


# Canon, Fujifilm, Olympus, Panasonic, Sigma, Minolta, old Canon. Most others are TIFF files: see `raw_photo`.
_RAW = rb"....ftypcrx |FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0|FOVb|\0MRM|II\x1a\0\0\0HEAPCCDR"

# Common mistakes: how the file begins, an identifier, and the message.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (
        rb"\s*((<\?xml|<!--|<!DOCTYPE svg).{0,1500}?)?<svg",
        "svg",
        "this is an SVG drawing, which has no pixels: export it as PNG",
    ),
    (
        rb"\s*(<!doctype html|<html|<head|<body)",
        "html",
        "this is an HTML page, not an image: was a download answered with an error page?",
    ),
    (rb"\s*%PDF", "pdf", "this is a PDF document: export its page as PNG or JPEG"),
    (_HEIF, "heic", "HEIC photos can't be read here: save it as JPEG and try again"),
    (_RAW, "raw", "this is a camera raw photo: export it as JPEG"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "jxl", "JPEG XL images can't be read here: save it as JPEG or PNG and try again"),
    (rb"8BPS", "psd", "this is a Photoshop document: export it as PNG or JPEG"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "postscript", "this is a PostScript document: export it as PNG or JPEG"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "archive", "this is an archive: unpack it first"),
    (rb"\x93NUMPY", "numpy", "this is a saved numpy array: pass numpy.load(...) of it"),
    (rb"\0+$", "zeros", "this file holds nothing but zero bytes: its content is lost"),
)


def kind_of(data: bytes) -> tuple[str, str]:
    """What unreadable bytes seem to be: an identifier, and a sentence."""
    head = data[:2048].removeprefix(b"\xef\xbb\xbf")
    if begins_a_video(data[:4096]):
        return "video", "this is a video, not a photo"
    for start, code, reason in _OTHERS:
        if re.match(start, head, re.DOTALL | re.IGNORECASE):
            return code, reason
    text = head.decode("utf-8", "replace")
    if not re.search("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]", text[:-1]):  # the last character may be cut
        return "text", "this is text, not an image"
    return "unknown", "this is not an image, or one of a format that can't be read here"


# ---------------------------------------------------------------- camera raw, TIFF

_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _OFFSETS, _ORIENTATION = 254, 256, 257, 262, 273, 274
_LENGTHS, _SUB_DIRECTORIES, _JPEG_OFFSET, _JPEG_LENGTH, _DNG = 279, 330, 513, 514, 50706
_SENSOR = {32803, 34892}  # photometric interpretation of raw sensor data
_MOST_DIRECTORIES = 64
_SIZES = {1: "B", 3: "H", 4: "I", 13: "I"}  # of the TIFF types that matter here

Directory = dict[int, tuple[int, ...]]


class Photo(NamedTuple):
    """An image inside a TIFF file.

    Attributes:
        data: A file of its own.
        orientation: EXIF orientation that the file around it gives.
    """

    data: bytes
    orientation: int


class _Candidate(NamedTuple):
    """Where an image inside a TIFF file is; its bytes are copied only if it is chosen.

    Attributes:
        pixels: Their number.
        directory: Offset of its directory.
        jpeg: Where it begins and ends, if it is a JPEG file inside.
        says_orientation: Whether its directory does.
    """

    pixels: int
    directory: int
    jpeg: tuple[int, int] | None
    says_orientation: bool


def tiff_photo(data: bytes) -> Photo | None:
    """The main image of a TIFF file, if that is not simply its first one.

    Camera raw files (DNG, NEF, ARW, CR2 and others) are TIFF files whose first image often is a thumbnail: of these it
    is the finished photo in full size, if there is one.

    Raises:
        LookupError: If it is a camera raw file without such a photo.
    """
    directories = list(_directories(data))
    if not directories:
        return None
    first = directories[0][1]
    sensor = [directory for _, directory in directories if _first(directory, _PHOTOMETRIC) in _SENSOR]
    is_raw = bool(sensor) or _DNG in first or data[8:10] == b"CR"
    if not is_raw and not _first(first, _SUBFILE) & 1:
        return None
    wanted = 0.8 * max((_first(one, _WIDTH) * _first(one, _HEIGHT) for one in sensor), default=0)
    found = []
    for offset, directory in directories:
        candidate = _candidate(data, offset, directory)
        reduced = _first(directory, _SUBFILE) & 1
        if candidate is not None and candidate.pixels >= wanted and (wanted or not reduced):
            found.append(candidate)
    if not found:
        if is_raw:
            raise LookupError("no finished photo of full size")
        return None
    best = max(found, key=lambda candidate: candidate.pixels)
    orientation = 1 if best.says_orientation else _first(first, _ORIENTATION) or 1
    if best.jpeg is not None:
        return Photo(data[slice(*best.jpeg)], orientation)
    order = "<" if data[:2] == b"II" else ">"
    return Photo(data[:4] + struct.pack(f"{order}I", best.directory) + data[8:], orientation)


def _candidate(data: bytes, offset: int, directory: Directory) -> _Candidate | None:
    """The image of a TIFF directory, if Pillow can decode it."""
    if _first(directory, _PHOTOMETRIC) in _SENSOR:
        return None
    start, length = _first(directory, _JPEG_OFFSET), _first(directory, _JPEG_LENGTH)
    if not length and len(directory.get(_OFFSETS, ())) == 1:
        start, length = _first(directory, _OFFSETS), _first(directory, _LENGTHS)
    if data[start : start + 3] == b"\xff\xd8\xff":
        width, height = _jpeg_size(data, start, start + length)
        return _Candidate(width * height, offset, (start, start + length), False) if width and height else None
    width, height = _first(directory, _WIDTH), _first(directory, _HEIGHT)
    if not width or not height or _first(directory, _PHOTOMETRIC) > 8:
        return None
    return _Candidate(width * height, offset, None, _ORIENTATION in directory)


def _jpeg_size(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Width and height of a JPEG that Pillow can decode; zeros for the lossless kind that sensors' data come in."""
    for marker, segment in _jpeg_segments(data, start, end):
        if marker in (0xC0, 0xC1, 0xC2) and len(segment) >= 5:
            return int.from_bytes(segment[3:5]), int.from_bytes(segment[1:3])
        if marker in (0xC3, 0xDA):
            break
    return 0, 0


def has_all_scans(data: bytes) -> bool:
    """Whether a JPEG file, the end of its last scan aside, has the scans that complete all its coefficients.

    A progressive file that ends between two scans is a whole, but blurred image.
    """
    missing: dict[int, set[int]] = {}
    is_progressive = False
    for marker, segment in _jpeg_segments(data):
        if marker in (0xC0, 0xC1, 0xC2) and len(segment) >= 6:
            is_progressive = marker == 0xC2
            missing = {segment[at]: set(range(64)) for at in range(6, len(segment) - 2, 3)}
        elif marker == 0xDA and len(segment) >= 4:
            components = segment[1 : 1 + 2 * segment[0] : 2]
            first, last, precision = segment[-3:]
            for component in components if precision & 15 == 0 or not is_progressive else ():
                missing.get(component, set()).difference_update(range(first, last + 1) if is_progressive else range(64))
    return bool(missing) and not any(missing.values())


def _jpeg_segments(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """The markers of a JPEG file, from `start` to `end` in the data, and what they hold."""
    end = len(data) if end is None else min(end, len(data))
    position = start + 2
    while (position := data.find(b"\xff", position, end)) >= 0 and position + 4 <= end:
        marker = data[position + 1]
        if marker == 0xFF or marker in range(0xD0, 0xDA) or marker in (0x00, 0x01):  # filling, or no segment
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4])
        yield marker, data[position + 4 : position + 2 + length]
        position += 2 + length


def _first(directory: Directory, tag: int) -> int:
    """The first value of a tag; 0 where it is missing."""
    return next(iter(directory.get(tag, ())), 0)


def _directories(data: bytes) -> Iterator[tuple[int, Directory]]:
    """The offset and the numbers of each image directory, those below others too, damaged ones left out."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return
    waiting, seen = [struct.unpack_from(f"{order}I", data, 4)[0]], set[int]()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        offset = waiting.pop(0)
        if offset in seen or not 8 <= offset <= len(data) - 2:
            continue
        seen.add(offset)
        directory, following = _directory(data, order, offset)
        yield offset, directory
        waiting += directory.get(_SUB_DIRECTORIES, ())
        waiting.append(following)


def _directory(data: bytes, order: str, offset: int) -> tuple[Directory, int]:
    count = struct.unpack_from(f"{order}H", data, offset)[0]
    directory: Directory = {}
    for position in range(offset + 2, offset + 2 + 12 * count, 12):
        if position + 12 > len(data):
            return directory, 0
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, position)
        letter = _SIZES.get(kind)
        if letter is None or not 0 < number <= 4096:
            continue
        size = struct.calcsize(f"{order}{number}{letter}")
        at = position + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, position + 8)[0]
        if at + size <= len(data):
            directory[tag] = struct.unpack_from(f"{order}{number}{letter}", data, at)
    end = offset + 2 + 12 * count
    following = struct.unpack_from(f"{order}I", data, end)[0] if end + 4 <= len(data) else 0
    return directory, following
