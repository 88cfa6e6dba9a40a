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

// Lines and letters have a fixed size on the screen, whatever the image's.
const resize = () => {
  const {width, height} = overlay.viewBox.baseVal, {clientWidth, clientHeight} = overlay;
  if (!clientWidth || !clientHeight) return;
  const pixel = Math.max(width / clientWidth, height / clientHeight), size = 13 * pixel;
  for (const group of overlay.children) {
    const [box, label] = group.children, left = Number(box.getAttribute('x')), top = Number(box.getAttribute('y'));
    attributes(box, {rx: 4 * pixel});
    const wide = overlay.children.length < 4 || Number(box.getAttribute('width')) > 4.5 * size;
    label.textContent = group.dataset.face + (wide && group.dataset.text ? ' ' + group.dataset.text : '');
    attributes(label, {x: left + 2 * pixel, y: Math.max(top - 5 * pixel, size), 'font-size': size, 'stroke-width': size / 4});
  }
};

const draw = () => {
  overlay.replaceChildren();
  overlay.setAttribute('viewBox', element.querySelector('.fm-summary')?.dataset.box ?? '0 0 1 1');
  for (const one of cards()) {
    const {face, box, emotion, text} = one.dataset, [x, y, width, height] = box.split(' ');
    const name = one.getAttribute('aria-label') + (text ? ': ' + one.querySelector('header p').textContent : '');
    const group = attributes(svg('g'), {
      'data-face': face, 'data-text': text, class: emotion ? 'fm-emotion-' + emotion : '',
      role: 'button', tabindex: 0, 'aria-label': name,
    });
    group.append(attributes(svg('rect'), {x, y, width, height}), svg('text'));
    overlay.append(group);
  }
  place();
};

// Gradio makes the image's frame anew with each image, a little later than this.
const place = () => {
  const image = panel()?.querySelector('.image-frame img'), frame = image?.closest('.image-frame');
  if (!frame || !overlay.children.length) return overlay.remove();
  const shown = element.querySelector('.fm-summary')?.dataset.picture;
  if (shown && image.src !== shown) image.src = shown;
  if (overlay.parentNode !== frame) frame.append(overlay);
  resize();
};

const show = () => panel().classList.toggle('fm-plain', element.querySelector('[data-action=boxes]')?.checked === false);

const walk = (event) => {
  const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
  const at = event.target.closest('[data-face]');
  if (!step || !at) return;
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
element.addEventListener('change', (event) => { if (event.target.dataset.action === 'boxes') show(); });
element.addEventListener('click', (event) => {
  const chosen = event.target.closest('.fm-card');
  if (chosen) choose(chosen.dataset.face);
  if (event.target.closest('[data-action=png]')) trigger('png');
  if (event.target.closest('[data-action=explain]')) {
    event.target.disabled = true;
    event.target.parentNode.setAttribute('aria-busy', 'true');
    trigger('explain', {face: Number(chosen.dataset.face)});
  }
});
let observed;
watch('value', () => {
  if (!observed) {
    observed = document.querySelector('#fm-pictures');
    new MutationObserver((changes) => { if (changes.some((one) => !overlay.contains(one.target))) place(); })
      .observe(observed, {childList: true, subtree: true});
    new ResizeObserver(resize).observe(observed);
  }
  draw();
  show();
  // On a phone the answer is below the fold: image and answer move up together.
  if (cards().length && element.getBoundingClientRect().top > innerHeight * 0.6) {
    observed.scrollIntoView({block: 'start', behavior: 'smooth'});
  }
});
