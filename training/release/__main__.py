"""From a run folder to a release: `python -m training.release runs/emotion-efficientnet --data DIR --to
facemodels/weights`.

Calibrates on the validation split, writes `model.keras` and the `model.tflite` compiled from it, checks that they
agree, measures the test sets once, and writes the spec (`config.json`), `metrics.json`, golden outputs and the card. No
number is copied by hand.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from facemodels.errors import FaceModelsError
from facemodels.hub.registry import SPEC_FILE, ModelSpec
from training.config import config_from
from training.release.describe import card_elsewhere, describe, write_spec_and_card
from training.release.export import MADE, export

log = logging.getLogger("training")


def main(arguments: list[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m training.release", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a finished training run; or a release, to measure it again")
    parser.add_argument("--data", default=os.environ.get("FACEMODELS_DATA"), help="folder of the data sets")
    parser.add_argument("--to", type=Path, help="parent of the release folder (default: RUN/release)")
    parser.add_argument("--cards", type=Path, help="also copy the card here, as <model>.md")
    parser.add_argument("--card-only", action="store_true", help="rewrite only spec and card, without measuring")
    parser.add_argument("--limit", type=int, help="use only this many images of each data set")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    released = (options.folder / "metrics.json").is_file()
    if released:
        measured = json.loads((options.folder / "metrics.json").read_text())
        made = {key: measured[key] for key in MADE if key in measured}
    else:
        made = {"config": json.loads((options.folder / "config.json").read_text())}
    config = config_from(made["config"])
    if options.card_only and not released:
        parser.error(f"{options.folder} holds no metrics.json: only a release has a card")
    if not options.data and not options.card_only and config.datasets != ("synthetic",):
        parser.error("give the folder of the data sets with --data or FACEMODELS_DATA")
    target = (
        options.folder if released and not options.to else (options.to or options.folder / "release") / config.model
    )
    try:
        if options.card_only:
            write_spec_and_card(target, ModelSpec.from_file(target / SPEC_FILE), config, measured)
        elif released:
            describe(target, made, options.data or ".", options.limit)
        else:
            export(options.folder, target, options.data or ".", options.limit)
    except FaceModelsError as error:
        sys.exit(f"error: {error}")
    if options.cards:
        (options.cards / f"{config.model}.md").write_text(card_elsewhere(target, options.cards), encoding="utf-8")
    for row in ModelSpec.from_file(target / SPEC_FILE).metrics:
        log.info("%s %s %s %.4f (%d)", row["dataset"], row["label"], row["metric"], row["value"], row["count"])
    log.info("%s", target)


if __name__ == "__main__":
    main()
