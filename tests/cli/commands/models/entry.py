"""The bundled model that these tests ask about."""

from __future__ import annotations

from caflow_cli.hub.manifest import load_manifest

ID = "faces-superres-x4"
ENTRY = load_manifest()[ID]
