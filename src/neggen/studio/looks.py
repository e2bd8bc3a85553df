"""How Gradio's own components look: like the report, with fonts that the machine has."""

from __future__ import annotations

import gradio as gr

SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
MONOSPACE = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace")
GREEN = gr.themes.Color(
    "#eefaf6", "#d7f2ea", "#aee5d6", "#7fd2bd", "#4bb59c", "#1f9379", "#0b6e5d", "#09584b",
    "#08463c", "#063a32", "#03221d", name="neggen",
)  # fmt: skip

LOOKS = {
    "body_background_fill": "#fbfaf7",
    "body_background_fill_dark": "#14171a",
    "block_background_fill": "#ffffff",
    "block_background_fill_dark": "#1c2024",
    "input_background_fill": "#ffffff",
    "input_background_fill_dark": "#14171a",
    "input_border_width": "1px",
    "input_border_color": "#d6d2c8",
    "input_border_color_dark": "#333940",
    "button_secondary_background_fill": "#ffffff",
    "button_secondary_background_fill_dark": "#1c2024",
    "button_secondary_border_color": "#d6d2c8",
    "button_secondary_border_color_dark": "#333940",
    "button_cancel_background_fill": "#ffffff",
    "button_cancel_background_fill_dark": "#1c2024",
    "button_cancel_border_color": "#d6d2c8",
    "button_cancel_border_color_dark": "#333940",
    "button_cancel_text_color": "#93400c",
    "button_cancel_text_color_dark": "#ffcfae",
    "button_border_width": "1px",
    "button_large_text_weight": "600",
    "border_color_primary_dark": "#333940",
    "block_border_color_dark": "#333940",
    "background_fill_secondary_dark": "#1c2024",
}
"""Colors of Gradio's own components, in light and dark, like those of the report."""


def theme() -> gr.themes.Base:
    """Return the theme; it loads no font from anywhere."""
    return gr.themes.Base(
        primary_hue=GREEN, neutral_hue=gr.themes.colors.stone, font=SYSTEM_FONTS,
        font_mono=MONOSPACE,
    ).set(**LOOKS)  # fmt: skip
