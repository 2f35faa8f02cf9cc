"""What stands between Quietframe and a working ImageJ or Fiji: Java, jars in conflict, write access."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError
from . import install, jvm

_CUDA_LINUX = ("libcuda.so.1", "libcudart.so.12", "libcublas.so.12", "libcufft.so.11", "libcudnn.so.9")
_CUDA_WINDOWS = ("nvcuda.dll", "cudart64_12.dll", "cublas64_12.dll", "cufft64_11.dll", "cudnn64_9.dll")
_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/cuda/lib64",
    "/usr/lib/wsl/lib",
    r"C:\Windows\System32",
)


def examine(folder: Path | None) -> dict[str, Any]:
    """Look at Java and at one Fiji, without starting either.

    Parameters
    ----------
    folder
        The Fiji folder; None = only what a plain ImageJ needs.

    Returns
    -------
    dict
        ``java``, ``imagej`` (what the bridge would start), ``fiji`` (None, or ``folder``, ``version``, ``imagej``,
        ``java``, ``installed``, ``installed_version``, ``onnxruntime``,
        ``cuda_missing``, ``models``, ``writable``) and ``problems``, each with what to do.
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
    runtimes = install.onnxruntime_jars(folder)
    models = folder / "models"
    places = [folder, folder / "jars", *([models] if models.exists() else [])]
    found = {
        "folder": str(folder),
        "version": _jar_version(folder, "fiji"),
        "imagej": _jar_version(folder, "ij"),
        "java": _bundled_java(folder),
        "installed": installed,
        "installed_version": install.recorded_version(folder) if installed else None,
        "onnxruntime": runtimes,
        "cuda_missing": missing_cuda_libraries() if any("gpu" in path for path in runtimes) else [],
        "models": sorted(path.name for path in models.glob("*")) if models.is_dir() else [],
    }
    locked = [str(place) for place in places if not os.access(place, os.W_OK)]
    problems += [*_file_problems(folder, found, locked), *_version_problems(found)]
    return {**found, "writable": not locked}


def _file_problems(folder: Path, found: dict[str, Any], locked: list[str]) -> list[str]:
    problems = []
    missing = [path for path in found["installed"] if not (folder / path).is_file()]
    if missing:
        problems.append(f"{', '.join(missing)} was installed and is gone; run: quietframe fiji install")
    if len(found["onnxruntime"]) > 1:
        problems.append(f"{' and '.join(found['onnxruntime'])} hold the same classes: keep one, remove the others")
    ours = install.our_jars(folder)
    if len(ours) > 1:
        problems.append(f"{' and '.join(ours)} are both there: keep one of them, remove the others")
    if locked:
        problems.append(
            f"{', '.join(locked)} is not writable for you; run as its owner, or use a Fiji in your own folder"
        )
    if not found["installed"]:
        problems.append(f"Quietframe is not installed in {folder}; run: quietframe fiji install --fiji FOLDER")
    return problems


def _version_problems(found: dict[str, Any]) -> list[str]:
    problems = []
    version, current = found["installed_version"], importlib.metadata.version("quietframe")
    if version not in (None, current):
        problems.append(
            f"version {version} is installed there, this is {current}; run: quietframe fiji install --fiji FOLDER"
        )
    java = found["java"]
    if java is not None and java < jvm.JAVA_MINIMUM:
        problems.append(
            f"this Fiji brings Java {java}; Quietframe needs Java {jvm.JAVA_MINIMUM} or newer: download Fiji again"
        )
    if found["cuda_missing"]:
        problems.append(
            f"ONNX Runtime for CUDA is installed, but {', '.join(found['cuda_missing'])} is not on the library path; "
            "install CUDA 12 and cuDNN 9, or start Fiji with their folder in LD_LIBRARY_PATH (PATH on Windows)"
        )
    return problems


def missing_cuda_libraries() -> list[str]:
    """Return the libraries of CUDA and cuDNN that a process started from here would not find; none is loaded."""
    windows = sys.platform == "win32"
    folders = os.environ.get("PATH" if windows else "LD_LIBRARY_PATH", "").split(os.pathsep)
    places = [Path(text) for text in (*folders, *_LIBRARY_FOLDERS) if text]
    names = _CUDA_WINDOWS if windows else _CUDA_LINUX
    return [name for name in names if not any((place / name).exists() for place in places)]


def _bundled_java(folder: Path) -> int | None:
    """Return the newest Java that a Fiji brings in its folder ``java``, None when it brings none."""
    homes = {release.parent for depth in ("*", "*/*", "*/*/jre") for release in folder.glob(f"java/{depth}/release")}
    versions = [found for found in map(jvm.java_version, homes) if found is not None]
    return max(versions, default=None)


def _jar_version(folder: Path, name: str) -> str | None:
    versions = [re.fullmatch(rf"{name}-(\d.*)\.jar", path.name) for path in (folder / "jars").glob(f"{name}-*.jar")]
    return next((found[1] for found in versions if found), None)
