"""The webcam tab."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from facemodels import FaceTracker
from facemodels.app.analyzers import Analyzer
from facemodels.app.memory import ImageMemory
from facemodels.app.requests import (
    check_attributes,
    reading_frame,
)
from facemodels.attributes import ALL_ATTRIBUTES
from facemodels.errors import FaceModelsError
from facemodels.types import Analysis


def analyze_frame(
    analyzer: Analyzer,
    tracker: FaceTracker,
    frame: Any,
    memory: ImageMemory | None = None,
    attributes: Any = None,
    sent: Any = None,
) -> dict[str, Any]:
    """The webcam tab: one frame in, the faces with stable ids out.

    Args:
        analyzer: Answers the attributes.
        tracker: This visitor's.
        frame: See `reading_frame`.
        memory: What images in progress may take; None for no limit.
        attributes: See `check_attributes`; none at all means boxes alone.
        sent: When the page sent the frame, by its own clock.

    Returns:
        `Analysis.to_dict()`, with boxes as they were detected: the page smooths them, which knows when it draws them;
        ``"ms"``, the time this took; and ``"sent"``. A refused frame comes back with its ``"error"``: an exception
        would end the stream.
    """
    start = time.perf_counter()
    try:
        offered = tuple(analyzer.models)
        shown = () if attributes == [] else check_attributes(attributes, offered)
        with reading_frame(frame, memory) as read:
            seen = analyzer.analyze(read.pixels, attributes=shown or offered[:1])
        analysis = tracker.update(seen)
        # A track remembers what the visitor does not want to see any more.
        hidden = dict.fromkeys(name for name in ALL_ATTRIBUTES if name not in shown)
        faces = (face.replace(box=found.box, **hidden) for face, found in zip(analysis.faces, seen.faces, strict=True))
        analysis = replace(analysis, faces=tuple(faces))
    except FaceModelsError as error:
        analysis = Analysis((), 0, 0, {}, str(error))
    return {
        **analysis.to_dict(),
        "ms": round((time.perf_counter() - start) * 1000, 2),
        "sent": sent if isinstance(sent, (int, float)) else None,
    }
