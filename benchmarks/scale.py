"""How batches scale on one machine: `python -m benchmarks.scale [--photos N] [--cluster]`.

A synthetic archive, analyzed by the bare loop, by one and two worker processes and by two Ray actors; memory for a
tenth of the inputs and for all; the cost of a run that finds everything done; and, with `--cluster`, a Ray cluster of
three nodes of which one is killed half way.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.speed import RESULTS, group, machine
from facemodels import FaceAnalyzer, analyze_many
from facemodels.batch.run import BatchProgress
from facemodels.evaluation.report import table

DIFFERENT = 100  # photos; the others are links to them
LARGE = 800  # photos at most of 640 x 480 pixels, so that a run takes minutes
SECONDS_A_DAY = 86_400


def archive(folder: Path, count: int, size: tuple[int, int] = (640, 480)) -> Path:
    """A folder of photos of one to four faces, a thousand to a subfolder."""
    rng = np.random.default_rng(0)
    sources = []
    for number in range(min(DIFFERENT, count)):
        scene = group(1 + number % 4, *size)
        noisy = np.clip(scene + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)
        sources.append(folder / "sources" / f"{number}.jpg")
        sources[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(sources[-1], quality=90)
    for number in range(count):
        target = folder / "photos" / f"{number // 1_000:03}" / f"{number:06}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(sources[number % len(sources)], target)
    return folder / "photos"


def bare_loop(photos: Path, count: int) -> tuple[float, float]:
    """Photos a second, and processor seconds a photo, of `FaceAnalyzer.analyze_batch` in this process."""
    analyzer = FaceAnalyzer(threads=1)
    analyzer.warmup()
    paths = sorted(photos.rglob("*.jpg"))[:count]
    start, busy = time.perf_counter(), time.process_time()
    for begin in range(0, count, 32):
        analyzer.analyze_batch(paths[begin : begin + 32])
    return count / (time.perf_counter() - start), (time.process_time() - busy) / count


def batch(options: dict[str, Any]) -> dict[str, Any]:
    """A run of `analyze_many` in a process of its own: summary, rate once it has begun, processor time, peak memory."""
    command = [sys.executable, "-m", "benchmarks.scale", "--run", json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        memory = Memory(process.pid)
        assert process.stdout is not None
        output = process.stdout.read()
        memory.is_over = True
    if process.returncode:
        raise SystemExit(f"{options} failed")
    return {**json.loads(output.splitlines()[-1]), "memory": memory.peak}


class Memory:
    """Samples the memory of a process and its children: what each has for itself, and a fair fraction of the rest."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self.is_over = False
        self._process = psutil.Process(pid)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.is_over:
            total = 0
            with suppress(psutil.Error):
                for process in (self._process, *self._process.children(recursive=True)):
                    with suppress(psutil.Error):
                        total += process.memory_full_info().pss
            self.peak = max(self.peak, total)
            time.sleep(1.0)


def run(options: dict[str, Any]) -> None:
    """What `batch` has done."""
    told: list[BatchProgress] = []
    analyzer = FaceAnalyzer(options.pop("attributes", None), threads=1)
    summary = analyze_many(options.pop("inputs"), options.pop("out"), analyzer, progress=told.append, **options)
    begun, last = next((one for one in told if one.done > one.earlier), told[-1]), told[-1]
    rate = (last.done - begun.done) / max(last.seconds - begun.seconds, 1e-9)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    busy = sum(one.ru_utime + one.ru_stime for one in used)
    print(json.dumps({**summary["run"], "rate": rate, "busy": busy, "counts": summary["counts"]}))


def local(photos: Path, folder: Path, workers: int) -> tuple[dict[str, Any], float]:
    """A local run, and processor seconds a photo: what twice the photos take more, so that no start-up is in it."""
    paths = sorted(map(str, photos.rglob("*.jpg")))
    runs = []
    for count in (len(paths) // 2, len(paths)):
        (listed := folder / f"{count}.txt").write_text("\n".join(paths[:count]))
        runs.append(batch({"inputs": str(listed), "out": str(folder / f"{workers}-{count}"), "workers": workers}))
    half, whole = runs
    return whole, (whole["busy"] - half["busy"]) / (whole["inputs"] - half["inputs"])


def cluster(photos: Path, out: Path) -> str:
    """One of three nodes is killed half way; what is in the tables then."""
    import ray
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    doomed, _ = (nodes.add_node(num_cpus=1) for _ in range(2))
    total = sum(1 for _ in photos.rglob("*.jpg"))
    killed: list[int] = []

    def kill(progress: BatchProgress) -> None:
        if not killed and progress.done >= total // 3:
            killed.append(progress.done)
            nodes.remove_node(doomed, allow_graceful=False)

    ray.init(address=nodes.address, log_to_driver=False)
    analyze_many(photos, out, FaceAnalyzer(["age"], threads=1), engine="ray", workers=(1, 3), progress=kill)
    ray.shutdown()
    nodes.shutdown()
    rows = Counter(source for path in (out / "faces").iterdir() for source in pq.read_table(path)["source"].to_pylist())
    done = Counter(name for path in (out / "blocks").iterdir() for name in json.loads(path.read_text())["inputs"])
    twice = sum(count > 1 for count in done.values())
    assert len(done) == total and not twice, (len(done), total, twice)
    return (
        f"{total:,} photos on three nodes; one was killed after {killed[0]:,} of them. "
        f"Lost: {total - len(done)}, twice: {twice}; {sum(rows.values()):,} rows."
    )


def on_paper(rate: float) -> str:
    """Markdown: what a rate of one machine means for many photos."""
    rows = []
    for millions in (1, 10, 100):
        seconds = millions * 1e6 / rate
        machines = int(np.ceil(seconds / SECONDS_A_DAY))
        rows.append((f"{millions} million", f"{seconds / 3600:,.0f} h", f"{machines:,}"))
    return table(("photos", "one such machine", "machines for one day"), rows)


def measured(photos: int, folder: Path, machine_line: str) -> str:
    """Markdown: all of it."""
    few = max(64, min(photos // 10, LARGE))
    large = archive(folder / "large", few)
    small = archive(folder / "small", photos, (160, 120))
    tenth = list(islice(sorted(small.rglob("*.jpg")), photos // 10))
    (listed := folder / "tenth.txt").write_text("\n".join(map(str, tenth)))
    loops = [bare_loop(large, few)]
    one, busy_one = local(large, folder, 1)
    loops.append(bare_loop(large, few))
    two, busy_two = local(large, folder, 2)
    loops.append(bare_loop(large, few))
    ray = batch({"inputs": str(large), "out": str(folder / "ray"), "workers": 2, "engine": "ray"})
    quick = {"attributes": ["age"], "workers": 2}
    part = batch({**quick, "inputs": str(listed), "out": str(folder / "part")})
    whole = batch({**quick, "inputs": str(small), "out": str(folder / "whole")})
    again = batch({**quick, "inputs": str(small), "out": str(folder / "whole")})
    assert whole["counts"]["inputs"] == photos and again["inputs"] == 0
    bare, busy = (float(np.median(values)) for values in zip(*loops, strict=True))
    speeds = [
        ("loop over `analyze_batch`, one process", f"{bare:.1f}", f"{busy * 1e3:.0f} ms", ""),
        ("`analyze_many`, one worker", f"{one['rate']:.1f}", f"{busy_one * 1e3:.0f} ms", f"{busy_one / busy:.2f}"),
        ("… two workers", f"{two['rate']:.1f}", f"{busy_two * 1e3:.0f} ms", f"{busy_two / busy:.2f}"),
    ]
    rows = [
        *(
            (f"{name}: start to first face, to last", f"{run['seconds_to_first_face']:.1f}, {run['seconds']:.1f} s")
            for name, run in (("two workers", two), ("two Ray actors", ray))
        ),
        (f"peak memory of parent and two workers, {len(tenth):,} inputs", f"{part['memory'] / 1e6:,.0f} MB"),
        (f"… {photos:,} inputs", f"{whole['memory'] / 1e6:,.0f} MB"),
        (f"a run that finds {photos:,} inputs done", f"{again['seconds']:.1f} s"),
    ]
    processors = os.cpu_count() or 1
    full = processors / busy_two
    return "\n\n".join(
        (
            f"# Scale\n\n{machine_line}",
            f"Load of the machine over the last 15 minutes: {os.getloadavg()[2]:.1f}. Where that is more than about "
            "two, other work ran beside this: seconds and rates are then too bad and cannot be compared; processor "
            f"time, memory and counts hold. {few:,} photos of 640 x 480 pixels with one to four faces, all attributes:",
            table(("what", "photos/s after start-up", "processor time a photo", "of the loop's"), speeds),
            "The same, and memory and resuming with photos of 160 x 120 pixels, age only:",
            table(("what", "measured"), rows),
            f"On paper, from the processor time of two workers: {processors} processors that do nothing else, "
            f"{full:.1f} photos/s.",
            on_paper(full),
            "The next bottleneck is the process that starts the run: it lists the inputs and writes every row. Images "
            "in Parquet files and compressed tar shards pass through it, too; files, URLs and plain tar shards are "
            "read by the workers.",
        )
    )


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=20_000, help="of the archive (default: %(default)s)")
    parser.add_argument("--cluster", action="store_true", help="also kill a node of a Ray cluster")
    parser.add_argument("--write", action="store_true", help=f"also write into {RESULTS}")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(json.loads(options.run))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = measured(options.photos, folder, machine())
        print(text)
        if options.cluster:
            few = archive(folder / "cluster", max(300, options.photos // 20))
            lost = f"A Ray cluster by `ray.cluster_utils`: {cluster(few, folder / 'cluster-out')}"
            print(f"\n{lost}")
            text += f"\n\n{lost}"
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"scale-{date.today()}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
