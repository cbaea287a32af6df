"""Every command, its options, their environment variables and help: `options.json` lists them.

`python -m tests.settings.test_options` writes the list; look at the difference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from caflow_cli.cli.app import program

from ..cli.inprocess import command_paths

FILE = Path(__file__).with_name("options.json")


def listed() -> dict[str, Any]:
    """By command and parameter, all that a user can type, and what the help says of it."""
    found: dict[str, Any] = {}
    for words in command_paths():
        command = program
        for word in words:
            command = command.commands[word]
        parameters = {}
        for one in command.params:
            said = {
                "names": [*one.opts, *one.secondary_opts],
                "value": getattr(one, "metavar", None),
                "default": one.default,
                "variable": one.envvar or f"CAFLOW_{'_'.join(words)}_{one.name}".upper(),
                "group": getattr(one, "rich_help_panel", None),
                "help": getattr(one, "help", None),
                "required": one.required or None,
                "multiple": one.multiple or None,
            }
            parameters[one.name] = {key: value for key, value in said.items() if value is not None}
        found[" ".join(words)] = {"help": command.help, "parameters": parameters}
    return json.loads(json.dumps(found, default=str))


def test_all_that_can_be_typed_is_listed():
    before = json.loads(FILE.read_text(encoding="utf-8"))
    now = listed()
    assert now.keys() == before.keys()
    for name, command in now.items():
        assert command == before[name], name


if __name__ == "__main__":
    commands = []
    for name, command in listed().items():
        parameters = ",\n".join(
            f"   {json.dumps(key)}: {json.dumps(said, ensure_ascii=False)}"
            for key, said in command["parameters"].items()
        )
        about = json.dumps(command["help"], ensure_ascii=False)
        commands.append(f' "{name}": {{"help": {about},\n  "parameters": {{\n{parameters}}}}}')
    FILE.write_text("{\n" + ",\n".join(commands) + "}\n", encoding="utf-8")
