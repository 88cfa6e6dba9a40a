"""How much work the app takes on at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much work the app takes on at once.

    Attributes:
        queue: Requests that may wait; further ones are told that the app is busy.
        analyses: Images analyzed at the same time.
        webcams: Visitors whose webcams stream at the same time; further ones wait for their turn.
        webcam_seconds: How long a webcam keeps its place while others wait. The browser queues again by itself.
        clips: Videos analyzed at the same time; further ones wait for their turn.
        clip_seconds: The longest video that is accepted.
        clip_pixels: Of the largest frames of a video that are accepted: a decoder holds many at once.
        pixels: Of the largest image that is accepted; a format that can be decoded smaller may have more.
    """

    queue: int = 64
    analyses: int = 2
    webcams: int = 4
    webcam_seconds: int = 60
    clips: int = 1
    clip_seconds: int = 600
    clip_pixels: int = 9_000_000  # 4K
    pixels: int = 40_000_000
