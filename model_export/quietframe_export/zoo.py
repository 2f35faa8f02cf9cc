"""Run ``bioimageio.core.test_model`` on a package, without a network.

As a program: ``python -m quietframe_export.zoo PACKAGE FORMAT``. In a process of its own, because bioimageio reads its
settings once, while it is imported. What would need a network is switched off or told beforehand: GitHub users of the
card are taken as known, addresses are not requested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from quietframe.errors import MissingExtraError

FORMATS = ("onnx", "pytorch_state_dict")
"""Weights formats of Quietframe's packages."""

_MARK = "quietframe zoo result: "


def run_test_model(package: Path, weights_format: str, *, timeout_s: float = 300) -> dict[str, Any]:
    """Let bioimageio.core test a package with one of its weights formats.

    The format ``pytorch_state_dict`` executes the package's ``architecture.py``.

    Parameters
    ----------
    package
        The zip.
    weights_format
        One of `FORMATS`.
    timeout_s
        Seconds after which it is given up.

    Returns
    -------
    dict
        ``status`` ("passed", "valid-format" or "failed"), ``errors`` and ``version`` of bioimageio.core.

    Raises
    ------
    MissingExtraError
        When bioimageio.core is not installed.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "BIOIMAGEIO_PERFORM_IO_CHECKS": "0", "BIOIMAGEIO_CACHE_PATH": cache}
        command = [sys.executable, "-m", "quietframe_export.zoo", str(package), weights_format]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment, cwd=cache
            )
        except subprocess.TimeoutExpired:
            return {"status": "failed", "errors": [f"no result after {timeout_s} s"], "version": ""}
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if not lines:
        return {"status": "failed", "errors": [(done.stderr or done.stdout)[-2000:]], "version": ""}
    result: dict[str, Any] = json.loads(lines[-1].removeprefix(_MARK))
    if result["status"] == "missing":
        raise MissingExtraError("the bioimage.io test", "bioimageio.core", "zoo")
    return result


def main(package: str, weights_format: str) -> dict[str, Any]:
    """Test a package in this process; see `run_test_model`."""
    try:
        import bioimageio.core
        from bioimageio.spec._internal.field_validation import KNOWN_GITHUB_USERS
    except ImportError:
        return {"status": "missing"}
    from quietframe.inference.package import read_package

    description = read_package(package).description
    for person in [*description.get("authors", ()), *description.get("maintainers", ())]:
        KNOWN_GITHUB_USERS.add(str(person.get("github_user", "")))
    summary = bioimageio.core.test_model(package, weight_format=weights_format)
    errors = [
        f"{detail.name}: {'.'.join(map(str, error.loc))} {error.msg}"
        for detail in summary.details
        for error in detail.errors
    ]
    return {"status": summary.status, "errors": errors, "version": bioimageio.core.__version__}


if __name__ == "__main__":
    print(_MARK + json.dumps(main(*sys.argv[1:])))
