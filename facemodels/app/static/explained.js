// The image tab: puts an explanation into the card of its face. The place waits only as long as its card is on the page,
// so an answer about an earlier picture finds none.

watch('value', () => {
  const place = document.querySelector(`#fm-results [data-face="${props.value.face}"] .fm-explained[aria-busy=true]`);
  if (!place) return;
  place.innerHTML = props.value.page;
  place.removeAttribute('aria-busy');
});
