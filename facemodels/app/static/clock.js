// Tells the stream of the webcam when the frame that it sends was shown, so that the page knows how old the boxes of an
// answer are: Gradio sends this component's value along with every frame.
// Where a browser cannot tell (no `requestVideoFrameCallback`), the page takes the time that the answer took instead.
// Gradio runs this when the page is there, with `props`.

const tick = (video) => {
  if (!video.isConnected || !video.srcObject?.active) return;
  props.value = performance.now();
  video.requestVideoFrameCallback(() => tick(video));
};
window.addEventListener('fm-camera-started', () => {
  const video = document.querySelector('#fm-webcam video');
  if (video?.requestVideoFrameCallback) tick(video);
});
