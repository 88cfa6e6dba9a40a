"""The result of an evaluation as Markdown, figures and files; figures need the extra ``evaluate`` (matplotlib)."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels.attributes import ATTRIBUTES, is_numeric
from facemodels.errors import ArgumentError, FaceModelsError
from facemodels.evaluation.evaluate import Evaluation
from facemodels.results import CsvTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT = "report.json"
ANSWERS = ("path", "attribute", "model", "truth", "answer", "score")
# The files of a report, and nothing else, give way to a new one.
_WRITTEN = re.compile(rf"{re.escape(REPORT)}|report\.md|answers\.csv|[a-z]+-(errors|confusion|calibration).*\.png")
FEW = 20  # faces; smaller groups are unreliable


# --- tables ----------------------------------------------------------------------------------------------------------


def markdown(report: Mapping[str, Any], figures: Mapping[str, Sequence[str]] | None = None) -> str:
    """The report as Markdown.

    Args:
        report: `Evaluation.report`.
        figures: Attribute to the file names of its figures, to be shown beside its tables.

    Example:
        >>> print(markdown(evaluate("faces/", crops=True).report))      # doctest: +SKIP
        # faces/: 240 faces
        ...
    """
    parts = [f"# {report['source']}: {report['faces']:,} faces", _coverage(report)]
    for attribute, measured in report["attributes"].items():
        of_kind = _numbers if is_numeric(attribute) else _classes
        parts += [f"## {attribute.capitalize()}", *of_kind(attribute, measured)]
        parts += [f"![{name}]({name})" for name in (figures or {}).get(attribute, ())]
    parts.append(
        "Intervals contain the true figure in 19 of 20 samples of this size, if the faces are a random sample. Labels "
        "are what people saw in an image; so are the answers."
    )
    return "\n\n".join(parts) + "\n"


def _coverage(report: Mapping[str, Any]) -> str:
    how = "each one face already" if report["crops"] else f"the largest face that {report['detector']} finds in each"
    parts = [f"{report['pictures']:,} images, {how}; backend {report['backend']}."]
    if count := len(report["without_face"]):
        parts.append(f"**No face was found in {count:,}** of them ({_examples(report['without_face'])}): not counted.")
    if count := len(report["unreadable"]):
        parts.append(f"**{count:,} could not be read** ({_examples(report['unreadable'])}): not counted.")
    if names := report["columns_not_used"]:
        parts.append(f"Columns not used: {', '.join(names)}.")
    if names := report["labels_not_measured"]:
        parts.append(f"Labels not measured, as no model here answers them: {', '.join(names)}.")
    return " ".join(parts)


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _classes(attribute: str, measured: Mapping[str, Any]) -> Iterator[str]:
    results = measured["results"]
    yield table(
        ("model", "correct", "95 % interval", "macro recall", "macro F1", "calibration error", "faces"),
        [
            (
                *(result["model"], f"{result['accuracy']:.1%}", _shares(result["accuracy_interval"])),
                *(f"{result['balanced_accuracy']:.1%}", f"{result['macro_f1']:.3f}"),
                *(f"{result['calibration_error']:.3f}", f"{result['count']:,}"),
            )
            for result in results
        ],
    )
    for result in results:
        if names := result["cannot_answer"]:
            yield f"{result['model']} does not know {', '.join(names)}: wrong on each such face."
    yield from _differences(measured, lambda value: f"{100 * value:+.1f} points")
    for result in results:
        yield f"**{result['model']}**, by {attribute}:"
        rows = [(name, row) for name, row in result["classes"].items() if row["support"] or row["precision"]]
        taken = taken_for_neutral(result["confusion"], measured["labels"])
        yield table(
            (attribute, "precision", "recall", "F1", *(("answered neutral",) if taken else ()), "faces"),
            [
                (
                    *(name, f"{row['precision']:.3f}", f"{row['recall']:.3f}", f"{row['f1']:.3f}"),
                    *((taken[name],) if taken else ()),
                    f"{row['support']:,}",
                )
                for name, row in rows
            ],
        )
    yield from _groups(results, "correct", lambda value: f"{value:.1%}", _shares)


def _numbers(attribute: str, measured: Mapping[str, Any]) -> Iterator[str]:
    unit = ATTRIBUTES[attribute].kind.unit
    yield table(
        ("model", "mean error", "95 % interval", "median error", "bias", "error it expects", "faces"),
        [
            (
                *(result["model"], f"{result['mae']:.2f} {unit}", _range(result["mae_interval"])),
                *(f"{result['median_error']:.2f}", f"{result['bias']:+.2f}", f"{result['expected_error']:.2f}"),
                f"{result['count']:,}",
            )
            for result in measured["results"]
        ],
    )
    yield from _differences(measured, lambda value: f"{value:+.2f} {unit} of error")
    yield from _groups(measured["results"], f"mean error, {unit}", lambda value: f"{value:.2f}", _range)


def _differences(measured: Mapping[str, Any], shown: Any) -> Iterator[str]:
    for row in measured["differences"]:
        text = f"{row['model']} against {row['against']}, on the same faces: {shown(row['difference'])}"
        if row["interval"] is not None:
            low, high = row["interval"]
            chance = "; chance alone could make this" if low <= 0 <= high else ""
            text += f" ({shown(low)} to {shown(high)}{chance})"
        yield f"{text}."


def taken_for_neutral(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> dict[str, str]:
    """For each label, the fraction of its faces that was predicted ``neutral``; empty if that is not a label.

    Args:
        confusion: As from `metrics.confusion`.
        labels: Of its rows and columns, in order.

    Example:
        >>> taken_for_neutral([[3, 1], [0, 2]], ("sad", "neutral"))
        {'sad': '25.0%', 'neutral': ''}
    """
    if "neutral" not in labels:
        return {}
    column = list(labels).index("neutral")
    counts = [
        (label, row[column], sum(int(count) for count in row)) for label, row in zip(labels, confusion, strict=True)
    ]
    return {label: f"{taken / faces:.1%}" if label != "neutral" and faces else "" for label, taken, faces in counts}


def _groups(results: Sequence[Mapping[str, Any]], what: str, shown: Any, interval: Any) -> Iterator[str]:
    """A table per grouping, the models side by side."""
    for name, first in results[0]["groups"].items():
        header = (name, *(f"{result['model']}: {what}" for result in results), "faces")
        rows = []
        for group, row in first.items():
            cells = [result["groups"][name][group] for result in results]
            values = (f"{shown(cell['value'])} ({interval(cell['interval'])})" for cell in cells)
            rows.append((group, *values, f"{row['count']:,}" + (" (few)" if row["count"] < FEW else "")))
        yield table(header, rows)


def _shares(interval: Sequence[float]) -> str:
    return f"{max(0.0, interval[0]):.1%} to {interval[1]:.1%}"


def _range(interval: Sequence[float] | None) -> str:
    return "too few faces" if interval is None else f"{max(0.0, interval[0]):.2f} to {interval[1]:.2f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    Example:
        >>> print(table(("a", "b"), [("1", "2")]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = [header, ["---"] * len(header), *rows]
    text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([text[0], text[1].replace(" ", ""), *text[2:]])


# --- figures --------------------------------------------------------------------------------------------------------


def confusion_figure(result: Mapping[str, Any], labels: Sequence[str]) -> Figure:
    """A confusion matrix: fractions of each true label's faces, with their counts.

    Args:
        result: One model's result on one attribute, out of `Evaluation.report`.
        labels: The attribute's labels, in the result's order; those that never occur are left out.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    counts = np.array(result["confusion"])
    seen = np.flatnonzero(counts.sum(0) + counts.sum(1))
    counts = counts[np.ix_(seen, seen)]
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.0, 2.4 + 0.55 * len(seen))
    figure = Figure((side + 0.9, side), layout="constrained")
    axes = figure.subplots()
    names = [labels[int(index)].replace("_", " ") for index in seen]
    display = ConfusionMatrixDisplay(fractions, display_labels=names)
    display.plot(ax=axes, cmap="Blues", values_format=".0%", xticks_rotation=45, im_kw={"vmin": 0, "vmax": 1})
    for text, count in zip(display.text_.ravel(), counts.ravel(), strict=True):
        text.set_text(f"{text.get_text()}\n{count:,}" if count else "")
        text.set_fontsize(8)
    axes.set(xlabel="answered", ylabel="true")
    axes.set_title(f"{result['model']}\n{result['accuracy']:.1%} of {result['count']:,} correct", fontsize=10)
    return figure


def calibration_figure(measured: Mapping[str, Any]) -> Figure:
    """Accuracy by confidence of each model; on the diagonal a score is a probability.

    Args:
        measured: One attribute of `Evaluation.report`.
    """
    from matplotlib.figure import Figure

    figure = Figure((5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), ":", color="grey", label="a score is a probability")
    for result in measured["results"]:
        bins = result["calibration"]
        most = max(row["count"] for row in bins)
        (line,) = axes.plot(
            [row["confidence"] for row in bins],
            [row["accuracy"] for row in bins],
            label=f"{result['model']} (error {result['calibration_error']:.3f})",
        )
        sizes = [10 + 90 * row["count"] / most for row in bins]
        axes.scatter(line.get_xdata(), line.get_ydata(), sizes, color=line.get_color())
    axes.set(xlabel="score of the answer", ylabel="fraction correct", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_title("Larger dots: more faces", fontsize=10)
    figure.legend(fontsize=8, loc="outside lower center")
    return figure


def age_figure(truth: Sequence[float], estimates: Sequence[float], result: Mapping[str, Any]) -> Figure:
    """True ages and their estimates.

    Args:
        truth: Years.
        estimates: Years, of the same faces.
        result: One model's result on ages, out of `Evaluation.report`.
    """
    from matplotlib.figure import Figure

    top = max(*truth, *estimates) + 5
    figure = Figure((5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot((0, top), (0, top), ":", color="grey")
    axes.scatter(truth, estimates, 14, alpha=max(0.1, min(0.8, 200 / len(truth))), linewidths=0)
    axes.set(xlabel="true age, years", ylabel="estimate, years", xlim=(0, top), ylim=(0, top), aspect="equal")
    axes.set_title(f"{result['model']}\nmean error {result['mae']:.2f} years, {result['count']:,} faces", fontsize=10)
    return figure


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, str, Figure]]:
    """Attribute, file name, figure."""
    for attribute, measured in evaluation.report["attributes"].items():
        for number, result in enumerate(measured["results"], start=1):
            place = f"-{number}" if len(measured["results"]) > 1 else ""
            model = re.sub(r"[^\w.-]+", "-", result["model"].partition(" ")[0]) + place
            if is_numeric(attribute):
                mine = (attribute, result["model"])
                rows = [row for row in evaluation.answers if (row["attribute"], row["model"]) == mine]
                truth, said = [float(row["truth"]) for row in rows], [float(row["answer"]) for row in rows]
                yield attribute, f"{attribute}-errors-{model}.png", age_figure(truth, said, result)
            else:
                name = f"{attribute}-confusion-{model}.png"
                yield attribute, name, confusion_figure(result, measured["labels"])
        if not is_numeric(attribute):
            yield attribute, f"{attribute}-calibration.png", calibration_figure(measured)


# --- files -----------------------------------------------------------------------------------------------------------


def check_folder(folder: str | os.PathLike[str], *, overwrite: bool = True) -> Path:
    """Check that a report can be written to a folder: new, empty, or holding only an earlier report.

    Args:
        folder: The folder.
        overwrite: Whether an earlier report may be replaced.

    Raises:
        ArgumentError: If it holds anything else, or the packages for figures are missing.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise ArgumentError(f"--out {path}: is a file; give a folder")
    names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    others = [name for name in names if not _WRITTEN.fullmatch(name)]
    if others or (names and REPORT not in names):
        other = (others or names)[0]
        raise ArgumentError(f"--out {path}: holds other files than a report, {other}; give a new folder")
    if names and not overwrite:
        raise ArgumentError(f"--out {path}: holds an earlier report; choose another folder, or --overwrite it")
    try:
        import matplotlib  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            f"--out {path}: figures need {error.name}: pip install 'matplotlib>=3.10,<4' 'scikit-learn>=1.6,<2'"
        ) from error
    return path


def write(evaluation: Evaluation, folder: str | os.PathLike[str]) -> Path:
    """Write `report.json`, `report.md`, `answers.csv` and the figures atomically.

    Args:
        evaluation: From `evaluate`.
        folder: A new one, or one with an earlier report, which is replaced.

    Returns:
        The path of `report.md`.

    Raises:
        ArgumentError: As `check_folder`.
        FaceModelsError: If it cannot be written; an earlier report is then unchanged.
    """
    target = check_folder(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as name:
            staging = Path(name) / "new"
            staging.mkdir()
            _write_all(evaluation, staging)
            old = Path(name) / "old"
            if target.exists():
                target.rename(old)
            try:
                staging.rename(target)
            except OSError:
                if old.exists():
                    old.rename(target)
                raise
    except OSError as error:
        raise FaceModelsError(f"{target}: the report cannot be written: {error}; nothing was kept") from error
    return target / "report.md"


def _write_all(evaluation: Evaluation, folder: Path) -> None:
    figures: dict[str, list[str]] = {}
    for attribute, name, figure in _figures(evaluation):
        figure.savefig(folder / name, dpi=120)
        figures.setdefault(attribute, []).append(name)
    with (folder / "answers.csv").open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = CsvTable(file, ANSWERS)
        for answer in evaluation.answers:
            table.write(answer)
    text = json.dumps(evaluation.report, indent=2, ensure_ascii=False) + "\n"
    for name, content in (("report.md", markdown(evaluation.report, figures)), (REPORT, text)):
        (folder / name).write_text(content, encoding="utf-8", errors="backslashreplace")
