"""`facemodels models`: the known models, and the published ones of an owner."""

from __future__ import annotations

import argparse
import json
import sys

from facemodels.cli.command import Command
from facemodels.cli.console import FAILED, OK, complain, print_table
from facemodels.hub.registry import ModelSpec, list_models

UNITS = {"mae": "years", "degrees": "degrees"}  # of the metrics that are no fractions


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the specs as one JSON array")
    parser.add_argument(
        "--remote", metavar="OWNER", help="list the versions that an owner published on the hub instead"
    )


def _run(options: argparse.Namespace) -> int:
    from facemodels.hub import store

    if options.remote:
        return _remote(options.remote, as_json=options.json)
    specs = list_models()
    if options.json:
        sys.stdout.write(json.dumps([spec.to_dict() for spec in specs], indent=2) + "\n")
        return OK
    rows = []
    for spec in specs:
        size = sum(file.size for file in spec.files.values()) / 1e6
        answers = spec.attributes or (spec.kind,)
        cells = (spec.name, spec.version, answers, spec.license_name or spec.license, f"{size:.1f} MB")
        rows.append((*cells, store.locate(spec), headlines(spec)))
    print_table(("name", "version", "answers", "licence", "size", "from", "headline"), rows, numbers=("size",))
    return OK


def _remote(owner: str, *, as_json: bool) -> int:
    from facemodels.hub.publish import remote_versions

    versions = remote_versions(owner)
    if as_json:
        found = [
            {"reference": v.reference, "problem": v.problem, "spec": v.spec and v.spec.to_dict()} for v in versions
        ]
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return OK
    if not versions:
        complain(f"{owner} has published no model for facemodels")
        return FAILED
    rows = [(v.reference, headlines(v.spec) if v.spec else f"cannot be used here: {v.problem}") for v in versions]
    print_table(("model", "headline"), rows)
    return OK


def headlines(spec: ModelSpec) -> list[str]:
    """A model's main figure per attribute, for people: the first that its spec lists."""
    lines: dict[str, str] = {}
    for row in spec.metrics:
        unit = UNITS.get(row["metric"])
        value = f"{row['value']:.1%}" if unit is None else f"{row['value']:.2f} {unit}"
        lines.setdefault(row["label"], f"{row['label']} {value}")
    return list(lines.values())


COMMAND = Command(
    name="models",
    help="list the models: licences, sizes and figures",
    description="""\
List the known models: their attributes, licence, size, where they are loaded from, and their main figures.""",
    examples="""\
examples:
  %(prog)s
  %(prog)s --json
  %(prog)s --remote OWNER""",
    add_arguments=_add_arguments,
    run=_run,
)
