"""The command line: one file a command, and the only place that prints or exits."""

from .app import main

__all__ = ["main"]
