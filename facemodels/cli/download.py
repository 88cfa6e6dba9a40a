"""`facemodels download`: models for use without a network."""

from __future__ import annotations

import argparse
import sys

from facemodels.cli.command import Command
from facemodels.cli.console import OK


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME[@VERSION]", help="default: the default models")
    parser.add_argument(
        "--backend",
        default="litert",
        choices=("litert", "keras"),
        help="download the files of this backend (default: %(default)s)",
    )
    parser.add_argument(
        "--verify", metavar="PUBLIC_KEY", help="refuse models that were not signed with this key (elliptic curve, PEM)"
    )


def _run(options: argparse.Namespace) -> int:
    from facemodels.hub.store import download

    for name, folder in download(options.names or None, backend=options.backend, public_key=options.verify).items():
        sys.stdout.write(f"{name}: {folder}\n")
    return OK


COMMAND = Command(
    name="download",
    help="download and verify models, for use without a network",
    description="""\
Download models, verify their hashes, and print where they are. Files that exist already are only verified; the
default models are bundled with the package.""",
    examples="""\
examples:
  %(prog)s
  %(prog)s yunet
  %(prog)s OWNER/emotion-finetune@1.0.0 --backend keras
  %(prog)s OWNER/emotion-finetune@1.0.0 --verify public.pem""",
    add_arguments=_add_arguments,
    run=_run,
)
