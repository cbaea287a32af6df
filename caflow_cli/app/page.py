"""What happens on the page, in Gradio. What it does is in `sessions`."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ..restoration import FILL
from .components import Components
from .inputs import KEEP, Fields, temperature_at
from .sessions import Sessions
from .visit import Update

# What is painted: the label of the canvas, and the colors of its brush.
_LABELS = {
    "hole": "Red fills, green erases",
    "colors": "Paint known colors",
}
_COLORS = {
    "hole": [FILL, KEEP],
    # Skin, wood, brick, gold, grass, sky; gray means "no color".
    "colors": ["#c58c6b", "#6b4a2e", "#a63a2a", "#d9a62e", "#4f7a3a", "#5b8fc9", "#808080"],
}
_BRUSHES = 60  # radii of the brush along the longer side of the canvas

# Events of the browser alone. On a narrow screen the stage is above the fields.
_SHOW = (
    'document.getElementById("caflow-stage").scrollIntoView({behavior: "smooth", block: "nearest"})'
)
_DRAWN = f"""() => document.querySelector("#caflow-status .error") || {_SHOW}"""
_VIEWED = f"""view => document.body.classList.toggle("caflow-compared", view === "Comparison")
    && {_SHOW}"""

_PRIVATE: Any = {
    "show_progress": "hidden",
    "api_visibility": "private",
}
# One event at a time on the models; the others wait in the queue.
_QUEUED: Any = {
    **_PRIVATE,
    "concurrency_limit": 1,
    "concurrency_id": "models",
}
_AT_ONCE: Any = {
    **_PRIVATE,
    "queue": False,
}
_LAST: Any = {
    **_AT_ONCE,
    "trigger_mode": "always_last",
}

Changes = dict[Any, Any]  # new values or properties of components


class Page(Components):
    """The page, and what connects it with the sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.models = sessions.models.of_tasks()
        first = next(iter(sessions.models.tasks.values())).name
        candidates = sessions.models.sampling(self.models[first][0][1]).candidates
        super().__init__(self.models, first, candidates, sessions.limits)
        self.fields = [
            self.model,
            self.image,
            self.canvas,
            self.marks,
            self.snap,
            self.variety,
            self.candidates,
            self.keep,
            self.seed,
        ]
        with self.blocks:
            self._connect_drawing()
            self._connect_damage()
            self._connect_fields()

    def _connect_drawing(self) -> None:
        fields = self.fields
        chosen = [
            self.view,
            self.slider,
            self.preview,
            self.text,
            self.file,
        ]
        drawn = [
            self.status,
            self.end,
            self.more,
            self.title,
            self.gallery,
            *chosen,
            self.files,
            self.spread,
            self.command,
        ]
        draw = self.go.click(self._drawing(self.sessions.draw), fields, drawn, **_QUEUED)
        draw.then(None, None, None, js=_DRAWN, **_AT_ONCE)
        self._compare_after(draw)
        self.more.click(self._drawing(self.sessions.more), fields, drawn, **_QUEUED)
        self.end.click(self._stop, None, None, **_AT_ONCE)
        self.gallery.select(self._choose, None, chosen, **_AT_ONCE)
        self.view.change(None, self.view, None, js=_VIEWED, **_AT_ONCE)
        self.canvas.input(self._preview, fields, self.preview, **_LAST)
        for edit in (self.canvas.input, self.seed.input):
            edit(self._compare, fields, self.title, **_LAST)
        self.blocks.unload(self._leave)

    def _connect_damage(self) -> None:
        fields = self.fields
        find = self.find.click(self._find_damage, fields, [self.status, self.damage], **_QUEUED)
        given = [self.damage, self.threshold, *fields]
        shown = [self.status, self.canvas, self.marks]
        paint = find.then(self._paint_damage, given, [*shown, self.threshold], **_AT_ONCE)
        move = self.threshold.input(self._mark, given, shown, **_LAST)
        snap = self.snap.input(self._mark, given, shown, **_QUEUED)
        for marked in (paint, move, snap):
            self._compare_after(marked)
        self.tool.input(_brush_of, [self.tool, self.canvas], self.canvas, **_AT_ONCE)

    def _connect_fields(self) -> None:
        inputs = [
            self.model,
            self.image,
            self.automatic,
            self.painted_on,
        ]
        # A component that is an output without a value loses its `preprocess`: not `self.image`.
        about = [
            self.model,
            self.automatic,
            self.painted_on,
            self.canvas,
            self.damage,
            self.marks,
            self.view,
            self.status,
            self.size,
            self.variety,
            self.candidates,
            self.preview,
            self.find,
            self.tool,
            self.threshold,
            self.snap,
            self.other,
        ]
        replaced = [self.image, *about]
        self.blocks.load(self._load, inputs, about, **_AT_ONCE)
        replace = self._replace_image
        for edited in (
            self.tabs.select(self._choose_task, inputs, about, **_AT_ONCE),
            self.model.input(self._choose_model, inputs, about, **_AT_ONCE),
            self.image.upload(replace, [self.image, *inputs], replaced, **_AT_ONCE),
            self.image.clear(self._show, inputs, about, **_AT_ONCE),
            self.example.click(self._use_example, inputs, replaced, **_AT_ONCE),
            self.other.upload(replace, [self.other, *inputs], replaced, **_AT_ONCE),
            self.variety.input(self._vary, [self.model, self.variety], self.variety, **_LAST),
        ):
            self._compare_after(edited)

    def _compare_after(self, event: Any) -> None:
        event.then(self._compare, self.fields, self.title, **_AT_ONCE)

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
        self,
        model: str,
        image: str | None,
        canvas: Any,
        marks: Any,
        snap: bool,
        variety: float,
        *numbers: int | None,
    ) -> Fields:
        layers = []
        if canvas:
            layers = [np.array(layer.convert("RGBA")) for layer in canvas["layers"]]
        tau = temperature_at(self.sessions.models.sampling(model).temperature, variety)
        return Fields(model, image, layers, marks, snap, tau, *numbers)

    def _drawing(
        self,
        draw: Callable[[str, Fields], Iterator[Update]],
    ) -> Callable[..., Iterator[Changes]]:
        def handle(request: gr.Request, *fields: Any) -> Iterator[Changes]:
            for update in draw(_name(request), self._fields(*fields)):
                yield self._update(update)

        return handle

    def _stop(self, request: gr.Request) -> None:
        self.sessions.stop(_name(request))

    def _leave(self, request: gr.Request) -> None:
        self.sessions.leave(_name(request))

    def _choose(self, request: gr.Request, event: gr.SelectData) -> Changes:
        return self._update(self.sessions.choose(_name(request), int(event.index)))

    def _preview(self, request: gr.Request, *fields: Any) -> Changes:
        return self._update(self.sessions.preview(_name(request), self._fields(*fields)))

    def _compare(self, request: gr.Request, *fields: Any) -> Changes:
        return self._update(self.sessions.compare(_name(request), self._fields(*fields)))

    def _find_damage(self, *fields: Any) -> Changes:
        return self._update(self.sessions.find_damage(self._fields(*fields)))

    def _paint_damage(self, damage: str | None, threshold: float, *fields: Any) -> Changes:
        marked = self.sessions.paint_damage(self._fields(*fields), damage, threshold)
        return self._update(marked)

    def _mark(self, damage: str | None, threshold: float, *fields: Any) -> Changes:
        return self._update(self.sessions.mark(self._fields(*fields), damage, threshold))

    def _vary(self, model: str, variety: float) -> Any:
        default = self.sessions.models.sampling(model).temperature
        text = f"τ {temperature_at(default, variety)}"
        return gr.update(info=f"{text}, the default" if variety == 0 else text)

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
            self.other: gr.update(visible=about["canvas"] is not None),
            **{
                one: gr.update(visible=task.paints == "hole")
                for one in (self.find, self.tool, self.snap)
            },
        }
        if defaults:
            update[self.variety] = {**self._vary(model, 0), "value": 0}
            update[self.candidates] = self.sessions.models.sampling(model).candidates
        wanted = task.paints, image
        if about["canvas"] is None:
            # Hidden, and not removed, so that what is painted stays.
            update[self.canvas] = gr.update(visible="hidden" if painted_on else False)
        elif wanted == painted_on:  # after a change of the model, what is painted stays
            update[self.canvas] = gr.update(visible=True)
        else:
            update[self.canvas] = _canvas(task.paints, about)
            update[self.painted_on] = wanted
            update[self.damage] = update[self.marks] = None
            update[self.tool] = {**update[self.tool], "value": "Paint"}
            update[self.threshold] = gr.update(visible=False, value=0.5)
        return update

    def _load(
        self,
        model: str,
        image: str | None,
        automatic: bool,
        painted_on: Any,
    ) -> Changes:
        return self._show(model, image, automatic, painted_on, defaults=True)

    def _choose_task(
        self,
        event: gr.SelectData,
        model: str,
        image: str | None,
        _: bool,
        painted_on: Any,
    ) -> Changes:
        ids = [id for _, id in list(self.models.values())[int(event.index)]]
        chosen = model if model in ids else ids[0]
        update = self._show(chosen, image, True, painted_on, defaults=chosen != model)
        return {self.automatic: True, **update}

    def _choose_model(
        self,
        model: str,
        image: str | None,
        _: bool,
        painted_on: Any,
    ) -> Changes:
        update = self._show(model, image, False, painted_on, defaults=True)
        return {self.automatic: False, **update}

    def _replace_image(
        self,
        path: str | None,
        model: str,
        image: str | None,
        automatic: bool,
        painted_on: Any,
    ) -> Changes:
        shown = self.sessions.describe(Fields(model, path))["image"]
        return {self.image: shown, **self._show(model, path, automatic, painted_on)}

    def _use_example(self, model: str, *inputs: Any) -> Changes:
        return self._replace_image(self.sessions.example(model), model, *inputs)


def _canvas(paints: str, about: Update) -> Any:
    """The canvas of an image on which nothing is painted."""
    image = about["canvas"]
    return gr.update(
        visible=True,
        value=Image.fromarray(image),
        label=_LABELS[paints],
        brush=_brush(paints, max(image.shape)),
        # The zoom in percent is that of the canvas.
        elem_classes=["caflow-scaled"] if about["scaled"] else [],
    )


def _brush(paints: str, side: int, tool: str = "Paint") -> gr.Brush:
    """The brush for a canvas of that longer side."""
    colors = _COLORS[paints]
    return gr.Brush(
        max(1, round(side / _BRUSHES)),
        colors=[*colors],
        default_color=colors[tool == "Erase"],
        color_mode="fixed" if paints == "hole" else "defaults",
    )


def _brush_of(tool: str, canvas: Any) -> Any:
    """The brush of masks that a tool has."""
    return gr.update(brush=_brush("hole", max(canvas["background"].size), tool))


def _name(request: gr.Request) -> str:
    return str(request.session_hash)
