"""The version of the package, and of the JSON that it writes."""

__all__ = ["SCHEMA", "__version__"]

__version__ = "0.2.0.dev0"
SCHEMA = 2  # of JSON lines and provenance; docs/cli.md says what is new in it
