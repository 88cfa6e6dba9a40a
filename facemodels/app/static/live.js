// The webcam tab: draws each answer of the stream. Boxes in an SVG over Gradio's video (its viewBox fits as the video
// does), and bars in cards that live as long as their face's id, so that CSS can ease them.
// Gradio runs this when the part of the page is there, with `element`, `props` and `watch`.

const status = element.querySelector('output'), list = element.querySelector('.fm-live');
const plot = element.querySelector('.fm-plot svg'), legend = element.querySelector('.fm-plot ul');
const say = (key, values = {}) =>
  (props.texts[props.label][key] ?? '').replace(/{(\w+)}/g, (place, name) => values[name] ?? place);
const count = (key, number) => say(key + (['_none', '_one'][number] ?? '_many'), {count: number});
const capitals = (label) => label.split('_').map((word) => word[0].toUpperCase() + word.slice(1)).join(' ');
const title = (label) => say('label_' + label) || capitals(label);
const percent = (score) => Math.round(score * 100) + '%';
const node = (tag, parent, attributes = {}) => {
  const svg = ['svg', 'g', 'rect', 'text', 'path'].includes(tag);
  const made = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent?.append(made);
  return made;
};
const overlay = node('svg', null, {class: 'fm-overlay', 'aria-hidden': 'true'});
const mostCards = 6;
let frames = [], idle;

const facts = (face) => [
  face.age && say('live_years', {age: Math.round(face.age.value), error: Math.round(face.age.error)}),
  face.gender && title(face.gender.label), face.ethnicity && title(face.ethnicity.label),
].filter(Boolean).join(' · ');

const drawBoxes = (value, video) => {
  if (overlay.parentNode !== video.parentNode) video.parentNode.append(overlay);
  overlay.setAttribute('viewBox', `0 0 ${value.width} ${value.height}`);
  // 14 pixels on the screen, in pixels of the frame
  const size = 14 * Math.max(value.width / video.clientWidth, value.height / video.clientHeight);
  overlay.replaceChildren();
  for (const {box, emotion, age, track_id: id} of value.faces) {
    const group = node('g', overlay, {'data-id': id, class: emotion ? 'fm-emotion-' + emotion.label : ''});
    node('rect', group, {x: box.x1, y: box.y1, width: box.x2 - box.x1, height: box.y2 - box.y1, rx: size / 3});
    const place = {x: box.x1, y: Math.max(box.y1 - size / 2, size), 'font-size': size, 'stroke-width': size / 4};
    const wide = box.x2 - box.x1 > 7 * size;
    const words = [emotion && title(emotion.label), wide && age && Math.round(age.value)].filter(Boolean).join(', ');
    node('text', group, place).textContent = '#' + id + ' ' + words;
  }
};

const drawCards = (faces) => {
  const cards = new Map([...list.children].map((card) => [card.dataset.id, card]));
  for (const face of faces.slice(0, mostCards)) {
    let card = cards.get(String(face.track_id));
    cards.delete(String(face.track_id));
    if (!card) {
      const name = say('live_face', {place: face.track_id});
      card = node('article', null, {class: 'fm-card', 'data-id': face.track_id, 'aria-label': name});
      list.insertBefore(card, [...list.children].find((other) => other.dataset.id > face.track_id) ?? null);
      node('b', card);
      node('p', card);
      const bars = node('ul', card, {class: 'fm-bars', 'aria-label': say('live_scores')});
      for (const label of Object.keys(face.emotion?.scores ?? {})) {
        const row = node('li', bars, {'data-label': label});
        node('span', row).textContent = title(label);
        node('i', node('i', row, {'aria-hidden': 'true'}));
        node('span', row);
      }
    }
    card.querySelector('b').textContent = '#' + face.track_id + ' ' + (face.emotion ? title(face.emotion.label) : '');
    card.querySelector('p').textContent = facts(face);
    for (const row of card.querySelectorAll('li')) {
      const score = face.emotion?.scores[row.dataset.label] ?? 0;
      row.classList.toggle('fm-top', row.dataset.label === face.emotion?.label);
      row.querySelector('i > i').style.width = score * 100 + '%';
      row.lastChild.textContent = percent(score);
    }
  }
  for (const card of cards.values()) card.remove();
};

// The session so far, as the faces' mean scores per step of time. When it has filled up, two steps become one.
const mostSteps = 240;
let steps = [], step = 250, gathered = [], begun = 0, length = 0;

const mean = (all) => {
  if (!all.length) return null;
  const of = (label) => all.reduce((sum, one) => sum + one[label], 0) / all.length;
  return Object.fromEntries(Object.keys(all[0]).map((label) => [label, of(label)]));
};

const remember = (faces, now) => {
  gathered.push(...faces.filter((face) => face.emotion).map((face) => face.emotion.scores));
  if (now - begun < step) return;
  length += Math.min(now - begun, 2 * step);  // a pause does not count
  begun = now;
  steps.push(mean(gathered));
  gathered = [];
  if (steps.length > mostSteps) {
    steps = steps.flatMap((one, place) => place % 2 ? [] : [mean([one, steps[place + 1]].filter(Boolean))]);
    step *= 2;
  }
  drawPlot();
};

const drawPlot = () => {
  const labels = Object.keys(steps.find(Boolean) ?? {});
  const seen = labels.filter((label) => steps.some((one) => one?.[label] >= 0.1));
  plot.setAttribute('viewBox', `0 0 ${Math.max(steps.length - 1, 1)} 1`);
  plot.replaceChildren();
  legend.replaceChildren();
  for (const label of seen) {
    // a line per stretch with a face
    const points = steps.map((one, place) => one && `${steps[place - 1] ? 'L' : 'M'}${place} ${1 - one[label]}`);
    node('path', plot, {d: points.filter(Boolean).join(''), class: 'fm-emotion-' + label});
    node('li', legend, {class: 'fm-emotion-' + label}).textContent = title(label);
  }
  const seconds = Math.round(length / 1000);
  const time = Math.floor(seconds / 60) + ':' + String(seconds % 60).padStart(2, '0');
  element.querySelector('.fm-plot figcaption span').textContent =
    seconds < 60 ? say('live_seconds', {time: seconds}) : say('live_time', {time});
};

const cameraTrouble = {NotAllowedError: 'live_blocked', NotFoundError: 'live_missing', NotReadableError: 'live_taken'};
window.addEventListener('unhandledrejection', (event) => {  // Gradio lets these pass without a word
  if (!(event.reason?.name in cameraTrouble)) return;
  status.textContent = say(cameraTrouble[event.reason.name]);
  status.classList.add('fm-trouble');
  event.preventDefault();
});

const cameraIsOff = () => !document.querySelector('#fm-webcam video')?.srcObject?.active;
// The last answer stays in the cards; only what lies over the picture goes with it.
const pause = (key) => {
  clearTimeout(idle);
  frames = [];
  overlay.replaceChildren();
  status.textContent = say(key);
};
window.addEventListener('fm-camera-released', () => pause(list.children.length ? 'live_stopped' : 'live_start'));

watch('value', () => {
  const value = props.value, video = document.querySelector('#fm-webcam video');
  if (!value || !video || cameraIsOff()) return;  // an answer that came after the end
  clearTimeout(idle);
  status.classList.remove('fm-trouble');
  idle = setTimeout(pause, 1500, 'live_waiting');
  const now = performance.now();
  frames = [...frames.filter((time) => now - time < 2000), now];
  const rate = frames.length > 1 ? (frames.length - 1) * 1000 / (now - frames[0]) : 0;
  if (video.clientWidth) drawBoxes(value, video);  // nothing to draw on while another tab is open
  drawCards(value.faces);
  remember(value.faces, now);
  const faces = count('live_faces', value.faces.length);
  status.textContent = value.error ?? say('live_status', {rate: rate.toFixed(0), ms: value.ms.toFixed(0), faces});
});
