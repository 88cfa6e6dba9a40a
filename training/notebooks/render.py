"""Run the notebooks and keep what they show: `python -m training.notebooks.render [NAME ...]`.

The copies go to `rendered/` as Markdown with pictures. They are made on drawn faces, so that no picture of a person
stands in them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
RENDERED = FOLDER / "rendered"
ROOT = FOLDER.parent.parent
SECONDS = 600  # for one cell, on a slow machine
LOGGED = re.compile(r"(INFO|WARNING):\w+:")


def notebooks() -> list[Path]:
    """The notebooks, by name."""
    return sorted(FOLDER.glob("*.ipynb"))


def execute(notebook: Path, folder: Path) -> NotebookNode:
    """A notebook with its outputs, run top to bottom in a new kernel.

    Args:
        notebook: The file; it stays as it is.
        folder: Where it runs, and leaves its files.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails; the message shows which, and its error.
    """
    node = nbformat.read(notebook, as_version=4)
    client = NotebookClient(node, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    client.execute(env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"})
    return node


def render(node: NotebookNode, name: str, target: Path) -> Path:
    """Write an executed notebook as ``NAME.md``, its pictures beside it in ``NAME/``.

    What libraries log is left out: it tells of the machine, not of the matter.
    """
    for cell in node.cells:
        if cell.cell_type == "code":
            cell.outputs = list(_told(cell.outputs))
    resources = {"unique_key": name, "output_files_dir": name}
    text, made = MarkdownExporter().from_notebook_node(node, resources)
    target.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target / name, ignore_errors=True)
    for place, content in made["outputs"].items():
        if place in text:  # of a picture in several formats, one
            (target / place).parent.mkdir(exist_ok=True)
            (target / place).write_bytes(content)
    file = target / f"{name}.md"
    text = "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"
    file.write_text(re.sub(r"\n{3,}", "\n\n", text), encoding="utf-8")
    return file


def _told(outputs: Iterable[NotebookNode]) -> Iterator[NotebookNode]:
    """The outputs without log lines; what was printed in pieces is one again."""
    printed: NotebookNode | None = None
    for output in outputs:
        if output.output_type != "stream":
            printed = None
            yield output
        elif output.name == "stdout" and not LOGGED.match(output.text):
            if printed is None:
                printed = output
                yield output
            else:
                printed.text += output.text


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module's docstring."""
    known = {notebook.stem: notebook for notebook in notebooks()}
    parser = argparse.ArgumentParser(prog="python -m training.notebooks.render", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(known)}")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no notebook {', '.join(unknown)}; known: {', '.join(known)}")
    for name in options.names or known:
        with tempfile.TemporaryDirectory() as folder:
            print(render(execute(known[name], Path(folder)), name, RENDERED))


if __name__ == "__main__":
    main()
