"""Run ``bioimageio.core.test_model`` on a package, without a network.

As a program: ``python -m quietframe_export.zoo PACKAGE FORMAT...``. In a process of its own, because bioimageio reads
its settings once, while it is imported. What would need a network is switched off or told beforehand: GitHub users of
the card are taken as known, addresses are not requested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quietframe.errors import MissingExtraError

FORMATS = ("onnx", "pytorch_state_dict")
"""Weights formats of Quietframe's packages."""

_MARK = "quietframe zoo result: "


def run_test_model(package: Path, formats: Sequence[str], *, timeout_s: float = 300) -> dict[str, dict[str, Any]]:
    """Let bioimageio.core test a package with its weights formats.

    The format ``pytorch_state_dict`` executes the package's ``architecture.py``.

    Parameters
    ----------
    package
        The zip.
    formats
        Out of `FORMATS`.
    timeout_s
        Seconds after which it is given up.

    Returns
    -------
    dict
        Per format ``status`` ("passed", "valid-format" when it is described well and fails to run, "failed"),
        ``errors`` and ``version`` of bioimageio.core.

    Raises
    ------
    MissingExtraError
        When bioimageio.core is not installed.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "BIOIMAGEIO_PERFORM_IO_CHECKS": "0", "BIOIMAGEIO_CACHE_PATH": cache}
        command = [sys.executable, "-m", "quietframe_export.zoo", str(package.absolute()), *formats]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment, cwd=cache
            )
        except subprocess.TimeoutExpired:
            return {name: _failed(f"no result after {timeout_s} s") for name in formats}
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if not lines:
        return {name: _failed((done.stderr or done.stdout)[-2000:]) for name in formats}
    results: dict[str, dict[str, Any]] = json.loads(lines[-1].removeprefix(_MARK))
    if not results:
        raise MissingExtraError("the bioimage.io test", "bioimageio.core", "zoo")
    return results


def _failed(reason: str) -> dict[str, Any]:
    return {"status": "failed", "errors": [reason], "version": ""}


def main(package: str, *formats: str) -> dict[str, dict[str, Any]]:
    """Test a package in this process; see `run_test_model`. Empty where bioimageio.core is not installed."""
    try:
        import bioimageio.core
        from bioimageio.spec._internal.field_validation import KNOWN_GITHUB_USERS
    except ImportError:
        return {}
    from quietframe.inference.package import read_package

    description = read_package(package).description
    for person in [*description.get("authors", ()), *description.get("maintainers", ())]:
        KNOWN_GITHUB_USERS.add(str(person.get("github_user", "")))
    results = {}
    for name in formats:
        summary = bioimageio.core.test_model(package, weight_format=name)
        errors = [
            f"{detail.name}: {'.'.join(map(str, error.loc))} {error.msg}"
            for detail in summary.details
            for error in detail.errors
        ]
        results[name] = {"status": summary.status, "errors": errors, "version": bioimageio.core.__version__}
    return results


if __name__ == "__main__":
    print(_MARK + json.dumps(main(*sys.argv[1:])))
