"""Starting the page, so that nothing leaves the machine."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..assets import EXAMPLES_DIR
from ..devices import keep_memory, select_device
from ..errors import EXIT_USAGE, EXIT_WEIGHTS, CaflowError
from .desk import Desk
from .limits import Limits
from .models import Models

if TYPE_CHECKING:
    import gradio as gr

__all__ = ["Address", "check_gradio", "launch", "quiet_environment", "serving"]

_LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Address:
    """Where the page is served."""

    host: str | None = _LOCAL  # None: what GRADIO_SERVER_NAME says, as in a Space
    port: int | None = None  # None: the first that is free from 7860
    open: bool = False  # in a browser


def check_gradio() -> None:
    """CaflowError (exit 3) without the extra `app`."""
    if importlib.util.find_spec("gradio") is None:
        raise CaflowError(
            "the page needs Gradio, which is not installed",
            'pip install "caflow-cli[app]"',
            EXIT_WEIGHTS,
        )


def quiet_environment(folder: Path) -> None:
    """Set what Gradio reads as it is imported.

    No telemetry, no proxy between it and itself, and its files in `folder`.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    for name in ("NO_PROXY", "no_proxy"):  # Gradio asks the page itself whether it is there
        known = os.environ.get(name)
        os.environ[name] = ",".join([*([known] if known else []), _LOCAL, "localhost"])


@contextmanager
def serving(
    models: Sequence[str] = (),
    device: str = "auto",
    address: Address | None = None,
    limits: Limits | None = None,
) -> Iterator[str]:
    """Serve the page, in threads of its own, until the context ends; its files are removed then.

    Args:
        models: Beside the bundled ones.
        device: Of all models.
        address: Where; None: this machine alone.
        limits: Of a request; None: those of `Limits`.

    Yields:
        The page's address.

    Raises:
        CaflowError: Gradio or a model is missing (3); no such device, or the port is taken (2).
    """
    check_gradio()
    offered = Models(models, select_device(device))
    keep_memory()
    with tempfile.TemporaryDirectory(prefix="caflow-app-") as name:
        folder = Path(name)
        desk = Desk(offered, limits or Limits(), folder)
        blocks, url = launch(desk, folder, address or Address())
        try:
            yield url
        finally:
            desk.close()
            blocks.close(verbose=False)


def launch(desk: Desk, folder: Path, address: Address) -> tuple[gr.Blocks, str]:
    """Start the page of a desk, whose files go to `folder`. Returns it and its address."""
    quiet_environment(folder)
    from .page import CSS, build, theme

    blocks = build(desk)
    blocks.queue(max_size=desk.limits.waiting, api_open=False)
    try:
        _, url, _ = blocks.launch(
            server_name=address.host,
            server_port=address.port,
            inbrowser=address.open,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=False,
            max_file_size=desk.limits.megabytes << 20,
            allowed_paths=[str(folder), str(EXAMPLES_DIR)],
            footer_links=[],
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            enable_monitoring=False,
            theme=theme(),
            css_paths=CSS,
        )
    except OSError as error:
        raise CaflowError(
            f"cannot serve at {address.host or _LOCAL}:{address.port or '7860 and up'}: {error}",
            "another --port, or --host 127.0.0.1",
            EXIT_USAGE,
        ) from error
    return blocks, url
