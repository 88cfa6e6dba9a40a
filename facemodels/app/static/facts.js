// Scores; what eyes, mouth and head do, in words; and where a head's nose points: as `html/parts.py` and `drawing.py` say it.
// Nothing of the page is used here, so that the tests can run it in Node.

// A probability for people: never certain, never impossible.
const percent = (score) => score > 0.995 ? '>99%' : score < 0.005 ? '<1%' : Math.round(score * 100) + '%';

const LEAST_ANGLE = 5;  // degrees that are worth a word
const stateOf = (open, half, whole) => open < half ? 'closed' : open < whole ? 'half' : 'open';
const withPercent = (text, fraction) => `${text}\u00a0${Math.round(fraction * 100)}%`;

const opennessText = ({right_eye_open: right, left_eye_open: left, mouth_open: mouth}, say) => {
  const mean = (right + left) / 2, one = (Math.min(right, left) < 0.2) !== (Math.max(right, left) < 0.2);
  const eyes = one ? say('eyes_one') : withPercent(say('eyes_' + stateOf(mean, 0.2, 0.5)), mean);
  return `${eyes} · ${withPercent(say('mouth_' + stateOf(mouth, 0.12, 0.4)), mouth)}`;
};

const poseText = ({yaw, pitch, roll}, say) => {
  const turns = [[yaw, 'right', 'left'], [pitch, 'up', 'down'], [roll, 'clockwise', 'counterclockwise']];
  const parts = turns.filter(([angle]) => Math.abs(angle) >= LEAST_ANGLE).map(([angle, one, other]) =>
    say('pose_' + (angle > 0 ? one : other), {angle: Math.round(Math.abs(angle))}));
  if (Math.max(Math.abs(yaw), Math.abs(pitch)) < LEAST_ANGLE) parts.unshift(say('pose_ahead'));
  return parts.join(' · ');
};

// An arrow of this length, seen from its tip's side, from the nose to where it points: an SVG path.
const arrowPath = ([x, y], {yaw, pitch, roll}, length) => {
  const [turn, nod, tilt] = [yaw, pitch, roll].map((angle) => angle * Math.PI / 180);
  const across = length * Math.sin(turn) * Math.cos(nod), down = -length * Math.sin(nod);
  const tip = [x + across * Math.cos(tilt) - down * Math.sin(tilt), y + across * Math.sin(tilt) + down * Math.cos(tilt)];
  const way = Math.atan2(tip[1] - y, tip[0] - x), barb = 0.18 * Math.hypot(tip[0] - x, tip[1] - y);
  const barbs = [2.6, -2.6].map((by) => [tip[0] + barb * Math.cos(way + by), tip[1] + barb * Math.sin(way + by)]);
  const at = (point) => point.map((value) => value.toFixed(1)).join(' ');
  return `M${at([x, y])}h0M${at([x, y])}L${at(tip)}M${at(barbs[0])}L${at(tip)}L${at(barbs[1])}`;
};
const dotsPath = (points) => points.map(([x, y]) => `M${x} ${y}h0`).join('');
// The tip of the nose among the 68 points, or the five of the detector; else the middle of the box.
const noseOf = (points, {x1, y1, x2, y2}) => points[{68: 30, 5: 2}[points.length]] ?? [(x1 + x2) / 2, (y1 + y2) / 2];
