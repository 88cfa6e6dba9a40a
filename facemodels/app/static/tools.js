// The webcam tab: which camera, where there are several, and a snapshot for the image tab.
// Gradio runs this when the part of the page is there, with `element`, `props`, `trigger` and `upload`.

const choice = element.querySelector('label'), select = element.querySelector('select');
const button = element.querySelector('button');
const camera = () => document.querySelector('#fm-webcam video');

const listCameras = async () => {
  const {texts, label: language} = props;
  const all = (await navigator.mediaDevices.enumerateDevices()).filter(({kind}) => kind === 'videoinput');
  select.replaceChildren(...all.map(({deviceId, label}, place) =>
    new Option(label || texts[language].live_camera_number.replace('{place}', place + 1), deviceId)));
  select.value = camera()?.srcObject?.getVideoTracks()[0]?.getSettings().deviceId ?? '';
  choice.hidden = all.length < 2;
};

// As the camera sees it: what the page shows is mirrored.
const takeSnapshot = async () => {
  const video = camera(), canvas = document.createElement('canvas');
  Object.assign(canvas, {width: video.videoWidth, height: video.videoHeight});
  canvas.getContext('2d').drawImage(video, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.95));
  const {path} = await upload(new File([blob], 'webcam.jpg', {type: 'image/jpeg'}));
  trigger('snapshot', {path});
};

select.addEventListener('change', () => {
  window.dispatchEvent(new CustomEvent('fm-camera-choose', {detail: select.value}));
  window.dispatchEvent(new Event('fm-camera-restart'));
});
button.addEventListener('click', async () => {
  button.disabled = true;
  await takeSnapshot().finally(() => { button.disabled = !camera()?.srcObject?.active; });
});
window.addEventListener('fm-camera-started', () => {
  button.disabled = false;
  listCameras();
});
window.addEventListener('fm-camera-released', () => { button.disabled = true; });
