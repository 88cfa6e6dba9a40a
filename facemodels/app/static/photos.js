// The image tab: a photo of the gallery opens as the tab's picture, and several photos that were dropped on the picture
// go to the gallery.
// Gradio runs this when the part of the page is there, with `element` and `trigger`.

element.addEventListener('click', (event) => {
  const chosen = event.target.closest('[data-photo]');
  if (chosen) trigger('open', {photo: Number(chosen.dataset.photo)});
});

const part = (selector) => document.querySelector('#fm-photos ' + selector);
const take = (files, tries = 100) => {
  const input = part('input[type=file]');
  if (!input) {
    if (tries === 100 && !part('.fm-note, .fm-photos')?.checkVisibility()) part('button')?.click();
    return tries && setTimeout(take, 50, files, tries - 1);
  }
  const carrier = new DataTransfer();
  for (const file of files) carrier.items.add(file);
  input.files = carrier.files;
  input.dispatchEvent(new Event('change', {bubbles: true}));
  element.scrollIntoView({block: 'center', behavior: 'smooth'});
};
document.addEventListener('drop', (event) => {
  const files = [...event.dataTransfer?.files ?? []].filter((file) => file.type.startsWith('image/'));
  if (files.length < 2 || !event.target.closest?.('#fm-picture')) return;
  event.preventDefault();
  event.stopPropagation();
  take(files);
}, true);
