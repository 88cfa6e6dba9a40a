"""The figures and the card of a release of landmarks; imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCardData

from facemodels.attributes import ON_REQUEST
from facemodels.hub.registry import ModelSpec
from training.config import config_from
from training.data.face_data import HEADS
from training.landmarks.mesh import PACKAGE
from training.release.card import DATASET_CARDS, source, table

TEMPLATE = Path(__file__).parents[2] / "model_cards" / "_landmarks.md"
ALL = "all test faces"


def headline(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures of the spec: median errors on all test faces together, of the pose the mean of its three angles'."""
    test = measured["tests"][-1]
    pose = float(np.mean([test[angle]["median"] for angle in HEADS["pose"]]))
    values = (("points", "eye_distance_error", test["points"]["median"]), ("pose", "degrees", pose))
    return [
        {"dataset": ALL, "label": label, "metric": metric, "value": round(value, 6), "count": test["count"]}
        for label, metric, value in values
    ]


def write_card(spec: ModelSpec, measured: dict[str, Any]) -> str:
    """The card of a release."""
    config = config_from(measured["config"])
    data = ModelCardData(
        model_name=spec.name,
        language="en",
        license=spec.license,
        license_name=spec.license_name,
        library_name="keras",
        pipeline_tag=ON_REQUEST["points"].kind.pipeline_tag,
        tags=["facemodels", "keras", "litert", "face", *spec.attributes, "face-landmarks", "head-pose"],
        datasets=list(spec.datasets),
        eval_results=[
            EvalResult(
                task_type=ON_REQUEST[row["label"]].kind.pipeline_tag,
                task_name=row["label"],
                dataset_type="faces",
                dataset_name=row["dataset"],
                dataset_config=row["label"],
                metric_type=row["metric"],
                metric_name=row["metric"].replace("_", " "),
                metric_value=row["value"],
            )
            for row in spec.metrics
        ],
    )
    tests, angles = measured["tests"], HEADS["pose"]
    all_tests = tests[-1]
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=spec.name,
        version=spec.version,
        input_size=spec.input_size,
        margin=spec.margin,
        offset=spec.offset,
        parameters=f"{measured['parameters']:,}",
        keras_size=f"{spec.files['model.keras'].size / 1e6:.1f} MB",
        tflite_size=f"{spec.files['model.tflite'].size / 1e6:.1f} MB",
        tolerance="{points:.4f} of the crop and {pose:.2f} degrees".format(**measured["differences"]),
        speed=f"{measured['latency_ms']:.1f} ms a face ({measured['machine']})",
        datasets=", ".join(spec.datasets),
        package=PACKAGE,
        points=f"{all_tests['points']['median']:.1%}",
        pose=", ".join(f"{angle} {all_tests[angle]['median']:.1f}" for angle in angles),
        tests=table(
            ("test faces", "count", "points, median", "mean", "90 of 100", *(f"{angle}, median" for angle in angles)),
            [
                (
                    test["dataset"],
                    test["count"],
                    *(f"{test['points'][key]:.1%}" for key in ("median", "mean", "p90")),
                    *(f"{test[angle]['median']:.1f}°" for angle in angles),
                )
                for test in tests
            ],
        ),
        yaws=table(
            ("yaw by the mesh", "count", "points, median", "90 of 100", "yaw, median"),
            [
                (
                    f"{row['yaw']}°",
                    row["count"],
                    f"{row['points']['median']:.1%}",
                    f"{row['points']['p90']:.1%}",
                    f"{row['yaw_error']['median']:.1f}°",
                )
                for row in all_tests["by_yaw"]
                if row["count"]
            ],
        ),
        consistency=table(
            ("the same face", "points move by", "pose by"),
            [(name, f"{row['points']:.1%}", f"{row['pose']:.1f}°") for name, row in measured["consistency"].items()],
        ),
        presence="{faces:.1%} of the faces and {empty:.1%} of the crops without one".format(**measured["presence"]),
        epochs=measured["epochs"],
        chosen=measured["chosen_epoch"],
        crops=f"{config.epoch_size:,}",
        start=source(config.start),
        frozen=config.freeze_blocks,
        licences="\n".join(f"- {DATASET_CARDS[name]['licence']}" for name in config.datasets),
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text}"
