"""Drawn faces, for trying the machinery without any data."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facemodels.attributes import EMOTIONS, ETHNICITIES, GENDERS
from training.data.face_data import SPLITS, YEARS, FaceData, age_distribution


def synthetic(_: Path, split: str, count: int = 160) -> FaceData:
    """Drawn faces whose mouth, size, skin and hair follow their labels: learnable, and made in a moment."""
    rng = np.random.default_rng(SPLITS.index(split))
    emotion = rng.integers(0, len(EMOTIONS), count)
    gender = rng.integers(0, 2, count)
    race = rng.integers(0, len(ETHNICITIES), count)
    age = rng.integers(0, YEARS, count).astype(np.float32)
    images = [_drawn_face(*row, rng) for row in zip(emotion, gender, race, age, strict=True)]
    return FaceData(
        f"synthetic {split}",
        images,
        {
            "emotion": np.eye(len(EMOTIONS), dtype=np.float32)[emotion],
            "emotion_fer2013": np.eye(8, dtype=np.float32)[emotion][:, :7] + (emotion == 7)[:, None],
            "emotion4": np.eye(8, dtype=np.float32)[emotion][:, 3:7] + ((emotion < 3) | (emotion == 7))[:, None],
            "age": age_distribution(age),
            "gender": np.eye(2, dtype=np.float32)[gender],
            "ethnicity": np.eye(len(ETHNICITIES), dtype=np.float32)[race],
        },
        {
            "emotion": emotion,
            "emotion_fer2013": np.where(emotion < 7, emotion, -1),
            "emotion4": np.where((emotion >= 3) & (emotion < 7), emotion - 3, -1),
            "age": age,
            "gender": gender,
            "ethnicity": race,
        },
        {"gender": np.array(GENDERS)[gender]},
    )


def _drawn_face(emotion: int, gender: int, race: int, age: float, rng: np.random.Generator) -> np.ndarray:
    image = np.full((64, 64, 3), int(rng.integers(40, 90)), np.uint8)
    emotion, gender, race = int(emotion), int(gender), int(race)
    skin = (230 - 22 * race, 190 - 20 * race, 160 - 15 * race)
    if gender == 0:
        cv2.ellipse(image, (32, 30), (26, 28), 0, 0, 360, (60, 30, 20), -1)
    cv2.ellipse(image, (32, 34), (20, 26), 0, 0, 360, skin, -1)
    for x in (24, 40):
        cv2.circle(image, (x, 28), 3, (10, 10, 10), -1)
    for line in range(int(age // 20)):
        cv2.line(image, (22, 14 + 3 * line), (42, 14 + 3 * line), (90, 60, 50), 1)
    cv2.ellipse(image, (32, 46), (4 + emotion, 1 + emotion), 0, 0, 180 if emotion % 2 else 360, (150, 20, 40), 2)
    return image
