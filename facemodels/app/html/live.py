"""The webcam tab's HTML; what it shows is drawn by ``live.js``."""

# Templates of Gradio's: the page fills them with the texts in its language.
SWITCH_HTML = """
<button type="button"><span class="fm-start">${texts[label].live_switch_on}</span>
<span class="fm-stop" hidden>${texts[label].live_switch_off}</span></button>
"""
LIVE_HTML = """
<div class="fm-status"><output>${texts[label].live_start}</output></div>
<figure class="fm-plot"><figcaption>${texts[label].live_plot} <span></span></figcaption>
<svg preserveAspectRatio="none" role="img" aria-label="${texts[label].live_plot_name}"></svg>
<ul aria-label="${texts[label].live_seen}"></ul></figure>
<div class="fm-cards fm-live" tabindex="0" role="region" aria-label="${texts[label].live_now}"></div>
"""
