"""`caflow app`."""

import threading
from contextlib import suppress
from typing import Annotated

import typer

from .. import options
from ..console import Console
from ..options import expanded, option


@expanded
def app_command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help=f"Models that the page offers beside the bundled ones. {options.MODEL_NAME}",
        ),
    ] = None,
    host: str = option(
        "--host NAME", "Address to serve at; 0.0.0.0 lets others reach it.", default="127.0.0.1"
    ),
    port: int | None = option("--port P", "Default: the first that is free from 7860."),
    open: bool = option("--open/--no-open", "Open the page in a browser.", default=True),
    max_megapixels: float = option(
        "--max-megapixels MP", "Largest result that may be asked for.", default=4.0
    ),
    max_megabytes: int = option(
        "--max-megabytes MB", "Largest file that may be given.", default=20
    ),
    device: str = options.DEVICE,
    quiet: bool = options.QUIET,
) -> None:
    r"""Serve a page on which all tasks can be tried in a browser.

    Drop an image, paint a hole or draw a map, and candidates appear by rank as they are drawn. The
    page is served to this machine alone, loads nothing from elsewhere, and sends nothing away. It
    needs Gradio: pip install gradio. Ctrl-C ends it.

    Example: caflow app --port 8000 --no-open
    """
    from ...app.inputs import Limits
    from ...app.serve import serving

    console = Console(quiet)
    limits = Limits(megapixels=max_megapixels, megabytes=max_megabytes)
    with serving(models or [], device, host=host, port=port, open=open, limits=limits) as url:
        console.text([url])
        console.note("Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
