"""The files that hold texts of records: what they should be, and what they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from caflow_cli.errors import CaflowError
from caflow_cli.hub.manifest import Entry, load_manifest, manifest_json
from caflow_cli.paths import sha256_of
from model_cards.record import Record, Words
from model_cards.text import (
    COLUMNS,
    README_COLUMNS,
    card_block,
    manifest_metrics,
    table,
    table_row,
)
from model_cards.whole import Whole

TABLES = {"README.md": README_COLUMNS, "docs/models.md": COLUMNS}
_MARK = "<!-- {name}: .ci/models write -->"
_END = "<!-- end of {name} -->"


@dataclass(frozen=True)
class Place:
    """A checkout."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "weights_manifest.json"

    def record(self, model_id: str) -> Path:
        return self.root / "docs" / "models" / f"{model_id}.json"

    def whole(self, model_id: str) -> Path:
        return self.record(model_id).with_name(f"{model_id}.whole.json")

    def words(self, model_id: str) -> Path:
        return self.record(model_id).with_suffix(".toml")

    def card(self, model_id: str) -> Path:
        return self.weights(model_id).with_suffix(".md")

    def weights(self, model_id: str) -> Path:
        return self.root / "caflow_cli" / "assets" / "weights" / f"{model_id}.safetensors"


@dataclass(frozen=True)
class Measured:
    """A bundled model with its record."""

    entry: Entry
    record: Record
    words: Words
    whole: Whole | None = None


def wanted(place: Place) -> Iterator[tuple[Path, str]]:
    """Each file that holds texts of records, and what it should hold.

    Raises:
        CaflowError: A bundled model has no record, or its record is of another file, or a page
            lacks the marks between which a text belongs.
    """
    entries = load_manifest(place.manifest)
    bundled = [entry for entry in entries.values() if entry.file is not None]
    _check_orphans(place, [entry.id for entry in bundled])
    measured = {entry.id: _measured(place, entry) for entry in bundled}
    changed = {
        one.entry.id: replace(one.entry, metrics=manifest_metrics(one.record, one.words))
        for one in measured.values()
    }
    yield place.manifest, manifest_json((entries | changed).values())
    for one in measured.values():
        card = place.card(one.entry.id)
        block = card_block(one.record, one.words, one.entry, one.whole)
        yield card, _with_block(card, _card_text(card, one), "figures", block)
    for name, columns in TABLES.items():
        page = place.root / name
        text = _read(page)
        rows = []
        for entry in bundled:
            link = os.path.relpath(place.card(entry.id), page.parent).replace(os.sep, "/")
            found = measured[entry.id]
            rows.append(table_row(found.record, found.words, link, columns))
        yield page, _with_block(page, text, "models", table(rows, columns))


def write(place: Place) -> list[Path]:
    """Write what differs, and return it. CaflowError as for `wanted`: then nothing is written."""
    changed = [(path, text) for path, text in list(wanted(place)) if _read(path) != text]
    for path, text in changed:
        path.write_text(text, encoding="utf-8")
    return [path for path, _ in changed]


def check(place: Place) -> list[str]:
    """What differs, a line each; empty if nothing does."""
    try:
        different = [path for path, text in wanted(place) if _read(path) != text]
    except CaflowError as error:
        return [f"{error.message} ({error.hint})"]
    return [
        f"{path.relative_to(place.root).as_posix()} differs from the records (.ci/models write)"
        for path in different
    ]


def _check_orphans(place: Place, bundled: list[str]) -> None:
    """Refuse records and words of models that are not bundled, as of those that have left."""
    for path in sorted(place.record("x").parent.glob("*.*")):
        model_id = path.stem.removesuffix(".whole")
        if model_id not in bundled:
            raise CaflowError(
                f"docs/models/{path.name} is of no bundled model",
                f"remove it, or bundle {model_id}",
            )


def _measured(place: Place, entry: Entry) -> Measured:
    path = place.record(entry.id)
    hint = f".ci/models measure {entry.id} --data FILE"
    if not path.exists():
        raise CaflowError(f"{entry.id} has no record docs/models/{path.name}", hint)
    record = Record.read(path)
    if record.id != entry.id:
        raise CaflowError(f"docs/models/{path.name} is the record of {record.id}", hint)
    digests = {"its manifest entry": entry.sha256, "its file": sha256_of(place.weights(entry.id))}
    for what, digest in digests.items():
        if digest != record.sha256:
            raise CaflowError(
                f"the record of {entry.id} is of a file with sha256 {record.sha256[:12]}…, "
                f"{what} has {digest[:12]}…",
                hint,
            )
    words = Words.read(place.words(entry.id))
    if record.protocol.pictures != words.pictures:
        raise CaflowError(
            f"the record of {entry.id} is of {record.protocol.pictures} pictures, not "
            f"{words.pictures}",
            hint,
        )
    whole = Whole.read(place.whole(entry.id)) if place.whole(entry.id).exists() else None
    if whole is not None and whole.sha256 != entry.sha256:
        raise CaflowError(
            f"docs/models/{entry.id}.whole.json is of another file of {entry.id}",
            f".ci/models whole {entry.id} --protocol {whole.protocol} --data FOLDER",
        )
    return Measured(entry, record, words, whole)


def _card_text(card: Path, one: Measured) -> str:
    if card.exists():
        return _read(card)
    does = one.words.does.strip()
    sentence = f"{does[0].upper()}{does[1:].rstrip('.')}."
    marks = "\n".join(mark.format(name="figures") for mark in (_MARK, _END))
    return f"# {one.entry.id}\n\n{sentence}\n\n{marks}\n"


def _with_block(page: Path, text: str, name: str, block: str) -> str:
    """The page with other text between its marks."""
    mark, end = _MARK.format(name=name), _END.format(name=name)
    before, found, rest = text.partition(mark)
    _, closed, after = rest.partition(end)
    if not found or not closed or mark in rest or end in after:
        raise CaflowError(
            f"{page.name} has no place for its {name}",
            f"put the lines {mark} and {end} in place of what was written by hand",
        )
    return f"{before}{mark}\n\n{block}\n\n{end}{after}"


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
