"""The page, in Gradio. What it does is in `sessions`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ..tasks import TASKS
from .inputs import Fields, temperature_at
from .job import Update
from .sessions import BRUSH, Sessions

CSS = Path(__file__).with_name("style.css")
# Fonts of the machine, so that none is fetched.
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "monospace"]
THEME = gr.themes.Default(
    primary_hue="violet", secondary_hue="orange", font=_FONTS, font_mono=_MONO
)

_INVENTED = (
    "**Detail is invented.** A result is one of many images that fit the input, not the original. "
    "Do not use it as evidence, as a likeness or for measurements. A high likelihood does not mean "
    "high quality: below temperature 1 it favors smooth images."
)
# What is painted: the label of the canvas, and the colors of its brush.
_LABELS = {"hole": "Paint the hole", "hints": "Paint known colors", "map": "Draw the map"}
_COLORS = {
    "hole": [BRUSH],
    # Skin, wood, brick, gold, grass, sky; gray means "no color".
    "hints": ["#c58c6b", "#6b4a2e", "#a63a2a", "#d9a62e", "#4f7a3a", "#5b8fc9", "#808080"],
    "map": ["#000000", "#ffffff", "#e03131", "#2f9e44", "#1971c2"],
}
_MAP_LINE = 1.2  # width of a line in a map, in pixels of the model
_STAGE_HEIGHT = 520  # pixels; the stage shows what is uploaded, painted and compared, in one place

# Events of the browser alone. `style.css` shows whether fields have changed since Draw was pressed.
_PRESSED = "() => document.body.classList.remove('caflow-edited')"
_EDITED = "() => document.body.classList.add('caflow-edited')"
# On a narrow screen the stage is above the fields.
_SHOW = (
    'document.getElementById("caflow-stage").scrollIntoView({behavior: "smooth", block: "nearest"})'
)
# After an error the candidates stay as they were.
_DRAWN = f"""() => document.querySelector("#caflow-status .error")
    ? document.body.classList.add("caflow-edited") : {_SHOW}"""
_VIEWED = f"""view => document.body.classList.toggle("caflow-compared", view === "Comparison")
    && {_SHOW}"""

Changes = dict[Any, Any]  # new values or properties of components

_HIDDEN: Any = {"interactive": False, "visible": False}
_IMAGES: Any = {**_HIDDEN, "show_label": False, "format": "png"}


class Page:
    """Components, by the names that `Update` has, and what connects them with the sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.models = sessions.models.of_tasks()
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
            first = sessions.models.tasks[next(iter(sessions.models.tasks))]
            with gr.Tabs(selected=first.name, elem_id="caflow-tasks") as self.tabs:
                for name in self.models:
                    gr.Tab(TASKS[name].verb.capitalize(), id=name)
            with gr.Row(equal_height=False, elem_id="caflow-page"):
                with gr.Column(elem_id="caflow-controls"):
                    self._controls(first.name)
                with gr.Column(elem_id="caflow-stage"):
                    self._stage()
                with gr.Column(elem_id="caflow-results"):
                    self._results()
            self._connect()

    def _controls(self, task: str) -> None:
        with gr.Column(elem_id="caflow-actions"):
            with gr.Row():
                size: Any = {"size": "md", "min_width": 90}
                self.go = gr.Button("Draw", variant="primary", elem_id="caflow-draw", **size)
                self.more = gr.Button(
                    "Draw more", interactive=False, elem_id="caflow-draw-more", **size
                )
                self.end = gr.Button("Stop", interactive=False, elem_id="caflow-stop", **size)
            self.status = gr.HTML(elem_id="caflow-status")
        whole: Any = {"precision": 0, "min_width": 80}
        self.candidates = gr.Number(label="Candidates", info="to draw and rank", **whole)
        with gr.Accordion("More", open=False, elem_id="caflow-more"):
            ids = self.models[task]
            self.model = gr.Dropdown(ids, value=ids[0], label="Model", filterable=False)
            self.variety = gr.Slider(
                -1, 1, 0, step=0.1, label="Temperature", buttons=["reset"], elem_id="caflow-tau"
            )
            with gr.Row():
                self.seed = gr.Number(0, label="Seed", info="of the first", **whole)
                self.keep = gr.Number(1, label="Keep", info="as files", **whole)
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
            height=_STAGE_HEIGHT,
            buttons=[],
            elem_id="caflow-image",
        )
        # Pass the path through unopened; `sessions` reports what is wrong with the file.
        self.image.preprocess = lambda payload: None if payload is None else payload.path
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
        self.slider = gr.ImageSlider(
            buttons=["fullscreen"], max_height=_STAGE_HEIGHT, elem_id="caflow-slider", **_IMAGES
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
            2, 100, step=2, label="Brush (pixels)", visible=False, elem_id="caflow-brush"
        )
        self.automatic = gr.State(True)  # until the visitor chooses a model
        self.painted_on = gr.State(None)  # what the canvas shows: an image and what is painted
        self.pixel = gr.State(1.0)  # of the image, in pixels of the canvas
        self.damage = gr.State(None)  # that was found last, and in which image
        with gr.Row(elem_id="caflow-inputs"):
            small: Any = {"size": "sm", "min_width": 90}
            self.find = gr.Button("Find damage", visible=False, elem_id="caflow-find", **small)
            self.blank = gr.Button("Blank map", visible=False, **small)
            self.other = gr.UploadButton("Another image", visible=False, **small)
            self.example = gr.Button("Use the example", **small)
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
            **_IMAGES,
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
        fields = [self.model, self.image, self.canvas, self.variety]
        fields += [self.candidates, self.keep, self.seed]
        chosen = [self.view, self.slider, self.preview, self.text, self.file]
        results = [self.title, self.gallery, *chosen, self.files, self.spread, self.command]
        drawn = [self.status, self.end, self.more, *results]
        given = [self.model, self.image, self.automatic, self.painted_on]
        # A component that is an output without a value loses its `preprocess`: not `self.image`.
        about = [self.model, self.automatic, self.painted_on, self.canvas, self.pixel, self.view]
        about += [self.status, self.size, self.variety, self.candidates]
        about += [self.preview, self.brush, self.find, self.blank, self.other]
        replaced = [self.image, *about]
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        # One job at a time on the models; the others wait in the queue.
        queued: Any = {"concurrency_limit": 1, "concurrency_id": "models", **quiet}
        quiet["queue"] = False

        self.go.click(None, None, None, js=_PRESSED, **quiet)
        draw = self.go.click(self._draw, fields, drawn, **queued)
        draw.then(None, None, None, js=_DRAWN, **quiet)
        self.more.click(self._more, fields, drawn, **queued)
        self.end.click(self._stop, None, None, **quiet)
        find = self.find.click(self._find_damage, fields, [self.status, self.damage], **queued)
        find.then(self._paint_damage, [self.damage, *fields], [self.status, self.canvas], **quiet)
        self.canvas.input(self._preview, fields, self.preview, trigger_mode="always_last", **quiet)
        self.gallery.select(self._choose, None, chosen, **quiet)
        self.view.change(None, self.view, None, js=_VIEWED, **quiet)
        self.brush.release(
            lambda width, pixel: gr.update(brush=_brush("hole", width * pixel)),
            [self.brush, self.pixel],
            self.canvas,
            **quiet,
        )
        self.variety.input(
            lambda model, variety: gr.update(info=self._temperature(model, variety)),
            [self.model, self.variety],
            self.variety,
            trigger_mode="always_last",
            **quiet,
        )

        self.blocks.load(self._load, given, about, **quiet)
        self.blocks.unload(self._leave)
        self.tabs.select(self._choose_task, given, about, **quiet)
        self.model.input(self._choose_model, given, about, **quiet)
        self.image.upload(self._show, given, about, **quiet)
        self.image.clear(self._show, given, about, **quiet)
        self.example.click(self._use_example, given, replaced, **quiet)
        self.blank.click(self._remove_image, given, replaced, **quiet)
        self.other.upload(self._replace_image, [self.other, *given], replaced, **quiet)
        edits = [self.tabs.select, self.model.input, self.image.upload, self.image.clear]
        edits += [self.example.click, self.blank.click, self.other.upload, self.canvas.input]
        edits += [self.find.click, self.variety.input, self.seed.input]
        for edit in edits:
            edit(None, None, None, js=_EDITED, **quiet)

    # --- drawing ----------------------------------------------------------------------------------

    def _update(self, update: Update) -> Changes:
        if not update:
            skip: Changes = gr.skip()
            return skip
        return {
            getattr(self, name): gr.update(**value) if isinstance(value, dict) else value
            for name, value in update.items()
        }

    def _fields(
        self, model: str, image: str | None, canvas: Any, variety: float, *numbers: int | None
    ) -> Fields:
        layers = [np.array(layer.convert("RGBA")) for layer in canvas["layers"]] if canvas else ()
        tau = temperature_at(self.sessions.models.sampling(model).temperature, variety)
        return Fields(model, image, layers, tau, *numbers)

    def _draw(self, request: gr.Request, *fields: Any) -> Iterator[Changes]:
        yield from map(self._update, self.sessions.draw(_name(request), self._fields(*fields)))

    def _more(self, request: gr.Request, *fields: Any) -> Iterator[Changes]:
        yield from map(self._update, self.sessions.more(_name(request), self._fields(*fields)))

    def _stop(self, request: gr.Request) -> None:
        self.sessions.stop(_name(request))

    def _leave(self, request: gr.Request) -> None:
        self.sessions.leave(_name(request))

    def _choose(self, request: gr.Request, event: gr.SelectData) -> Changes:
        return self._update(self.sessions.choose(_name(request), int(event.index)))

    def _preview(self, request: gr.Request, *fields: Any) -> Changes:
        return self._update(self.sessions.preview(_name(request), self._fields(*fields)))

    def _find_damage(self, *fields: Any) -> Changes:
        return self._update(self.sessions.find_damage(self._fields(*fields)))

    def _paint_damage(self, damage: Any, *fields: Any) -> Changes:
        return self._update(self.sessions.paint_damage(self._fields(*fields), damage))

    # --- the image, and what is painted on --------------------------------------------------------

    def _show(
        self,
        model: str,
        image: str | None,
        automatic: bool,
        painted_on: Any,
        defaults: bool = False,
    ) -> Changes:
        """Describe the image; choose the model, unless the visitor has; show the canvas.

        If the model changes, temperature and candidates get its `defaults`.
        """
        about = self.sessions.describe(Fields(model, image))
        if automatic and about["model"] != model:
            model = about["model"]
            about = self.sessions.describe(Fields(model, image))
            defaults = True
        task = self.sessions.models.tasks[model]
        update = {
            self.view: "Input",
            self.model: gr.update(choices=self.models[task.name], value=model),
            self.status: about["status"],
            self.size: about["size"],
            self.preview: gr.update(visible=False),
            self.pixel: about["pixel"],
            self.other: gr.update(visible=about["canvas"] is not None),
            self.brush: gr.update(visible=task.paints == "hole"),
            self.find: gr.update(visible=task.paints == "hole"),
            self.blank: gr.update(visible=task.paints == "map" and image is not None),
        }
        if defaults:
            update[self.variety] = gr.update(value=0, info=self._temperature(model, 0))
            update[self.candidates] = self.sessions.models.sampling(model).candidates
        canvas = about["canvas"]
        if canvas is None:
            # Hidden, and not removed, so that what is painted stays.
            update[self.canvas] = gr.update(visible="hidden" if painted_on else False)
            return update
        wanted = task.paints, canvas.shape, hash(canvas.tobytes())
        if wanted == painted_on:  # after a change of the model, what is painted stays
            update[self.canvas] = gr.update(visible=True)
            return update
        longer_side = max(canvas.shape) / about["pixel"]
        width = min(100, 2 * max(1, round(longer_side / 60)))
        if task.paints == "hole":
            update[self.brush] = gr.update(visible=True, value=width)
        elif task.paints == "map":
            width = _MAP_LINE
        update[self.painted_on] = wanted
        update[self.canvas] = gr.update(
            visible=True,
            value=Image.fromarray(canvas),
            label=_LABELS[task.paints],
            brush=_brush(task.paints, width * about["pixel"]),
            # The zoom in percent is that of the canvas.
            elem_classes=[] if about["pixel"] == 1 else ["caflow-scaled"],
        )
        return update

    def _load(self, model: str, image: str | None, automatic: bool, painted_on: Any) -> Changes:
        return self._show(model, image, automatic, painted_on, defaults=True)

    def _choose_task(
        self, event: gr.SelectData, model: str, image: str | None, _: bool, painted_on: Any
    ) -> Changes:
        ids = list(self.models.values())[int(event.index)]
        chosen = model if model in ids else ids[0]
        update = self._show(chosen, image, True, painted_on, defaults=chosen != model)
        return {self.automatic: True, **update}

    def _choose_model(self, model: str, image: str | None, _: bool, painted_on: Any) -> Changes:
        update = self._show(model, image, False, painted_on, defaults=True)
        return {self.automatic: False, **update}

    def _replace_image(
        self, path: str | None, model: str, image: str | None, automatic: bool, painted_on: Any
    ) -> Changes:
        return {self.image: path, **self._show(model, path, automatic, painted_on)}

    def _use_example(self, model: str, *given: Any) -> Changes:
        return self._replace_image(self.sessions.example(model), model, *given)

    def _remove_image(self, *given: Any) -> Changes:
        return self._replace_image(None, *given)

    def _temperature(self, model: str, variety: float) -> str:
        default = self.sessions.models.sampling(model).temperature
        text = f"τ {temperature_at(default, variety)}"
        return f"{text}, the default" if variety == 0 else text


def _brush(paints: str, width: float) -> gr.Brush:
    """A brush of a width in pixels of the canvas; Gradio takes a radius."""
    mode: Any = "fixed" if len(_COLORS[paints]) == 1 else "defaults"
    return gr.Brush(max(1, round(width / 2)), colors=[*_COLORS[paints]], color_mode=mode)


def _name(request: gr.Request) -> str:
    return str(request.session_hash)
