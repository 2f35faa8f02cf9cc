"""What all tests share: the real data where it exists, seeded randomness, the command line as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
VECTORS = REPOSITORY / "tests" / "vectors"


def _data_dir() -> Path:
    return Path(os.environ.get("QUIETFRAME_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real test data; the test is skipped with the reason where it is absent."""
    folder = _data_dir()
    if not (folder / "README.md").is_file():
        pytest.skip(f"no data: set QUIETFRAME_DATA ({folder.name} is not beside the repository)")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded random numbers, the same in every run."""
    return np.random.default_rng(20260101)


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Read a vectors file that Python and Fiji both test against."""
    return lambda name: json.loads((VECTORS / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def quietframe() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call the command line in a process of its own, as a user does."""

    def call(*arguments: object, timeout: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "quietframe", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)

    return call
