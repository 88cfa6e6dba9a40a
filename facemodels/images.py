"""Whatever holds a picture, to RGB pixels: the one way in for images.

Only Pillow's own decoders for the formats below are used, whatever else a program has registered with Pillow, and none
of Pillow's global switches is touched; so it is safe to call from many threads.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,  # noqa: F401  # of the JPEG files that hold several pictures
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from facemodels.errors import ImageError

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray

MAX_PIXELS = 200_000_000  # the largest phone cameras give 200 megapixels
MAX_BYTES = 100 * 2**20  # of an encoded file

# Format: how its files begin, and what opens them. Opening reads the header only.
_DECODERS: dict[str, tuple[bytes, Callable[[BinaryIO], ImageFile.ImageFile]]] = {
    "JPEG": (rb"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
    "PNG": (rb"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    "WebP": (rb"RIFF....WEBP", WebPImagePlugin.WebPImageFile),
    "GIF": (rb"GIF8[79]a", GifImagePlugin.GifImageFile),
    "BMP": (rb"BM", BmpImagePlugin.BmpImageFile),
    "TIFF": (rb"II[*+]\0|MM\0[*+]", TiffImagePlugin.TiffImageFile),
    "PPM": (rb"P[1-6f]\s", PpmImagePlugin.PpmImageFile),
    "AVIF": (rb"....ftyp(avi[fs]|(mif1|msf1).{4,64}avi[fs])", AvifImagePlugin.AvifImageFile),
    "JPEG 2000": (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImagePlugin.Jpeg2KImageFile),
}

# What Pillow calls these formats.
_PILLOW_NAMES = frozenset(("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"))

# How videos begin: MP4 and MOV, Matroska and WebM, AVI, MPEG, MPEG transport (of camcorders, too), Ogg, WMV, Flash.
_VIDEO = (
    rb"....(ftyp|moov|mdat|wide|free|skip)|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01[\xb3\xba]|OggS|FLV\x01"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|\x47.{187}\x47.{187}\x47|.{4}\x47.{191}\x47.{191}\x47"
)

# What people hand over by mistake: how it begins, what it is.
_OTHERS: dict[bytes, str] = {
    rb"\s*((<\?xml|<!--|<!DOCTYPE svg).{0,1500}?)?<svg": "an SVG drawing, which has no pixels: export it as PNG",
    rb"\s*(<!doctype html|<html|<head|<body)": "an HTML page (was a download answered with an error page?)",
    rb"\s*%PDF": "a PDF document: export its page as PNG or JPEG",
    rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)": "a HEIC photo: convert it to JPEG",
    _VIDEO: "a video: extract its frames first",
    rb"\xff\x0a|\0\0\0\x0cJXL ": "a JPEG XL picture: convert it to JPEG or PNG",
    rb"8BPS": "a Photoshop document: export it as PNG or JPEG",
    rb"%!PS|\xc5\xd0\xd3\xc6": "a PostScript document: export it as PNG or JPEG",
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!": "an archive: unpack it first",
    rb"\x93NUMPY": "a saved numpy array: pass numpy.load(...) of it",
    rb"\0+$": "nothing but zero bytes",
}

_ACCEPTED = (
    f"Accepted: a path, bytes or a binary file object ({', '.join(_DECODERS)}), a PIL image, "
    "or a numpy array (H, W), (H, W, 3) or (H, W, 4) in RGB(A) order"
)

# What Pillow raises over a damaged EXIF block (Warning: where the program turns warnings into errors).
_EXIF_ERRORS = (AssertionError, LookupError, OSError, SyntaxError, TypeError, ValueError, Warning, struct.error)

# EXIF orientation to what brings the picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(source: ImageSource) -> np.ndarray:
    """Read a picture, upright and in RGB, from whatever holds it.

    A path, the bytes, an open file and a PIL image of one picture give equal pixels. EXIF orientation is applied (for
    PIL images too), transparency is laid on white, grey becomes RGB, and of an animation the first frame is taken.

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
        ImageError: If it is no picture, is damaged or incomplete, has more than `MAX_PIXELS` pixels or `MAX_BYTES`
            encoded bytes. The message says what came and what is accepted.

    Example:
        >>> read_image(np.zeros((40, 30), np.float32)).shape
        (40, 30, 3)
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        with _as_image_error(f"PIL image of mode {source.mode!r}: it cannot be read"):
            return _from_pil(source, "PIL image")
    data, name = _encoded(source)
    return _decode(data, name)


@cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of files that can be read here, lower case: those of the decoders that are present.

    Example:
        >>> ".jpg" in image_suffixes()
        True
    """
    return frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in _PILLOW_NAMES)


def is_image(head: bytes) -> bool:
    """Whether the first bytes of a file are those of an image that can be read here."""
    return any(re.match(start, head, re.DOTALL) for start, _ in _DECODERS.values())


def is_video(head: bytes) -> bool:
    """Whether the first bytes of a file, 600 or more, are those of a video."""
    return _kind_of(head) == _OTHERS[_VIDEO]


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
            raise ImageError(f"{name}: a URL is not fetched; download (or decode) it first and pass the bytes")
        try:
            with Path(os.fsdecode(path)).open("rb") as file:
                return _read_all(file, name), name
        except FileNotFoundError as error:
            raise ImageError(f"{name}: there is no such file") from error
        except IsADirectoryError as error:
            raise ImageError(f"{name}: this is a directory; pass the pictures in it one by one") from error
        except ImageError:
            raise
        except (OSError, ValueError) as error:
            raise ImageError(f"{name}: it cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if callable(getattr(source, "read", None)):
        name = f"file object {_shown(getattr(source, 'name', type(source).__name__))}"
        with _as_image_error(f"{name}: it cannot be read"):
            return _read_all(source, name), name
    like_array = isinstance(source, (list, tuple)) or hasattr(source, "__array__")
    hint = " (pass numpy.asarray(...) of it)" if like_array else ""
    raise ImageError(f"{type(source).__name__} {_shown(source)}: this is not an image{hint}. {_ACCEPTED}")


def _read_all(file: object, name: str) -> bytes:
    """What is left in a binary file object, which may hand it over in pieces; never much more than `MAX_BYTES`."""
    parts: list[bytes] = []
    room = MAX_BYTES + 1
    while room > 0 and (part := file.read(room)):  # type: ignore[attr-defined]
        if not isinstance(part, (bytes, bytearray, memoryview)):
            raise ImageError(f"{name}: it gives {type(part).__name__}, not bytes; open it in binary mode, 'rb'")
        parts.append(bytes(part))
        room -= len(part)
    if room <= 0:
        raise _too_many_bytes(name)
    return b"".join(parts)


def _decode(data: bytes, name: str) -> np.ndarray:
    """The pixels of an encoded picture."""
    if not data:
        raise ImageError(f"{name}: this is empty, there were 0 bytes to read. {_ACCEPTED}")
    for kind, (start, open_header) in _DECODERS.items():
        if re.match(start, data, re.DOTALL):
            problem = f"{name}: this is a damaged or incomplete {kind} file"
            with _as_image_error(problem), open_header(io.BytesIO(data)) as image:
                return _from_pil(image, name)
    raise ImageError(f"{name}: this is not an image but {_kind_of(data)}. {_ACCEPTED}")


def _kind_of(data: bytes) -> str:
    """What bytes that are no picture seem to be."""
    head = data[:2048].removeprefix(b"\xef\xbb\xbf")
    for start, kind in _OTHERS.items():
        if re.match(start, head, re.DOTALL | re.IGNORECASE):
            return kind
    text = head.decode("utf-8", "replace")
    if not re.search("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]", text[:-1]):  # the last character may be cut
        return f"text that begins {_shown(text, 40)}"
    return f"data that begins {_shown(head[:12])}"


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    """The pixels of a PIL image, which may be decoded only now."""
    _check_size(image.width, image.height, name)
    image.load()
    turn = _TURNS.get(_orientation(image))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_array(np.asarray(image))
    if image.has_transparency_data:
        if image.mode == "La":
            image = image.convert("LA")
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba)
    elif image.mode != "RGB":
        image = image.convert("RGB")
    # In strips that fit the processor's cache: several times faster than numpy.asarray of the whole.
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, 2**18 // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


def _orientation(image: Image.Image) -> int:
    """EXIF orientation; 1, upright, where it has none or its EXIF block is damaged, as every picture viewer does."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _EXIF_ERRORS:
        return 1
    return value if isinstance(value, int) else 1


def _from_array(array: np.ndarray) -> np.ndarray:
    """The pixels of an array of any accepted shape and type."""
    shape = " x ".join(map(str, array.shape))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        hint = ""
        if array.ndim == 4:
            hint = " It looks like several images: pass them one by one."
        elif array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = " It looks like channels first: pass array.transpose(1, 2, 0)."
        raise ImageError(f"array of shape ({shape}): this is not an image.{hint} {_ACCEPTED}")
    if 0 in array.shape:
        raise ImageError(f"array of shape ({shape}): this is empty, it has no pixels")
    _check_size(array.shape[1], array.shape[0], "array")
    pixels = _to_uint8(np.asarray(array))
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return np.array(pixels, order="C")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return _from_pil(Image.fromarray(pixels), "array")


def _to_uint8(array: np.ndarray) -> np.ndarray:
    """Array values as 0..255."""
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return array * np.uint8(255)
    if kind not in "iuf":
        raise ImageError(f"array of {array.dtype}: this is not an image, its values must be numbers. {_ACCEPTED}")
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"array of {array.dtype}: it holds NaN or infinite values; numpy.nan_to_num replaces them")
    if kind == "f":
        # An overshoot that rounds away (interpolation leaves such) is no sign of another range.
        scale = 255.0 if high * 255.0 < 255.5 else 1.0
        fits = low * scale >= -0.5 and high * scale < 255.5
    else:
        scale = 1 / 257 if array.dtype == np.uint16 or high > 255 else 1.0
        fits = low >= 0 and high <= 65535
    if not fits:
        ranges = "0..1 or 0..255" if kind == "f" else "0..255 or 0..65535"
        raise ImageError(f"array of {array.dtype}: it holds values from {low} to {high}; accepted are {ranges}")
    if scale == 1.0 and kind != "f":
        return array.astype(np.uint8)
    return np.rint(array * np.float32(scale)).clip(0, 255).astype(np.uint8)


def _check_size(width: int, height: int, name: str) -> None:
    """Refuse what has too many pixels, before it is decoded."""
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 10**6} megapixels"
        raise ImageError(f"{name}: {width:,} x {height:,} pixels are more than {limit}; shrink it first")
    if width < 1 or height < 1:
        raise ImageError(f"{name}: this is empty, {width} x {height} pixels")


def _too_many_bytes(name: str) -> ImageError:
    return ImageError(f"{name}: more than {MAX_BYTES // 2**20} MB are not read; save it smaller first")


def _shown(value: object, most: int = 120) -> str:
    """A value for a message, cut to a readable length."""
    text = repr(value[:most] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


@contextmanager
def _as_image_error(message: str) -> Iterator[None]:
    """Turn whatever a decoder raises (it may be nearly anything) into an `ImageError` that says what happened."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{message}: {error or type(error).__name__}") from error
