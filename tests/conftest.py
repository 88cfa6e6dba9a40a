"""What several tests need: a free picture of a face, detectors and models that cost nothing, and the data folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels import Box, Face


class FixedDetector:
    """A detector that always finds the boxes it was made with."""

    name = "fixed"

    def __init__(self, *boxes: Box) -> None:
        self.boxes = boxes

    def detect(self, image: np.ndarray, min_score: float = 0.6) -> list[Face]:
        height, width = image.shape[:2]
        return [Face(box.clip(width, height), 0.9) for box in self.boxes]


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """A photo of one smiling woman, 512x512 RGB, free to use (NASA)."""
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the test photo: pip install -e '.[dev]'")
    return data.astronaut()


@pytest.fixture(scope="session")
def photo(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut as a JPEG file."""
    path = tmp_path_factory.mktemp("photos") / "astronaut.jpg"
    Image.fromarray(astronaut).save(path, quality=95)
    return path


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of the real data sets."""
    folder = os.environ.get("FACEMODELS_DATA")
    if not folder:
        pytest.skip("FACEMODELS_DATA is not set: this test needs the data sets")
    return Path(folder)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release folder of a tiny emotion model, trained for seconds on drawn faces and exported, as a user would."""
    pytest.importorskip("tensorflow", reason="training needs TensorFlow: pip install -e '.[dev]'")
    from training.config import load_config
    from training.export import export
    from training.train import smoke, train

    run = tmp_path_factory.mktemp("run")
    train(smoke(load_config("emotion-efficientnet")), ".", run)
    folder = tmp_path_factory.mktemp("release") / "emotion-efficientnet"
    export(run, folder, ".")
    return folder
