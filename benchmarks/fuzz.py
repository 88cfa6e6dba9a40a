"""Coverage-guided fuzzing with atheris: `python -m benchmarks.fuzz image` or `spec` (`pip install -e ".[fuzz]"`).

Five minutes by default; options after the target are libFuzzer's. What fails is written into a file ``crash-…`` in
the current folder: it belongs into the tests.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SECONDS = 300
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000")


def read_any_image(content: bytes) -> None:
    """`read_image` gives pixels or an `ImageError`."""
    from facemodels import ImageError, read_image

    try:
        pixels = read_image(content)
    except ImageError:
        return
    assert pixels.dtype == np.uint8 and pixels.ndim == 3


def read_any_spec(content: bytes) -> None:
    """`ModelSpec.from_file` gives a spec that can be written, or a `WeightsError`."""
    from facemodels import ModelSpec, WeightsError

    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(content)
        file.flush()
        try:
            spec = ModelSpec.from_file(Path(file.name))
        except WeightsError:
            return
        assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict(), allow_nan=False))) == spec


def image_seeds() -> list[bytes]:
    """A small image in every format."""
    picture = Image.fromarray(np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3))
    files = [io.BytesIO() for _ in FORMATS]
    for file, name in zip(files, FORMATS, strict=True):
        picture.save(file, name)
    return [file.getvalue() for file in files]


def spec_seeds() -> list[bytes]:
    """The bundled specs."""
    from facemodels import list_models
    from facemodels.hub.registry import SPEC_FILE, WEIGHTS

    return [(WEIGHTS / spec.name / SPEC_FILE).read_bytes() for spec in list_models()]


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "image": (read_any_image, image_seeds),
    "spec": (read_any_spec, spec_seeds),
}


def main() -> None:
    """The command line; see the module's docstring."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m benchmarks.fuzz {'|'.join(TARGETS)} [libFuzzer options]\n{__doc__}")
    import atheris

    with atheris.instrument_imports(include=["facemodels", "PIL"]):
        import facemodels.hub.registry
        import facemodels.images  # noqa: F401

    target, seeds = TARGETS[sys.argv[1]]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            Path(corpus, f"seed-{number}").write_bytes(seed)
        options = [f"-max_total_time={SECONDS}", "-max_len=65536", "-timeout=60", *sys.argv[2:], corpus]
        atheris.Setup([sys.argv[0], *options], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
