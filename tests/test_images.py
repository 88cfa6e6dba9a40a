"""Whatever holds a picture comes out as the same RGB pixels; whatever does not is refused with a clear message."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import struct
import threading
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from facemodels import image_formats, images
from facemodels.errors import FaceModelsError, ImageError
from facemodels.images import MAX_BYTES, read_image

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"]
# EXIF orientation: what a camera that was held that way stored of an upright picture.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Smooth and coloured, with no symmetry."""
    rows, columns = np.mgrid[:60, :90]
    return np.stack([columns * 2, rows * 4, 255 - columns - rows], axis=2).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# ---------------------------------------------------------------- every way in


@pytest.mark.parametrize("format", FORMATS)
def test_every_source_of_one_picture_gives_equal_pixels(format: str, picture: np.ndarray, tmp_path: Path) -> None:
    data = encoded(picture, format)
    path = tmp_path / "picture with ünïcode"  # the content counts, not the name
    path.write_bytes(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    with path.open("rb") as file, Image.open(path) as opened:
        sources = {
            "str": str(path),
            "Path": path,
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "file": file,
            "BytesIO": io.BytesIO(data),
            "PIL": opened,
            "array": expected,
        }
        for name, source in sources.items():
            pixels = read_image(source)
            assert (pixels.dtype, pixels.shape) == (np.uint8, (60, 90, 3)), name
            np.testing.assert_array_equal(pixels, expected, err_msg=name)
    assert np.abs(expected.astype(int) - picture).mean() < 12  # it is the picture, not just any


def test_other_path_like_objects(picture: np.ndarray, tmp_path: Path) -> None:
    class Somewhere:
        def __fspath__(self) -> str:
            return str(tmp_path / "a.png")

    (tmp_path / "a.png").write_bytes(encoded(picture))
    np.testing.assert_array_equal(read_image(Somewhere()), picture)


def test_a_file_object_is_read_from_where_it_stands_and_left_open(picture: np.ndarray) -> None:
    file = io.BytesIO(b"a header of another protocol" + encoded(picture))
    file.seek(28)
    np.testing.assert_array_equal(read_image(file), picture)
    assert not file.closed


def test_a_file_object_may_hand_over_pieces(picture: np.ndarray) -> None:
    class Socket:
        def __init__(self, data: bytes) -> None:
            self.rest = data

        def read(self, size: int) -> bytes:
            piece, self.rest = self.rest[: min(size, 100)], self.rest[min(size, 100) :]
            return piece

    np.testing.assert_array_equal(read_image(Socket(encoded(picture))), picture)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["array", "view", "PIL"])
def test_the_source_is_not_modified_and_not_shared(source: str, picture: np.ndarray) -> None:
    array = picture.copy()
    given: Any = {"array": array, "view": array[:, ::-1], "PIL": Image.fromarray(array)}[source]
    pixels = read_image(given)
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous
    pixels[:] = 0
    np.testing.assert_array_equal(array, picture)
    np.testing.assert_array_equal(np.asarray(given if source != "view" else array), picture)


def test_one_pixel() -> None:
    pixels = read_image(encoded(np.array([[[1, 2, 3]]], np.uint8)))
    np.testing.assert_array_equal(pixels, [[[1, 2, 3]]])


def test_a_size_that_fills_no_strip_evenly() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (701, 1003, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(encoded(picture, compress_level=1)), picture)


# ---------------------------------------------------------------- orientation


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(format: str, orientation: int, picture: np.ndarray) -> None:
    stored = np.ascontiguousarray(STORED[orientation](picture))
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(stored, format, exif=oriented(orientation), **options)
    np.testing.assert_array_equal(read_image(data), picture)
    with Image.open(io.BytesIO(data)) as opened:
        np.testing.assert_array_equal(read_image(opened), picture)
        np.testing.assert_array_equal(read_image(opened), picture)  # turned once, however often it is read


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_of_a_jpeg(orientation: int, picture: np.ndarray) -> None:
    stored = np.ascontiguousarray(STORED[orientation](picture))
    pixels = read_image(encoded(stored, "JPEG", quality=95, subsampling=0, exif=oriented(orientation)))
    assert pixels.shape == picture.shape
    assert np.abs(pixels.astype(int) - picture).mean() < 2


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0rubbish!", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"]
)
def test_a_damaged_exif_block_does_not_cost_the_picture(exif: bytes, picture: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(read_image(encoded(picture, exif=exif)), picture)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_upright(orientation: int, picture: np.ndarray) -> None:
    np.testing.assert_array_equal(read_image(encoded(picture, exif=oriented(orientation))), picture)


# ---------------------------------------------------------------- modes


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (100, 0), (255, 255, 255)),
        ("La", (0, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("RGBa", (0, 0, 0, 51), (204, 204, 204)),
        ("RGBX", (10, 20, 30, 0), (10, 20, 30)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
        ("LAB", (255, 128, 128), (255, 255, 255)),
        ("HSV", (0, 255, 255), (255, 0, 0)),
        ("I;16", 257 * 40, (40, 40, 40)),
        ("I;16B", 257 * 40, (40, 40, 40)),
        ("I", 200, (200, 200, 200)),
        ("I", 257 * 40, (40, 40, 40)),
        ("F", 200.0, (200, 200, 200)),
        ("F", 0.2, (51, 51, 51)),
    ],
)
def test_pil_modes(mode: str, value: Any, expected: tuple[int, int, int]) -> None:
    pixels = read_image(Image.new(mode, (3, 2), value))
    assert (pixels.shape, pixels.dtype) == ((2, 3, 3), np.uint8)
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_palette_with_a_transparent_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    np.testing.assert_array_equal(read_image(encoded(image)), [[[10, 20, 30], [200, 100, 50]]])
    for transparency in (0, b"\x00\xff"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pixels = read_image(encoded(image, transparency=transparency))
        np.testing.assert_array_equal(pixels, [[[255, 255, 255], [200, 100, 50]]])


def test_rgb_and_grey_with_a_transparent_colour() -> None:
    rgb = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    np.testing.assert_array_equal(read_image(encoded(rgb, transparency=(1, 2, 3))), [[[255] * 3, [4, 5, 6]]])
    grey = Image.fromarray(np.array([[7, 8]], np.uint8))
    np.testing.assert_array_equal(read_image(encoded(grey, transparency=7)), [[[255] * 3, [8] * 3]])


def test_a_sixteen_bit_file_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    expected = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(ramp))), expected)
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(ramp), "TIFF")), expected)
    np.testing.assert_array_equal(read_image(ramp), expected)


def test_a_cmyk_jpeg() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(read_image(data).astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    pixels = read_image(encoded(frames[0], format, save_all=True, append_images=frames[1:], **options))
    assert (pixels == (255, 0, 0)).all()


# ---------------------------------------------------------------- arrays


def test_array_shapes(picture: np.ndarray) -> None:
    grey = picture[:, :, 0]
    three = np.repeat(grey[:, :, None], 3, axis=2)
    opaque = np.full_like(grey, 255)
    np.testing.assert_array_equal(read_image(grey), three)
    np.testing.assert_array_equal(read_image(grey[:, :, None]), three)
    np.testing.assert_array_equal(read_image(np.dstack([grey, opaque])), three)
    np.testing.assert_array_equal(read_image(picture), picture)
    np.testing.assert_array_equal(read_image(np.dstack([picture, opaque])), picture)
    assert (read_image(np.dstack([picture, np.zeros_like(grey)])) == 255).all()


def test_an_rgba_array_is_laid_on_white_as_the_file_is() -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(rgba), read_image(encoded(rgba)))


def test_strided_arrays(picture: np.ndarray) -> None:
    np.testing.assert_array_equal(read_image(picture[::-2, ::3, ::-1]), picture[::-2, ::3, ::-1])
    np.testing.assert_array_equal(read_image(np.asfortranarray(picture)), picture)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0, 65535, 128, 129]], np.uint16), [0, 255, 0, 1]),
        (np.array([[0, 65535]], ">u2"), [0, 255]),
        (np.array([[0, 200]], ">u2"), [0, 1]),  # in either byte order
        (np.array([[0, 200]], np.uint16), [0, 1]),  # a dark 16-bit picture, whatever its largest value
        (np.array([[0, 17, 255]], np.int64), [0, 17, 255]),
        (np.array([[0, 127]], np.int8), [0, 127]),
        (np.array([[0, 256, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0.0, 0.2, 1.0]], np.float32), [0, 51, 255]),
        (np.array([[0.0, 0.2, 1.0]], np.float64), [0, 51, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float16), [0, 128, 255]),
        (np.array([[0.0, 1.0, 200.4, 255.0]]), [0, 1, 200, 255]),
        (np.array([[-1e-9, 1.0 + 1e-9, 0.5]]), [0, 255, 128]),
        (np.array([[-0.3, 255.3]]), [0, 255]),
    ],
)
def test_array_values(values: np.ndarray, expected: list[int]) -> None:
    pixels = read_image(values)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[0], np.repeat(np.array(expected)[:, None], 3, axis=1))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[None, 1]]), r"array of object.*must be numbers"),
        (np.array([["a"]]), r"array of <U1"),
        (np.zeros((2, 2), complex), r"array of complex128"),
        (np.full((2, 2), np.nan), r"NaN"),
        (np.full((2, 2), np.inf), r"infinite"),
        (np.full((2, 2), -0.5), r"from -0.5 to -0.5; accepted are 0..1 or 0..255"),
        (np.full((2, 2), 300.0), r"300"),
        (np.full((2, 2), -1), r"from -1 to -1; accepted are 0..255 or 0..65535"),
        (np.full((2, 2), 70_000), r"70000"),
        (np.zeros((0, 4, 3), np.uint8), r"empty"),
        (np.zeros((4, 0), np.uint8), r"empty"),
        (np.zeros((4, 4, 0), np.uint8), r"shape \(4 x 4 x 0\)"),
        (np.zeros(5, np.uint8), r"shape \(5\)"),
        (np.array(5), r"shape \(\)"),
        (np.zeros((4, 4, 5), np.uint8), r"shape \(4 x 4 x 5\)"),
        (np.zeros((3, 40, 50), np.uint8), r"channels first.*transpose"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"several images"),
        (np.broadcast_to(np.uint8(0), (50_000, 50_000, 3)), r"50,000 x 50,000.*200 megapixels"),
    ],
)
def test_refused_arrays(array: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(array)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, r"NoneType None: this is not an image\. Accepted: a path, bytes"),
        (3, r"int 3"),
        (True, r"bool True"),
        ([[0, 1]], r"list .*numpy\.asarray"),
        ({"url": "x"}, r"dict"),
        ("https://example.org/a.jpg", r"URL is not fetched.*download"),
        ("HTTP://example.org/a.jpg", r"URL"),
        ("data:image/png;base64,AAAA", r"decode"),
        ("no such file.jpg", r"'no such file\.jpg': there is no such file"),
        (Path("nowhere") / "a.jpg", r"there is no such file"),
        ("", r"no such file|directory"),
        ("zero\0byte", r"cannot be read"),
        ("x" * 5000, r"cannot be read"),
        (b"", r"0 bytes.*empty"),
        (io.BytesIO(), r"empty"),
        (io.StringIO("text"), r"gives str.*'rb'"),
    ],
)
def test_refused_sources(source: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        read_image(source)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by hand -->\n<svg>", "SVG"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"%PDF-1.7\n%", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b"PK\x03\x04\x14\0", "archive"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"%!PS-Adobe-3.0 EPSF", "PostScript"),
        (b"\0" * 64, "zero bytes"),
        (b"only words", "text that begins 'only words'"),
        (bytes(range(128, 160)), r"data that begins b'\\x80"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(ImageError, match=message):
            read_image(source)


def test_directory_and_empty_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"directory"):
        read_image(tmp_path)
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg.*empty"):
        read_image(tmp_path / "empty.jpg")


def test_closed_things_are_refused(picture: np.ndarray) -> None:
    file = io.BytesIO(encoded(picture))
    file.close()
    with pytest.raises(ImageError, match="closed"):
        read_image(file)
    image = Image.new("RGB", (4, 4))
    image.close()
    with pytest.raises(ImageError, match="closed"):
        read_image(image)


def test_an_error_is_the_packages_own_and_keeps_its_cause(picture: np.ndarray) -> None:
    with pytest.raises(FaceModelsError) as caught:
        read_image(encoded(picture, "JPEG")[:400])
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_half_a_picture_is_no_picture(format: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    data = encoded(noise, format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ImageError):
            read_image(data[: max(4, int(len(data) * share))])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP"])
def test_half_a_picture_is_no_picture_from_pil_either(format: str, picture: np.ndarray) -> None:
    data = encoded(picture, format)
    with Image.open(io.BytesIO(data[: len(data) * 3 // 4])) as opened, pytest.raises(ImageError, match="truncated"):
        read_image(opened)


def test_damaged_bytes_give_pixels_or_an_image_error(picture: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    files = [encoded(picture[:12, :16], format) for format in FORMATS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(400):
            data = bytearray(files[rng.integers(len(files))])
            for _ in range(rng.integers(1, 6)):
                data[rng.integers(min(len(data), 80))] = rng.integers(256)
            try:
                assert read_image(bytes(data)).shape[2] == 3
            except ImageError as error:
                assert str(error)


# ---------------------------------------------------------------- size caps


def png_header(width: int, height: int) -> bytes:
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 99))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def patched(data: bytes, marker: bytes, offset: int, values: bytes) -> bytes:
    start = data.index(marker) + offset
    return data[:start] + values + data[start + len(values) :]


SMALL = np.zeros((16, 16, 3), np.uint8)
BOMBS = {
    "png": lambda: png_header(50_000, 50_000),
    "png of the largest size": lambda: png_header(2**31 - 1, 2**31 - 1),
    "jpeg": lambda: patched(encoded(SMALL, "JPEG"), b"\xff\xc0", 5, struct.pack(">HH", 50_000, 50_000)),
    "gif": lambda: patched(encoded(SMALL, "GIF"), b"GIF8", 6, struct.pack("<HH", 50_000, 50_000)),
    "gif frame": lambda: patched(encoded(SMALL, "GIF"), b"\x2c\0\0\0\0", 5, struct.pack("<HH", 50_000, 50_000)),
    "bmp": lambda: patched(encoded(SMALL, "BMP"), b"BM", 18, struct.pack("<ii", 50_000, 50_000)),
    "webp": lambda: patched(
        encoded(SMALL, "WEBP", lossless=True), b"VP8L", 9, struct.pack("<I", 16_382 | 16_382 << 14)
    ),
    "jpeg 2000": lambda: patched(encoded(SMALL, "JPEG2000"), b"ihdr", 4, struct.pack(">II", 50_000, 50_000)),
    "ppm": lambda: b"P6 50000 50000 255\n" + bytes(99),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_its_header(name: str) -> None:
    data = BOMBS[name]()
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(ImageError):
        read_image(data)
    seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 1
    assert peak < 20e6


def test_the_message_of_a_bomb_names_its_size() -> None:
    with pytest.raises(ImageError, match="50,000 x 50,000 pixels are more than 200 megapixels; shrink it first"):
        read_image(png_header(50_000, 50_000))


def test_a_lazy_pil_image_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch, picture: np.ndarray) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    opened = Image.open(io.BytesIO(encoded(picture)))
    monkeypatch.setattr(opened, "load", lambda: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match="90 x 60"):
        read_image(opened)


def test_the_pixel_cap_is_inclusive(monkeypatch: pytest.MonkeyPatch, picture: np.ndarray) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 90 * 60)
    assert read_image(encoded(picture)).shape == (60, 90, 3)


def test_above_pillows_own_limit_there_is_neither_error_nor_warning(
    monkeypatch: pytest.MonkeyPatch, picture: np.ndarray
) -> None:
    """Pillow warns at 89 megapixels and refuses at 179; large phone photos have 108 and 200."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300_000)
    picture = np.tile(picture, (10, 20, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for format in ("JPEG", "PNG", "WEBP"):
            assert read_image(encoded(picture, format)).shape == (600, 1800, 3)


def test_too_many_bytes_are_refused(monkeypatch: pytest.MonkeyPatch, picture: np.ndarray, tmp_path: Path) -> None:
    data = encoded(picture)
    (tmp_path / "a.png").write_bytes(data)
    monkeypatch.setattr(images, "MAX_BYTES", len(data))
    for source in (data, tmp_path / "a.png", io.BytesIO(data)):
        assert read_image(source).shape == (60, 90, 3)
    monkeypatch.setattr(images, "MAX_BYTES", len(data) - 1)
    for source in (data, bytearray(data), memoryview(data), tmp_path / "a.png", io.BytesIO(data)):
        with pytest.raises(ImageError, match="save it smaller first"):
            read_image(source)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a file without end")  # noqa: PTH110
def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ImageError, match=f"more than {MAX_BYTES // 2**20} MB"):
        read_image("/dev/zero")


def test_pillows_switches_stay_as_they_are_and_threads_agree(picture: np.ndarray) -> None:
    switches = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    data = encoded(picture)
    bad = data[:-60]
    wrong: list[object] = []

    def work() -> None:
        for _ in range(20):
            if not np.array_equal(read_image(data), picture):
                wrong.append("pixels")
            with contextlib.suppress(ImageError):
                wrong.append(read_image(bad))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert switches == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


# ---------------------------------------------------------------- files of cameras and phones


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"quality": 95, "subsampling": 0}, {"restart_marker_rows": 1}, {"L": True}]
)
def test_a_jpeg_without_its_end_marker_is_read(options: dict[str, Any], picture: np.ndarray) -> None:
    image = Image.fromarray(picture).convert("L" if options.pop("L", False) else "RGB")
    data = encoded(image, "JPEG", **options)
    assert data.endswith(b"\xff\xd9")
    for tail in (b"", b"\xff", b"\0" * 100):
        np.testing.assert_array_equal(read_image(data[:-2] + tail), read_image(data))


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"progressive": True}])
def test_a_jpeg_without_all_its_pixels_is_refused(options: dict[str, Any]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    data = encoded(noise, "JPEG", **options)
    ends = [len(data) - cut for cut in (12, 40, 200, 1000)]
    ends += [match.start() for match in re.finditer(b"\xff[\xd0-\xd7\xda]", data)][1:]  # where a part is whole
    for end in ends:
        with pytest.raises(ImageError, match="damaged or incomplete JPEG"):
            read_image(data[:end])


def tiff(*directories: dict[int, Any], order: str = "<", below_first: bool = False) -> bytes:
    """A TIFF file: tag to number, numbers or bytes (of strips and embedded JPEG files).

    Args:
        directories: The first is what most programs show.
        order: ``<`` or ``>``.
        below_first: Whether the others are sub-directories of the first, and not its successors.
    """
    body = bytearray(b"II*\0" if order == "<" else b"MM\0*") + bytearray(4)
    offsets: list[int] = []
    for number, directory in reversed(list(enumerate(directories))):
        entries: dict[int, tuple[int, ...]] = {}
        for tag, value in directory.items():
            if isinstance(value, bytes):
                entries[tag], entries[279 if tag == 273 else 514] = (len(body),), (len(value),)
                body += value + bytes(len(value) % 2)
            else:
                entries[tag] = tuple(value) if isinstance(value, (tuple, list)) else (value,)
        if below_first and number == 0 and offsets:
            entries[330] = tuple(offsets)
        packed = b""
        for tag, values in sorted(entries.items()):
            data = struct.pack(f"{order}{len(values)}I", *values)
            if len(data) > 4:
                at, data = len(body), data
                body += data
                data = struct.pack(f"{order}I", at)
            packed += struct.pack(f"{order}HHI", tag, 4, len(values)) + data
        follows = 0 if below_first or not offsets else offsets[0]
        offsets.insert(0, len(body))
        body += struct.pack(f"{order}H", len(entries)) + packed + struct.pack(f"{order}I", follows)
    body[4:8] = struct.pack(f"{order}I", offsets[0])
    return bytes(body)


def rgb_directory(pixels: np.ndarray, **tags: Any) -> dict[int, Any]:
    height, width = pixels.shape[:2]
    named = {int(tag.removeprefix("t")): value for tag, value in tags.items()}
    return {
        256: width,
        257: height,
        258: (8, 8, 8),
        259: 1,
        262: 2,
        273: pixels.tobytes(),
        277: 3,
        278: height,
        **named,
    }


def sensor_directory(width: int, height: int) -> dict[int, Any]:
    return {256: width, 257: height, 258: 16, 259: 1, 262: 32803, 273: bytes(2 * width * height), 277: 1, 278: height}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("below_first", [True, False])
def test_of_a_camera_raw_file_the_finished_photo_or_nothing(order: str, below_first: bool, picture: np.ndarray) -> None:
    thumbnail = np.full((20, 30, 3), 9, np.uint8)
    first = rgb_directory(thumbnail, t254=1, t50706=0x01040000)
    sensor = sensor_directory(90, 60)
    raw = tiff(first, sensor, order=order, below_first=below_first)
    with pytest.raises(ImageError, match="a camera raw photo: export it as JPEG") as caught:
        read_image(raw)
    assert caught.value.code == "raw"
    for small in (b"\xff\xd8\xff" + bytes(9), encoded(thumbnail, "JPEG")):
        with pytest.raises(ImageError, match="camera raw"):
            read_image(tiff(first, sensor, {513: small}, order=order, below_first=below_first))
    with_photo = tiff(first, sensor, rgb_directory(picture), order=order, below_first=below_first)
    np.testing.assert_array_equal(read_image(with_photo), picture)
    # As Nikon and Canon do: a JPEG file in full size, which the file around it says how to turn.
    stored = encoded(np.ascontiguousarray(STORED[6](picture)), "JPEG", quality=95, subsampling=0)
    jpeg = tiff({**first, 274: 6}, sensor, {513: stored}, order=order, below_first=below_first)
    assert np.abs(read_image(jpeg).astype(int) - picture).mean() < 2


def test_canons_raw_files_and_those_without_thumbnails(picture: np.ndarray) -> None:
    photo = encoded(picture, "JPEG", quality=95, subsampling=0)
    data = tiff({256: 90, 257: 60, 259: 6, 273: photo}, rgb_directory(np.zeros((10, 10, 3), np.uint8)))
    data = data[:8] + b"CR\2\0" + data[12:] if data[8:12] == b"\0\0\0\0" else data
    assert np.abs(read_image(data).astype(int) - picture).mean() < 2
    with pytest.raises(ImageError, match="camera raw"):
        read_image(tiff(sensor_directory(40, 30)))


@pytest.mark.parametrize(
    "start",
    [
        b"\0\0\0\x18ftypcrx \0\0",
        b"FUJIFILMCCD-RAW 0201",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x18\0\0\0",
        b"MMOR",
        b"FOVb",
        b"\0MRM",
    ],
)
def test_other_camera_raw_files_are_named(start: bytes) -> None:
    with pytest.raises(ImageError, match="a camera raw photo: export it as JPEG"):
        read_image(start + bytes(200))


def test_a_tiff_file_shows_its_image_and_not_its_thumbnail(picture: np.ndarray) -> None:
    thumbnail = rgb_directory(np.zeros((20, 30, 3), np.uint8), t254=1)
    np.testing.assert_array_equal(read_image(tiff(thumbnail, rgb_directory(picture))), picture)
    pages = tiff(rgb_directory(picture), rgb_directory(np.zeros((200, 300, 3), np.uint8)))
    np.testing.assert_array_equal(read_image(pages), picture)  # of several pages the first
    assert read_image(tiff(thumbnail)).shape == (20, 30, 3)  # there is nothing else


def test_damaged_camera_raw_files_give_pixels_or_an_image_error(picture: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    first = rgb_directory(np.full((20, 30, 3), 9, np.uint8), t254=1, t50706=1, t274=6)
    sensor, jpeg = sensor_directory(90, 60), {513: encoded(picture, "JPEG")}
    files = [tiff(first, sensor, jpeg), tiff(first, jpeg, rgb_directory(picture), below_first=True)]
    directories = [
        [match.start() for match in re.finditer(b"\x00\x01\x04\x00|\x01\x01\x04\x00", file)] for file in files
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(600):
            which = rng.integers(len(files))
            data = bytearray(files[which])
            around = int(rng.choice(directories[which]))
            for _ in range(rng.integers(1, 6)):
                data[min(len(data) - 1, max(0, around + rng.integers(-20, 180)))] = rng.integers(256)
            with contextlib.suppress(ImageError):
                assert read_image(bytes(data)).shape[2] == 3


def test_a_raw_file_of_many_directories_is_not_copied_for_each(picture: np.ndarray) -> None:
    directories = [rgb_directory(picture, t254=1, t50706=1), sensor_directory(90, 60)]
    data = tiff(*directories, *[{513: encoded(picture, "JPEG")}] * 60) + bytes(5_000_000)
    tracemalloc.start()
    read_image(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_tiff_files_that_lead_in_circles(picture: np.ndarray) -> None:
    data = bytearray(tiff(rgb_directory(picture, t254=1)))
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    np.testing.assert_array_equal(read_image(bytes(data)), picture)


@pytest.mark.parametrize("suffix", ["HEIC", "heif"])
def test_heic(suffix: str, picture: np.ndarray, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="HEIC needs pillow-heif")
    path = tmp_path / f"a.{suffix}"
    heif.from_pillow(Image.fromarray(picture)).save(path, quality=95, chroma=444)
    assert path.suffix.lower() in image_formats.image_suffixes()
    pixels = read_image(path)
    assert pixels.shape == picture.shape and np.abs(pixels.astype(int) - picture).mean() < 4
    stored = heif.from_pillow(Image.fromarray(np.ascontiguousarray(STORED[6](picture))))
    stored.save(path, quality=95, chroma=444, exif=oriented(6).tobytes())
    assert np.abs(read_image(path).astype(int) - picture).mean() < 4
    with pytest.raises(ImageError):
        read_image(path.read_bytes()[:300])


def test_without_pillow_heif_a_heic_photo_is_refused_kindly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, picture: np.ndarray
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for cached in (image_formats.formats, image_formats.image_suffixes):
        cached.cache_clear()
    try:
        with pytest.raises(ImageError) as caught:
            read_image(b"\0\0\0\x18ftypheic\0\0\0\0")
        assert caught.value.reason == "HEIC photos can't be read here: save it as JPEG and try again"
        assert ".heic" not in image_formats.image_suffixes()
    finally:
        for cached in (image_formats.formats, image_formats.image_suffixes):
            cached.cache_clear()


def test_the_suffixes_are_those_of_the_decoders() -> None:
    expected = {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"}
    assert expected | {".avif", ".jp2"} <= image_formats.image_suffixes()


# ---------------------------------------------------------------- PIL images that were made from others


def test_a_pil_image_that_was_turned_is_taken_as_it_looks(picture: np.ndarray) -> None:
    data = encoded(np.ascontiguousarray(STORED[6](picture)), exif=oriented(6))
    with Image.open(io.BytesIO(data)) as opened:
        np.testing.assert_array_equal(read_image(opened), picture)
        turned = opened.rotate(-90, expand=True)
        assert turned.getexif()[0x0112] == 6  # of the image it was made from
        np.testing.assert_array_equal(read_image(turned), picture)
        np.testing.assert_array_equal(read_image(opened.transpose(Image.Transpose.ROTATE_270)), picture)
        np.testing.assert_array_equal(read_image(ImageOps.exif_transpose(opened)), picture)


def test_a_pil_image_that_was_only_converted_is_still_turned(picture: np.ndarray) -> None:
    exif = oriented(6)
    exif[0x8769] = {0xA002: 60, 0xA003: 90}  # what cameras say of the sides
    data = encoded(np.ascontiguousarray(STORED[6](picture)), exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.size == (60, 90)
        np.testing.assert_array_equal(read_image(opened.convert("RGB")), picture)
        np.testing.assert_array_equal(read_image(opened.rotate(-90, expand=True)), picture)


# ---------------------------------------------------------------- large images


@pytest.mark.parametrize("format", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize(("limit", "size"), [(5400, (30, 45)), (5401, (60, 90)), (1000, (15, 23))])
def test_large_images_are_decoded_at_a_reduced_size(
    format: str, limit: int, size: tuple[int, int], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "REDUCE_FROM", limit)
    data = encoded(picture, format)
    image = images.read_reduced(data)
    assert (image.width, image.height) == (90, 60)
    assert image.pixels.shape == (*size, 3)
    assert abs(image.pixels.mean() - picture.mean()) < 3
    assert read_image(data).shape == (60, 90, 3)  # nobody asked for less
    turned = images.read_reduced(encoded(picture, "JPEG", exif=oriented(6)))
    assert (turned.width, turned.height) == (60, 90) and turned.pixels.shape[0] > turned.pixels.shape[1]


def test_what_cannot_be_reduced_is_read_whole(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "REDUCE_FROM", 100)
    for source in (encoded(picture), picture, Image.fromarray(picture)):
        assert images.read_reduced(source).pixels.shape == (60, 90, 3)


def test_a_server_decodes_what_it_has_memory_for(picture: np.ndarray) -> None:
    admitted: list[int] = []
    pixels = 90 * 60
    jpeg, png = encoded(picture, "JPEG"), encoded(picture)
    assert images.read_within(png, pixels, admitted.append).pixels.shape == (60, 90, 3)
    assert admitted == [7 * pixels]  # Pillow takes four bytes for each, the result three
    with pytest.raises(ImageError, match="90 x 60 pixels are more than 0 megapixels") as caught:
        images.read_within(png, pixels - 1, admitted.append)
    assert caught.value.code == "pixels" and len(admitted) == 1
    assert images.read_within(jpeg, pixels - 1, admitted.append).pixels.shape == (30, 45, 3)
    assert images.read_within(encoded(picture, "JPEG2000"), pixels, admitted.append).pixels.shape == (30, 45, 3)
    assert admitted[1:] == [7 * 30 * 45, 20 * 30 * 45]
    with pytest.raises(ImageError, match="more than"):
        images.read_within(encoded(picture, "WEBP"), pixels)
    assert images.read_within(encoded(picture, "WEBP"), 3 * pixels).pixels.shape == (60, 90, 3)
    # A progressive file is held whole, in coefficients, at whatever size it is decoded.
    progressive = encoded(picture, "JPEG", progressive=True, subsampling=0)
    assert images.read_within(progressive, 2 * pixels, admitted.append).pixels.shape == (60, 90, 3)
    assert images.read_within(progressive, 3 * pixels // 2, admitted.append).pixels.shape == (30, 45, 3)
    assert admitted[-2:] == [(7 + 6) * pixels, 7 * 30 * 45 + 6 * pixels]
    with pytest.raises(ImageError, match="more than"):
        images.read_within(progressive, pixels // 2)


def test_a_transparent_image_is_converted_strip_by_strip() -> None:
    data = encoded(np.random.default_rng(0).integers(0, 256, (1500, 2000, 4), dtype=np.uint8), compress_level=1)
    tracemalloc.start()
    read_image(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * 1500 * 2000 * 3 + len(data)


def test_errors_speak_to_people(tmp_path: Path, picture: np.ndarray) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(picture, "JPEG")[:400])
    for source, code in (
        (tmp_path / "a.jpg", "damaged"),
        (b"", "empty"),
        (b"words", "text"),
        ("nothing.jpg", "missing"),
    ):
        with pytest.raises(ImageError) as caught:
            read_image(source)
        error = caught.value
        assert error.code == code and not re.search(r"numpy|array|PIL|path|a\.jpg|nothing", error.reason)
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.reason, again.code) == (str(error), error.reason, error.code)
