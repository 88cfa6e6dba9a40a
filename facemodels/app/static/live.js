// The webcam tab: draws each answer of the stream. Boxes in an SVG over Gradio's video (its viewBox fits as the video
// does), which move on between two answers (`motion.js`), and cards that live as long as their face's id, each with
// that person's curve (`curves.js`).
// Gradio runs this, after those two, when the part of the page is there, with `element`, `props` and `watch`.

const status = element.querySelector('output'), list = element.querySelector('.fm-live');
const save = element.querySelector('[data-action=csv]');
const say = (key, values = {}) =>
  (props.texts[props.label][key] ?? '').replace(/{(\w+)}/g, (place, name) => values[name] ?? place);
const count = (key, number) => say(key + (['_none', '_one'][number] ?? '_many'), {count: number});
const capitals = (label) => label.split('_').map((word) => word[0].toUpperCase() + word.slice(1)).join(' ');
const title = (label) => say('label_' + label) || capitals(label);
const spell = (seconds) => seconds < 60 ? say('live_seconds', {time: seconds})
  : say('live_time', {time: Math.floor(seconds / 60) + ':' + String(seconds % 60).padStart(2, '0')});
const node = (tag, parent, attributes = {}) => {
  const svg = ['svg', 'g', 'rect', 'text', 'path'].includes(tag);
  const made = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent?.append(made);
  return made;
};
const overlay = node('svg', null, {class: 'fm-overlay', 'aria-hidden': 'true'});
const curves = new Curves(), mostCards = 6;
let frames = [], idle, moving;

const doubtsOf = ({quality}) => (quality?.doubts ?? []).map((doubt) => say('doubt_' + doubt)).join(', ');
const facts = (face) => [
  face.age && say('live_years', {age: Math.round(face.age.value), error: Math.round(face.age.error)}),
  face.gender && title(face.gender.label), face.ethnicity && title(face.ethnicity.label),
  face.points && opennessText(face.points, say), face.pose && poseText(face.pose, say), doubtsOf(face),
].filter(Boolean).join(' · ');

// ---- boxes

let drawn = new Map(), pixel = 1;  // id to what is drawn of it; a pixel of the screen in pixels of the frame

const drawBoxes = (value, video, now) => {
  if (overlay.parentNode !== video.parentNode) video.parentNode.append(overlay);
  overlay.setAttribute('viewBox', `0 0 ${value.width} ${value.height}`);
  pixel = Math.max(value.width / video.clientWidth, value.height / video.clientHeight);
  const sent = value.sent ?? now - value.ms, before = drawn, size = 14 * pixel;
  drawn = new Map();
  overlay.replaceChildren();
  for (const face of value.faces) {
    const {box, emotion, age, points, pose, landmarks, track_id: id} = face;
    const motion = before.get(id)?.motion ?? new Motion(box, sent);
    if (before.has(id)) motion.see(box, sent, now);
    const group = node('g', overlay, {'data-id': id, class: emotion ? 'fm-emotion-' + emotion.label : ''});
    const rect = node('rect', group, {rx: size / 3});
    const text = node('text', group, {'font-size': size, 'stroke-width': size / 4});
    const wide = box.x2 - box.x1 > 7 * size;
    const words = [emotion && title(emotion.label), wide && age && Math.round(age.value)].filter(Boolean).join(', ');
    const said = '#' + id + ' ' + words, doubts = doubtsOf(face), whole = doubts ? `${said} (${doubts})` : said;
    text.textContent = 0.6 * size * whole.length <= value.width - box.x1 ? whole : said;
    // What lies on the face moves as its box does.
    const marks = [], nose = noseOf(points?.points ?? landmarks ?? [], box);
    if (points) {
      marks.push(node('path', group, {d: dotsPath(points.points), class: 'fm-dots'}));
      marks[0].style.strokeWidth = Math.max(1, Math.min(4, (box.x2 - box.x1) / pixel / 60)) + 'px';
    }
    if (pose) marks.push(node('path', group, {d: arrowPath(nose, pose, 0.6 * (box.x2 - box.x1)), class: 'fm-arrow'}));
    drawn.set(id, {motion, rect, text, marks, box});
  }
  moveBoxes();
};

const moveBoxes = () => {
  cancelAnimationFrame(moving);
  const now = performance.now(), size = 14 * pixel;
  for (const {motion, rect, text, marks, box} of drawn.values()) {
    const [x, y, width, height] = motion.at(now), left = x - width / 2, top = y - height / 2;
    for (const [name, value] of Object.entries({x: left, y: top, width, height})) rect.setAttribute(name, value);
    text.setAttribute('x', Math.max(left, 0));
    text.setAttribute('y', Math.max(top - size / 2, size));
    const moved = `translate(${x - (box.x1 + box.x2) / 2} ${y - (box.y1 + box.y2) / 2})`;
    for (const mark of marks) mark.setAttribute('transform', moved);
  }
  if (drawn.size) moving = requestAnimationFrame(moveBoxes);
};

const clearBoxes = () => {
  drawn = new Map();
  overlay.replaceChildren();
};

// ---- cards

const makeCard = (face) => {
  const place = face.track_id, name = say('live_face', {place});
  const card = node('article', null, {class: 'fm-card', 'data-id': place, 'aria-label': name});
  list.insertBefore(card, [...list.children].find((other) => Number(other.dataset.id) > place) ?? null);
  node('b', card);
  node('p', card);
  const bars = node('ul', card, {class: 'fm-bars', 'aria-label': say('live_scores')});
  for (const label of Object.keys(face.emotion?.scores ?? {})) {
    const row = node('li', bars, {'data-label': label});
    node('span', row).textContent = title(label);
    node('i', node('i', row, {'aria-hidden': 'true'}));
    node('span', row);
  }
  card.append(element.querySelector('template').content.cloneNode(true));
  card.querySelector('svg').setAttribute('aria-label', say('live_plot_name', {place}));
  drawPlot(card);
  return card;
};

const drawPlot = (card) => {
  const plot = card.querySelector('.fm-plot svg'), legend = card.querySelector('.fm-plot ul');
  const seconds = curves.length / 1000, lines = Object.entries(curves.lines(Number(card.dataset.id)));
  plot.setAttribute('viewBox', `0 0 ${Math.max(seconds, 0.001)} 1`);
  plot.replaceChildren();
  legend.replaceChildren();
  for (const [label, d] of lines) {
    node('path', plot, {d, class: 'fm-emotion-' + label});
    const item = node('li', legend, {class: 'fm-emotion-' + label});
    node('path', node('svg', item, {viewBox: '0 0 28 4', 'aria-hidden': 'true'}), {d: 'M1 2H27'});
    item.append(title(label));
  }
  card.querySelector('figcaption').lastElementChild.textContent = spell(Math.round(seconds));
};

const drawCards = (faces, grown) => {
  const cards = new Map([...list.children].map((card) => [card.dataset.id, card]));
  for (const face of faces.slice(0, mostCards)) {
    let card = cards.get(String(face.track_id));
    cards.delete(String(face.track_id));
    // One that began without an emotion has no bars.
    if (card && face.emotion && !card.querySelector('li[data-label]')) card = card.remove();
    if (!card) card = makeCard(face);
    else if (grown) drawPlot(card);
    card.querySelector('b').textContent = '#' + face.track_id + ' ' + (face.emotion ? title(face.emotion.label) : '');
    card.querySelector('p').textContent = facts(face);
    card.querySelector('.fm-bars').hidden = !face.emotion;
    for (const row of card.querySelectorAll('.fm-bars li')) {
      const score = face.emotion?.scores[row.dataset.label] ?? 0;
      row.classList.toggle('fm-top', row.dataset.label === face.emotion?.label);
      row.querySelector('i > i').style.width = score * 100 + '%';
      row.lastChild.textContent = percent(score);
    }
  }
  for (const card of cards.values()) card.remove();
};

save.addEventListener('click', () => {
  const link = node('a', null, {download: 'webcam-emotions.csv'});
  link.href = URL.createObjectURL(new Blob([curves.csv()], {type: 'text/csv'}));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});

// ---- the camera's state

const cameraTrouble = {NotAllowedError: 'live_blocked', NotFoundError: 'live_missing', NotReadableError: 'live_taken'};
window.addEventListener('unhandledrejection', (event) => {  // Gradio lets these pass without a word
  if (!(event.reason?.name in cameraTrouble)) return;
  status.textContent = say(cameraTrouble[event.reason.name]);
  status.classList.add('fm-trouble');
  event.preventDefault();
});

const cameraIsOff = () => !document.querySelector('#fm-webcam video')?.srcObject?.active;
// The last answer stays in the cards; only what lies over the picture goes with it.
const pause = () => {
  clearTimeout(idle);
  frames = [];
  clearBoxes();
};

// Where the visitor stands in the queue is in Gradio's own, hidden, words: `queue: 2/3 | 4.0s`. Whoever streams gives
// way after `props.seconds`, so that bounds the time.
const wait = (until = Infinity) => {
  pause();
  if (cameraIsOff()) return;
  const place = Number(/(\d+)\/\d+/.exec(document.querySelector('#fm-live .progress-text')?.textContent)?.[1] ?? 0);
  const now = performance.now(), turns = Math.ceil(place / props.webcams);
  if (place) until = Math.min(until, now + turns * props.seconds * 1000);
  const left = 5 * Math.ceil(Math.max(until - now, 0) / 5000);
  const text = place && left ? say('live_queue', {place, time: spell(left)}) : say('live_waiting');
  if (status.textContent !== text) status.textContent = text;
  idle = setTimeout(wait, 500, until);
};
const patient = () => {
  clearTimeout(idle);
  idle = setTimeout(wait, 1500);
};
window.addEventListener('fm-camera-started', patient);
window.addEventListener('fm-camera-released', () => {
  pause();
  status.textContent = say(list.children.length ? 'live_stopped' : 'live_start');
});

watch('value', () => {
  const value = props.value, video = document.querySelector('#fm-webcam video');
  if (!value || !video || cameraIsOff()) return;  // an answer that came after the end
  status.classList.remove('fm-trouble');
  patient();
  const now = performance.now();
  frames = [...frames.filter((time) => now - time < 2000), now];
  const rate = frames.length > 1 ? (frames.length - 1) * 1000 / (now - frames[0]) : 0;
  const grown = curves.add(value.faces, now);
  if (video.clientWidth) drawBoxes(value, video, now);  // nothing to draw on while another tab is open
  drawCards(value.faces, grown);
  save.hidden = !curves.people.size;
  const faces = count('live_faces', value.faces.length);
  status.textContent = value.error ? say('live_failed') : say('live_status', {rate: rate.toFixed(0), ms: value.ms.toFixed(0), faces});
});
