// Tells the browser, and with it a screen reader, the language of the page; it follows Gradio's own choice and settings.

const tell = () => { document.documentElement.lang = props.value; };
tell();
watch('value', tell);
