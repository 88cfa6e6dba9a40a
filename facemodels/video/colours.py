"""Convert HDR (HLG, PQ) and wide-gamut (BT.2020, Display P3) video to BT.709, by one lookup table per kind of video.

Without a conversion such frames look pale and grey: their values mean other colours than those of an ordinary image. A
table holds the conversion of a grid of colours, and FFmpeg's `haldclut` filter interpolates in it:

1. the signal becomes linear light by its transfer function (ITU-R BT.2100 for HLG and PQ; HLG with the system gamma of
   a display of 1,000 cd/m²); 1 is the white of paper, 203 cd/m² (ITU-R BT.2408);
2. light brighter than 0.7 rolls off smoothly, so that 1,000 cd/m² become the brightest white;
3. the primaries become those of BT.709, and colours outside it the nearest inside;
4. the light becomes the signal of an ordinary display (gamma 2.4, ITU-R BT.1886).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

# Numbers of ITU-T H.273, which PyAV gives as they are.
HLG, PQ = 18, 16
_PRIMARIES = {  # x and y of red, green, blue; white is D65
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),  # BT.2020
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # DCI P3, which cameras pair with D65
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_WHITE = (0.3127, 0.3290)
_INCONVERTIBLE = {8, 11, 12, 13, 14, 15, 16, 17}  # matrices that FFmpeg's scaler does not know: YCgCo, ICtCp, IPT ...

_PAPER = 203.0  # cd/m² of white paper in HDR video
_PEAK = 1000.0  # cd/m² that become the brightest white
_KNEE = 0.7
_LEVEL = 6  # of the table: 36 steps a channel


class ColourTable:
    """Converts frames of one kind of video to ordinary RGB.

    Args:
        frame: The first frame.
        width: Width of the converted frames.
        height: Height of the converted frames.
    """

    def __init__(self, frame: VideoFrame, width: int, height: int) -> None:
        from av import VideoFrame as Frame
        from av.filter import Graph

        self._fits = (*_kind(frame), frame.format.name, frame.width, frame.height, width, height)
        transfer, primaries = _kind(frame)
        table = Frame.from_ndarray(_table(transfer, primaries), format="rgb48le")
        self._graph: Graph = Graph()
        self._graph.threads = 2
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        colours = self._graph.add_buffer(
            width=table.width, height=table.height, format=table.format, time_base=frame.time_base
        )
        matrix = "bt2020" if frame.colorspace in (9, 10) else "auto"
        scale = self._graph.add("scale", f"{width}:{height}:in_color_matrix={matrix}")
        deep = self._graph.add("format", "rgb48le")  # as the table: planes of another order would be mixed up
        look_up = self._graph.add("haldclut", "clut=first:interp=tetrahedral")
        eight = self._graph.add("format", "rgb24")
        sink = self._graph.add("buffersink")
        source.link_to(scale)
        scale.link_to(deep)
        deep.link_to(look_up, 0, 0)
        colours.link_to(look_up, 0, 1)
        look_up.link_to(eight)
        eight.link_to(sink)
        self._graph.configure()
        self._count = 0
        table.pts = 0
        table.time_base = frame.time_base
        self._graph.vpush(table, 1)
        self._graph.vpush(None, 1)

    def fits(self, frame: VideoFrame, width: int, height: int) -> bool:
        """Whether it converts frames of this kind to this size."""
        return self._fits == (*_kind(frame), frame.format.name, frame.width, frame.height, width, height)

    def convert(self, frame: VideoFrame) -> np.ndarray:
        """The frame's pixels, ``(H, W, 3)`` RGB uint8."""
        self._count += 1
        frame.pts = self._count
        self._graph.vpush(frame, 0)
        return self._graph.vpull().to_ndarray()


def needs_table(frame: VideoFrame) -> bool:
    """Whether a frame's values mean other colours than those of an ordinary image."""
    transfer, primaries = _kind(frame)
    return transfer in (HLG, PQ) or primaries in _PRIMARIES


def _kind(frame: VideoFrame) -> tuple[int, int]:
    return int(frame.color_trc), int(frame.color_primaries)


def can_convert(frame: VideoFrame) -> bool:
    """Whether a frame's colours can be converted: not ICtCp, nor Dolby Vision without a base layer."""
    from av.filter import filters_available

    if needs_table(frame) and "haldclut" not in filters_available:  # an FFmpeg of somebody's own
        return False
    hidden = frame.side_data.get("DOVI_METADATA") is not None and frame.color_trc == 2
    return int(frame.colorspace) not in _INCONVERTIBLE and not hidden


@cache
def _table(transfer: int, primaries: int) -> np.ndarray:
    """The image that `haldclut` takes for a table: ``(216, 216, 3)`` uint16, red changes fastest, blue slowest."""
    steps = np.linspace(0, 1, _LEVEL**2)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    signal = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
    light = _light(signal, transfer)
    if transfer in (HLG, PQ):
        brightest = light.max(axis=1, keepdims=True)
        light *= _roll_off(brightest) / np.maximum(brightest, 1e-9)
    wide = _PRIMARIES.get(primaries, _PRIMARIES[9] if transfer in (HLG, PQ) else _BT709)
    light = np.clip(light @ (np.linalg.inv(_to_xyz(_BT709)) @ _to_xyz(wide)).T, 0, 1)
    side = _LEVEL**3
    return np.rint(65535 * light ** (1 / 2.4)).astype(np.uint16).reshape(side, side, 3)


def _light(signal: np.ndarray, transfer: int) -> np.ndarray:
    """Linear light of a signal of 0..1; 1 is the white of paper."""
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
        return _PEAK / _PAPER * scene * luminance[:, None] ** 0.2
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = signal ** (1 / m2)
        return 10_000 / _PAPER * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return signal**2.4


def _roll_off(light: np.ndarray) -> np.ndarray:
    """Light up to the knee as it is, the rest compressed, so that the peak becomes 1 (Reinhard's extended curve)."""
    most = (_PEAK / _PAPER - _KNEE) / (1 - _KNEE)
    over = np.clip((light - _KNEE) / (1 - _KNEE), 0, most)
    return np.minimum(light, _KNEE) + (1 - _KNEE) * over * (1 + over / most**2) / (1 + over)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """The matrix from linear RGB to XYZ."""
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in primaries]).T
    x, y = _WHITE
    return columns * np.linalg.solve(columns, np.array([x / y, 1.0, (1 - x - y) / y]))
