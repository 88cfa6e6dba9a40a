// Releases the camera when its tab of the page is left, or the page is hidden or closed; `live.js` asks for it on Stop.
// Gradio's image component keeps its device, and its stream, until it is unmounted. So the tracks are stopped here, and
// the component is unmounted and mounted again (`trigger`; app.py does it).
// Gradio runs this when the page is there, with `element` and `trigger`.

const devices = navigator.mediaDevices;
let open = [], releases = 0, chosen;
const stop = (streams) => streams.flatMap((stream) => stream.getTracks()).forEach((track) => track.stop());

const release = () => {
  releases += 1;
  if (!open.some((stream) => stream.active)) return;
  stop(open);
  open = [];
  trigger('release');
  window.dispatchEvent(new Event('fm-camera-released'));
};

if (devices) {
  const request = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (constraints) => {
    const before = releases;
    const video = constraints.video && chosen ? {...constraints.video, deviceId: {exact: chosen}} : constraints.video;
    const stream = await request({...constraints, video});
    if (before !== releases) {  // the visitor left while the browser asked for permission
      stop([stream]);
      throw new DOMException('The camera was released before it started.', 'AbortError');
    }
    stop(open);  // one camera at a time
    open = [stream];
    return stream;
  };
}
window.addEventListener('unhandledrejection', (event) => {
  if (event.reason?.name === 'AbortError') event.preventDefault();
});
window.addEventListener('fm-camera-choose', (event) => { chosen = event.detail; });
window.addEventListener('fm-camera-release', release);
window.addEventListener('pagehide', release);
document.addEventListener('visibilitychange', () => { if (document.hidden) release(); });
