"""Serve the page, such that no data leaves the machine."""

import importlib.util
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..assets import EXAMPLES_DIR
from ..devices import keep_memory, select_device
from ..errors import EXIT_WEIGHTS, ensure, usage_error
from .inputs import Limits
from .sessions import Models, Sessions

_LOCAL = "127.0.0.1"
_LIMITS = Limits()


class _KnownHosts:
    """ASGI middleware that rejects requests for other host names, and requests from other pages.

    So another site whose name resolves to this machine (DNS rebinding) cannot use the page.
    """

    def __init__(self, app: Any, host: str | None) -> None:
        self._app = app
        self._names = {_LOCAL, "localhost", "[::1]", host}
        self._any = host in (None, "0.0.0.0", "::")  # reachable under any name of the machine

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse

        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        known = self._any or re.sub(r":\d+$", "", host) in self._names
        answer = self._app
        if scope["type"] == "http" and (foreign or not known):
            answer = PlainTextResponse("another host or origin", 403)
        await answer(scope, receive, send)


@contextmanager
def serving(
    models: Sequence[str] = (),
    device: str = "auto",
    *,
    host: str | None = _LOCAL,
    port: int | None = None,
    open: bool = False,
    limits: Limits = _LIMITS,
) -> Iterator[str]:
    """Serve the page, in separate threads, until the context ends; then its files are removed.

    Args:
        models: Models in addition to the bundled ones.
        device: The device for all models.
        host: Address to serve at. None: GRADIO_SERVER_NAME, as in a Space.
        port: None: the first free port from 7860.
        open: Open the page in a browser.
        limits: Limits of a request.

    Yields:
        The page's address.

    Raises:
        CaflowError: (exit 3) Gradio or a model is missing. (exit 2) there is no such device, or the
            port is taken.
    """
    ensure(
        importlib.util.find_spec("gradio") is not None,
        "the page needs Gradio, which is not installed",
        "pip install gradio",
        EXIT_WEIGHTS,
    )
    offered = Models(models, select_device(device))
    keep_memory()
    with tempfile.TemporaryDirectory(prefix="caflow-app-") as folder:
        _set_environment(folder)
        from starlette.middleware import Middleware

        from .components import CSS, THEME
        from .page import Page

        sessions = Sessions(offered, limits, Path(folder))
        blocks = Page(sessions).blocks
        blocks.queue(max_size=limits.visitors, api_open=False)
        try:
            _, url, _ = blocks.launch(
                server_name=host,
                server_port=port,
                inbrowser=open,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                show_error=False,
                max_file_size=limits.megabytes << 20,
                allowed_paths=[folder, str(EXAMPLES_DIR)],
                footer_links=[],
                ssr_mode=False,
                mcp_server=False,
                pwa=False,
                enable_monitoring=False,
                theme=THEME,
                css_paths=CSS,
                app_kwargs={"middleware": [Middleware(_KnownHosts, host=host)]},
            )
        except (OSError, OverflowError) as error:
            raise usage_error(
                f"cannot serve at {host or _LOCAL}:{port or '7860 and up'}: {error}",
                "use another --port, or --host 127.0.0.1",
            ) from error
        try:
            yield url
        finally:
            sessions.close()
            blocks.close(verbose=False)


def _set_environment(folder: str) -> None:
    """Set what Gradio reads on import: no telemetry, its files in `folder`, no proxy for itself."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = f"{folder}/gradio"
    for name in ("NO_PROXY", "no_proxy"):  # its request that checks whether the page is up
        hosts = [os.environ.get(name), _LOCAL, "localhost"]
        os.environ[name] = ",".join(filter(None, hosts))
