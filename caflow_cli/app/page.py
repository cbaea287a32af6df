"""The page, in Gradio. What it does is in `sessions`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from .inputs import Fields
from .sessions import Sessions, Update

__all__ = ["CSS", "build", "theme"]

CSS = Path(__file__).with_name("style.css")
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "monospace"]
_INVENTED = (
    "**Detail is invented.** A result is one of many images that fit the input, not the one that "
    "was there. Take none for evidence, for a likeness or for a measurement. A high likelihood is "
    "not quality: below temperature 1 it favours smooth images."
)
_TASKS = {
    "superres": "enlarge",
    "colorize": "colour",
    "inpaint": "fill a hole",
    "paired": "translate",
}
_RED = "#ff2d55"
_INKS = ["#000000", "#ffffff", "#e03131", "#2f9e44", "#1971c2"]
_SHOWN: Any = {"interactive": False, "show_label": False, "format": "png", "visible": False}
# Below the fields on a narrow screen are results that nobody would see.
_SCROLL = """() => document.querySelector("#caflow-status .error")
    || document.getElementById("caflow-title").scrollIntoView({behavior: "smooth"})"""
_HIDDEN: Any = {"interactive": False, "visible": False}


def theme() -> gr.themes.Base:
    """The look: fonts of the machine, so that none is fetched."""
    return gr.themes.Default(
        primary_hue="violet", secondary_hue="orange", font=_FONTS, font_mono=_MONO
    )


def build(sessions: Sessions) -> gr.Blocks:
    """Build the page."""
    return _Page(sessions).blocks


class _Page:
    """Components, by the names that `Update` has, and what connects them with the sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.blocks = gr.Blocks(
            analytics_enabled=False,
            title="caflow",
            delete_cache=(600, 3600),  # every ten minutes, files of an hour ago
            fill_width=True,
        )
        with self.blocks:
            gr.Markdown(
                "# caflow\nOne image in, many plausible images out, each with its log-likelihood.",
                elem_id="caflow-head",
            )
            gr.Markdown(_INVENTED, elem_id="caflow-invented")
            with gr.Row(equal_height=False):
                with gr.Column(scale=4, min_width=320):
                    self._controls()
                with gr.Column(scale=5, min_width=320, elem_id="caflow-results"):
                    self._results()
            self._connect()

    def _controls(self) -> None:
        titles = [(f"{id} ({_TASKS[task]})", id) for id, task in self.sessions.models.tasks.items()]
        self.model = gr.Dropdown(titles, value=titles[0][1], label="Model", filterable=False)
        self.image = _upload("Image", 260, "caflow-image")
        self.example = gr.Button("Take the example", size="sm")
        self.size = gr.HTML(elem_id="caflow-size")
        self.canvas = gr.ImageEditor(
            sources=(),
            transforms=(),
            layers=False,
            type="pil",
            buttons=[],
            height=560,
            visible=False,
            format="png",
            elem_id="caflow-editor",
        )
        with gr.Row():
            self.tau = gr.Textbox(label="Temperature", info="or 0.9/0.7/0.5", min_width=140)
            self.candidates = gr.Number(
                label="Candidates", info="to draw", precision=0, min_width=140
            )
        with gr.Row():
            self.keep = gr.Number(1, label="Keep", info="as files", precision=0, min_width=140)
            self.seed = gr.Number(0, label="Seed", info="of the first", precision=0, min_width=140)
        with gr.Column(elem_id="caflow-act"):  # in sight wherever the fields are scrolled to
            with gr.Row():
                size: Any = {"size": "md", "min_width": 90}
                self.go = gr.Button("Draw", variant="primary", elem_id="caflow-draw", **size)
                self.again = gr.Button("Draw more", elem_id="caflow-more", **size)
                self.end = gr.Button("Stop", interactive=False, elem_id="caflow-stop", **size)
            self.status = gr.HTML("<p>Give an image, and draw.</p>", elem_id="caflow-status")
        gr.Markdown(self.sessions.limits.text, elem_id="caflow-limits")

    def _results(self) -> None:
        self.title = gr.HTML("<p>Candidates appear here.</p>", elem_id="caflow-title")
        self.slider = gr.ImageSlider(
            buttons=["fullscreen"], max_height=460, elem_id="caflow-slider", **_SHOWN
        )
        self.text = gr.HTML(elem_id="caflow-text")
        self.file = gr.DownloadButton(
            "Download this candidate", visible=False, elem_id="caflow-download"
        )
        self.gallery = gr.Gallery(
            columns=4,
            height="auto",
            allow_preview=False,
            object_fit="contain",
            buttons=[],
            elem_id="caflow-candidates",
            **_SHOWN,
        )
        self.files = gr.File(
            label="The best, with provenance, and what was painted",
            file_count="multiple",
            elem_id="caflow-files",
            **_HIDDEN,
        )
        self.spread = gr.Image(buttons=[], elem_id="caflow-spread", format="png", **_HIDDEN)
        self.command = gr.Textbox(
            label="The same from the command line",
            buttons=["copy"],
            lines=2,
            elem_id="caflow-command",
            **_HIDDEN,
        )
        with gr.Accordion("Score an image", open=False, elem_id="caflow-scoring"):
            gr.Markdown(
                "log p of an image under the model, given the input: of the original, or of a "
                "result that was downloaded."
            )
            self.target = _upload("Image to score", 180, "caflow-target")
            self.judge = gr.Button("Score this image", elem_id="caflow-judge")
            self.score = gr.HTML(elem_id="caflow-score")

    def _connect(self) -> None:
        numbers = [self.tau, self.candidates, self.keep, self.seed]
        fields = [self.model, self.image, self.canvas, *numbers]
        results = [self.title, self.gallery, self.slider, self.text, self.file, self.files]
        results += [self.spread, self.command]
        shown = [self.status, self.end, *results]
        about, defaults = [self.size, self.canvas], [self.tau, self.candidates]
        # One job at a time on the models; the others wait in the queue.
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        alone: Any = {"concurrency_limit": 1, "concurrency_id": "models", **quiet}
        quiet["queue"] = False

        self.go.click(self._for_session(self.sessions.press), None, None, **quiet)
        drawn = self.go.click(self._draw, fields, shown, **alone)
        drawn.then(None, None, None, js=_SCROLL, **quiet)
        self.again.click(self._more, fields, shown, **alone)
        self.end.click(self._for_session(self.sessions.stop), None, None, **quiet)
        self.judge.click(self._score, [*fields, self.target], [self.score], **alone)
        self.gallery.select(self._choose, None, [self.slider, self.text, self.file], **quiet)
        self.example.click(self._example, self.model, [self.image, *about], **quiet)
        for change in (self.image.upload, self.image.clear):
            change(self._describe, [self.model, self.image], about, **quiet)
        for change in (self.model.change, self.blocks.load):
            change(self._choose_model, [self.model, self.image], [*about, *defaults], **quiet)
        for change in (
            self.image.upload,
            self.image.clear,
            self.example.click,
            self.canvas.input,
            *(field.change for field in (self.model, self.tau, self.seed)),
        ):
            change(self._for_session(self.sessions.edit), None, [self.title], **quiet)
        self.blocks.unload(self._leave)

    # --- what happens ---------------------------------------------------------------------------

    def _update(self, update: Update) -> dict[Any, Any]:
        """New values of components, by component."""
        return {
            getattr(self, name): gr.update(**value) if isinstance(value, dict) else value
            for name, value in update.items()
        }

    def _draw(self, request: gr.Request, *fields: Any) -> Iterator[dict[Any, Any]]:
        for update in self.sessions.draw(str(request.session_hash), _fields(*fields)):
            yield self._update(update)

    def _more(self, request: gr.Request, *fields: Any) -> Iterator[dict[Any, Any]]:
        for update in self.sessions.more(str(request.session_hash), _fields(*fields)):
            yield self._update(update)

    def _for_session(self, method: Callable[..., Update | None]) -> Callable[..., Any]:
        """A handler of an event: a method of `Sessions`, called with the visitor's name."""

        def handle(request: gr.Request, *values: Any) -> Any:
            update = method(str(request.session_hash), *values)
            return None if update is None else self._update(update)

        return handle

    def _leave(self, request: gr.Request) -> None:
        self.sessions.leave(str(request.session_hash))

    def _choose(self, request: gr.Request, event: gr.SelectData) -> dict[Any, Any]:
        return self._update(self.sessions.choose(str(request.session_hash), int(event.index)))

    def _score(self, request: gr.Request, *values: Any) -> dict[Any, Any]:
        *given, target = values
        session = str(request.session_hash)
        return self._update(self.sessions.score(session, _fields(*given), target))

    def _describe(self, model: str, image: str | None) -> dict[Any, Any]:
        found = self.sessions.describe(Fields(model, image))
        if found["canvas"] is None:
            canvas: Update = {"visible": False, "value": None}
        else:
            maps, pixel = self.sessions.models.tasks[model] == "paired", found["pixel"]
            # In maps, lines of little more than a pixel of the model, as drawings have them; in
            # holes, of ten pixels. Sizes are radii.
            brush = gr.Brush(max(1, round(5 * pixel)), colors=[_RED], color_mode="fixed")
            if maps:
                brush = gr.Brush(max(1, round(0.6 * pixel)), colors=_INKS)
            label = "Draw the map" if maps else "Paint the hole"
            value = Image.fromarray(found["canvas"])
            canvas = {"visible": True, "value": value, "label": label, "brush": brush}
        return self._update({"size": found["size"], "canvas": canvas})

    def _choose_model(self, model: str, image: str | None) -> dict[Any, Any]:
        sampling = self.sessions.models.sampling(model)
        described = self._describe(model, image)
        return {
            **described,
            self.tau: str(sampling.temperature),
            self.candidates: sampling.candidates,
        }

    def _example(self, model: str) -> dict[Any, Any]:
        path = self.sessions.example(model)
        return {self.image: path, **self._describe(model, path)}


def _upload(label: str, height: int, name: str) -> gr.Image:
    """A field for an image, whose file is handed on as it is: `sessions` says what is wrong.

    Gradio would open it first, and say no more than "Error" of what it cannot read.
    """
    field = gr.Image(
        label=label, sources=["upload", "clipboard"], height=height, buttons=[], elem_id=name
    )
    field.preprocess = lambda payload: None if payload is None else payload.path
    return field


def _fields(model: str, image: str | None, canvas: Any, tau: str, *numbers: int | None) -> Fields:
    layers = [np.array(layer.convert("RGBA")) for layer in canvas["layers"]] if canvas else ()
    return Fields(model, image, layers, tau.strip() or None, *numbers)
