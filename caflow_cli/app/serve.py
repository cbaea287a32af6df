"""Starting the page, so that nothing leaves the machine."""

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
from ..errors import EXIT_WEIGHTS, CaflowError, usage_error
from .inputs import Limits
from .sessions import Models, Sessions

_LOCAL, _LIMITS = "127.0.0.1", Limits()


class _KnownHosts:
    """Refuses requests to other names than those that the page is served at, and from other pages.

    So a page of somebody else, whose name leads here, reads and starts nothing. ASGI middleware.
    """

    def __init__(self, app: Any, host: str | None) -> None:
        self._app, self._names = app, {_LOCAL, "localhost", "[::1]", host}
        self._any = host in (None, "0.0.0.0", "::")  # reached at any name of the machine

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", [])}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        known = self._any or re.sub(r":\d+$", "", host) in self._names
        if scope["type"] == "http" and (foreign or not known):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"another host or origin"})
        else:
            await self._app(scope, receive, send)


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
    """Serve the page, in threads of its own, until the context ends; its files are removed then.

    Args:
        models: Beside the bundled ones.
        device: Of all models.
        host: None: what GRADIO_SERVER_NAME says, as in a Space.
        port: None: the first that is free from 7860.
        open: Open the page in a browser.
        limits: Of a request.

    Yields:
        The page's address.

    Raises:
        CaflowError: Gradio or a model is missing (3); no such device, or the port is taken (2).
    """
    if importlib.util.find_spec("gradio") is None:
        raise CaflowError(
            "the page needs Gradio, which is not installed",
            "pip install gradio",
            EXIT_WEIGHTS,
        )
    offered = Models(models, select_device(device))
    keep_memory()
    with tempfile.TemporaryDirectory(prefix="caflow-app-") as folder:
        # Gradio reads these as it is imported: no telemetry, its files here, and no proxy between
        # it and the page, which it asks whether it is there.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        os.environ["GRADIO_TEMP_DIR"] = f"{folder}/gradio"
        for name in ("NO_PROXY", "no_proxy"):
            known = filter(None, [os.environ.get(name)])
            os.environ[name] = ",".join([*known, _LOCAL, "localhost"])
        from starlette.middleware import Middleware

        from .page import CSS, THEME, Page

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
                "another --port, or --host 127.0.0.1",
            ) from error
        try:
            yield url
        finally:
            sessions.close()
            blocks.close(verbose=False)
