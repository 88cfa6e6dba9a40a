// The video tab: a mark in every plot where the annotated clip stands, and a click there, or on a time, moves the clip.
// Gradio runs this when the part of the page is there, with `element` and `watch`.

const clip = () => document.querySelector('#fm-clip-drawn video');
const move = (seconds) => { if (clip()) clip().currentTime = seconds; };

const mark = () => {
  const time = clip()?.currentTime ?? 0;
  for (const line of element.querySelectorAll('.fm-now')) line.setAttribute('d', `M${time} 0V1`);
};

const save = (name) => {
  const link = document.createElement('a');
  link.href = clip().currentSrc;
  link.download = name;
  link.click();
};

element.addEventListener('click', (event) => {
  const {action, time, name} = event.target.dataset;
  if (action === 'jump') move(Number(time));
  if (action === 'csv') document.querySelector('#fm-clip-table').click();
  if (action === 'mp4' && clip()) save(name);
  const plot = event.target.closest('.fm-plot svg');
  if (!plot) return;
  const {left, width} = plot.getBoundingClientRect();
  move((event.clientX - left) / width * plot.viewBox.baseVal.width);
});

let listening = false;
watch('value', () => {
  mark();
  if (listening) return;
  listening = true;
  // These events don't bubble, and Gradio makes the video anew with each clip: so they are caught on the way down.
  for (const name of ['timeupdate', 'seeking', 'loadedmetadata']) {
    document.querySelector('#fm-clip-drawn').addEventListener(name, mark, true);
  }
});
