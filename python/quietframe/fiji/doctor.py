"""What stands between Quietframe and a working ImageJ or Fiji: Java, jars in conflict, write access."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError
from . import install, jvm


def examine(folder: Path | None) -> dict[str, Any]:
    """Look at Java and at one Fiji, without starting either.

    Parameters
    ----------
    folder
        The Fiji folder; None = only what a plain ImageJ needs.

    Returns
    -------
    dict
        ``java``, ``imagej`` (what the bridge would start), ``fiji`` (None, or ``folder``, ``version``, ``installed``,
        ``onnxruntime``, ``writable``) and ``problems``, each with what to do.
    """
    problems = []
    if importlib.util.find_spec("scyjava") is None:
        problems.append(str(MissingExtraError("the bridge to ImageJ", "scyjava", "fiji")))
    java = None
    try:
        java = jvm.find_java()
    except jvm.FijiError as error:
        problems.append(str(error))
    found: dict[str, Any] = {
        "java": None if java is None else {"version": java.version, "source": java.source, "home": str(java.home)},
        "imagej": jvm.IMAGEJ_ENDPOINTS[0].rpartition(":")[2],
        "fiji": None,
    }
    if folder is not None:
        found["fiji"] = _fiji(folder, problems)
    return {**found, "problems": problems}


def _fiji(folder: Path, problems: list[str]) -> dict[str, Any]:
    installed = sorted(install.recorded(folder))
    missing = [path for path in installed if not (folder / path).is_file()]
    if missing:
        problems.append(f"{', '.join(missing)} was installed and is gone; run: quietframe fiji install")
    runtimes = install.onnxruntime_jars(folder)
    if len(runtimes) > 1:
        problems.append(f"{' and '.join(runtimes)} hold the same classes: keep one of them, remove the others")
    ours = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/quietframe-fiji-*.jar"))
    if len(ours) > 1:
        problems.append(f"{' and '.join(ours)} are both there: keep one of them, remove the others")
    writable = all(os.access(place, os.W_OK) for place in (folder, folder / "jars"))
    if not writable:
        problems.append(f"{folder} is not writable for you; run as its owner, or use a Fiji in your own folder")
    if not installed:
        problems.append(f"Quietframe is not installed in {folder}; run: quietframe fiji install --fiji FOLDER")
    return {
        "folder": str(folder),
        "imagej": _jar_version(folder, "ij"),
        "installed": installed,
        "onnxruntime": runtimes,
        "writable": writable,
    }


def _jar_version(folder: Path, name: str) -> str | None:
    versions = [re.fullmatch(rf"{name}-(\d.*)\.jar", path.name) for path in (folder / "jars").glob(f"{name}-*.jar")]
    return next((found[1] for found in versions if found), None)
