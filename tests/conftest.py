"""What all tests share: the real data where it exists, seeded randomness, the command line as a user calls it."""

from __future__ import annotations

import json
import os
import re
import shutil
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
        pytest.skip("no data: set QUIETFRAME_DATA to its folder (default ../shared/data)")
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


@pytest.fixture
def browse(tmp_path: Path) -> Callable[[str], tuple[dict[str, str], str]]:
    """Open a report's page in Chromium; give the attributes that a probe left on its body, and the page as shown.

    The page itself has no script. The copy that is opened has one, which writes down what the browser made of it; its
    policy is opened for that script alone, so that pictures from elsewhere would still be refused.
    """
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium to open the page in")
    probe = (
        "<script>addEventListener('load', () => { const images = [...document.images];"
        "const shown = images.filter(image => image.complete && image.naturalWidth > 0);"
        "document.body.dataset.loaded = shown.length + '/' + images.length;"
        "document.body.dataset.requests = performance.getEntriesByType('resource')"
        ".filter(e => !e.name.startsWith('data:')).length;"
        "document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth; })</script>"
    )
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1200,2400", "--dump-dom",
    ]  # fmt: skip

    def look(page: str) -> tuple[dict[str, str], str]:
        opened = page.replace("style-src 'unsafe-inline'", "style-src 'unsafe-inline'; script-src 'unsafe-inline'")
        path = tmp_path / "page.html"
        path.write_text(opened.replace("</head>", probe + "</head>"), encoding="utf-8")
        command = [str(browser), *flags, path.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        found = re.search(r"<body([^>]*)>", shown)
        assert found is not None
        return dict(re.findall(r'([\w-]+)="([^"]*)"', found[1])), shown

    return look
