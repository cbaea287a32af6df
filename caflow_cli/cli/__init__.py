"""The command line: one file for each command. It is the only room that prints or exits."""

from .app import main

__all__ = ["main"]
