// The video tab: a poster and a play sign on the annotated clip, a mark in every plot where it stands, and a click there,
// or on a time, moves it.
// Gradio runs this when the part of the page is there, with `element`, `props`, `trigger` and `watch`.

const clip = () => document.querySelector('#fm-clip-drawn video');
const move = (seconds) => {
  if (!clip()) return;
  clip().currentTime = seconds;
  clip().closest('#fm-clip-drawn').scrollIntoView({block: 'nearest', behavior: 'smooth'});
};

const sign = document.createElement('button');
sign.className = 'fm-play';
sign.addEventListener('click', () => clip()?.play());
const showSign = () => {
  const video = clip(), {texts, label} = props;
  if (!video) return sign.remove();
  sign.setAttribute('aria-label', texts[label].clip_play);
  sign.hidden = !video.paused;
  if (sign.parentNode !== video.parentNode) video.parentNode.append(sign);
};
const dress = () => {
  const poster = element.querySelector('.fm-summary')?.dataset.poster;
  if (clip() && poster && clip().poster !== poster) clip().poster = poster;
  showSign();
};

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
  if (action === 'anonymize') trigger('anonymize');
  if (action === 'mp4' && clip()) save(name);
  const plot = event.target.closest('.fm-axes svg');
  if (!plot) return;
  const {left, width} = plot.getBoundingClientRect();
  move((event.clientX - left) / width * plot.viewBox.baseVal.width);
});

let listening = false;
watch('value', () => {
  mark();
  dress();
  if (listening) return;
  listening = true;
  // These events don't bubble, and Gradio makes the video anew with each clip: so they are caught on the way down.
  const player = document.querySelector('#fm-clip-left');
  for (const name of ['timeupdate', 'seeking', 'loadedmetadata']) player.addEventListener(name, mark, true);
  for (const name of ['play', 'pause', 'ended', 'loadedmetadata']) player.addEventListener(name, dress, true);
});
