// The webcam tab: one button that starts the camera and the stream, and stops both. It presses Gradio's own buttons,
// which the style sheet hides: one grants access to the camera, the other starts the stream.
// Gradio runs this when the part of the page is there, with `element`.

const button = element.querySelector('button');
const part = (selector) => document.querySelector('#fm-webcam ' + selector);

const show = (on) => {
  element.classList.toggle('fm-on', on);
  for (const label of button.children) label.hidden = (label.className === 'fm-stop') !== on;
};

button.addEventListener('click', () => {
  if (element.classList.contains('fm-on')) return window.dispatchEvent(new Event('fm-camera-release'));
  part('[title="grant webcam access"] button')?.click();
});
window.addEventListener('fm-camera-released', () => show(false));
// The button that starts the stream is there as soon as access was granted.
new MutationObserver(() => {
  const start = part('.capture-button');
  if (!start || start.dataset.pressed) return;
  start.dataset.pressed = true;
  start.click();
  show(true);
}).observe(document.querySelector('#fm-camera'), {childList: true, subtree: true});
