"""The command line: options, plans of outputs, and what is printed, with exit codes."""

from .app import main

__all__ = ["main"]
