"""The page, in Gradio. What it does is in `desk`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from .desk import Chosen, Desk, Given, View
from .given import Painting
from .work import Settings

__all__ = ["CSS", "build", "theme"]

CSS = Path(__file__).with_name("style.css")
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "monospace"]
_INVENTED = (
    "**Detail is invented.** A result is one of many pictures that fit the input, not the one that "
    "was there. Take none for evidence, for a likeness or for a measurement. A high likelihood is "
    "not quality: below τ 1 it favours smooth pictures."
)
_HOLE = gr.Brush(default_size=40, colors=["#ff2d55"], color_mode="fixed")
_INKS = ["#000000", "#ffffff", "#e03131", "#2f9e44", "#1971c2"]
_ONE_MORE = "count => count + 1"  # JavaScript
_PNG: Any = {"format": "png"}  # what is shown has the colours of the result


def theme() -> gr.themes.Base:
    """The look: fonts of the machine, so that none is fetched."""
    return gr.themes.Default(
        primary_hue="violet", secondary_hue="orange", font=_FONTS, font_mono=_MONO
    )


def build(desk: Desk) -> gr.Blocks:
    """Build the page for a desk."""
    return _Page(desk).blocks


class _Page:
    """Components and what connects them with the desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.blocks = gr.Blocks(
            analytics_enabled=False,
            title="caflow",
            delete_cache=(600, 3600),  # every ten minutes, files of an hour ago
            fill_width=True,
        )
        with self.blocks:
            self._head()
            with gr.Row(equal_height=False):
                with gr.Column(scale=4, min_width=320):
                    self._inputs()
                with gr.Column(scale=5, min_width=320):
                    self._outputs()
            self._connect()

    def _head(self) -> None:
        gr.Markdown(
            "# caflow\nOne picture in, many plausible pictures out, each with its log-likelihood.",
            elem_id="caflow-head",
        )
        gr.Markdown(_INVENTED, elem_id="caflow-invented")

    def _inputs(self) -> None:
        offered = self.desk.models.offered
        self.model = gr.Dropdown(
            [(one.title, one.resolved.id) for one in offered],
            value=offered[0].resolved.id,
            label="Model",
            filterable=False,
        )
        self.picture = _file("Picture", 260, "caflow-picture")
        self.example = gr.Button("Take the example", size="sm")
        self.size = gr.HTML(elem_id="caflow-size")
        self.editor = gr.ImageEditor(
            label="Paint the hole",
            sources=(),
            transforms=(),
            layers=False,
            brush=_HOLE,
            type="pil",
            buttons=[],
            height=560,
            visible=False,
            elem_id="caflow-editor",
            **_PNG,
        )
        # How often something was painted, or a new sheet shown. The browser counts, and hands the
        # count in with the painting: what is painted while a work waits in the queue counts behind.
        self.paintings = gr.Number(0, precision=0, visible="hidden", elem_id="caflow-paintings")
        with gr.Row():
            self.tau = gr.Textbox(label="τ", info="or 0.9/0.7/0.5", min_width=140)
            self.candidates = gr.Number(label="M", info="candidates", min_width=140)
        with gr.Row():
            self.keep = gr.Number(label="N", info="to keep, as files", value=1, min_width=140)
            self.seed = gr.Number(label="Seed", info="of the first", value=0, min_width=140)
        with gr.Column(elem_id="caflow-act"):  # in sight wherever the fields are scrolled to
            with gr.Row():
                self.go = gr.Button(
                    "Draw", variant="primary", size="md", min_width=90, elem_id="caflow-draw"
                )
                self.again = gr.Button(
                    "Draw more", size="md", min_width=90, interactive=False, elem_id="caflow-more"
                )
                self.end = gr.Button(
                    "Stop", variant="stop", size="md", min_width=90, elem_id="caflow-stop"
                )
            self.status = gr.HTML("<p>Give a picture, and draw.</p>", elem_id="caflow-status")
        gr.Markdown(self.desk.limits.text, elem_id="caflow-limits")

    def _outputs(self) -> None:
        self.title = gr.HTML("<p>Candidates appear here.</p>", elem_id="caflow-title")
        self.slider = gr.ImageSlider(
            label="Before and after",
            show_label=False,
            interactive=False,
            buttons=["fullscreen"],
            max_height=460,
            elem_id="caflow-slider",
            **_PNG,
        )
        self.text = gr.HTML(elem_id="caflow-text")
        self.file = gr.DownloadButton(
            "Download this candidate", interactive=False, elem_id="caflow-download"
        )
        gr.Markdown("Candidates by rank; choose one to compare.", elem_id="caflow-rank")
        self.gallery = gr.Gallery(
            label="Candidates by rank",
            show_label=False,
            columns=4,
            height="auto",
            allow_preview=False,
            object_fit="contain",
            interactive=False,
            buttons=[],
            elem_id="caflow-candidates",
            **_PNG,
        )
        self.files = _files("The best N, with provenance", "caflow-files")
        self.painted = _files("What was painted, for the command line", "caflow-painted")
        self.spread = gr.Image(
            label="Where candidates differ",
            show_label=False,
            interactive=False,
            visible=False,
            buttons=[],
            elem_id="caflow-spread",
            **_PNG,
        )
        self.spread_text = gr.HTML(elem_id="caflow-spread-text")
        self.command = gr.Textbox(
            label="The same files from the command line",
            interactive=False,
            visible=False,
            buttons=["copy"],
            lines=2,
            elem_id="caflow-command",
        )
        with gr.Accordion("Score a picture", open=False, elem_id="caflow-scoring"):
            gr.Markdown(
                "log p of a picture under the model, given the input above: of the original, or of "
                "a result that was downloaded."
            )
            self.target = _file("Picture to score", 180, "caflow-target")
            self.judge = gr.Button("Score this picture", elem_id="caflow-judge")
            self.score = gr.HTML(elem_id="caflow-score")

    def _connect(self) -> None:
        given = [self.model, self.picture, self.editor]
        shown = [
            self.status,
            self.title,
            self.again,
            self.gallery,
            self.slider,
            self.text,
            self.file,
            self.files,
            self.painted,
            self.spread,
            self.spread_text,
            self.command,
        ]
        # One work at a time on the models; the others wait in the queue.
        alone: Any = {"concurrency_limit": 1, "concurrency_id": "models"}
        quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
        settings = [self.tau, self.candidates, self.keep, self.seed, self.paintings]
        choices = [self.model, self.picture, *settings]  # without what was painted, which is large
        draws = self.go.click(self._draw, [*given, *settings], shown, **alone, **quiet)
        more = self.again.click(self._more, choices, shown, **alone, **quiet)
        self.end.click(self._stop, queue=False, **quiet)
        self.judge.click(self._score, [*given, self.target], self.score, **alone, **quiet)
        self.gallery.select(
            self._choose, None, [self.slider, self.text, self.file], queue=False, **quiet
        )
        self.example.click(
            self._example, self.model, [self.picture, self.size, self.editor], queue=False, **quiet
        )
        about = [self.size, self.editor]
        chosen = [*about, self.tau, self.candidates]
        for change in (self.picture.upload, self.picture.clear):
            change(self._describe, [self.model, self.picture], about, queue=False, **quiet)
        for change in (self.model.change, self.blocks.load):
            change(self._choose_model, [self.model, self.picture], chosen, queue=False, **quiet)
        every: Any = {"queue": False, "trigger_mode": "multiple", **quiet}
        for painted in (
            self.editor.input,
            self.picture.upload,
            self.picture.clear,
            self.model.change,
            self.example.click,
        ):
            painted(None, self.paintings, self.paintings, js=_ONE_MORE, **every)
        # Behind the drawing, too: a choice may have changed while it waited.
        fields = (self.picture, self.model, self.tau, self.seed, self.paintings)
        for changed in (*(field.change for field in fields), draws.then, more.then):
            changed(self._compare, choices, [self.title, self.again], queue=False, **quiet)
        self.blocks.unload(self._leave)

    # --- what happens ---------------------------------------------------------------------------

    def _draw(
        self, request: gr.Request, model: str, picture: str | None, editor: Any, *fields: Any
    ) -> Iterator[list[Any]]:
        painting, settings = _painting(editor), _settings(*fields)
        for view in self.desk.draw(_session(request), model, picture, painting, settings):
            yield _update(view)

    def _more(
        self, request: gr.Request, model: str, picture: str | None, *fields: Any
    ) -> Iterator[list[Any]]:
        for view in self.desk.more(_session(request), model, picture, _settings(*fields)):
            yield _update(view)

    def _compare(
        self, request: gr.Request, model: str, picture: str | None, *fields: Any
    ) -> list[Any]:
        view = self.desk.compare(_session(request), model, picture, _settings(*fields))
        return [gr.skip(), gr.skip()] if view is None else _of_title(view)

    def _stop(self, request: gr.Request) -> None:
        self.desk.stop(_session(request))

    def _leave(self, request: gr.Request) -> None:
        self.desk.leave(_session(request))

    def _choose(self, request: gr.Request, event: gr.SelectData) -> list[Any]:
        chosen = self.desk.choose(_session(request), int(event.index))
        return [gr.skip(), gr.skip(), gr.skip()] if chosen is None else _of_chosen(chosen)

    def _score(
        self, model: str, picture: str | None, editor: Any, target: str | None, request: gr.Request
    ) -> str:
        return self.desk.score(_session(request), model, picture, _painting(editor), target)

    def _describe(self, model: str, picture: str | None) -> list[Any]:
        given = self.desk.describe(model, picture)
        return [given.text, self._editor(model, given)]

    def _choose_model(self, model: str, picture: str | None) -> list[Any]:
        sampling = self.desk.models.sampling(model)
        return [
            *self._describe(model, picture),
            str(sampling.temperature),
            sampling.candidates,
        ]

    def _example(self, model: str) -> list[Any]:
        path = self.desk.example(model)
        return [path, *self._describe(model, path)]

    def _editor(self, model: str, given: Given) -> Any:
        if given.sheet is None:
            return gr.update(visible=False, value=None)
        maps = self.desk.models.task(model) == "paired"
        brush = _HOLE
        if maps:  # lines of little more than a pixel of the model, as drawings have them
            radius = max(1, round(0.6 * given.pixel))
            brush = gr.Brush(default_size=radius, colors=_INKS)
        return gr.update(
            visible=True,
            value=Image.fromarray(given.sheet),
            label="Draw the map" if maps else "Paint the hole",
            brush=brush,
        )


def _files(label: str, name: str) -> gr.File:
    """A list of files to take away."""
    return gr.File(
        label=label, interactive=False, visible=False, file_count="multiple", elem_id=name
    )


def _file(label: str, height: int, name: str) -> gr.Image:
    """A field for a picture, whose file is handed on as it is: `desk` says what is wrong with it.

    Gradio would open it first, and say no more than "Error" of what it cannot read.
    """
    field = gr.Image(
        label=label, sources=["upload", "clipboard"], height=height, buttons=[], elem_id=name
    )
    field.preprocess = lambda payload: None if payload is None else payload.path
    return field


def _settings(
    tau: str,
    candidates: float | None,
    keep: float | None,
    seed: float | None,
    paintings: int,
) -> Settings:
    return Settings(tau.strip() or None, candidates, keep, seed, paintings)


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _painting(value: Any) -> Painting:
    if value is None:
        return Painting()
    return Painting([np.array(layer.convert("RGBA")) for layer in value["layers"]])


def _update(view: View) -> list[Any]:
    """Values for the components of the results."""
    shown = [
        *_of_title(view),
        view.candidates,
        *_of_chosen(view.chosen),
        *[gr.update(value=one or None, visible=bool(one)) for one in (view.files, view.painted)],
        gr.update(value=view.spread, visible=view.spread is not None),
        view.spread_text,
        gr.update(value=view.command, visible=bool(view.command)),
    ]
    return [view.status, *([gr.skip() for _ in shown] if view.stays else shown)]


def _of_title(view: View) -> list[Any]:
    return [view.title, gr.update(interactive=view.may_go_on)]


def _of_chosen(chosen: Chosen | None) -> list[Any]:
    if chosen is None:
        return [None, "", gr.update(value=None, interactive=False)]
    pictures = (Image.fromarray(chosen.before), Image.fromarray(chosen.after))
    return [pictures, chosen.text, gr.update(value=chosen.file, interactive=True)]
