"""The command line, with one file per command. Only this package prints or exits."""

from .app import main

__all__ = ["main"]
