"""One real ImageJ for all tests of this folder, started once: a process can have only one Java machine.

Run it in a process of its own: ``pytest tests/fiji``. Where Java or Maven Central cannot be reached, every test is
skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from quietframe.fiji.bridge import Fiji

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.imagej)
            # A signal cannot interrupt a call that never comes back from Java; a thread can end the process.
            item.add_marker(pytest.mark.timeout(150, method="thread"))


@pytest.fixture(scope="session")
def imagej() -> Iterator[Fiji]:
    """The real ImageJ 1.54p with our jar, headless, seen through the bridge."""
    from quietframe.errors import QuietframeError
    from quietframe.fiji.bridge import Fiji

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FIJI_DIR", raising=False)
        patch.delenv("DISPLAY", raising=False)  # a stray display would hide what fails without one
        try:
            fiji = Fiji()
        except QuietframeError as error:
            # A library that does not compile is our fault and no reason to skip.
            if "does not compile" in str(error):
                raise
            pytest.skip(f"no ImageJ here: {error}")
        with fiji:
            yield fiji
