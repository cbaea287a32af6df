"""The version of the package, and that of the schema of what it writes."""

__version__ = "0.2.0.dev0"
SCHEMA = 3  # of JSON lines and of provenance in images; docs/cli.md
