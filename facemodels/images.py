"""Decode an image from a path, bytes, file object, PIL image or array into RGB uint8: the only entry point for images.

Thread-safe. Values of `ImageError.code`: ``missing``, ``directory``, ``url``, ``unreadable``,
``empty``, ``damaged`` (with `format`), ``pixels`` (with `width`, `height`, and `limit` in megapixels), ``bytes`` (with
`limit` in MB), ``array``, ``type``, and for files that are something else: ``svg``, ``html``, ``pdf``, ``heic``,
``raw``, ``video``, ``jxl``, ``psd``, ``postscript``, ``archive``, ``numpy``, ``zeros``, ``text``, ``unknown``.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, Jpeg2KImagePlugin, JpegImagePlugin

from facemodels.errors import ImageError
from facemodels.image_formats import format_of, formats, has_all_scans, kind_of, tiff_photo

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray

MAX_PIXELS = 200_000_000  # the largest phone cameras give 200 megapixels
MAX_BYTES = 100 * 2**20  # of an encoded file
_LARGE = 10_000_000  # pixels of an image whose memory is given back at once
REDUCE_FROM = 50_000_000  # pixels of an image that `read_reduced` decodes at half its size or less
MEMORY_PER_PIXEL = 7  # bytes of memory that an image may take in `read_within`, for each pixel that it may have

# Bytes of memory for each pixel, at most, while an image is decoded, the three of the result among them: measured.
_FORMAT_MEMORY = {"WEBP": 16, "AVIF": 10, "JPEG2000": 20}
_MODE_MEMORY = {"I": 16, "F": 16}

_FORMATS = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, AVIF, JPEG 2000"
_ACCEPTED = (
    f"Accepted: a path, bytes or a binary file object ({_FORMATS}; HEIC with pillow-heif), a PIL image, "
    "or a numpy array (H, W), (H, W, 3) or (H, W, 4) in RGB(A) order"
)

# What Pillow raises over a damaged EXIF block (Warning: where the program turns warnings into errors).
_EXIF_ERRORS = (AssertionError, LookupError, OSError, SyntaxError, TypeError, ValueError, Warning, struct.error)

# EXIF orientation to what brings an image upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ROWS_TO_COLUMNS = (5, 6, 7, 8)
_ROWS_FROM_THE_END = (3, 4, 6, 7)

_REDUCIBLE = (JpegImagePlugin.JpegImageFile, Jpeg2KImagePlugin.Jpeg2KImageFile)


def read_image(source: ImageSource) -> np.ndarray:
    """Decode an image into upright RGB pixels.

    A path, the bytes, an open file and the PIL image from `PIL.Image.open` give equal pixels. EXIF orientation is
    applied, transparency is composited on white, grey becomes RGB; of an animation the first frame is read, and of a
    camera raw file the embedded full-size photo, if it has one. A PIL image that was derived from another one (rotated,
    say) is used as it looks: its EXIF block may be that of the original.

    Args:
        source: A path, encoded bytes, a binary file object (read from where it stands, left open), a PIL image, or a
            numpy array: grey ``(H, W)`` or ``(H, W, 1)``, grey with alpha ``(H, W, 2)``, RGB ``(H, W, 3)`` or RGBA
            ``(H, W, 4)``. OpenCV's arrays are BGR: pass ``image[:, :, ::-1]``. What values mean depends on their type:

            - uint8: 0..255. bool: black and white.
            - uint16: 0..65535, divided by 257.
            - other integers: 0..255 as they are; as uint16 where the largest is above 255.
            - floats: 0..1 times 255; 0..255 as they are where the largest is above 1. Rounded; NaN is refused.

    Returns:
        A new ``(H, W, 3)`` uint8 array, RGB. The source is not modified.

    Raises:
        ImageError: If it is not an image, is damaged or incomplete, has more than `MAX_PIXELS` pixels or `MAX_BYTES`
            encoded bytes. The message says what was given and what is accepted.

    Example:
        >>> read_image(np.zeros((40, 30), np.float32)).shape
        (40, 30, 3)
    """
    return _read(source).pixels


class SizedImage(NamedTuple):
    """An image that may have been decoded at a smaller size.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB.
        width: Of the original, in pixels.
        height: Likewise.
    """

    pixels: np.ndarray
    width: int
    height: int

    @property
    def scale(self) -> tuple[float, float]:
        """How many times wider and higher the original is."""
        return self.width / self.pixels.shape[1], self.height / self.pixels.shape[0]

    @property
    def decoded(self) -> SizedImage:
        """The decoded pixels (not copied) as an image of their own size."""
        return SizedImage(self.pixels, self.pixels.shape[1], self.pixels.shape[0])

    def return_memory(self) -> None:
        """Return the memory used for a large image to the system: threads keep their peak otherwise."""
        if self.width * self.height >= _LARGE:
            return_memory()


def read_whole(source: ImageSource | SizedImage) -> SizedImage:
    """As `read_image`; a `SizedImage` is returned as it is.

    Raises:
        ImageError: See `read_image`.
    """
    return source if isinstance(source, SizedImage) else _read(source)


def read_reduced(source: ImageSource | SizedImage) -> SizedImage:
    """As `read_whole`, but an encoded image of `REDUCE_FROM` pixels and more is decoded at half its size or less, where
    the format can do that (JPEG, JPEG 2000): enough to find and judge faces, in a quarter of the time and the memory.

    Raises:
        ImageError: See `read_image`.
    """
    return source if isinstance(source, SizedImage) else _read(source, _Decoding(REDUCE_FROM))


def read_within(source: ImageSource, pixels: int, admit: Callable[[int], object] = lambda _: None) -> SizedImage:
    """As `read_reduced`, with bounded memory, for a server.

    Decoding takes more memory than the pixels, and how much depends on the format. An image that would take
    more than `MEMORY_PER_PIXEL` bytes for each of `pixels` is decoded smaller if the format allows it, else refused.

    Args:
        source: An encoded image, as for `read_image`.
        pixels: The maximum number to decode.
        admit: Called with the bytes of memory that decoding will take, before it starts.

    Raises:
        ImageError: See `read_image`.
    """
    return _read(source, _Decoding(REDUCE_FROM, pixels, admit))


@dataclass(frozen=True, slots=True)
class _Decoding:
    """How an encoded image is to be decoded.

    Attributes:
        reduce_from: Pixels from which it is decoded smaller, where its format can do that; None for never.
        most: The most pixels that are decoded; None for `MAX_PIXELS`.
        admit: See `read_within`.
    """

    reduce_from: int | None = None
    most: int | None = None
    admit: Callable[[int], object] = lambda _: None

    def steps(self, image: Image.Image, name: str) -> int:
        """How often the sides of an image are to be halved; what may not be decoded is refused.

        Raises:
            ImageError: If it is too large.
        """
        width, height = image.size
        _check_size(width, height, name)
        is_reduced = self.reduce_from is not None and isinstance(image, _REDUCIBLE)
        for steps in range(4 if is_reduced else 1):
            decoded = (width >> steps) * (height >> steps)
            if self.reduce_from is not None and is_reduced and decoded >= self.reduce_from and steps < 3:
                continue
            if self.most is None:
                return steps
            memory = _memory(image, decoded)
            if decoded <= self.most and memory <= MEMORY_PER_PIXEL * self.most:
                self.admit(memory)
                return steps
        assert self.most is not None
        _check_size(width, height, name, min(self.most, MEMORY_PER_PIXEL * self.most * width * height // memory))
        raise AssertionError("an image that is within both limits was refused")


def _memory(image: Image.Image, decoded: int) -> int:
    """Bytes of memory that decoding an image takes at most, the resulting pixels among them.

    Args:
        image: Not decoded yet.
        decoded: Pixels of the size that it is decoded at.
    """
    memory = decoded * max(_FORMAT_MEMORY.get(image.format or "", 7), _MODE_MEMORY.get(image.mode.partition(";")[0], 7))
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.info.get("progressive"):
        # All its coefficients are held, two bytes each, at whatever size it is decoded.
        samples = [across * down for _, across, down, _ in image.layer]
        memory += 2 * image.width * image.height * sum(samples) // max(samples)
    return memory


def _read(source: ImageSource, how: _Decoding | None = None) -> SizedImage:
    if isinstance(source, np.ndarray):
        return _sized(_from_array(source))
    if isinstance(source, Image.Image):
        with _as_image_error(f"PIL image of mode {source.mode!r}", "it cannot be read", "unreadable"):
            return _from_pil(source, "PIL image")
    data, name = _encoded(source)
    image = _decode(data, name, how or _Decoding())
    image.return_memory()
    return image


def return_memory() -> None:
    """Return freed memory to the system, where the C library keeps it (glibc)."""
    _malloc_trim()(0)


@cache
def _malloc_trim() -> Callable[[int], int]:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return trim or (lambda _: 0)


def _sized(pixels: np.ndarray) -> SizedImage:
    return SizedImage(pixels, pixels.shape[1], pixels.shape[0])


def _encoded(source: object) -> tuple[bytes, str]:
    """The encoded bytes of a source, and what to call it in messages."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        size = source.nbytes if isinstance(source, memoryview) else len(source)
        if size > MAX_BYTES:
            raise _too_many_bytes(f"{size:,} bytes")
        return bytes(source), f"{size:,} bytes"
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        name = _shown(path)
        if isinstance(path, str) and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://|data:", path):
            raise ImageError(
                "a URL is not fetched; download (or decode) it first and pass the bytes", name=name, code="url"
            )
        try:
            with Path(os.fsdecode(path)).open("rb") as file:
                return _read_all(file, name), name
        except FileNotFoundError as error:
            raise ImageError("there is no such file", name=name, code="missing") from error
        except IsADirectoryError as error:
            raise ImageError(
                "this is a directory; pass the images in it one by one", name=name, code="directory"
            ) from error
        except ImageError:
            raise
        except (OSError, ValueError) as error:
            reason = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
            raise ImageError(reason, name=name, code="unreadable") from error
    if callable(getattr(source, "read", None)):
        name = f"file object {_shown(getattr(source, 'name', type(source).__name__))}"
        with _as_image_error(name, "it cannot be read", "unreadable"):
            return _read_all(source, name), name
    like_array = isinstance(source, (list, tuple)) or hasattr(source, "__array__")
    hint = " (pass numpy.asarray(...) of it)" if like_array else ""
    name = f"{type(source).__name__} {_shown(source)}"
    raise ImageError(f"this is not an image{hint}", name=name, hint=_ACCEPTED, code="type")


def _read_all(file: object, name: str) -> bytes:
    """Read the rest of a binary file object, which may return it in pieces; never much more than `MAX_BYTES`."""
    parts: list[bytes] = []
    room = MAX_BYTES + 1
    while room > 0 and (part := file.read(room)):  # type: ignore[attr-defined]
        if not isinstance(part, (bytes, bytearray, memoryview)):
            reason = f"it gives {type(part).__name__}, not bytes; open it in binary mode, 'rb'"
            raise ImageError(reason, name=name, code="type")
        parts.append(bytes(part))
        room -= len(part)
    if room <= 0:
        raise _too_many_bytes(name)
    return b"".join(parts)


def _decode(data: bytes, name: str, how: _Decoding, orientation: int | None = None) -> SizedImage:
    """The pixels of an encoded image; `orientation` is for one that says nothing of its own."""
    if not data:
        raise ImageError("this file is empty, there were 0 bytes to read", name=name, code="empty")
    kind = format_of(data)
    if kind is None:
        code, reason = kind_of(data)
        begins = {"text": data[:200].decode("utf-8-sig", "replace"), "unknown": data[:12]}
        what = "text" if code == "text" else "data"
        seen = f"It is {what} that begins {_shown(begins[code], 40)}. " if code in begins else ""
        hint = f"{seen}Readable: {', '.join(formats())}"
        raise ImageError(reason, name=name, hint=hint, code=code)
    if kind == "TIFF":
        try:
            photo = tiff_photo(data)
        except LookupError as error:
            raise ImageError("this is a camera raw photo: export it as JPEG", name=name, code="raw") from error
        if photo is not None and photo.data[:4] != data[:4]:
            return _decode(photo.data, name, how, photo.orientation)
        if photo is not None:
            data, orientation = photo.data, photo.orientation
    with _as_image_error(name, f"this is a damaged or incomplete {kind} file", "damaged", format=kind):
        try:
            with formats()[kind].open(io.BytesIO(data)) as image:
                return _from_pil(image, name, how, orientation)
        except OSError:
            if kind == "JPEG 2000" and how.reduce_from is not None:
                how = replace(how, reduce_from=None)  # not every file holds smaller sizes
            elif kind == "JPEG" and (ended := _with_end(data)) is not None:
                data = ended
            else:
                raise
        with formats()[kind].open(io.BytesIO(data)) as image:
            return _from_pil(image, name, how, orientation)


def _fillers() -> Iterator[bytes]:
    """Data to replace missing data: none, and several that decode to other pixels each, also after any of the
    restart markers that some files have between their rows.
    """
    yield b""
    for value in (0x33, 0x55, 0x92, 0xAA, 0xCC, 0xFE):
        bits = bytes([value]) * 256
        yield bits + b"".join(b"\xff" + bytes([marker]) + bits for marker in range(0xD0, 0xD8))


def _with_end(data: bytes) -> bytes | None:
    """A JPEG file that lacks its end marker, with one; None if pixels are missing, too.

    If all pixels are there, more data before the end change nothing; else they become the missing pixels.
    """
    data = data.rstrip(b"\xff")
    if not has_all_scans(data):
        return None
    hashes = set()
    for filler in _fillers():
        with JpegImagePlugin.jpeg_factory(io.BytesIO(data + filler + b"\xff\xd9")) as image:
            hashes.add(hashlib.sha256(image.tobytes()).digest())
    return data + b"\xff\xd9" if len(hashes) == 1 else None


def _from_pil(
    image: Image.Image, name: str, how: _Decoding | None = None, orientation: int | None = None
) -> SizedImage:
    """The pixels of a PIL image, which may be decoded only now."""
    width, height = image.size
    if steps := (how or _Decoding()).steps(image, name):
        _reduce(image, steps)
    image.load()
    turn = _orientation(image) if orientation is None else orientation
    pixels = _pixels(image, turn)
    return SizedImage(pixels, *((height, width) if turn in _ROWS_TO_COLUMNS else (width, height)))


def _reduce(image: Image.Image, steps: int) -> None:
    """Have an image decoded at a half, a quarter or an eighth of its sides."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        image.draft(None, (image.width >> steps, image.height >> steps))
    elif isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile):
        image.reduce = steps


def _pixels(image: Image.Image, orientation: int) -> np.ndarray:
    """Upright RGB pixels of a decoded image, strip by strip: besides the image only the result is held in memory."""
    turn = _TURNS.get(orientation)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_array(np.asarray(image if turn is None else image.transpose(turn)))
    width, height = image.size
    pixels = np.empty((width, height, 3) if orientation in _ROWS_TO_COLUMNS else (height, width, 3), np.uint8)
    # Strips that fit the processor's cache: several times faster than numpy.asarray of the whole.
    rows = max(1, 2**18 // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = _to_rgb(image.crop((0, top, width, bottom)))
        if turn is not None:
            strip = strip.transpose(turn)
        first, last = (height - bottom, height - top) if orientation in _ROWS_FROM_THE_END else (top, bottom)
        part = pixels[:, first:last] if orientation in _ROWS_TO_COLUMNS else pixels[first:last]
        part[:] = np.asarray(strip)
    return pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    """Transparency laid on white, everything else converted."""
    if image.has_transparency_data:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation; 1, upright, where it has none or its EXIF block is damaged, as in every image viewer."""
    try:
        exif = image.getexif()
        value = exif.get(ExifTags.Base.Orientation, 1)
        if isinstance(image, ImageFile.ImageFile) or value == 1:
            return value if isinstance(value, int) else 1
        # Made from another image, whose EXIF block came along: it counts where the sides prove that nothing was turned.
        details = exif.get_ifd(ExifTags.IFD.Exif)
        stored = (int(details[ExifTags.Base.ExifImageWidth]), int(details[ExifTags.Base.ExifImageHeight]))
    except _EXIF_ERRORS:
        return 1
    is_as_stored = image.width != image.height and (stored[0] > stored[1]) == (image.width > image.height)
    return value if value in _ROWS_TO_COLUMNS and is_as_stored else 1


def _from_array(array: np.ndarray) -> np.ndarray:
    """The pixels of an array of any accepted shape and type."""
    name = f"array of shape ({' x '.join(map(str, array.shape))})"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        hint = ""
        if array.ndim == 4:
            hint = " It looks like several images: pass them one by one."
        elif array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = " It looks like channels first: pass array.transpose(1, 2, 0)."
        raise ImageError(f"this is not an image.{hint}".rstrip("."), name=name, hint=_ACCEPTED, code="array")
    if 0 in array.shape:
        raise ImageError("this is empty, it has no pixels", name=name, code="empty")
    _check_size(array.shape[1], array.shape[0], "array")
    pixels = _to_uint8(np.asarray(array))
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return np.array(pixels, order="C")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return _pixels(Image.fromarray(pixels), 1)


def _to_uint8(array: np.ndarray) -> np.ndarray:
    """Array values as 0..255."""
    kind, name = array.dtype.kind, f"array of {array.dtype}"
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return array * np.uint8(255)
    if kind not in "iuf":
        raise ImageError("this is not an image, its values must be numbers", name=name, hint=_ACCEPTED, code="array")
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError("it holds NaN or infinite values; numpy.nan_to_num replaces them", name=name, code="array")
    if kind == "f":
        # An overshoot that rounds away (interpolation leaves such) is no sign of another range.
        scale = 255.0 if high * 255.0 < 255.5 else 1.0
        fits = low * scale >= -0.5 and high * scale < 255.5
    else:
        is_16_bit = kind == "u" and array.dtype.itemsize == 2  # in either byte order
        scale = 1 / 257 if is_16_bit or high > 255 else 1.0
        fits = low >= 0 and high <= 65535
    if not fits:
        ranges = "0..1 or 0..255" if kind == "f" else "0..255 or 0..65535"
        raise ImageError(f"it holds values from {low} to {high}; accepted are {ranges}", name=name, code="array")
    if scale == 1.0 and kind != "f":
        return array.astype(np.uint8)
    return np.rint(array * np.float32(scale)).clip(0, 255).astype(np.uint8)


def _check_size(width: int, height: int, name: str, most: int | None = None) -> None:
    """Refuse what has too many pixels, before it is decoded."""
    most = MAX_PIXELS if most is None else most
    if width * height > most:
        limit = most // 10**6
        reason = f"{width:,} x {height:,} pixels are more than {limit} megapixels; shrink it first"
        raise ImageError(reason, name=name, code="pixels", width=width, height=height, limit=limit)
    if width < 1 or height < 1:
        raise ImageError(f"this is empty, {width} x {height} pixels", name=name, code="empty")


def _too_many_bytes(name: str) -> ImageError:
    limit = MAX_BYTES // 2**20
    return ImageError(f"more than {limit} MB are not read; save it smaller first", name=name, code="bytes", limit=limit)


def _shown(value: object, most: int = 120) -> str:
    """A value for a message, cut to a readable length."""
    text = repr(value[:most] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


@contextmanager
def _as_image_error(name: str, reason: str, code: str, **values: object) -> Iterator[None]:
    """Turn whatever a decoder raises (nearly anything) into an `ImageError` that describes it."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        # A decoder's message helps programmers.
        hint = f"The decoder says: {error or type(error).__name__}"
        raise ImageError(reason, name=name, hint=hint, code=code, **values) from error
