"""Write the generated tables of README.md and benchmarks/README.md: `python -m benchmarks.tables`.

A table stands between ``<!-- NAME: made by python -m benchmarks.tables -->`` and ``<!-- /NAME -->``. Those of models
come from their specs; every other NAME is the newest ``NAME-YYYY-MM-DD.md`` in `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facemodels import ModelSpec, list_models
from facemodels.evaluation.report import table
from facemodels.hub.store import serving_file

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md")
RESULTS = ROOT / "benchmarks" / "results"
PUBLISHED = ROOT / "benchmarks" / "published.json"  # figures of others, with where they are from

_MARKED = re.compile(
    r"<!-- (?P<name>\w+): made by python -m benchmarks\.tables -->\n(?P<old>.*?)<!-- /(?P=name) -->", re.S
)


def figure(row: Mapping[str, Any]) -> str:
    """One measured figure of a spec, with its unit."""
    if row["metric"] == "mae":
        return f"{row['value']:.2f} years mean error"
    if row["metric"] == "degrees":
        return f"{row['value']:.1f}° off"
    words = {
        "eye_distance_error": "of the eye distance off",
        "accuracy": "correct",
        "within_one_bin": "within one bin",
        "macro_recall": "macro recall",
    }
    return f"{row['value']:.1%} {words.get(row['metric'], row['metric'])}"


def shown(row: Mapping[str, Any]) -> bool:
    """Whether a figure stands in the tables; F1 says what accuracy and macro recall say."""
    return row["metric"] != "f1"


def overview_table(specs: list[ModelSpec]) -> str:
    """Markdown: a row per model, with its first figure on each test set."""
    rows = []
    for spec in specs:
        if spec.kind != "attributes":
            continue
        first: dict[tuple[str, str], str] = {}
        for row in filter(shown, spec.metrics):
            what = "" if len(spec.heads) == 1 else f"{row['label'].replace('_', ' ')} "
            first.setdefault((row["dataset"], row["label"]), f"{what}{figure(row)} ({row['dataset']})")
        size = spec.files[serving_file(spec)].size / 1e6
        rows.append(
            (
                f"[{spec.id}](model_cards/{spec.name}.md)",
                ", ".join(spec.attributes),
                "<br>".join(first.values()),
                f"{size:.1f} MB",
            )
        )
    return table(("model", "answers", "on test sets", "size"), rows)


def models_table(specs: list[ModelSpec]) -> str:
    """Markdown: a row per measured figure of every model."""
    rows = [
        (spec.id, row["label"].replace("_", " "), row["dataset"], figure(row), f"{row['count']:,}")
        for spec in specs
        for row in filter(shown, spec.metrics)
    ]
    return table(("model", "answers", "test set", "figure", "faces"), rows)


def published_table(specs: list[ModelSpec], path: Path = PUBLISHED) -> str:
    """Markdown: our figures beside those that others publish for the same task."""
    rows = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        wanted = entry["ours"].items()
        found = [(spec.id, row["value"]) for spec in specs for row in spec.metrics if wanted <= row.items()]
        form = "{:.2f}" if entry["ours"]["metric"] == "mae" else "{:.1%}"
        ours = "<br>".join(f"**{form.format(value)}** {name}" for name, value in found)
        others = "<br>".join(f"{form.format(other['value'])} {other['who']}" for other in entry["others"])
        rows.append((entry["task"], ours, others))
    return table(("task", "facemodels", "others, as they report"), rows)


def newest(kind: str, page: Path, folder: Path = RESULTS) -> str:
    """Markdown: the newest ``KIND-YYYY-MM-DD.md`` without its title, its links leading there from the page.

    Where there is none, what to run.
    """
    found = sorted(folder.glob(f"{kind}-????-??-??.md"))
    if not found:
        return f"Not measured yet: `python -m benchmarks.{kind} --write`."
    _, _, text = found[-1].read_text(encoding="utf-8").partition("\n")
    there = Path(os.path.relpath(folder, page.parent)).as_posix()
    return re.sub(r"\]\((?!http)", f"]({there}/", text.strip())


MADE = {"overview": overview_table, "models": models_table, "published": published_table}


def with_tables(page: Path) -> str:
    """The text of a page with its tables made anew.

    Raises:
        ValueError: If a marker does not close.
    """
    text = page.read_text(encoding="utf-8")
    closed = [found["name"] for found in _MARKED.finditer(text)]
    if opened := set(re.findall(r"<!-- (\w+): made by python -m benchmarks\.tables", text)) - set(closed):
        raise ValueError(f"{page.name} lacks the marker <!-- /{min(opened)} -->")

    def remade(found: re.Match[str]) -> str:
        name = found["name"]
        made = MADE[name](list_models()) if name in MADE else newest(name, page)
        return f"<!-- {name}: made by python -m benchmarks.tables -->\n{made}\n<!-- /{name} -->"

    return _MARKED.sub(remade, text)


def main() -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a page is not up to date")
    options = parser.parse_args()
    made = {page: with_tables(page) for page in PAGES}
    if options.check:
        return int(any(page.read_text(encoding="utf-8") != text for page, text in made.items()))
    for page, text in made.items():
        page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
