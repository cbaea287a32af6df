"""The page, in Gradio. What it does is in `sessions`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import gradio as gr
import numpy as np
from PIL import Image

from .inputs import RED, Fields
from .job import Update
from .sessions import Sessions

CSS = Path(__file__).with_name("style.css")
# Fonts of the machine, so that none is fetched.
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "monospace"]
_INVENTED = (
    "**Detail is invented.** A result is one of many images that fit the input, not the original. "
    "Do not use it as evidence, as a likeness or for measurements. A high likelihood does not mean "
    "high quality: below temperature 1 it favours smooth images."
)
_BRUSH = 10  # pixels
_INKS = ["#000000", "#ffffff", "#e03131", "#2f9e44", "#1971c2"]
_HEIGHT = 520  # pixels of the stage: of what is uploaded, painted and compared, in one place
_SHOWN: Any = {"interactive": False, "show_label": False, "format": "png", "visible": False}
_HIDDEN: Any = {"interactive": False, "visible": False}
# Whether fields have changed since Draw was pressed is known to the page alone: style.css shows it.
_PRESSED = "() => document.body.classList.remove('caflow-edited')"
_EDITED = "() => document.body.classList.add('caflow-edited')"
# On a narrow screen the stage is above the fields.
_SHOW = (
    'document.getElementById("caflow-stage").scrollIntoView({behavior: "smooth", block: "nearest"})'
)
# After a mistake the candidates stay as they were.
_DRAWN = f"""() => document.querySelector("#caflow-status .error")
    ? document.body.classList.add("caflow-edited") : {_SHOW}"""
_VIEWED = f"""view => document.body.classList.toggle("caflow-compared", view === "Comparison")
    && {_SHOW}"""


THEME = gr.themes.Default(
    primary_hue="violet", secondary_hue="orange", font=_FONTS, font_mono=_MONO
)


class Page:
    """Components, by the names that `Update` has, and what connects them with the sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        # Every ten minutes, Gradio removes its copies of files of an hour ago.
        self.blocks = gr.Blocks(
            analytics_enabled=False, title="caflow", delete_cache=(600, 3600), fill_width=True
        )
        with self.blocks:
            gr.Markdown(
                "# caflow\nOne image in, many plausible images out, each with its log-likelihood.",
                elem_id="caflow-head",
            )
            gr.Markdown(_INVENTED, elem_id="caflow-invented")
            with gr.Row(equal_height=False, elem_id="caflow-page"):
                with gr.Column(elem_id="caflow-controls"):
                    self._controls()
                with gr.Column(elem_id="caflow-stage"):
                    self._stage()
                with gr.Column(elem_id="caflow-results"):
                    self._results()
            self._connect()

    def _controls(self) -> None:
        tasks = self.sessions.models.tasks
        titles = [(f"{id} ({task.verb})", id) for id, task in tasks.items()]
        self.model = gr.Dropdown(titles, value=titles[0][1], label="Model", filterable=False)
        self.tau = gr.Textbox(
            label="Temperature", info="one value, or one per scale or latent: 0.9/0.7/0.5"
        )
        with gr.Row():
            whole: Any = {"precision": 0, "min_width": 80}
            self.candidates = gr.Number(label="Candidates", info="to draw", **whole)
            self.keep = gr.Number(1, label="Keep", info="as files", **whole)
            self.seed = gr.Number(0, label="Seed", info="of the first", **whole)
        with gr.Row():
            size: Any = {"size": "md", "min_width": 90}
            self.go = gr.Button("Draw", variant="primary", elem_id="caflow-draw", **size)
            self.again = gr.Button("Draw more", elem_id="caflow-more", **size)
            self.end = gr.Button("Stop", interactive=False, elem_id="caflow-stop", **size)
        self.status = gr.HTML("<p>Add an image, then press Draw.</p>", elem_id="caflow-status")
        limits = self.sessions.limits
        gr.Markdown(
            f"Results up to {limits.megapixels:g} megapixels, files up to {limits.megabytes} MB, "
            f"up to {limits.candidates} candidates. One image is processed at a time; others wait.",
            elem_id="caflow-limits",
        )

    def _stage(self) -> None:
        self.image = gr.Image(
            label="Image",
            sources=["upload", "clipboard"],
            height=_HEIGHT,
            buttons=[],
            elem_id="caflow-image",
        )
        # The file is handed on as it is, and `sessions` says what is wrong with it: Gradio would
        # open it first, and say no more than "Error" of what it cannot read.
        self.image.preprocess = lambda payload: None if payload is None else payload.path
        self.canvas = gr.ImageEditor(
            sources=(),
            transforms=(),
            layers=False,
            type="pil",
            buttons=[],
            height=_HEIGHT,
            visible=False,
            format="png",
            elem_id="caflow-editor",
        )
        self.slider = gr.ImageSlider(
            buttons=["fullscreen"], max_height=_HEIGHT, elem_id="caflow-slider", **_SHOWN
        )
        self.view = gr.Radio(
            ["Input", "Comparison"],
            value="Input",
            show_label=False,
            container=False,
            elem_id="caflow-view",
        )
        self.text = gr.HTML(elem_id="caflow-text")
        self.brush = gr.Slider(
            1, 100, _BRUSH, step=1, label="Brush (pixels)", visible=False, elem_id="caflow-brush"
        )
        self.automatic = gr.State(True)  # until the visitor chooses a model
        self.pixel = gr.State(1.0)  # of the image, in pixels of the canvas
        with gr.Row(elem_id="caflow-inputs"):
            self.find = gr.Button("Find damage", size="sm", visible=False, elem_id="caflow-find")
            self.other = gr.UploadButton("Another image", size="sm", visible=False)
            self.example = gr.Button("Use the example", size="sm")
        self.size = gr.HTML(elem_id="caflow-size")
        self.title = gr.HTML(elem_id="caflow-title")
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

    def _results(self) -> None:
        self.files = gr.File(
            label="Best candidates with provenance, and what was painted",
            file_count="multiple",
            elem_id="caflow-files",
            **_HIDDEN,
        )
        self.spread = gr.Image(buttons=[], elem_id="caflow-spread", format="png", **_HIDDEN)
        self.command = gr.Textbox(
            label="Equivalent command",
            buttons=["copy"],
            lines=2,
            elem_id="caflow-command",
            **_HIDDEN,
        )

    def _connect(self) -> None:
        numbers = [self.tau, self.candidates, self.keep, self.seed]
        fields = [self.model, self.image, self.canvas, *numbers]
        chosen = [self.view, self.slider, self.text, self.file]
        results = [self.title, self.gallery, *chosen, self.files, self.spread, self.command]
        shown = [self.status, self.end, *results]
        about = [self.size, self.canvas, self.other, self.brush, self.find, self.pixel]
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        # One job at a time on the models; the others wait in the queue.
        alone: Any = {"concurrency_limit": 1, "concurrency_id": "models", **quiet}
        quiet["queue"] = False

        self.go.click(None, None, None, js=_PRESSED, **quiet)
        drawn = self.go.click(self._draw, fields, shown, **alone)
        drawn.then(None, None, None, js=_DRAWN, **quiet)
        self.again.click(self._more, fields, shown, **alone)
        self.end.click(self._stop, None, None, **quiet)
        self.gallery.select(self._choose, None, chosen, **quiet)
        self.view.change(None, self.view, None, js=_VIEWED, **quiet)
        self.brush.release(
            lambda *size: gr.update(brush=_brush(*size)),
            [self.brush, self.pixel],
            self.canvas,
            **quiet,
        )
        self.find.click(self._find, fields, [self.status, self.canvas], **alone)
        taken = [self.image, self.model, *about]
        self.example.click(self._example, [self.model, self.automatic], taken, **quiet)
        self.other.upload(self._give, [self.model, self.automatic, self.other], taken, **quiet)
        given = [self.image.upload, self.image.clear]
        for change in given:
            change(
                self._take, [self.model, self.automatic, self.image], [self.model, *about], **quiet
            )
        defaults = [*about, self.tau, self.candidates]
        for change in (self.model.change, self.blocks.load):
            change(self._choose_model, [self.model, self.image], defaults, **quiet)
        self.model.input(lambda: False, None, self.automatic, **quiet)
        given += [self.model.change, self.example.click, self.other.upload]
        for change in given:
            change(None, None, self.view, js="() => 'Input'", **quiet)
        given += [self.tau.change, self.seed.change, self.canvas.input, self.find.click]
        for change in given:
            change(None, None, None, js=_EDITED, **quiet)
        self.blocks.unload(self._leave)

    def _update(self, update: Update) -> dict[Any, Any]:
        return {
            getattr(self, name): gr.update(**value) if isinstance(value, dict) else value
            for name, value in update.items()
        }

    def _draw(self, request: gr.Request, *fields: Any) -> Iterator[dict[Any, Any]]:
        yield from map(self._update, self.sessions.draw(_name(request), _fields(*fields)))

    def _more(self, request: gr.Request, *fields: Any) -> Iterator[dict[Any, Any]]:
        yield from map(self._update, self.sessions.more(_name(request), _fields(*fields)))

    def _find(self, *fields: Any) -> dict[Any, Any]:
        return self._update(self.sessions.damage(_fields(*fields)))

    def _stop(self, request: gr.Request) -> None:
        self.sessions.stop(_name(request))

    def _leave(self, request: gr.Request) -> None:
        self.sessions.leave(_name(request))

    def _choose(self, request: gr.Request, event: gr.SelectData) -> dict[Any, Any]:
        return self._update(self.sessions.choose(_name(request), int(event.index)))

    def _describe(self, model: str, image: str | None) -> dict[Any, Any]:
        found = self.sessions.describe(Fields(model, image))
        if found["canvas"] is None:
            return {
                self.size: found["size"],
                self.canvas: gr.update(visible=False, value=None),
                **dict.fromkeys((self.other, self.brush, self.find), gr.update(visible=False)),
            }
        # In maps, lines of little more than a pixel of the model, as drawings have them.
        maps, pixel = self.sessions.models.tasks[model].paints == "map", found["pixel"]
        canvas = gr.update(
            visible=True,
            value=Image.fromarray(found["canvas"]),
            label="Draw the map" if maps else "Paint the hole",
            brush=_brush(1.2, pixel, _INKS, "defaults") if maps else _brush(_BRUSH, pixel),
        )
        return {
            self.size: found["size"],
            self.canvas: canvas,
            self.other: gr.update(visible=True),
            self.brush: gr.update(visible=not maps, value=_BRUSH),
            self.find: gr.update(visible=not maps),
            self.pixel: pixel,
        }

    def _choose_model(self, model: str, image: str | None) -> dict[Any, Any]:
        sampling = self.sessions.models.sampling(model)
        numbers = {self.tau: str(sampling.temperature), self.candidates: sampling.candidates}
        return {**self._describe(model, image), **numbers}

    def _take(self, model: str, automatic: bool, path: str | None) -> dict[Any, Any]:
        if automatic:
            model = self.sessions.describe(Fields(model, path))["model"]
        return {self.model: model, **self._describe(model, path)}

    def _give(self, model: str, automatic: bool, path: str) -> dict[Any, Any]:
        return {self.image: path, **self._take(model, automatic, path)}

    def _example(self, model: str, automatic: bool) -> dict[Any, Any]:
        return self._give(model, automatic, self.sessions.example(model))


def _brush(
    width: float,
    pixel: float,
    colors: Sequence[str] = (RED,),
    color_mode: Literal["fixed", "defaults"] = "fixed",
) -> gr.Brush:
    """A brush as wide as so many pixels; Gradio takes a radius."""
    return gr.Brush(max(1, round(width * pixel / 2)), colors=[*colors], color_mode=color_mode)


def _name(request: gr.Request) -> str:
    return str(request.session_hash)


def _fields(model: str, image: str | None, canvas: Any, tau: str, *numbers: int | None) -> Fields:
    layers = [np.array(layer.convert("RGBA")) for layer in canvas["layers"]] if canvas else ()
    return Fields(model, image, layers, tau.strip() or None, *numbers)
