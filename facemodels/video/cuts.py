"""Hard cuts between two scenes, found by comparing each frame with its neighbours.

Frames are compared as small grey images, block by block: how well is each block of the one found again in the other,
somewhere near? So a camera that pans or shakes, a face that moves and a light that is switched on are no cuts, and
another person in front of the same plain wall is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import cv2
import numpy as np

T = TypeVar("T")

WIDTH, HEIGHT = 64, 48  # of the small images
_BLOCK = 8
_REACH = 5  # pixels of the small image by which a block may have moved
_TEXTURE = 5.0  # mean deviation of a block's grey levels, of 0..255, up to which it is plain
_ALIKE = 10.0  # mean difference of grey levels up to which two images show the same scene, without a closer comparison
# Measured on portraits in front of the same grey wall: 0.48 and more from one person to the next, 0.39 and less for one
# who was shifted by 8 % of the width, zoomed by a fifth or turned by ten degrees.
_CUT = 0.43
_CALM = 0.7  # a cut stands out: the differences before and after it are below this fraction of its own


def mark_cuts(items: Iterable[tuple[T, np.ndarray]]) -> Iterator[tuple[T, bool]]:
    """Yield each item, one behind, and whether a new scene begins with it.

    Args:
        items: Anything, and its frame as a grey image, ``(HEIGHT, WIDTH)`` uint8.
    """
    before: list[np.ndarray] = []  # the last two images in which something is to be seen
    held: tuple[T, np.ndarray] | None = None
    for item, image in items:
        if held is not None:
            yield held[0], _is_cut(before, held[1], image)
            if not is_plain(held[1]):
                before = [*before[-1:], held[1]]
        held = item, image
    if held is not None:
        yield held[0], _is_cut(before, held[1], None)


def _is_cut(before: list[np.ndarray], image: np.ndarray, after: np.ndarray | None) -> bool:
    if not before or is_plain(image):
        return False
    change = difference(before[-1], image)
    if change < _CUT:
        return False
    most = _CALM * change
    if len(before) == 2 and difference(*before) > most:
        return False  # all is in motion
    # A flash, or a damaged frame, is over with the next one.
    return after is None or (difference(image, after) < most < difference(before[-1], after))


def is_plain(image: np.ndarray) -> bool:
    """Whether nothing is to be seen: a black frame between two scenes, or an empty wall."""
    return not (_deviation(_blocks(image)) > _TEXTURE).any()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """How different two scenes are: 0 is the same, perhaps moved or in another light; about 1 nothing in common.

    Args:
        a: Grey image, ``(HEIGHT, WIDTH)`` uint8.
        b: Another.
    """
    if cv2.absdiff(a, b).mean() <= _ALIKE:
        return 0.0
    (mean_a, dev_a), (mean_b, dev_b) = (cv2.meanStdDev(image) for image in (a, b))
    gain = float(np.clip(dev_a / np.maximum(dev_b, 1), 0.4, 2.5).item())
    adjusted = ((b - mean_b) * gain + mean_a).astype(np.float32)
    image = a.astype(np.float32)
    return (_lost(image, adjusted) + _lost(adjusted, image)) / 2


def _lost(a: np.ndarray, b: np.ndarray) -> float:
    """How much of the texture in the blocks of `a` is not found in `b`, on average."""
    blocks = _blocks(a)
    blocks -= blocks.mean((2, 3), keepdims=True)
    around = cv2.copyMakeBorder(b, _REACH, _REACH, _REACH, _REACH, cv2.BORDER_REPLICATE)
    best = np.full(blocks.shape[:2], np.inf, np.float32)
    for y in range(2 * _REACH + 1):
        for x in range(2 * _REACH + 1):
            others = _blocks(around[y : y + HEIGHT, x : x + WIDTH])
            others -= others.mean((2, 3), keepdims=True)
            np.minimum(best, np.abs(others - blocks).mean((2, 3)), out=best)
    texture = _deviation(blocks)
    shown = texture > _TEXTURE
    return float((best[shown] / texture[shown]).mean()) if shown.any() else 0.0


def _blocks(image: np.ndarray) -> np.ndarray:
    """Blocks of an image, ``(rows, columns, height, width)`` float32."""
    shape = HEIGHT // _BLOCK, _BLOCK, WIDTH // _BLOCK, _BLOCK
    return image.reshape(shape).swapaxes(1, 2).astype(np.float32)


def _deviation(blocks: np.ndarray) -> np.ndarray:
    return np.abs(blocks - blocks.mean((2, 3), keepdims=True)).mean((2, 3))
