// The image tab: boxes in an SVG over the visitor's image, numbered like the cards and tied to them.
// Gradio runs this when the part of the page is there, with `element`, `trigger` and `watch`.

const svg = (tag) => document.createElementNS('http://www.w3.org/2000/svg', tag);
const panel = () => document.querySelector('#fm-picture');
const overlay = svg('svg');
overlay.setAttribute('class', 'fm-overlay');
const cards = () => [...element.querySelectorAll('.fm-card')];
const card = (face) => element.querySelector(`.fm-card[data-face="${face}"]`);
const both = (face) => [card(face), overlay.querySelector(`g[data-face="${face}"]`)].filter(Boolean);

const light = (face, on) => both(face).forEach((one) => one.classList.toggle('fm-lit', on));
const choose = (face) => {
  for (const one of [...overlay.children, ...cards()]) one.classList.toggle('fm-chosen', one.dataset.face === face);
};
const openCard = (face) => {
  choose(face);
  const folded = card(face).closest('.fm-more');
  if (folded) folded.open = true;
  card(face).focus({preventScroll: true});
  card(face).scrollIntoView({block: 'nearest', behavior: 'smooth'});
};

const attributes = (one, values) => {
  for (const [name, value] of Object.entries(values)) one.setAttribute(name, value);
  return one;
};

const layers = {boxes: true, labels: true};  // those that are on; an answer brings new checkboxes
const layer = (name) => layers[name] ?? false;
const summary = () => element.querySelector('.fm-summary')?.dataset ?? {};

// The number of a face, and its emotion and doubts where there is room for letters of this size.
const labelOf = (group, size) => {
  const [left, width] = ['x', 'width'].map((name) => Number(group.children[0].getAttribute(name)));
  const {face, text, doubts} = group.dataset, few = overlay.children.length < 4;
  if (!layer('labels')) return layer('boxes') ? face : '';
  const said = (few || width > 4.5 * size) && text ? `${face} ${text}` : face;
  const whole = doubts ? `${said} (${doubts})` : said, room = few ? overlay.viewBox.baseVal.width - left : width;
  return 0.6 * size * whole.length <= room ? whole : layer('boxes') || said !== face ? said : '';
};
// Points are smaller the closer they lie; widths are in pixels of the screen, or of a picture `scale` times as large.
const dotWidth = (group, scale) => {
  const count = (group.children[2].getAttribute('d').match(/M/g) ?? []).length;
  return Math.max(1, Math.min(6, Number(group.children[0].getAttribute('width')) * scale / (count > 5 ? 45 : 15)));
};

// Lines and letters have a fixed size on the screen, whatever the image's.
const resize = () => {
  const {width, height} = overlay.viewBox.baseVal, {clientWidth, clientHeight} = overlay;
  if (!clientWidth || !clientHeight) return;
  const pixel = Math.max(width / clientWidth, height / clientHeight), size = 13 * pixel;
  for (const group of overlay.children) {
    const [box, label, dots] = group.children, left = Number(box.getAttribute('x')), top = Number(box.getAttribute('y'));
    attributes(box, {rx: 4 * pixel});
    dots.style.strokeWidth = dotWidth(group, 1 / pixel) + 'px';
    label.textContent = labelOf(group, size);
    attributes(label, {x: left + 2 * pixel, y: Math.max(top - 5 * pixel, size), 'font-size': size, 'stroke-width': size / 4});
  }
};

const draw = () => {
  overlay.replaceChildren();
  overlay.setAttribute('viewBox', summary().box ?? '0 0 1 1');
  for (const one of cards()) {
    const {face, box, points, pose, emotion, text, doubts} = one.dataset, [x, y, width, height] = box.split(' ').map(Number);
    const name = one.getAttribute('aria-label') + (text ? ': ' + one.querySelector('header p').textContent : '');
    const dots = points.split(' ').filter(Boolean).map((point) => point.split(',').map(Number));
    const [yaw, pitch, roll] = pose.split(' ').map(Number), nose = noseOf(dots, {x1: x, y1: y, x2: x + width, y2: y + height});
    const group = attributes(svg('g'), {
      'data-face': face, 'data-text': text, 'data-doubts': doubts, class: emotion ? 'fm-emotion-' + emotion : '',
      role: 'button', tabindex: 0, 'aria-label': name,
    });
    group.append(
      attributes(svg('rect'), {x, y, width, height}), svg('text'),
      attributes(svg('path'), {d: dotsPath(dots), class: 'fm-dots'}),
      attributes(svg('path'), {d: pose ? arrowPath(nose, {yaw, pitch, roll}, 0.6 * width) : '', class: 'fm-arrow'}),
    );
    overlay.append(group);
  }
  place();
};

// Gradio makes the image's frame anew with each image, a little later than this.
const place = () => {
  const image = panel()?.querySelector('.image-frame img'), frame = image?.closest('.image-frame');
  if (!frame || !overlay.children.length) return overlay.remove();
  const shown = summary().picture;
  if (shown && image.src !== shown) image.src = shown;
  if (overlay.parentNode !== frame) frame.append(overlay);
  resize();
};

const show = () => {
  for (const box of element.querySelectorAll('[data-layer]')) box.checked = layer(box.dataset.layer);
  for (const name of ['boxes', 'points', 'pose']) panel().classList.toggle('fm-' + name, layer(name));
  resize();
};

// What is known already obeys a setting at once; what is new comes with the server's answer.
const settings = (name) => document.querySelectorAll(`#fm-${name} input`);
const obey = () => {
  for (const {name, checked} of settings('attributes')) {
    for (const part of element.querySelectorAll(`[data-attribute="${name}"]`)) part.hidden = !checked;
  }
  const least = Number(settings('min-score')[0]?.value ?? 0);
  for (const one of cards()) for (const part of both(one.dataset.face)) part.toggleAttribute('hidden', one.dataset.score < least);
};
document.addEventListener('input', (event) => { if (event.target.closest?.('#fm-options')) obey(); });

// The image with what is drawn over it, in the page's language and full size, as a file.
const paint = (image, scale) => {
  const {width, height} = overlay.viewBox.baseVal, canvas = document.createElement('canvas');
  attributes(canvas, {width: Math.round(width * scale), height: Math.round(height * scale)});
  const brush = canvas.getContext('2d'), size = Math.max(13, Math.max(canvas.width, canvas.height) / 50);
  brush.drawImage(image, 0, 0, canvas.width, canvas.height);
  brush.font = `700 ${size}px ${getComputedStyle(element).fontFamily}`;
  Object.assign(brush, {lineJoin: 'round', direction: 'ltr', textAlign: 'left'});
  for (const group of overlay.querySelectorAll('g:not([hidden])')) {
    const [x, y, wide, high] = ['x', 'y', 'width', 'height'].map((name) => group.children[0].getAttribute(name) * scale);
    const style = getComputedStyle(group), [, , dots, arrow] = group.children;
    brush.strokeStyle = style.getPropertyValue('--emotion') || '#2dd4bf';
    brush.lineWidth = size / 6;
    if (layer('boxes')) brush.strokeRect(x, y, wide, high);
    for (const [path, width] of [[layer('points') && dots, dotWidth(group, scale)], [layer('pose') && arrow, size / 4]]) {
      if (!path) continue;
      brush.save();
      brush.scale(scale, scale);
      brush.lineCap = 'round';
      for (const [ink, edge] of [['#0f172a', 1.6], [getComputedStyle(path).stroke, 1]]) {
        Object.assign(brush, {strokeStyle: ink, lineWidth: edge * width / scale});
        brush.stroke(new Path2D(path.getAttribute('d')));
      }
      brush.restore();
    }
    const text = labelOf(group, size / scale), place = [x, Math.max(y - size / 3, size)];
    brush.lineWidth = size / 4;
    brush.strokeStyle = '#0f172a';
    brush.fillStyle = '#fff';
    brush.strokeText(text, ...place);
    brush.fillText(text, ...place);
  }
  return canvas;
};
const save = (file, blob) => {
  const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(blob), download: file});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
};
// Of a file that no browser shows the page has a small copy only: the server makes one that is whole.
let whenDecoded;
window.addEventListener('fm-decoded', ({detail}) => whenDecoded?.(Object.assign(new Image(), {src: detail})));
const decoded = () => new Promise((done) => {
  whenDecoded = done;
  trigger('decode');
});
const saveDrawn = async (suffix, kind) => {
  const image = summary().picture ? await decoded() : panel().querySelector('.image-frame img');
  await image.decode();
  // Half the size, and half of that, where it is more than the browser can draw.
  for (let scale = image.naturalWidth / overlay.viewBox.baseVal.width; scale > 0.01; scale /= 2) {
    const blob = await new Promise((done) => paint(image, scale).toBlob(done, kind, 0.92));
    if (blob) return save(summary().name.replace(/[.][^.]*$/, '') + '-faces' + suffix, blob);
  }
};

const walk = (event) => {
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  const at = event.target;
  if (!step || !at.matches('[data-face]')) return;
  event.preventDefault();
  const among = at.matches('.fm-card') ? cards().filter((one) => one.checkVisibility()) : [...overlay.children];
  among[among.indexOf(at) + step]?.focus();
};
for (const one of [overlay, element]) {
  one.addEventListener('keydown', walk);
  for (const [name, on] of [['mouseover', true], ['mouseout', false], ['focusin', true], ['focusout', false]]) {
    one.addEventListener(name, (event) => {
      const face = event.target.closest?.('[data-face]')?.dataset.face;
      if (face) light(face, on);
    });
  }
}
overlay.addEventListener('click', (event) => {
  const face = event.target.closest('[data-face]')?.dataset.face;
  if (!face) return;
  event.stopPropagation();
  openCard(face);
});
overlay.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' && event.key !== ' ') return;
  event.preventDefault();
  openCard(event.target.dataset.face);
});
element.addEventListener('change', ({target}) => {
  const {layer: name, ask} = target.dataset;
  if (!name) return;
  layers[name] = target.checked;
  show();
  const asked = [...element.querySelectorAll('[data-ask]')].map((box) => box.dataset.layer).filter(layer);
  if (ask !== undefined) window.dispatchEvent(new CustomEvent('fm-layers', {detail: asked}));
  lastLayer = ask !== undefined && name;
});
element.addEventListener('click', (event) => {
  const chosen = event.target.closest('.fm-card'), {action} = event.target.dataset;
  if (chosen) choose(chosen.dataset.face);
  if (action === 'png') saveDrawn('.png', 'image/png');
  if (action === 'jpg') saveDrawn('.jpg', 'image/jpeg');
  if (action === 'harder' || action === 'anonymize') trigger(action);
  if (action === 'explain') {
    const {face, attributes: known} = chosen.dataset;
    window.dispatchEvent(new CustomEvent('fm-explain', {detail: {face: Number(face), attributes: known.split(' ')}}));
  }
});
let observed, lastLayer;  // the answer to a layer brings a new checkbox, which has the focus again
watch('value', () => {
  if (!observed) {
    observed = document.querySelector('#fm-pictures');
    new MutationObserver((changes) => { if (changes.some((one) => !overlay.contains(one.target))) place(); })
      .observe(observed, {childList: true, subtree: true});
    new ResizeObserver(resize).observe(observed);
  }
  window.dispatchEvent(new Event('fm-answer'));
  draw();
  show();
  obey();
  if (lastLayer && document.activeElement === document.body) {
    element.querySelector(`[data-layer=${lastLayer}]`)?.focus({preventScroll: true});
  }
  lastLayer = null;
  // On a phone the answer is below the fold: image and answer move up together.
  if (cards().length && element.getBoundingClientRect().top > innerHeight * 0.6) {
    observed.scrollIntoView({block: 'start', behavior: 'smooth'});
  }
});
