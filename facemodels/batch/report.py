"""What is in the tables of a batch: distributions, and how right the answers are where labels are known."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facemodels import __version__
from facemodels.attributes import ATTRIBUTES
from facemodels.errors import ArgumentError, DataError, FaceModelsError
from facemodels.evaluation.evaluate import SCHEMA, Answered, Evaluation, measure
from facemodels.evaluation.labels import LabelledImage
from facemodels.evaluation.report import markdown, table
from facemodels.evaluation.tables import read_table
from facemodels.files import write_errors, written_whole
from facemodels.kinds import Numeric
from facemodels.results import load_arrow
from facemodels.types import Box, Face
from facemodels.values import readable

_BIN = 5  # width of the bins of numbers
_MOST_MONTHS = 36  # in the table; the figure has all of them


@dataclass
class Distributions:
    """How often each answer was given.

    Attributes:
        faces: Rows.
        per_input: Faces per image, to how many images have so many.
        of: Attribute to its labels (of numbers, the beginnings of bins) to their counts.
        months: ``2024-05`` to the faces in photos of that month, where photos say when they were taken.
    """

    faces: int = 0
    per_input: Counter[int] = field(default_factory=Counter)
    of: dict[str, Counter[Any]] = field(default_factory=dict)
    months: Counter[str] = field(default_factory=Counter)


def report(out: Path, labels: Path | None = None, groups: Sequence[str] = (), *, overwrite: bool = False) -> Path:
    """Write ``report/report.md`` and ``report/distributions.png`` into the folder of a batch.

    Args:
        out: The folder that `analyze_many` made, with Parquet tables.
        labels: A csv with a column `source`, as in the tables, and one or more attributes: adds an audit, the figures
            of `facemodels evaluate` for the largest face of each image that has labels.
        groups: More columns of that csv to make tables by.
        overwrite: Replace an earlier report.

    Returns:
        The path of ``report.md``.

    Raises:
        ArgumentError: If the folder is none of a batch, has no Parquet tables, or has a report already.
        DataError: If the labels are not in order, or belong to no image of the tables.
        FaceModelsError: If pyarrow or matplotlib is missing, or the report cannot be written.
    """
    settings = out / "settings.json"
    if not settings.is_file():
        raise ArgumentError(f"{out}: is not the folder of a batch: there is no settings.json")
    if json.loads(settings.read_text(encoding="utf-8"))["format"] != "parquet":
        raise ArgumentError(f"{out}: has no Parquet tables; reports are made of those")
    page, plot = out / "report" / "report.md", out / "report" / "distributions.png"
    for target in (page, plot):
        if os.path.lexists(target) and not overwrite:
            raise ArgumentError(f"{target}: this file exists already; --overwrite replaces it")
    found = distributions(out)
    texts = [f"# {out.name}: {found.faces:,} faces in {found.per_input.total():,} images and videos"]
    texts += ["![distributions](distributions.png)", *_tables(found)]
    if labels is not None:
        audited = audit(out, labels, groups)
        texts.append(markdown(audited.report).replace("\n#", "\n##").replace("# ", "## Audit: ", 1))
    figure = _figure(found)
    with write_errors(page.parent):
        page.parent.mkdir(exist_ok=True)
    with written_whole(plot, overwrite=overwrite) as part, write_errors(plot):
        figure.savefig(part, dpi=120)
    with written_whole(page, overwrite=overwrite) as part, write_errors(page):
        part.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return page


def distributions(out: Path) -> Distributions:
    """Count what is in the tables, block by block."""
    found = Distributions()
    for path in sorted((out / "blocks").glob("[!.]*.json")):
        inputs = json.loads(path.read_text(encoding="utf-8"))["inputs"]
        found.per_input.update(entry["faces"] for entry in inputs.values() if "error" not in entry)
    for rows in _batches(out):
        found.faces += rows.num_rows
        for name, attribute in ATTRIBUTES.items():
            if name in rows.schema.names:
                values = rows.column(name).to_pylist()
                if isinstance(attribute.kind, Numeric):
                    values = [int(value) // _BIN * _BIN for value in values]
                found.of.setdefault(name, Counter()).update(values)
        found.months.update(taken.strftime("%Y-%m") for taken in rows.column("taken").to_pylist() if taken)
    return found


def audit(out: Path, labels: Path, groups: Sequence[str] = ()) -> Evaluation:
    """Measure the answers in the tables against labels; see `report`."""
    pictures = _read_labels(labels, groups)
    faces: list[Answered] = []
    heads: dict[str, list[str]] = {}
    models: dict[str, str] = {}
    for rows in _batches(out):
        if not heads:
            heads = {name: _labels(rows.schema, name) for name in ATTRIBUTES if name in rows.schema.names}
        for row in rows.to_pylist():
            if row["face"] != 1 or row["frame"] is not None or row["source"] not in pictures:
                continue
            models = {name: row[f"{name}_model"] for name in heads}
            values = {name: ATTRIBUTES[name].kind.typed_value(name, row, labels) for name, labels in heads.items()}
            face = Face(Box(row["x1"], row["y1"], row["x2"], row["y2"]), row["score"], **values)
            faces.append((pictures[row["source"]], dict.fromkeys(models.values(), face)))
    if not faces:
        raise DataError(f"{labels}: none of its {len(pictures):,} sources has a face in the tables of {out}")
    measured, answers = {}, []
    for name, model in models.items():
        scored = [one for one in faces if name in one[0].labels]
        if scored:
            measured[name], more = measure(name, scored, {model: heads[name]})
            answers += more
    settings = json.loads((out / "settings.json").read_text(encoding="utf-8"))
    answered = {str(picture.path) for picture, _ in faces}
    return Evaluation(
        {
            "schema": SCHEMA,
            "facemodels": __version__,
            "source": str(labels),
            "models": list(dict.fromkeys(models.values())),
            "backend": settings["backend"],
            "crops": False,
            "detector": settings["detector"],
            "min_score": settings["min_score"],
            "pictures": len(pictures),
            "faces": len(faces),
            "without_face": [source for source in pictures if str(Path(source)) not in answered],
            "unreadable": [],
            "columns_not_used": [],
            "labels_not_measured": sorted({name for p in pictures.values() for name in p.labels} - measured.keys()),
            "attributes": measured,
        },
        answers,
    )


def _read_labels(file: Path, groups: Sequence[str]) -> dict[str, LabelledImage]:
    """Source to its labels."""
    pictures: dict[str, LabelledImage] = {}
    for where, row in read_table(file, ("source", *groups)):
        columns = [name for name in ATTRIBUTES if name in row]
        if not columns:
            raise DataError(f"{file}:1: no column of labels ({', '.join(ATTRIBUTES)}); it has: {', '.join(row)}")
        try:
            labels = {name: ATTRIBUTES[name].parse(row[name]) for name in columns if row[name]}
        except ValueError as error:
            raise DataError(f"{where}: a label is out of range; {error}") from error
        of_groups = {name: row[name] for name in groups}
        pictures[row["source"]] = LabelledImage(Path(row["source"]), labels, of_groups, where)
    return pictures


def _batches(out: Path) -> Iterator[Any]:
    """The table of faces, some thousand rows at a time."""
    _, parquet = load_arrow()
    for path in sorted((out / "faces").glob("*.parquet")):
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches()


def _labels(schema: Any, name: str) -> list[str]:
    """The labels of the head behind an attribute; none for numbers."""
    column = f"{name}_scores"
    return json.loads(schema.field(column).metadata[b"labels"]) if column in schema.names else []


def _ordered(name: str, counts: Counter[Any]) -> list[tuple[str, int]]:
    """Labels by count; numbers by size, as ``20-24``."""
    if isinstance(ATTRIBUTES[name].kind, Numeric):
        return [(f"{begin}-{begin + _BIN - 1}", counts[begin]) for begin in sorted(counts)]
    return [(readable(label), count) for label, count in counts.most_common()]


def _tables(found: Distributions) -> Iterator[str]:
    for name, counts in found.of.items():
        rows = [(label, f"{count:,}", f"{count / found.faces:.1%}") for label, count in _ordered(name, counts)]
        yield f"## {name.capitalize()}\n\n{table((name, 'faces', 'fraction'), rows)}"
    images = [(str(faces), f"{found.per_input[faces]:,}") for faces in sorted(found.per_input)[:10]]
    yield f"## Faces per image\n\n{table(('faces', 'images'), images)}"
    if found.months:
        months = [(month, f"{found.months[month]:,}") for month in sorted(found.months)[-_MOST_MONTHS:]]
        yield f"## Months\n\n{table(('month', 'faces'), months)}"


def _figure(found: Distributions) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FaceModelsError(
            f'the page needs matplotlib, which is missing ({error}): pip install ".[evaluate]" in the checkout'
        ) from error
    panels: list[tuple[str, Mapping[str, int]]] = [
        (name, dict(_ordered(name, counts))) for name, counts in found.of.items()
    ]
    panels.append(("faces per image", {str(count): found.per_input[count] for count in sorted(found.per_input)[:10]}))
    if found.months:
        panels.append(("month", {month: found.months[month] for month in sorted(found.months)}))
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(11, 3.2 * rows), layout="constrained")
    for index, (title, counts) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, 2, index)
        axes.bar(range(len(counts)), list(counts.values()), color="#4c72b0")
        step = max(1, len(counts) // 12)
        axes.set_xticks(range(0, len(counts), step), list(counts)[::step], rotation=45, ha="right", fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{found.faces:,} faces")
    return figure
