"""Digests, and checks of paths that return False on errors.

Before Python 3.14 `Path.exists` and similar methods raise OSError, for example if a name is too
long. Here the code that opens the file reports the reason.
"""

import os.path
from pathlib import Path

exists, is_folder, is_file = os.path.exists, os.path.isdir, os.path.isfile


def sha256_of(path: Path) -> str:
    import hashlib  # here, because it loads OpenSSL, which `--help` does not need

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
