"""The arithmetic of the webcam tab's scripts, run in Node: it needs no browser."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the app needs Gradio: pip install -e '.[app]'")

from facemodels.app.components import static
from facemodels.app.html.parts import fact_text
from facemodels.app.words import languages
from facemodels.drawing import direction
from facemodels.values import EYE_CLOSED_OPEN, MOUTH_CLOSED_OPEN, Points, Pose, percent

NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="no Node.js to run the page's scripts: apt install nodejs")

# A face 160 pixels wide whose centre moves along `path` (milliseconds to pixels); answers come 8 times a second, each
# `latency` after its frame, with a little noise. Yields how far off its drawing is, in widths, per frame of the screen.
SCREEN = """
const watchFace = (path, latency, draw) => {
  let noise = 1, motion = null;
  const shake = () => (noise = noise * 16807 % 2147483647) / 2147483647 * 3 - 1.5;
  const waiting = [], off = [];
  for (let now = 0; now < 6000; now += 16) {
    if (now % 128 === 0) waiting.push(now);
    while (waiting[0] + latency <= now) {
      const sent = waiting.shift(), x = path(sent) + shake();
      const box = {x1: x - 80 + shake(), x2: x + 80 + shake(), y1: 100, y2: 300};
      if (motion && draw) motion.see(box, sent, now);
      else motion = new Motion(box, sent);
    }
    if (now > 1500) off.push((motion.at(draw ? now : motion.time)[0] - path(now)) / 160);
  }
  return off;
};
const most = (off) => Math.max(...off.map(Math.abs));
"""


def run(*parts: str) -> Any:
    """What the last expression of some scripts is, as it comes through JSON."""
    *scripts, last = parts
    code = "".join(scripts) + f"process.stdout.write(JSON.stringify({last}))"
    assert NODE is not None
    done = subprocess.run([NODE, "-"], input=code, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("latency", [110, 200])
def test_the_box_does_not_trail_a_moving_face(latency: int) -> None:
    walk = "(now) => now * 0.16"  # its own width a second
    with_, without = run(
        static("motion.js"), SCREEN, f"[most(watchFace({walk}, {latency}, true)), most(watchFace({walk}, {latency}))]"
    )
    assert with_ <= 0.15 < without


def test_the_box_of_a_still_face_does_not_tremble_nor_run_off() -> None:
    still, stopping = run(
        static("motion.js"),
        SCREEN,
        "[watchFace(() => 300, 150, true), watchFace((now) => Math.min(now, 3000) * 0.16, 150, true)]",
    )
    assert max(map(abs, still)) < 0.03
    assert max(abs(after - before) for before, after in itertools.pairwise(still)) < 0.02
    assert max(map(abs, stopping)) < 0.3 and max(map(abs, stopping[-60:])) < 0.03


@pytest.mark.parametrize("apart", [0, 1, 33])
def test_answers_close_together_do_not_send_the_box_off(apart: int) -> None:
    burst = f"""
        const motion = new Motion({{x1: 0, x2: 160, y1: 0, y2: 200}}, 0);
        for (let turn = 1; turn < 9; turn += 1) {{
          const left = turn % 2 * 6;
          motion.see({{x1: left, x2: left + 160, y1: 0, y2: 200}}, turn * {apart}, 500 + turn * {apart});
        }}
    """
    soon, late = run(static("motion.js"), burst, "[motion.at(700)[0], motion.at(1e6)[0]]")
    assert max(abs(soon - 83), abs(late - 83)) < 20


POSES = [Pose(yaw, pitch, roll) for yaw in (-60.0, 3.0, 25.4) for pitch in (-12.0, 4.0) for roll in (-170.0, 2.0, 33.0)]


NOSES = "noseOf([], {x1: 0, y1: 2, x2: 4, y2: 4}), noseOf([[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]], {})"


def openings(eye: float, other: float, mouth: float) -> Points:
    """Points with eyes and mouth as far open as that."""
    points = [(0.0, 0.0)] * 68
    for (left, right, *gap), how_far, (least, most) in (
        ((36, 39, 37, 38, 41, 40), eye, EYE_CLOSED_OPEN),
        ((42, 45, 43, 44, 47, 46), other, EYE_CLOSED_OPEN),
        ((60, 64, 61, 62, 63, 67, 66, 65), mouth, MOUTH_CLOSED_OPEN),
    ):
        points[left], points[right] = (0.0, 0.0), (10.0, 0.0)
        for index in gap[len(gap) // 2 :]:
            points[index] = (0.0, 10 * (least + how_far * (most - least)))
    return Points(tuple(points), 1.0)


def test_the_webcam_says_of_eyes_mouth_and_head_what_the_cards_say() -> None:
    faces = [openings(*each) for each in itertools.product((0.0, 0.3, 0.9), (0.1, 0.8), (0.0, 0.2, 0.7))]
    script = f"""
        const texts = {json.dumps({name: dict(say.texts) for name, say in languages().items()})};
        const poses = {json.dumps([pose.to_dict() for pose in POSES])};
        const faces = {json.dumps([face.to_dict() for face in faces])};
        const sayIn = (name) => (key, values = {{}}) =>
          texts[name][key].replace(/{{(\\w+)}}/g, (place, one) => values[one] ?? place);
    """
    said = run(
        static("facts.js"),
        script,
        "Object.keys(texts).map((name) => [poses.map((pose) => poseText(pose, sayIn(name))),"
        "faces.map((face) => opennessText(face, sayIn(name)))])",
    )
    for (poses, openness), say in zip(said, languages().values(), strict=True):
        assert poses == [fact_text("pose", pose, say) for pose in POSES]
        assert openness == [fact_text("points", face, say) for face in faces]
        assert len(set(openness)) >= 12, "not every state has its words"


def test_the_webcam_is_never_certain() -> None:
    scores = [0.0, 0.004, 0.006, 0.42, 0.934, 0.994, 0.9999, 1.0]
    assert run(static("facts.js"), f"{scores}.map(percent)") == [percent(score) for score in scores]


def test_the_arrow_of_the_page_points_where_that_of_a_drawing_does() -> None:
    code = f"{json.dumps([pose.to_dict() for pose in POSES])}.map((pose) => arrowPath([10, 20], pose, 50))"
    paths, *noses = run(static("facts.js"), f"[{code}, {NOSES}]")
    for pose, path in zip(POSES, paths, strict=True):
        tip = [float(number) for number in re.findall(r"L([-\d.]+) ([-\d.]+)", path)[0]]
        assert tip == pytest.approx(np.add((10, 20), direction(pose, 50)), abs=0.06)
    assert noses == [[2, 3], [3, 3]]


FACE = (
    "const face = (id, happy) => ({track_id: id, emotion: {label: 'happy', scores: {happy, sad: 1 - happy, fear: 0}}});"
)
SESSION = f"""{FACE}
const curves = new Curves();
for (let now = 5000; now < 7000; now += 125) {{
  const passing = now >= 6000 && now < 6500 ? [face(2, 0.25)] : [];
  curves.add([face(1, 0.75), ...passing, {{track_id: 3, emotion: null}}], now);
}}
"""


def test_each_person_has_a_curve() -> None:
    lines = run(static("curves.js"), SESSION, "[1, 2, 3].map((id) => curves.lines(id))")
    assert lines[0] == {
        "happy": "M0 0.25h0" + "".join(f"L{at / 4:g} 0.25" for at in range(1, 8)),
        "sad": "M0 0.75h0" + "".join(f"L{at / 4:g} 0.75" for at in range(1, 8)),
    }
    assert lines[1:] == [{"happy": "M1 0.75h0L1.25 0.75", "sad": "M1 0.25h0L1.25 0.25"}, {}]


def test_the_curves_leave_as_a_table() -> None:
    rows = list(csv.DictReader(io.StringIO(run(static("curves.js"), SESSION, "curves.csv()"))))
    assert len(rows) == 10 and rows[0] == {
        **{"seconds": "0", "person": "1", "happy": "0.7500", "sad": "0.2500", "fear": "0.0000"}
    }
    assert [(row["seconds"], row["person"]) for row in rows[4:7]] == [("1", "1"), ("1", "2"), ("1.25", "1")]
    assert run(static("curves.js"), "new Curves().csv()") == "seconds,person\r\n"


def test_a_long_session_fits_and_slow_answers_are_one_line() -> None:
    session = f"{FACE} const curves = new Curves(); let most = 0;"
    session += "for (let now = 0; now < 600000; now += 400) { curves.add([face(1, 0.5), face(now, 0.5)], now);"
    session += "most = Math.max(most, curves.people.get(1).length); }"
    step, length, longest, people, happy = run(
        static("curves.js"),
        session,
        "[curves.step, curves.length, most, curves.people.size, curves.lines(1).happy]",
    )
    assert (step, length, longest, people) == (4000, 599_600, 240, 50)
    assert happy.count("M") == 1 and 120 <= happy.count("L") < 240
    gaps = run(
        static("curves.js"),
        f"{FACE} const curves = new Curves();",
        "for (const now of [0, 500, 1000, 1500, 2000, 2500]) curves.add(now % 2000 ? [face(1, 0.5)] : [], now);",
        "curves.lines(1).happy",
    )
    assert gaps == "M0.5 0.5h0L1 0.5L1.5 0.5L2.5 0.5", "two answers a second, and one without the face"
