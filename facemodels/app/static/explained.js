// The image tab: shows where in a face the answers come from, in a dialog, one attribute at a time.
// Gradio runs this when the part of the page is there, with `element`, `props`, `trigger` and `watch`. A card asks by the
// event `fm-explain`; `fm-answer` says that the cards are new, and what was explained before is void.

const say = (key) => props.texts[props.label][key];
const node = (tag, parent, values = {}) => parent.appendChild(Object.assign(document.createElement(tag), values));
const dialog = node('dialog', document.querySelector('.gradio-container'), {className: 'fm-dialog'});
const head = node('header', dialog), title = node('h2', head, {id: 'fm-asked', tabIndex: -1});
const close = node('button', head, {className: 'fm-download'});
const choices = node('div', dialog, {className: 'fm-choices'});
const place = node('div', dialog, {className: 'fm-explained'});
dialog.setAttribute('aria-labelledby', 'fm-asked');
place.setAttribute('aria-live', 'polite');
let face, pages = new Map();

const show = (attribute) => {
  for (const button of choices.children) button.setAttribute('aria-pressed', button.value === attribute);
  dialog.dataset.attribute = attribute;
  const page = pages.get(`${face} ${attribute}`);
  place.setAttribute('aria-busy', page === undefined);
  place.innerHTML = page ?? `<p>${say('explain_busy')}</p>`;
  if (page === undefined) trigger('explain', {face, attribute});
};

window.addEventListener('fm-explain', ({detail}) => {
  face = detail.face;
  title.textContent = say('face').replace('{place}', face) + ': ' + say('explain');
  close.textContent = say('explain_close');
  choices.replaceChildren();
  for (const value of detail.attributes) {
    node('button', choices, {className: 'fm-download', value, textContent: say('attribute_' + value)});
  }
  dialog.showModal();
  title.focus();
  show(detail.attributes[0]);
});
window.addEventListener('fm-answer', () => {
  pages = new Map();
  dialog.close();
});
choices.addEventListener('click', (event) => { if (event.target.value) show(event.target.value); });
close.addEventListener('click', () => dialog.close());
dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });  // beside it

watch('value', () => {
  const {face: of, attribute, page} = props.value;
  pages.set(`${of} ${attribute}`, page);
  if (dialog.open && of === face && attribute === dialog.dataset.attribute) show(attribute);
});
