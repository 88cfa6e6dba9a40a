"""The webcam tab's HTML; what it shows is drawn by ``live.js``."""

# Templates of Gradio's: the page fills them with the texts in its language.
SWITCH_HTML = """
<button type="button"><span class="fm-start">${texts[label].live_switch_on}</span>
<span class="fm-stop" hidden>${texts[label].live_switch_off}</span></button>
"""
TOOLS_HTML = """
<button type="button" class="fm-download" disabled>${texts[label].live_snapshot}</button>
<label hidden>${texts[label].live_camera} <select aria-label="${texts[label].live_camera}"></select></label>
"""
LIVE_HTML = """
<div class="fm-status"><output>${texts[label].live_start}</output>
<button type="button" class="fm-download" data-action="csv" hidden>${texts[label].live_csv}</button></div>
<div class="fm-cards fm-live" tabindex="0" role="region" aria-label="${texts[label].live_now}"></div>
<template><figure class="fm-plot"><b>${texts[label].axis_score}</b>
<div class="fm-axes"><span>100%</span><span>50%</span><span>0%</span>
<svg preserveAspectRatio="none" role="img"></svg></div>
<figcaption><span>0</span><b>${texts[label].axis_time}</b><span></span></figcaption>
<ul aria-label="${texts[label].live_seen}"></ul></figure></template>
"""
