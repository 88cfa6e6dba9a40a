// The image tab: a box to choose at each face of the annotated picture, in an SVG over it, tied to the face's card.
// Gradio runs this when the part of the page is there, with `element`, `trigger` and `watch`.

const overlay = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
overlay.setAttribute('class', 'fm-overlay');
const card = (face) => element.querySelector(`.fm-card[data-face="${face}"]`);

const choose = (face) => {
  for (const one of [...overlay.children, ...element.querySelectorAll('.fm-card')]) {
    one.classList.toggle('fm-chosen', one.dataset.face === face);
  }
};

const openCard = (face) => {
  choose(face);
  card(face).closest('details')?.setAttribute('open', '');
  card(face).focus({preventScroll: true});
  card(face).scrollIntoView({block: 'nearest', behavior: 'smooth'});
};

const draw = () => {
  overlay.replaceChildren();
  overlay.setAttribute('viewBox', element.querySelector('.fm-summary')?.dataset.box ?? '0 0 1 1');
  for (const one of element.querySelectorAll('.fm-card')) {
    const box = document.createElementNS(overlay.namespaceURI, 'rect');
    const [x, y, width, height] = one.dataset.box.split(' ');
    const name = one.getAttribute('aria-label') + ': ' + one.querySelector('header p').textContent;
    const place = {x, y, width, height, 'data-face': one.dataset.face};
    const attributes = {...place, role: 'button', tabindex: 0, 'aria-label': name};
    for (const [key, value] of Object.entries(attributes)) box.setAttribute(key, value);
    overlay.append(box);
  }
  place();
};

// Gradio makes the picture's frame anew with each picture, a little later than this.
const place = () => {
  const frame = document.querySelector('#fm-annotated .image-container');
  if (frame && overlay.parentNode !== frame && overlay.children.length) frame.append(overlay);
};

overlay.addEventListener('click', (event) => event.target.dataset.face && openCard(event.target.dataset.face));
overlay.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' && event.key !== ' ') return;
  event.preventDefault();
  openCard(event.target.dataset.face);
});
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
    observed = document.querySelector('#fm-annotated');
    new MutationObserver(place).observe(observed, {childList: true, subtree: true});
  }
  draw();
});
