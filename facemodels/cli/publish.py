"""`facemodels publish`: a release folder as a version that others can pin."""

from __future__ import annotations

import argparse
import json
import os
import sys

from facemodels.cli.command import Command
from facemodels.cli.console import OK


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RELEASE_FOLDER", help="a release folder, as `training.release` writes it")
    parser.add_argument("--repo", metavar="OWNER/NAME", help="hub repository (default: the one in its spec)")
    parser.add_argument("--version", help="refuse if the folder holds another version than this")
    parser.add_argument("--to", metavar="DIR", help="write to a new local folder instead of the hub")
    parser.add_argument(
        "--sign",
        metavar="PRIVATE_KEY",
        help="sign it with this key (elliptic curve, PEM; its password, if any, in FACEMODELS_SIGN_PASSWORD)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything and print the steps, without publishing"
    )


def _run(options: argparse.Namespace) -> int:
    from facemodels.hub.publish import publish

    result = publish(
        options.folder,
        repo_id=options.repo,
        version=options.version,
        to=options.to,
        dry_run=options.dry_run,
        private_key=options.sign,
        password=os.environ.get("FACEMODELS_SIGN_PASSWORD"),
    )
    for step in result.steps:
        sys.stderr.write(f"{'would ' if not result.done else ''}{step}\n")
    # The spec with its commit and hashes: what others pin.
    sys.stdout.write(json.dumps(result.spec.to_dict()) + "\n")
    return OK


COMMAND = Command(
    name="publish",
    help="check a release folder and publish it as a version on the hub",
    description="""\
Check a release folder (its spec, card, hashes, and that its weights answer as recorded) and publish it as a version on
the hub, or write it to a folder of the same layout. Prints the spec with its commit and hashes.""",
    examples="""\
examples:
  %(prog)s release/emotion-finetune --repo OWNER/emotion-finetune --dry-run
  %(prog)s release/emotion-finetune --to shared/emotion-finetune
  %(prog)s release/emotion-finetune --repo OWNER/emotion-finetune --sign private.pem""",
    add_arguments=_add_arguments,
    run=_run,
)
