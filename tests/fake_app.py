"""The app in a process of its own, with a fake analyzer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).parent.parent
SCRIPT = """
import sys, time
from facemodels.app import main, server
from test_app import FakeAnalyzer
class Analyzer(FakeAnalyzer):
    def __init__(self, **options): super().__init__()
{methods}
server.FaceAnalyzer = Analyzer
main(sys.argv[1:])
"""


def start_app(methods: str, port: int, uploads: Path) -> subprocess.Popen[bytes]:
    """Start it on a port; `methods` are those of its analyzer that differ from `FakeAnalyzer`."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "GRADIO_TEMP_DIR": str(uploads)}
    script = SCRIPT.format(methods=indent(methods, "    "))
    return subprocess.Popen([sys.executable, "-c", script, "--port", str(port)], cwd=ROOT, env=environment)
