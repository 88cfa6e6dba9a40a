"""The one crop of training and serving: exact where it can be, smooth where it shrinks, whole everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facemodels.crops import Window, cut, cut_all, face_window, whole_window
from facemodels.types import Box


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)


def dot(width: int, height: int, x: float, y: float, radius: int = 3) -> np.ndarray:
    """A black picture with one white disc."""
    image = np.zeros((height, width, 3), np.uint8)
    rows, columns = np.ogrid[:height, :width]
    image[(columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= radius**2] = 255
    return image


def centre(image: np.ndarray) -> tuple[float, float]:
    """Centre of brightness, in pixels from the corner."""
    weight = image[:, :, 0].astype(float)
    assert weight.sum() > 0, "nothing white is left"
    rows, columns = np.indices(weight.shape) + 0.5
    return float((columns * weight).sum() / weight.sum()), float((rows * weight).sum() / weight.sum())


def test_whole_window_at_its_own_size_is_the_picture_itself(noise: np.ndarray) -> None:
    np.testing.assert_array_equal(cut(noise, whole_window(noise), 48), noise)


@pytest.mark.parametrize("quarters", [1, 2, 3, -1])
def test_quarter_turns_are_exact(noise: np.ndarray, quarters: int) -> None:
    """A window turned clockwise sees the picture turned counter-clockwise."""
    np.testing.assert_array_equal(cut(noise, Window(24, 24, 48, 48, 90 * quarters), 48), np.rot90(noise, quarters))


def test_mirror_is_exact(noise: np.ndarray) -> None:
    np.testing.assert_array_equal(cut(noise, Window(24, 24, 48, 48, mirror=True), 48), noise[:, ::-1])


def test_shift_by_whole_pixels_is_exact(noise: np.ndarray) -> None:
    np.testing.assert_array_equal(cut(noise, Window(20, 30, 16, 16), 16), noise[22:38, 12:28])


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0, 180.0])
def test_a_point_lands_where_geometry_says(angle: float, scale: float) -> None:
    """Every size and angle: no half-pixel drift when the window is averaged down first."""
    size, side = 64, 64 * scale
    u, v = 0.2 * side, -0.25 * side  # the point, seen from the window's centre, in the window's own directions
    turn = math.radians(angle)
    x = 300 + u * math.cos(turn) - v * math.sin(turn)
    y = 280 + u * math.sin(turn) + v * math.cos(turn)
    image = dot(600, 560, x, y, radius=max(6, round(3 * scale)))
    found = centre(cut(image, Window(300, 280, side, side, angle), size))
    assert found == pytest.approx((32 + 0.2 * 64, 32 - 0.25 * 64), abs=0.35)


def test_shear_slants_sideways() -> None:
    plain, slanted = Window(50, 50, 40, 40), Window(50, 50, 40, 40, shear=0.5)
    image = dot(100, 100, 50, 64)
    assert centre(cut(image, plain, 40)) == pytest.approx((20, 34), abs=0.3)
    assert centre(cut(image, slanted, 40)) == pytest.approx((20 - 7, 34), abs=0.5)


def test_beyond_the_border_the_edge_is_repeated(noise: np.ndarray) -> None:
    out = cut(noise, Window(0, 24, 48, 48), 48)
    np.testing.assert_array_equal(out[:, 24:], noise[:, :24])
    np.testing.assert_array_equal(out[:, :24], np.repeat(noise[:, :1], 24, axis=1))


@pytest.mark.parametrize("side", [10, 48, 480])
def test_a_window_far_outside_sees_the_nearest_corner(noise: np.ndarray, side: int) -> None:
    assert (cut(noise, Window(-5000, -5000, side, side), 32) == noise[0, 0]).all()
    assert (cut(noise, Window(5000, 5000, side, side, 20), 32) == noise[-1, -1]).all()


@pytest.mark.parametrize("angle", [0, 30])
def test_shrinking_averages(angle: float) -> None:
    """A fine checkerboard becomes grey; picking single pixels would leave black and white."""
    board = ((np.indices((800, 800)).sum(axis=0) % 2) * 255).astype(np.uint8)
    out = cut(board, Window(400, 400, 500, 500, angle), 50)
    assert out.min() >= 120
    assert out.max() <= 136


def test_very_long_pictures() -> None:
    """OpenCV's warp refuses a side of 32,767 pixels or more; a panorama has that."""
    image = np.zeros((100, 40_000, 3), np.uint8)
    image[:, 35_000:] = 200
    out = cut(image, Window(35_000, 50, 48, 48), 48)
    assert (out[:, :24] == 0).all()
    assert (out[:, 24:] == 200).all()


def test_grey_becomes_three_equal_channels(noise: np.ndarray) -> None:
    grey = noise[:, :, 0]
    out = cut(grey, whole_window(grey), 48)
    np.testing.assert_array_equal(out, np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("window", [Window(24, 24, 48, 48, 10), Window(24, 24, 300, 300)])
def test_the_picture_is_not_modified_and_not_shared(noise: np.ndarray, window: Window) -> None:
    before = noise.copy()
    noise.setflags(write=False)
    out = cut(noise, window, 48)
    assert not np.shares_memory(out, noise)
    np.testing.assert_array_equal(noise, before)


def test_one_pixel() -> None:
    image = np.full((1, 1, 3), 77, np.uint8)
    assert (cut(image, whole_window(image), 48) == 77).all()


def test_cut_all_is_cut_for_each(noise: np.ndarray) -> None:
    images = [noise, noise[:30, :20]]
    windows = [Window(20, 20, 30, 30, 15), Window(5, 5, 90, 90)]
    out = cut_all(images, windows, 32)
    assert (out.shape, out.dtype) == ((2, 32, 32, 3), np.uint8)
    for index in range(2):
        np.testing.assert_array_equal(out[index], cut(images[index], windows[index], 32))
    assert cut_all([], [], 32).shape == (0, 32, 32, 3)
    with pytest.raises(ValueError):
        cut_all(images, windows[:1], 32)


def test_face_window_is_square_around_the_longer_side() -> None:
    assert face_window(Box(10, 20, 30, 60)) == Window(20, 40, 40, 40)


@pytest.mark.parametrize(("margin", "side"), [(0.0, 40), (0.25, 60), (1.0, 120), (-0.2, 24)])
def test_margin_adds_to_each_side(margin: float, side: float) -> None:
    window = face_window(Box(10, 20, 30, 60), margin=margin)
    assert (window.width, window.height) == pytest.approx((side, side))
    assert (window.cx, window.cy) == (20, 40)


def test_offset_moves_down_by_a_fraction_of_the_longer_side() -> None:
    window = face_window(Box(10, 20, 30, 60), offset=0.1)
    assert (window.cx, window.cy) == pytest.approx((20, 44))


@pytest.mark.parametrize("angle", [-40.0, -10.0, 0.0, 25.0, 60.0])
def test_eyes_are_level_and_upright_in_the_crop(angle: float) -> None:
    turn = math.radians(angle)
    eyes = [(150 + side * 30 * math.cos(turn), 140 + side * 30 * math.sin(turn)) for side in (-1, 1)]
    box = Box(80, 70, 220, 230)
    window = face_window(box, landmarks=eyes)
    left, right = (centre(cut(dot(300, 300, *eye, radius=5), window, 96)) for eye in eyes)
    assert left[1] == pytest.approx(right[1], abs=0.5)
    assert right[0] - left[0] == pytest.approx(60 / 160 * 96, abs=0.7)


def test_offset_follows_the_turned_face() -> None:
    """Down means towards the chin: for a face turned by 90 degrees clockwise that is to the left."""
    window = face_window(Box(0, 0, 100, 100), offset=0.1, landmarks=[(50, 30), (50, 70)])
    assert window.angle == pytest.approx(90)
    assert (window.cx, window.cy) == pytest.approx((40, 50))


def test_no_turn_without_landmarks_or_alignment() -> None:
    eyes = [(30.0, 30.0), (70.0, 50.0)]
    assert face_window(Box(0, 0, 100, 100), align=False, landmarks=eyes).angle == 0
    assert face_window(Box(0, 0, 100, 100), landmarks=None).angle == 0
    assert face_window(Box(0, 0, 100, 100), landmarks=eyes[:1]).angle == 0


def test_a_degenerate_box_still_gives_a_crop(noise: np.ndarray) -> None:
    window = face_window(Box(10, 10, 10, 10))
    assert (window.width, window.height) == (1, 1)
    assert cut(noise, window, 16).shape == (16, 16, 3)


def test_windows_map_points_as_cut_maps_pixels() -> None:
    rng = np.random.default_rng(0)
    for mirror in (False, True):
        image = np.zeros((100, 120, 3), np.uint8)
        image[29:32, 69:72] = 255
        window = Window(60, 50, 90, 80, rng.uniform(-60, 60), 0.1, mirror)
        crop = cut(image, window, 96)[:, :, 0].astype(float)
        y, x = np.mgrid[:96, :96] + 0.5
        seen = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum() / 96
        assert np.allclose(seen, window.from_image(np.array([70.5, 30.5])), atol=0.003)
        assert np.allclose(window.to_image(window.from_image(np.array([[3, 4]]))), [[3, 4]])
