// The image tab: which layers are on that the server answers only on request. Gradio sends this component's value along
// with every change of a setting. `faces.js` tells of a change by the event `fm-layers`.
// Gradio runs this when the page is there, with `props` and `trigger`.

window.addEventListener('fm-layers', ({detail}) => {
  props.value = detail;
  trigger('ask');
});
