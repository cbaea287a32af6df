"""Commands whose options come in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from caflow_cli.cli.option_groups import expanded


@dataclass(frozen=True, kw_only=True)
class Group:
    first: Annotated[int, typer.Option("--first")] = 1
    second: Annotated[str | None, typer.Option("--second")] = None


def test_a_group_becomes_options_and_comes_back_whole():
    seen = []

    @expanded
    def command(name: Annotated[str, typer.Argument()], group: Group, last: bool = False) -> None:
        """Do
        it.
        """
        seen.append((name, group, last))

    app = typer.Typer()
    app.command()(command)
    assert CliRunner().invoke(app, ["x", "--second", "b"]).exit_code == 0
    assert CliRunner().invoke(app, ["y", "--last", "--first", "3"]).exit_code == 0
    assert seen == [("x", Group(second="b"), False), ("y", Group(first=3), True)]
    assert command.__doc__ == "Do it."
