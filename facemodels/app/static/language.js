// Tells the browser, and with it a screen reader, the language of the page and where its lines begin; it follows Gradio's
// own choice and settings.

const fromTheRight = ['ar', 'fa', 'he', 'ur'];
const tell = () => {
  document.documentElement.lang = props.value;
  document.documentElement.dir = fromTheRight.includes(props.value) ? 'rtl' : 'ltr';
};
tell();
watch('value', tell);
