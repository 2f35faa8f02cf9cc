"""What classical filters share: neighbourhoods, line kernels, block matching, and work spread over threads."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def settle_cache(package: Path, home: str) -> None:
    """Give numba a folder for what it compiles where it would find none, which it takes for an error.

    Beside the code or below the home folder it lasts. Where neither can be written, as in many containers, it lasts as
    long as the process: a folder that others could guess, and fill, would make numba load what they put there.

    Parameters
    ----------
    package
        Folder of the compiled code.
    home
        The user's home folder.
    """
    if "NUMBA_CACHE_DIR" in os.environ or os.access(package, os.W_OK) or os.access(home, os.W_OK):
        return
    folder = tempfile.mkdtemp(prefix="quietframe-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder


settle_cache(Path(__file__).parent, os.path.expanduser("~"))
