// Where a face is between two answers: its box is followed by an alpha-beta filter and moved on as it was moving.
// Times are in milliseconds. Nothing of the page is used here, so that the tests can run it in Node.

const FADE = 400;  // within which an unanswered motion dies away: people turn round and stop
const EASE = 30;  // within which most of a correction is made, so that the box does not hop
const SPAN = 100;  // below which a difference in place is not taken for speed
const SLOW_GAIN = 0.35, FAST_GAIN = 0.9;  // how far an answer is believed: a still face is not to tremble

const centred = ({x1, y1, x2, y2}) => [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];

class Motion {
  // The box in the frame that was sent at `time`.
  constructor(box, time) {
    Object.assign(this, {place: centred(box), speed: [0, 0, 0, 0], time, off: [0, 0, 0, 0], told: -Infinity});
  }

  expected(time) {
    const ahead = FADE * (1 - Math.exp(-Math.max(time - this.time, 0) / FADE));
    return this.place.map((value, axis) => value + this.speed[axis] * ahead);
  }

  // The next answer: the box in the frame that was sent at `time`, told at `now`.
  see(box, time, now = time) {
    const shown = this.at(now), seen = centred(box);
    // Two answers close together tell little about speed.
    const span = Math.max(time - this.time, SPAN);
    const guess = this.expected(time), missed = seen.map((value, axis) => value - guess[axis]);
    const moved = Math.hypot(missed[0], missed[1]) / Math.max(seen[2], 1);
    const gain = Math.min(FAST_GAIN, SLOW_GAIN + 10 * moved);
    this.place = guess.map((value, axis) => value + gain * missed[axis]);
    this.speed = this.speed.map((value, axis) => value + gain * missed[axis] / span);
    this.time = time;
    this.told = now;
    const after = this.expected(now);
    this.off = shown.map((value, axis) => value - after[axis]);
  }

  // Centre, width and height to draw at `now`.
  at(now) {
    const left = Math.exp(-Math.max(now - this.told, 0) / EASE);
    return this.expected(now).map((value, axis) => value + this.off[axis] * left);
  }
}
