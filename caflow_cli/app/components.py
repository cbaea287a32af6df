"""What the page shows: its components, in Gradio."""

from pathlib import Path
from typing import Any

import gradio as gr

from ..tasks import TASKS
from .inputs import Limits, uploaded

CSS = Path(__file__).with_name("style.css")
# Fonts of the machine, so that none is fetched.
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "monospace"]
THEME = gr.themes.Default(
    primary_hue="violet",
    secondary_hue="orange",
    font=_FONTS,
    font_mono=_MONO,
)

_INVENTED = (
    "**Detail is invented.** A result is one of many images that fit the input, not the original. "
    "Do not use it as evidence, as a likeness or for measurements. A high likelihood does not mean "
    "high quality: below temperature 1 it favors smooth images."
)
_STAGE_HEIGHT = 520  # pixels; the stage shows what is uploaded, painted and compared, in one place
_SECONDS = (600, 3600)  # every ten minutes, Gradio removes its copies of files of an hour ago

_HIDDEN: Any = {
    "interactive": False,
    "visible": False,
}
_IMAGES: Any = {
    **_HIDDEN,
    "show_label": False,
    "format": "png",
    "buttons": [],
}
_NUMBER: Any = {
    "precision": 0,
    "min_width": 80,
}
_BUTTON: Any = {
    "size": "md",
    "min_width": 90,
}


class Components:
    """The components of the page, by the names that `Update` has.

    Args:
        models: The models of each task, as choices: what one is for, and its id.
        first: The task that is chosen, with its first model.
        candidates: How many that model draws.
        limits: Limits of a request.
    """

    def __init__(
        self,
        models: dict[str, list[tuple[str, str]]],
        first: str,
        candidates: int | None,
        limits: Limits,
    ) -> None:
        self.blocks = gr.Blocks(
            analytics_enabled=False,
            title="caflow",
            delete_cache=_SECONDS,
            fill_width=True,
        )
        with self.blocks:
            gr.Markdown(
                "# caflow\nOne image in, many plausible images out, each with its log-likelihood.",
                elem_id="caflow-head",
            )
            gr.Markdown(_INVENTED, elem_id="caflow-invented")
            with gr.Tabs(selected=first, elem_id="caflow-tasks") as self.tabs:
                for name in models:
                    gr.Tab(TASKS[name].verb.capitalize(), id=name)
            with gr.Row(equal_height=False, elem_id="caflow-page"):
                with gr.Column(elem_id="caflow-controls"):
                    self._add_controls(models[first], candidates)
                    gr.Markdown(
                        f"Results up to {limits.megapixels:g} megapixels, files up to "
                        f"{limits.megabytes} MB, up to {limits.candidates} candidates. One image "
                        "is processed at a time; others wait. Measured fields are not shown: "
                        "`caflow superres` draws their ensembles.",
                        elem_id="caflow-limits",
                    )
                with gr.Column(elem_id="caflow-stage"):
                    self._add_stage()
                with gr.Column(elem_id="caflow-results"):
                    self._add_results()
            self.automatic = gr.State(True)  # until the visitor chooses a model
            self.painted_on = gr.State(None)  # what the canvas shows: an image and what is painted
            self.damage = gr.State(None)  # the image in which damage was found last
            self.marks = gr.State(None)  # `Marks` that the canvas shows below what is painted

    def _add_controls(self, models: list[tuple[str, str]], candidates: int | None) -> None:
        with gr.Column(elem_id="caflow-actions"):
            with gr.Row():
                self.go = gr.Button("Draw", variant="primary", elem_id="caflow-draw", **_BUTTON)
                self.more = gr.Button(
                    "Draw more",
                    interactive=False,
                    elem_id="caflow-draw-more",
                    **_BUTTON,
                )
                self.end = gr.Button("Stop", interactive=False, elem_id="caflow-stop", **_BUTTON)
            self.status = gr.HTML(elem_id="caflow-status")
        self.candidates = gr.Number(
            candidates,
            label="Candidates",
            info="drawn one by one, until you stop; commands draw fewer of large images",
            **_NUMBER,
        )
        with gr.Accordion("More", open=False, elem_id="caflow-more"):
            # Radio buttons, because a list of narrow width cuts names off.
            self.model = gr.Radio(models, value=models[0][1], label="Model")
            self.variety = gr.Slider(
                -1,
                1,
                0,
                step=0.1,
                label="Temperature",
                buttons=["reset"],
                elem_id="caflow-tau",
            )
            with gr.Row():
                self.seed = gr.Number(0, label="Seed", info="of the first", **_NUMBER)
                self.keep = gr.Number(1, label="Keep", info="as files", **_NUMBER)

    def _add_stage(self) -> None:
        self.image = gr.Image(
            label="Image",
            sources=["upload", "clipboard"],
            height=_STAGE_HEIGHT,
            buttons=[],
            elem_id="caflow-image",
        )
        # Pass the path through unopened; `sessions` reports what is wrong with the file.
        self.image.preprocess = lambda payload: None if payload is None else uploaded(payload.path)
        with gr.Row(elem_id="caflow-canvas"):
            self.canvas = gr.ImageEditor(
                sources=(),
                transforms=(),
                layers=False,
                type="pil",
                buttons=[],
                height=_STAGE_HEIGHT,
                visible=False,
                format="png",
                elem_id="caflow-editor",
            )
            self.preview = gr.Image(
                label="Preview",
                height=_STAGE_HEIGHT,
                buttons=[],
                format="jpeg",
                elem_id="caflow-preview",
                **_HIDDEN,
            )
        self._add_marking()
        self.slider = gr.ImageSlider(
            max_height=_STAGE_HEIGHT,
            elem_id="caflow-slider",
            **{**_IMAGES, "buttons": ["fullscreen"]},
        )
        self.view = gr.Radio(
            ["Input", "Comparison"],
            value="Input",
            show_label=False,
            container=False,
            elem_id="caflow-view",
        )
        self.text = gr.HTML(elem_id="caflow-text")
        with gr.Row(elem_id="caflow-inputs"):
            small: Any = {**_BUTTON, "size": "sm"}
            self.find = gr.Button("Find damage", visible=False, elem_id="caflow-find", **small)
            self.other = gr.UploadButton("Another image", visible=False, **small)
            self.example = gr.Button("Use the example", **small)
        self.size = gr.HTML(elem_id="caflow-size")
        self.title = gr.HTML(elem_id="caflow-title")
        self.file = gr.DownloadButton(
            "Download this candidate",
            visible=False,
            elem_id="caflow-download",
        )
        self.gallery = gr.Gallery(
            columns=4,
            height="auto",
            allow_preview=False,
            object_fit="contain",
            elem_id="caflow-candidates",
            **_IMAGES,
        )

    def _add_marking(self) -> None:
        with gr.Row(elem_id="caflow-marks"):
            self.tool = gr.Radio(
                ["Paint", "Erase"],
                value="Paint",
                show_label=False,
                container=False,
                visible=False,
                min_width=160,
                elem_id="caflow-tool",
            )
            self.threshold = gr.Slider(
                0.05,
                0.95,
                0.5,
                step=0.05,
                label="Threshold",
                info="lower marks more",
                buttons=[],
                visible=False,
                elem_id="caflow-threshold",
            )
            self.snap = gr.Checkbox(
                False,
                label="Snap paint to damage",
                container=False,
                visible=False,
                elem_id="caflow-snap",
            )

    def _add_results(self) -> None:
        self.files = gr.File(
            label="Best candidates with provenance, and what was painted",
            file_count="multiple",
            elem_id="caflow-files",
            **_HIDDEN,
        )
        self.spread = gr.Image(
            buttons=[],
            elem_id="caflow-spread",
            format="png",
            **_HIDDEN,
        )
        self.command = gr.Textbox(
            label="Equivalent command",
            buttons=["copy"],
            lines=2,
            elem_id="caflow-command",
            **_HIDDEN,
        )
