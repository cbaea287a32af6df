"""`caflow models`: one file a subcommand."""

from .app import models_app

__all__ = ["models_app"]
