// The image tab: reports the example that was chosen.
// Gradio runs this when the part of the page is there, with `element` and `trigger`.

element.addEventListener('click', (event) => {
  const chosen = event.target.closest('[data-example]');
  if (chosen) trigger('pick', {example: Number(chosen.dataset.example)});
});
