"""Write the README's table of models from the specs: `python -m benchmarks.tables` (`--check` only compares)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from facemodels import ModelSpec, list_models

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- models: made by python -m benchmarks.tables -->", "<!-- /models -->"


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


def with_table(readme: str) -> str:
    """The README with its table made anew.

    Raises:
        ValueError: If the markers are missing.
    """
    before, found, rest = readme.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"{README.name} lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{models_table(list_models())}\n{END}{after}"


def main() -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
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
