"""Write the README's tables: `python -m benchmarks.tables` (`--check` only compares).

The models from their specs; speed, webcam, peers and accuracy from the newest result of each in `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from facemodels import ModelSpec, list_models

README = Path(__file__).parent.parent / "README.md"
RESULTS = Path(__file__).parent / "results"
PUBLISHED = Path(__file__).parent / "published.json"  # figures of others, with where they are from


def models_table(specs: list[ModelSpec]) -> str:
    """Markdown: a row per measured figure of every model."""
    rows = ["| model | answers | test set | figure | faces |", "|---|---|---|---|---|"]
    for spec in specs:
        for row in spec.metrics:
            if row["metric"] == "f1":
                continue
            label = row["label"].replace("_", " ")
            if row["metric"] == "mae":
                figure = f"{row['value']:.2f} years mean error"
            else:
                figure = f"{row['value']:.1%} {'within one bin' if row['metric'] == 'within_one_bin' else 'correct'}"
            rows.append(f"| {spec.id} | {label} | {row['dataset']} | {figure} | {row['count']:,} |")
    return "\n".join(rows)


def published_table(specs: list[ModelSpec], path: Path = PUBLISHED) -> str:
    """Markdown: our figures beside those that others publish for the same task."""
    rows = ["| task | facemodels | others, as they report |", "|---|---|---|"]
    for entry in json.loads(path.read_text(encoding="utf-8")):
        wanted = entry["ours"].items()
        found = [(spec.id, row["value"]) for spec in specs for row in spec.metrics if wanted <= row.items()]
        years = entry["ours"]["metric"] == "mae"

        def shown(value: float, years: bool = years) -> str:
            return f"{value:.2f}" if years else f"{value:.1%}"

        ours = "<br>".join(f"**{shown(value)}** {name}" for name, value in found)
        others = "<br>".join(f"{shown(other['value'])} {other['who']}" for other in entry["others"])
        rows.append(f"| {entry['task']} | {ours} | {others} |")
    return "\n".join(rows)


def newest(kind: str, folder: Path = RESULTS) -> str:
    """Markdown: the newest ``KIND-YYYY-MM-DD.md``, without its title, its links leading there from the README.

    Where there is none, what to run.
    """
    found = sorted(folder.glob(f"{kind}-????-??-??.md"))
    if not found:
        return f"Not measured yet: `python -m benchmarks.{kind} --write`."
    _, _, text = found[-1].read_text(encoding="utf-8").partition("\n")
    return re.sub(r"\]\((?!http)", f"]({folder.relative_to(README.parent).as_posix()}/", text.strip())


def with_table(readme: str) -> str:
    """The README with its tables made anew: whatever stands between ``<!-- NAME: ... -->`` and ``<!-- /NAME -->``.

    Raises:
        ValueError: If the markers of the models are missing, or those of another table do not close.
    """
    made = {"models": models_table, "published": published_table}
    for name in (*made, "speed", "webcam", "peers", "accuracy"):
        begin, end = f"<!-- {name}: made by python -m benchmarks.tables -->", f"<!-- /{name} -->"
        before, found, rest = readme.partition(begin)
        _, closed, after = rest.partition(end)
        if found and closed:
            table = made[name](list_models()) if name in made else newest(name)
            readme = f"{before}{begin}\n{table}\n{end}{after}"
        elif name in made or found:
            raise ValueError(f"{README.name} lacks the markers {begin} and {end}")
    return readme


def main() -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if the README is not up to date")
    options = parser.parse_args()
    old = README.read_text(encoding="utf-8")
    new = with_table(old)
    if options.check:
        return int(old != new)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
