"""The trial run of an untrusted model, in a child process (see `facemodels.sandbox`).

LiteRT and Keras do not survive every file: one changed byte can end the process. The child process runs this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemodels.errors import FaceModelsError
from facemodels.hub.golden import golden_crops, golden_difference
from facemodels.hub.registry import ModelSpec
from facemodels.models import BATCH_SIZES, AttributeModel

# Processors differ in how they round; golden outputs were made on another one.
LEAST_TOLERANCE = 0.01


def main(header: dict[str, Any], content: bytes) -> str:
    """Run a model once with every batch size, and compare its golden outputs.

    Args:
        header: ``spec`` as plain data, ``backend``, and ``golden``, the path of its golden outputs, or None.
        content: The weights.

    Returns:
        A description of the problem; empty if there is none.
    """
    try:
        spec = ModelSpec.from_dict(header["spec"])
        model = AttributeModel.of_content(spec, content, header["backend"])
        model.probabilities(golden_crops(spec.input_size, range(sum(BATCH_SIZES))))
        if header["golden"] is not None:
            difference = golden_difference(model, Path(header["golden"]))
            tolerance = max(spec.tolerance, LEAST_TOLERANCE)
            if not difference <= tolerance:  # true for NaN, too
                return f"its answers differ from {header['golden']} by {difference:.2g}, and {tolerance:.2g} is allowed"
    except FaceModelsError as error:
        return str(error)
    return ""
