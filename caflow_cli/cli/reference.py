"""`docs/cli.md`, from the program itself: `python -m caflow_cli.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer.main

from .app import app
from .reference_lines import lines_reference

__all__ = ["reference"]

_HEAD = """# The command line

Written by `python -m caflow_cli.cli.reference`; a test compares.

Results go to stdout: written paths, one a line; the bytes of one picture with `-o -`; JSON lines
with `--json`. Everything else goes to stderr. Errors are two lines, `error: what is wrong` and
`hint: what to type instead`.

| exit code | |
|---|---|
| 0 | all done, or the reader of a pipe has seen enough |
| 1 | some input failed, the rest completed |
| 2 | usage, an unavailable device, an existing output: found before a model loads |
| 3 | weights missing, unreadable, offline, or with the wrong checksum |
| 130 | interrupted: Ctrl-C, SIGTERM (of `train` 143), or a closed terminal |

| environment | |
|---|---|
| `CAFLOW_COMMAND_OPTION` | an option of a command, such as `CAFLOW_SUPERRES_TAU` |
| `CAFLOW_DEVICE` | the device where `--device` names none |
| `CAFLOW_CONFIG` | the file of [your own defaults](start.md#your-own-defaults) |
| `CAFLOW_LPIPS_WEIGHTS`, `CAFLOW_FID_WEIGHTS` | networks of metrics, where no option names them |
| `CAFLOW_LPIPS_VGG_WEIGHTS` | VGG16's trunk, from which training learns how pictures look |
| `CAFLOW_DEBUG=1` | errors with a traceback |
| `NO_COLOR` | help and progress without colours |
| `HF_HOME`, `HF_HUB_OFFLINE` | where models of the Hub are kept; no network |
| `HF_TOKEN`, `HF_ENDPOINT` | who asks the Hub; another Hub |

`caflow --install-completion` adds completion to the shell: of commands, options, and the values of
`--model`, `--task`, `--preset`, `--metric`, `--device` and `example:`.

[The lines of `--json`](#lines-of-json) are described by a JSON Schema in the package,
`caflow_cli/assets/schema/lines.schema.json`. They are of schema 2, as is what pictures say of
themselves. New in it, against schema 1 of version 0.1.0:

- `tau` is a list: one value, or a shape as it was given. It was a number.
- `rank_by` and `rank_value`, of every candidate: the rule that gave its rank, and what it says.
- `redraws`, of every candidate: how often it was drawn again because a draw had failed.
- `parts`, of `inpaint` and of `score` with a mask: the windows through which the hole is filled.
  Where there are several, `score_domain` is `parts`.
- `harm`: how probable it is that the result is worse than the model's baseline: that its LPIPS is
  higher, or its RMSE more than 1.1 times the baseline's
  ([measured](inference.md#pictures-that-a-model-makes-worse)); null where that was not measured.
- `refine`, of `params` and of pictures: the steps of `--refine`, left out where there are none.
- `caflow evaluate`: `tau` and `taus` hold lists, too.
- `caflow models info`: `defaults`, and where each comes from.

`caflow score` and `caflow evaluate --reference` also read pictures and lines of schema 1.
"""


def reference() -> str:
    """Every command with its help and options, as Markdown."""
    parts = [_HEAD, *_commands(typer.main.get_command(app), "caflow"), lines_reference()]
    return "\n".join(parts).replace("\\[", "[")  # which Rich takes for markup


def _commands(command: Any, name: str) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children:
        yield _section(command, name)
    for child, value in children.items():
        yield from _commands(value, f"{name} {child}")


def _section(command: Any, name: str) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    given = [p for p in command.params if p.param_type_name != "argument" and not p.hidden]
    usage = " ".join([name, "[OPTIONS]", *[p.metavar + "..." * (p.nargs < 0) for p in arguments]])
    lines = [f"## `{name}`\n", f"    {usage}\n", _text(command.help), ""]
    lines += [f"- `{p.metavar}`: {_escape(p.help)}" for p in arguments]
    panels: dict[str, list[Any]] = {}
    for option in given:
        panels.setdefault(getattr(option, "rich_help_panel", None) or "Options", []).append(option)
    for title, options in panels.items():
        lines += [f"\n| {title} | |", "|---|---|", *[_row(option) for option in options]]
    if command.epilog:
        lines += ["", *[f"- {' '.join(p.split())}" for p in command.epilog.split("\n\n")]]
    return "\n".join(lines) + "\n"


def _row(option: Any) -> str:
    spelled = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    kind = "" if option.is_flag else f" `{option.metavar}`"
    notes = ["required"] * option.required
    if option.envvar:
        notes.append(f"env `{option.envvar}`")
    if not (option.is_flag or option.required or option.default is None):
        notes.append(f"default `{option.default}`")
    suffix = f" [{'; '.join(notes)}]" if notes else ""
    return f"| {spelled}{_escape(kind)} | {_escape(option.help)}{suffix} |"


def _text(help_text: str | None) -> str:
    """The help as Markdown: each paragraph on one line, the example as code."""
    paragraphs = [" ".join(p.split()) for p in (help_text or "").split("\n\n")]
    return "\n\n".join(
        f"Example: `{p.removeprefix('Example: ')}`" if p.startswith("Example: ") else p
        for p in paragraphs
    )


def _escape(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
