"""What the site shows beside `docs/`: model cards, CONTRIBUTING, SECURITY, CHANGELOG, and the
reference of commands and JSON lines.

In the repository pages link to each other by their paths there. On the site those files have other
places, so links to them, and links in them, are rewritten.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
from reference import reference

ROOT = Path(__file__).resolve().parents[1]
CARDS = "caflow_cli/assets/weights"

# By path in the repository: the path that it has as a page of the site.
PLACES = {
    **{
        path.relative_to(ROOT).as_posix(): f"cards/{path.name}"
        for path in (ROOT / CARDS).glob("*.md")
    },
    **{f"{name}.md": f"project/{name}.md" for name in ("CONTRIBUTING", "SECURITY", "CHANGELOG")},
}
_LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, place in PLACES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    source = page.file.abs_src_path
    assert source is not None
    here = Path(source).relative_to(ROOT).as_posix()
    if here == "docs/cli.md":
        markdown += reference()

    def rewritten(match: re.Match[str]) -> str:
        opening, target, anchor, closing = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        place = PLACES.get(path) or os.path.relpath(path, "docs")
        link = posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or ".")
        return f"{opening}{link}{anchor or ''}{closing}"

    return _LINK.sub(rewritten, markdown)
