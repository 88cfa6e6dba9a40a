// The session of the webcam tab so far: each person's mean emotion scores per step of time. When a session has filled
// up its steps, two become one. Nothing of the page is used here, so that the tests can run it in Node.

const MOST_STEPS = 240, MOST_PEOPLE = 50;
const BRIDGED = 1000;  // milliseconds without an answer about a person that do not end their line
const SEEN = 0.1;  // an emotion that never had this score is not drawn

class Curves {
  constructor(step = 250) {
    Object.assign(this, {step, length: 0, last: null, people: new Map()});  // `step` and `length` in milliseconds
  }

  // The faces of an answer at `now`; returns whether a step was completed, so that the lines have changed.
  add(faces, now) {
    const before = this.at;
    if (this.last !== null) this.length += Math.min(now - this.last, 500);  // a pause does not count
    this.last = now;
    if (this.at >= MOST_STEPS) this.halve();
    for (const {track_id: id, emotion} of faces) if (emotion) this.gather(this.person(id), this.at, emotion.scores);
    return this.at !== before;
  }

  get at() { return Math.floor(this.length / this.step); }

  // A person's steps, the one who was seen least recently first in the map.
  person(id) {
    const steps = this.people.get(id) ?? [];
    this.people.delete(id);
    this.people.set(id, steps);
    if (this.people.size > MOST_PEOPLE) this.people.delete(this.people.keys().next().value);
    return steps;
  }

  gather(steps, at, scores, count = 1) {
    const one = steps[at] ??= {count: 0, sums: {}};
    one.count += count;
    for (const [label, score] of Object.entries(scores)) one.sums[label] = (one.sums[label] ?? 0) + score;
  }

  halve() {
    this.step *= 2;
    for (const [id, steps] of this.people) {
      const half = [];
      steps.forEach(({count, sums}, at) => this.gather(half, at >> 1, sums, count));
      this.people.set(id, half);
    }
  }

  // Emotion to its line, as an SVG path: seconds to the right, `1 - score` downwards, a line per stretch in view.
  lines(id) {
    const seen = {};
    let before = -Infinity;
    (this.people.get(id) ?? []).forEach(({count, sums}, at) => {
      const joined = at - before === 1 || (at - before) * this.step <= BRIDGED;
      before = at;
      const x = Number((at * this.step / 1000).toFixed(3));
      for (const [label, sum] of Object.entries(sums)) {
        const line = seen[label] ??= {path: '', most: 0};
        // `h0`: a lone point is a line to itself, which round ends make a dot.
        line.path += `${joined ? 'L' : 'M'}${x} ${Number((1 - sum / count).toFixed(4))}${joined ? '' : 'h0'}`;
        line.most = Math.max(line.most, sum / count);
      }
    });
    const drawn = Object.entries(seen).filter(([, {most}]) => most >= SEEN);
    return Object.fromEntries(drawn.map(([label, {path}]) => [label, path]));
  }

  // A row per person and step: when the step begins, in seconds, the person, and the mean scores.
  csv() {
    const rows = [...this.people].flatMap(([id, steps]) => steps.flatMap((one, at) => ({id, at, ...one})));
    const labels = [...new Set(rows.flatMap(({sums}) => Object.keys(sums)))];
    rows.sort((a, b) => a.at - b.at || a.id - b.id);
    const cells = rows.map(({id, at, count, sums}) =>
      [at * this.step / 1000, id, ...labels.map((label) => label in sums ? (sums[label] / count).toFixed(4) : '')]);
    return [['seconds', 'person', ...labels], ...cells].map((row) => row.join(',') + '\r\n').join('');
  }
}
