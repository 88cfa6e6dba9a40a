"""How the page looks: Gradio's themes with fonts that come with Gradio, and one of our own."""

from __future__ import annotations

from typing import Any

THEMES = ("soft", "default", "base", "citrus", "glass", "monochrome", "ocean", "origin")  # Gradio's


def make_theme(name: str) -> Any:
    """The page's own theme, ``facemodels``, or one of Gradio's in `THEMES`."""
    import gradio as gr  # here, so that `--help` need not wait for it

    # The fonts come with Gradio: the page asks nothing of the internet. app.css says what is like Plex.
    fonts: dict[str, Any] = {
        "font": (
            gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)),
            "Like Plex",
            "Like Plex too",
            "system-ui",
            "sans-serif",
        ),
        "font_mono": (gr.themes.LocalFont("IBM Plex Mono"), "ui-monospace", "monospace"),
    }
    if name in THEMES:
        return getattr(gr.themes, name.capitalize())(**fonts)
    return gr.themes.Soft(primary_hue="teal", secondary_hue="teal", neutral_hue="slate", radius_size="lg", **fonts).set(
        body_background_fill="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        block_label_background_fill_dark="*primary_700",
        block_label_text_color="*primary_800",
        block_title_background_fill_dark="*primary_700",
        block_title_text_color="*primary_800",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        slider_color="*primary_600",
    )
