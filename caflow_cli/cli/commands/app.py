"""`caflow app`."""

import os
import threading
from contextlib import suppress
from typing import Annotated

import typer

from .. import options
from ..console import QUIET, Console
from ..options import expanded, option


@expanded
def app_command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help=f"Models to offer in addition to the bundled ones. {options.MODEL_NAME}",
        ),
    ] = None,
    host: str = option(
        "--host NAME", "Address to listen on; 0.0.0.0 is all interfaces.", default="127.0.0.1"
    ),
    port: int | None = option("--port P", "Port. Default: the first free one from 7860."),
    open: bool = option("--open/--no-open", "Open the page in a browser.", default=True),
    max_megapixels: float = option("--max-megapixels MP", "Maximum size of a result.", default=4.0),
    max_megabytes: int = option("--max-megabytes MB", "Maximum size of an upload.", default=20),
    device: str = options.DEVICE,
    quiet: bool = option("--quiet -q", QUIET),
) -> None:
    r"""Serve a web page for trying all tasks in a browser.

    Drop an image, paint a hole or known colors, and candidates appear by rank as they are drawn. By
    default, only this machine can reach the page. It loads no external resources and sends no data
    out. Requires Gradio: pip install gradio. Press Ctrl-C to stop.

    Example: caflow app --port 8000 --no-open
    """
    from ...app.inputs import Limits
    from ...app.serve import serving

    console = Console(quiet=quiet)
    limits = Limits(megapixels=max_megapixels, megabytes=max_megabytes)
    with serving(models or [], device, host=host, port=port, open=open, limits=limits) as url:
        console.text([url])
        console.note("press Ctrl-C to stop")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    os._exit(0)  # do not wait for what is being drawn
