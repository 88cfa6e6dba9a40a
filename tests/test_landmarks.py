"""Teaching landmarks: the mesh as 68 points and a pose, crops with their targets, the network in two parts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from facemodels.crops import Window
from training.config import load_config
from training.data.face_data import HEADS
from training.landmarks.mesh import (
    VERTICES,
    eye_scale,
    fitted_window,
    generic_face,
    head_pose,
    mirrored_order,
    targets_of,
)


def test_what_mirrors_and_turns() -> None:
    order = mirrored_order()
    assert [order[i] for i in order] == list(range(68)) and [i for i in range(68) if order[i] == i] == [
        *(8, 27, 28, 29, 30, 33, 51, 57, 62, 66)
    ]
    rng = np.random.default_rng(1)
    half = rng.normal(0, 1, (68, 3))
    face = (half + half[order] * (-1, 1, 1)) / 2
    face[[8, 27]] = ((0, 2, 0), (0, -1, 0))
    face[[36, 45]] = ((-1, -1, 0), (1, -1, 0))
    generic = generic_face(face[None])
    assert head_pose(50 * generic[None] + 7, generic) == pytest.approx(np.zeros((1, 3)), abs=1e-4)
    turned = {"yaw": (30, 0, 0), "pitch": (0, 20, 0), "roll": (0, 0, 40), "all": (25, -15, 60)}
    for angles in turned.values():
        yaw, pitch, roll = np.radians(angles) * (-1, -1, 1)
        x = np.array([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
        y = np.array([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
        z = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]])
        assert head_pose((generic @ (z @ y @ x).T)[None], generic)[0] == pytest.approx(angles, abs=1e-3)
    points = 40 * generic[:, :2] + 50
    window = fitted_window(points, 1.3)
    inside, pose = targets_of(points, np.array([10.0, 5.0, 0.0]), window)
    again, other = targets_of(
        points,
        np.array([10.0, 5.0, 0.0]),
        Window(window.cx, window.cy, window.width, window.width, window.angle, mirror=True),
    )
    assert np.allclose(again[order] * (-1, 1) + (1, 0), inside) and tuple(other) == (-pose[0], pose[1], -pose[2])


def test_the_order_of_points() -> None:
    assert len(VERTICES) == len(set(VERTICES)) == 68
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (-10, 0), (10, 0)
    points[8] = (0, 30)
    assert eye_scale(points) == 20
    points[8] = (0, 60)
    assert eye_scale(points) == 30, "of a profile, whose eyes meet, half the height counts"
    window = fitted_window(np.array([(0, 0), (30, 0), (30, 40), (0, 40), *[(15, 20)] * 64], float), 1.5)
    assert (window.cx, window.cy, window.width, window.angle) == (15, 20, 60, 0)


@pytest.mark.slow
def test_crops_targets_losses_and_the_two_parts() -> None:
    pytest.importorskip("keras", reason="training needs Keras: pip install -e '.[training]'")
    from training.landmarks import train

    config = replace(load_config("landmarks-efficientnet"), epoch_size=40, batch_size=20)
    rng = np.random.default_rng(0)
    faces = object.__new__(train.Faces)
    faces.images = [rng.integers(0, 256, (100, 100, 3), np.uint8) for _ in range(3)]
    faces.points = rng.uniform(20, 80, (3, 68, 2)).astype(np.float32)
    faces.poses = np.float32([[0, 0, 0], [20, 5, -3], [-40, 0, 10]])
    crops = train.Crops(faces, config)
    made = [crops.make(index) for index in range(len(crops))]
    assert all(np.array_equal(one, two) for one, two in zip(made[7], crops.make(7), strict=True))
    images, points, poses = (np.stack(column) for column in zip(*made, strict=True))
    assert images.shape == (40, 96, 96, 3) and 0 < (points[:, 136] == 0).sum() < 15
    assert np.array_equal(points[:, 136], poses[:, 3]) and not points[points[:, 136] == 0].any()

    right = {"points": np.concatenate([points[:, :136], np.where(points[:, 136:137], 20.0, -20.0)], 1)}
    assert np.abs(train.points_loss(points, right["points"].astype(np.float32))).max() < 1e-4
    assert np.abs(train.pose_loss(poses, poses[:, :3])).max() == 0
    assert np.abs(train.pose_loss(poses * [1, 1, 1, 0], poses[:, :3] + 50)).max() == 0, "no face, no pose"

    model = train.build(config)
    trunk, head = train.trunk_and_head(model)
    maps = trunk.predict(images[:4].astype(np.float32), verbose=0)
    apart = head.predict([maps["fine"], maps["coarse"]], verbose=0)
    whole = model.predict(images[:4].astype(np.float32), verbose=0)
    assert {name: rows.shape[1] for name, rows in whole.items()} == {name: len(HEADS[name]) for name in config.heads}
    assert all(np.allclose(apart[name], whole[name], atol=1e-4) for name in whole)

    # In the last stage no crop comes twice, and what is frozen stays.
    batches = train.NewCrops(faces, config)
    assert len(batches) == 2
    epochs = []
    for _ in range(config.epochs):
        epochs += [batches[step][0] for step in range(len(batches))]
        batches.on_epoch_end()
    assert len({images.tobytes() for images in epochs}) == len(epochs) == 2 * config.epochs
    assert batches[0][0].tobytes() == epochs[0].tobytes()  # whatever Keras counts
    train.freeze(model, config.freeze_blocks)
    learning = {weight.path.split("/")[0] for weight in model.trainable_weights}
    assert "block5_expand_conv" in learning and "points_logits" in learning
    assert not {name for name in learning if name.startswith(("stem", "block0", "block4")) or name.endswith("_bn")}
