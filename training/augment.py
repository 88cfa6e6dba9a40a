"""Augmentation: one random window and one random photometric change per training crop.

The geometry goes through `facemodels.crops.cut`, the same code that serving uses. NumPy and OpenCV only, so it runs
beside any Keras backend.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facemodels.crops import Window, cut, whole_window


@dataclass(frozen=True)
class Augment:
    """How strongly to augment; 0 switches a change off.

    Attributes:
        mirror: Probability of swapping left and right.
        rotation: Largest turn, degrees either way.
        shift: Largest move, as a fraction of the crop's side.
        zoom: Range of the window's side relative to the crop's (below 1 looks closer).
        aspect: Largest relative stretch of width against height.
        shear: Largest slant.
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of contrast.
        colour: Largest relative change of each colour channel.
        grey: Probability of dropping colour.
        blur: Probability of losing resolution (down to a third and back).
        noise: Probability of adding sensor noise.
        jpeg: Probability of compressing the crop as a JPEG of quality 30 to 90.
        erase: Probability of covering a rectangle (up to a quarter of the crop).
    """

    mirror: float = 0.5
    rotation: float = 15.0
    shift: float = 0.06
    zoom: tuple[float, float] = (0.85, 1.15)
    aspect: float = 0.05
    shear: float = 0.05
    brightness: float = 0.25
    contrast: float = 0.25
    colour: float = 0.08
    grey: float = 0.05
    blur: float = 0.1
    noise: float = 0.1
    jpeg: float = 0.0
    erase: float = 0.25

    def __call__(self, image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
        """Make one training crop.

        Args:
            image: A cropped face, ``(H, W, 3)`` or ``(H, W)`` uint8; not modified.
            size: Side of the result in pixels.
            rng: Random generator.

        Returns:
            A new ``(size, size, 3)`` uint8 array.
        """
        return self.light(cut(image, self._window(image, rng), size), rng)

    def _window(self, image: np.ndarray, rng: np.random.Generator) -> Window:
        whole = whole_window(image)
        side = rng.uniform(*self.zoom)
        stretch = 1 + rng.uniform(-self.aspect, self.aspect)
        return Window(
            whole.cx + rng.uniform(-self.shift, self.shift) * whole.width,
            whole.cy + rng.uniform(-self.shift, self.shift) * whole.height,
            whole.width * side * stretch,
            whole.height * side / stretch,
            angle=rng.uniform(-self.rotation, self.rotation),
            shear=rng.uniform(-self.shear, self.shear),
            mirror=rng.random() < self.mirror,
        )

    def light(self, crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Apply photometric changes (light, camera noise, compression) to a crop; its geometry stays as it is."""
        size = crop.shape[0]
        if rng.random() < self.blur:
            small = max(8, int(size * rng.uniform(1 / 3, 1)))
            crop = cv2.resize(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (size, size))
        # Brightness, contrast and colour are one line per channel, so one table look-up does all three.
        gain = 1 + rng.uniform(-self.contrast, self.contrast)
        gains = gain * (1 + rng.uniform(-self.colour, self.colour, 3))
        middle = 128 * (1 + rng.uniform(-self.brightness, self.brightness))
        table = (np.arange(256.0)[:, None] - 128) * gains + middle
        crop = cv2.LUT(crop, np.clip(table, 0, 255).astype(np.uint8).reshape(1, 256, 3))
        if rng.random() < self.grey:
            crop = np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
        if rng.random() < self.noise:
            noisy = crop + rng.normal(0, rng.uniform(2, 10), crop.shape)
            crop = np.clip(noisy, 0, 255).astype(np.uint8)
        if self.jpeg and rng.random() < self.jpeg:
            crop = _compressed(crop, int(rng.integers(30, 91)))
        if rng.random() < self.erase:
            height, width = (max(1, int(size * rng.uniform(0.1, 0.5))) for _ in range(2))
            y, x = int(rng.integers(0, size - height + 1)), int(rng.integers(0, size - width + 1))
            crop = np.ascontiguousarray(crop)
            crop[y : y + height, x : x + width] = rng.integers(0, 256, 3)
        return crop


def _compressed(crop: np.ndarray, quality: int) -> np.ndarray:
    """A crop after JPEG compression at this quality."""
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])
    found = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert found is not None  # it was encoded above
    return found
