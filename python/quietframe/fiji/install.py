"""Install Quietframe into a Fiji and take it out again: two jars, what it lacks of Appose, the macros, nothing else.

What was written is recorded in the Fiji folder (`RECORD`), so that `uninstall` removes exactly that and an upgrade
replaces it. ONNX Runtime comes once, for the CPU or for CUDA: both jars hold the same classes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError
from ..outputs import atomic_output
from . import jar, jvm

RECORD = "quietframe-installed.json"
"""What was installed, in the Fiji folder: version, and path and SHA-256 of every file."""

_ONNXRUNTIME = re.compile(r"onnxruntime(_gpu|-gpu)?(-\d.*)?\.jar", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """One thing that is done to a Fiji.

    Parameters
    ----------
    action
        ``"write"``, ``"remove"``, or ``"keep"`` for a recorded file that somebody changed since.
    path
        The file, relative to the Fiji folder, with slashes.
    """

    action: str
    path: str


def fiji_folder(folder: str | os.PathLike[str] | None) -> Path:
    """Return the Fiji folder that is meant: the one given, else FIJI_DIR's.

    Raises
    ------
    FijiError
        When none is named, or it is no Fiji.
    """
    named = folder or os.environ.get("FIJI_DIR")
    if not named:
        raise jvm.FijiError("which Fiji? give its folder with --fiji, or set FIJI_DIR")
    path = Path(named)
    if not (path / "jars").is_dir() or not (path / "plugins").is_dir():
        raise jvm.FijiError(
            f"{path} is no Fiji: it has no folders 'jars' and 'plugins'; give the folder that holds them"
        )
    return path


def onnxruntime_jars(folder: Path) -> list[str]:
    """Return the ONNX Runtime jars on a Fiji's class path, relative to its folder, with slashes."""
    found = [path for part in ("jars", "plugins") for path in (folder / part).rglob("*.jar")]
    return sorted(path.relative_to(folder).as_posix() for path in found if _ONNXRUNTIME.fullmatch(path.name))


def our_jars(folder: Path) -> list[str]:
    """Return Quietframe's own jars in a Fiji, relative to its folder, with slashes."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/quietframe-fiji-*.jar"))


def recorded_version(folder: Path) -> str | None:
    """Return the version that is installed, None when none is or the record does not say."""
    try:
        version = json.loads((folder / RECORD).read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(version)


def recorded(folder: Path) -> dict[str, str]:
    """Return what was installed: path relative to the Fiji folder -> SHA-256; empty when nothing was.

    Raises
    ------
    FijiError
        When the record is damaged or names files outside the Fiji folder.
    """
    record = folder / RECORD
    if not record.is_file():
        return {}
    try:
        files = {
            str(path): str(digest) for path, digest in json.loads(record.read_text(encoding="utf-8"))["files"].items()
        }
    except (ValueError, KeyError, AttributeError, TypeError):
        raise jvm.FijiError(
            f"{record} is damaged; delete it and Quietframe's jars in {folder / 'jars'} by hand"
        ) from None
    root = folder.resolve()
    for path in files:
        if root not in (root / path).resolve().parents:
            raise jvm.FijiError(f"{record} names a file outside the Fiji folder: {path!r}; nothing was removed")
    return files


def install(folder: Path, *, gpu: bool = False, dry_run: bool = False) -> list[Step]:
    """Install, or upgrade what an earlier call installed.

    Parameters
    ----------
    folder
        The Fiji folder, see `fiji_folder`.
    gpu
        Take ONNX Runtime for CUDA instead of the CPU's.
    dry_run
        Only say what would be done. Jars are still fetched, to name them.

    Returns
    -------
    list of Step
        What was done.

    Raises
    ------
    FijiError
        When another ONNX Runtime or a file of the same name is there that this did not install, or jars cannot be had.
    OutputError
        When the folder is not writable.
    """
    before = recorded(folder)
    others = [path for path in onnxruntime_jars(folder) if path not in before]
    if others:
        raise jvm.FijiError(
            f"{folder} already has ONNX Runtime: {', '.join(others)}; two cannot live in one Fiji. Remove it (or "
            "the update site that brought it) and install again"
        )
    by_hand = [path for path in our_jars(folder) if path not in before]
    if by_hand:
        raise jvm.FijiError(
            f"{folder} has {', '.join(by_hand)}, which was not installed by quietframe here; two would hide each "
            "other: remove it (or the update site that brought it) and install again"
        )
    files = {**sources(gpu), **appose_jars(folder, before)}
    for path in files:
        if (folder / path).exists() and path not in before:
            raise jvm.FijiError(
                f"{folder / path} exists and was not installed by quietframe; remove it and install again"
            )
    stale = [path for path in before if path not in files]
    steps = [*_removals(folder, before, stale), *(Step("write", path) for path in files)]
    if dry_run:
        return steps
    _require_writable(folder, files)
    _remove(folder, steps)
    digests = {path: _sha256(source) for path, source in files.items()}
    # Recorded before it is written: what a killed installation leaves behind can be uninstalled too.
    _record(folder, {**{step.path: before[step.path] for step in steps if step.action == "keep"}, **digests})
    for path, source in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(folder / path, overwrite=True) as partial:
            shutil.copyfile(source, partial)
    return steps


def uninstall(folder: Path, *, dry_run: bool = False) -> list[Step]:
    """Remove what `install` wrote, and nothing else.

    Parameters
    ----------
    folder
        The Fiji folder, see `fiji_folder`.
    dry_run
        Only say what would be done.

    Returns
    -------
    list of Step
        What was done; files that somebody changed since are kept.

    Raises
    ------
    FijiError
        When nothing was installed there.
    OutputError
        When the folder is not writable.
    """
    before = recorded(folder)
    if not before:
        raise jvm.FijiError(f"quietframe has installed nothing in {folder} (there is no {RECORD})")
    steps = _removals(folder, before, list(before))
    if not dry_run:
        _require_writable(folder, before)
        _remove(folder, steps)
        (folder / RECORD).unlink()
    return steps


def sources(gpu: bool = False) -> dict[str, Path]:
    """Return what is installed: path in the Fiji folder -> file to copy.

    Parameters
    ----------
    gpu
        Take ONNX Runtime for CUDA instead of the CPU's.

    Raises
    ------
    FijiError
        When the jars can neither be built nor fetched.
    """
    artifact = "onnxruntime_gpu" if gpu else "onnxruntime"
    endpoint = f"com.microsoft.onnxruntime:{artifact}:{jvm.ONNXRUNTIME_VERSION}"
    (runtime,) = (found for found in jvm.resolve_jars([endpoint]) if _ONNXRUNTIME.fullmatch(found.name))
    ours = jar.ensure_jar()
    macros = jar.scripts_folder() / "macros"
    return {
        f"jars/{ours.name}": ours,
        f"jars/{runtime.name}": runtime,
        **{f"macros/Quietframe/{path.name}": path for path in sorted(macros.glob("*.ijm"))},
    }


def appose_jars(folder: Path, before: Collection[str] = ()) -> dict[str, Path]:
    """Return what a Fiji lacks to start Python through Appose: path in the Fiji folder -> file to copy.

    Parameters
    ----------
    folder
        The Fiji folder. Newer Fijis bring Appose, and nearly all what it needs: theirs stays, whatever its version.
    before
        Paths that an earlier installation wrote, which do not count as Fiji's own.

    Raises
    ------
    FijiError
        When the jars cannot be fetched.
    """
    there = {
        path.name for path in (folder / "jars").rglob("*.jar") if path.relative_to(folder).as_posix() not in before
    }
    wanted = [endpoint.split(":")[1:] for endpoint in jvm.APPOSE_ENDPOINTS]
    lacking = [
        name for name, _ in wanted if not any(re.fullmatch(rf"{re.escape(name)}(-\d.*)?\.jar", file) for file in there)
    ]
    if not lacking:
        return {}
    fetched = {path.name: path for path in jvm.resolve_jars(jvm.APPOSE_ENDPOINTS)}
    names = [f"{name}-{version}.jar" for name, version in wanted if name in lacking]
    return {f"jars/{name}": fetched[name] for name in names}


def _removals(folder: Path, before: dict[str, str], paths: Sequence[str]) -> list[Step]:
    steps = []
    for path in paths:
        file = folder / path
        if file.is_file():
            steps.append(Step("remove" if _sha256(file) == before[path] else "keep", path))
    return steps


def _remove(folder: Path, steps: Sequence[Step]) -> None:
    for step in steps:
        if step.action != "remove":
            continue
        file = folder / step.path
        file.unlink()
        # Only the folder that is ours alone; Fiji's own stay even when empty.
        if file.parent.name == "Quietframe" and not any(file.parent.iterdir()):
            file.parent.rmdir()


def _require_writable(folder: Path, paths: Sequence[str] | dict[str, Path] | dict[str, str]) -> None:
    for place in sorted({folder, *((folder / path).parent for path in paths)}):
        if place.is_dir() and not os.access(place, os.W_OK):
            raise OutputError(
                f"{place} is not writable; run as the owner of this Fiji, or install Fiji in your own folder"
            )


def _record(folder: Path, files: dict[str, str]) -> None:
    from importlib.metadata import version

    text = json.dumps({"version": version("quietframe"), "files": dict(sorted(files.items()))}, indent=2)
    with atomic_output(folder / RECORD, overwrite=True) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
