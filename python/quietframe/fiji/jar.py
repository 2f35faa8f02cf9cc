"""The jar that is Quietframe inside Fiji: compiled Groovy library, menu scripts, Jython package, macros.

Built with pip's packages alone: the Groovy compiler is one of the jars that `jvm` fetches, so no Maven and no JDK.
A wheel carries the built jar; in a checkout it is built when first needed and cached under the hash of its sources.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import QuietframeError
from ..outputs import atomic_output
from . import jvm

BYTECODE = "1.8"
"""Compiled for Java 8, so that in a Fiji that still runs on it the commands can say that they need a newer one."""

COMPILE_TIMEOUT_S = 300
"""Longest time for the compiler [s]; it takes about 5."""

CARRIED = Path(__file__).parent / "carried"
"""Where an installed wheel has the jar and a copy of ``fiji_scripts``."""

_ZIP_TIME = (2000, 1, 1, 0, 0, 0)


def scripts_folder() -> Path:
    """Return the folder with menu, library, jython and macros: the checkout's, else the one a wheel carries.

    Raises
    ------
    FijiError
        When this installation has neither.
    """
    checkout = Path(__file__).resolve().parents[3] / "fiji_scripts"
    for folder in (checkout, CARRIED / "fiji_scripts"):
        if (folder / "library").is_dir():
            return folder
    raise jvm.FijiError("this installation of quietframe carries no Fiji scripts; install it again from a wheel")


def jar_name(version: str | None = None) -> str:
    """Return the file name of the jar, ``quietframe-fiji-<version>.jar``."""
    return f"quietframe-fiji-{version or _version()}.jar"


def _version() -> str:
    from importlib.metadata import version

    return version("quietframe")


def source_files(folder: Path) -> list[Path]:
    """Return the files the jar is made of, sorted."""
    parts = [folder / name for name in ("library", "menu", "jython", "macros", "worker")]
    suffixes = {".groovy", ".py", ".ijm"}
    return sorted(path for part in parts for path in part.rglob("*") if path.suffix in suffixes)


def source_hash(folder: Path, version: str) -> str:
    """Return a hash of everything the jar depends on: its sources, the version, the jars it is compiled against."""
    digest = hashlib.sha256()
    for text in (version, BYTECODE, *jvm.IMAGEJ_ENDPOINTS):
        digest.update(text.encode() + b"\0")
    digest.update(Path(__file__).read_bytes())  # how it is packed
    for path in source_files(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def ensure_jar(version: str | None = None) -> Path:
    """Return the jar: the one the wheel carries, the cached one, or one built now.

    Parameters
    ----------
    version
        Version it is for; None = this installation's.

    Raises
    ------
    FijiError
        When it must be built, and Java or Maven Central cannot be reached, or the library does not compile.
    """
    version = version or _version()
    carried = CARRIED / jar_name(version)
    if carried.is_file():
        return carried
    folder = scripts_folder()
    cached = jvm.cache_folder() / "built" / source_hash(folder, version)[:16] / jar_name(version)
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        build(cached, version=version)
    return cached


def build(out: Path, *, version: str | None = None) -> None:
    """Compile the Groovy library and pack the jar.

    Parameters
    ----------
    out
        The jar to write; replaced when it exists.
    version
        What its manifest says; None = this installation's version.

    Raises
    ------
    FijiError
        As `ensure_jar`.
    """
    version = version or _version()
    folder = scripts_folder()
    with tempfile.TemporaryDirectory(prefix="quietframe-jar-") as temporary:
        classes = Path(temporary)
        compile_library(folder / "library", classes)
        with atomic_output(out, overwrite=True) as partial:
            _pack(partial, classes, folder, version)


def compile_library(library: Path, classes: Path) -> None:
    """Compile all Groovy files under `library` into the folder `classes`.

    Raises
    ------
    FijiError
        When they do not compile; the message holds the compiler's.
    """
    jars = jvm.resolve_jars()
    command = [
        str(jvm.find_java().executable),
        f"-Dgroovy.target.bytecode={BYTECODE}",
        "-cp",
        os.pathsep.join(map(str, jars)),
        "org.codehaus.groovy.tools.FileSystemCompiler",
        "--encoding=UTF-8",
        "-d",
        str(classes),
        *map(str, sorted(library.rglob("*.groovy"))),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise jvm.FijiError(f"compiling the Groovy library took more than {COMPILE_TIMEOUT_S} s") from None
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip() or f"the compiler ended with code {done.returncode}"
        raise jvm.FijiError(f"the Groovy library does not compile: {said}")


def _pack(out: Path, classes: Path, folder: Path, version: str) -> None:
    manifest = (
        f"Manifest-Version: 1.0\r\nImplementation-Title: quietframe-fiji\r\nImplementation-Version: {version}\r\n\r\n"
    )
    entries: dict[str, bytes] = {"META-INF/MANIFEST.MF": manifest.encode()}
    for path in sorted(classes.rglob("*.class")):
        entries[path.relative_to(classes).as_posix()] = path.read_bytes()
    for path in source_files(folder):
        part, *rest = path.relative_to(folder).parts
        place = {"menu": "scripts/", "jython": "", "macros": "macros/Quietframe/", "worker": "worker/"}.get(part)
        if place is not None:
            entries[place + "/".join(rest)] = path.read_bytes()
    # Folders need entries of their own: Fiji finds menu scripts by asking class loaders for the resource "scripts/".
    folders = {f"{parent.as_posix()}/" for name in entries for parent in PurePosixPath(name).parents if parent.name}
    # Fixed times: the same sources make the same bytes.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as jar:
        for name in sorted(folders - {"META-INF/"}):
            entries[name] = b""
        for name, content in entries.items():  # the manifest stays the first entry, where Java's stream readers want it
            jar.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)


def main(arguments: list[str]) -> int:
    """Put the jar into a folder: ``python -m quietframe.fiji.jar FOLDER``."""
    if len(arguments) != 1:
        print("usage: python -m quietframe.fiji.jar FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        jar: Any = ensure_jar()
    except QuietframeError as error:
        print(f"quietframe: {error}", file=sys.stderr)
        return 2
    shutil.copyfile(jar, folder / jar.name)
    print(folder / jar.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
