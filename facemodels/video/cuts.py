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

WIDTH, HEIGHT = 192, 144  # of the small images
_COMPARED = (64, 48)  # size to which the part that changed is brought
_BLOCK = 8
_REACH = 5  # pixels of that size by which a block may have moved
_TEXTURE = 5.0  # mean deviation of a block's grey levels, of 0..255, up to which it is plain
_ALIKE = 10.0  # mean difference of grey levels, plain blocks apart, up to which two images need no closer comparison
_CHANGED = 12  # difference of a pixel's grey level that is a change
_LEAST_AREA = 0.1  # of the image that a cut changes
# Measured on 28 pairs of portraits in front of the same wall, plain or full of texture, half as high as the frame and
# higher: 0.4 and more, but for two of 168. One person who was shifted by 5 % of the width, zoomed by a tenth and turned
# by five degrees: 0.35 and less.
_CUT = 0.4
_ONE_WAY = 0.25  # least difference in either direction: somebody who appears takes nothing away
_CALM = 0.7  # a cut stands out: the differences before and after it are below this fraction of its own


def mark_cuts(items: Iterable[tuple[T, np.ndarray]]) -> Iterator[tuple[T, bool]]:
    """Yield each item, one behind, and whether it begins a new scene.

    Args:
        items: Anything, and its frame as a grey image, ``(HEIGHT, WIDTH)`` uint8.
    """
    before: list[np.ndarray] = []  # the last two images that are not plain
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
        return False  # everything is in motion
    # A flash, or a damaged frame, is over with the next one.
    return after is None or (difference(image, after) < most < difference(before[-1], after))


def is_plain(image: np.ndarray) -> bool:
    """Whether an image is plain: a black frame between two scenes, or an empty wall."""
    return not (_deviation(_blocks(_compared(image))) > _TEXTURE).any()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """How different two scenes are where they differ: 0 is the same, moved or in another light, 1 nothing in common.

    Args:
        a: Grey image, ``(HEIGHT, WIDTH)`` uint8.
        b: Another.
    """
    changed = cv2.blur(cv2.absdiff(a, b), (5, 5)) > _CHANGED
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows) or (rows[-1] + 1 - rows[0]) * (columns[-1] + 1 - columns[0]) < _LEAST_AREA * WIDTH * HEIGHT:
        return 0.0
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    a, b = _compared(a[part]), _compared(b[part])
    shown = (_deviation(_blocks(a)) > _TEXTURE) | (_deviation(_blocks(b)) > _TEXTURE)
    if not shown.any() or _blocks(cv2.absdiff(a, b))[shown].mean() <= _ALIKE:
        return 0.0
    (mean_a, dev_a), (mean_b, dev_b) = (cv2.meanStdDev(image) for image in (a, b))
    gain = float(np.clip(dev_a / np.maximum(dev_b, 1), 0.4, 2.5).item())
    adjusted = ((b - mean_b) * gain + mean_a).astype(np.float32)
    image = a.astype(np.float32)
    lost, gained = _lost(image, adjusted), _lost(adjusted, image)
    return (lost + gained) / 2 if min(lost, gained) >= _ONE_WAY else min(lost, gained)


def _compared(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, _COMPARED, interpolation=cv2.INTER_AREA)


def _lost(a: np.ndarray, b: np.ndarray) -> float:
    """How much of the texture in the blocks of `a` is not found in `b`, on average."""
    blocks = _blocks(a)
    blocks -= blocks.mean((2, 3), keepdims=True)
    around = cv2.copyMakeBorder(b, _REACH, _REACH, _REACH, _REACH, cv2.BORDER_REPLICATE)
    best = np.full(blocks.shape[:2], np.inf, np.float32)
    for y in range(2 * _REACH + 1):
        for x in range(2 * _REACH + 1):
            others = _blocks(around[y : y + a.shape[0], x : x + a.shape[1]])
            others -= others.mean((2, 3), keepdims=True)
            np.minimum(best, np.abs(others - blocks).mean((2, 3)), out=best)
    texture = _deviation(blocks)
    shown = texture > _TEXTURE
    return float((best[shown] / texture[shown]).mean()) if shown.any() else 0.0


def _blocks(image: np.ndarray) -> np.ndarray:
    """Blocks of an image, ``(rows, columns, height, width)`` float32."""
    height, width = image.shape
    return image.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).swapaxes(1, 2).astype(np.float32)


def _deviation(blocks: np.ndarray) -> np.ndarray:
    return np.abs(blocks - blocks.mean((2, 3), keepdims=True)).mean((2, 3))
