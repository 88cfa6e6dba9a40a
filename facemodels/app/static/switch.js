// The webcam tab: one button that starts the camera and the stream, and stops both. It presses Gradio's own buttons,
// which the style sheet hides: one grants access to the camera, the other starts the stream.
// Gradio runs this when the part of the page is there, with `element`.

const button = element.querySelector('button');
const part = (selector) => document.querySelector('#fm-webcam ' + selector);
const grant = () => part('[title="grant webcam access"] button');
let again = false;  // whether the camera is to start as soon as it was released

const show = (on) => {
  element.classList.toggle('fm-on', on);
  for (const label of button.children) label.hidden = (label.className === 'fm-stop') !== on;
};

button.addEventListener('click', () => {
  if (element.classList.contains('fm-on')) return window.dispatchEvent(new Event('fm-camera-release'));
  grant()?.click();
});
window.addEventListener('fm-camera-restart', () => {
  again = true;
  window.dispatchEvent(new Event('fm-camera-release'));
});
window.addEventListener('fm-camera-released', () => show(false));
// The button that starts the stream is there as soon as access was granted.
new MutationObserver(() => {
  if (again && grant()) {
    again = false;
    return grant().click();
  }
  const start = part('.capture-button');
  if (!start || start.dataset.pressed) return;
  start.dataset.pressed = true;
  start.click();
  show(true);
  window.dispatchEvent(new Event('fm-camera-started'));
}).observe(document.querySelector('#fm-camera'), {childList: true, subtree: true});
