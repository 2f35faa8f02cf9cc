"""ImageJ from Python: start it, hand images over and back, run commands, macros and scripts.

>>> with Fiji() as fiji:                                                            # doctest: +SKIP
...     blurred = fiji.run_command("Gaussian Blur...", image, sigma=2)["result"]
...     signal = fiji.run_command("Quietframe NDR Subtract", exposure, difference=20)["result"]

Inside is a plain ImageJ out of pip's packages, or, with a Fiji folder, that Fiji through pyimagej. A process can have
one of them only, once; closing frees its images, and the Java machine ends with the process.
"""

from __future__ import annotations

import difflib
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import InputError, MissingExtraError
from . import convert, jar, jvm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..images import Image

_ESCAPE = 27  # java.awt.event.KeyEvent.VK_ESCAPE

PREFIX = "Quietframe "
"""How the names of our own commands begin."""


class Fiji:
    """A running ImageJ or Fiji; a context manager.

    Parameters
    ----------
    fiji_dir
        Folder of a Fiji to use; None = environment variable FIJI_DIR, else a plain ImageJ.
    headless
        Work without a display.
    memory
        Largest Java heap, e.g. ``"4g"``; None = Java's own choice.
    timeout_s
        Longest time of one command, macro or script [s]; None = no limit.

    Raises
    ------
    FijiError
        When Java, the jars or the Fiji cannot be found or started; the message says which.
    MissingExtraError
        When the extra ``fiji`` is not installed.
    """

    def __init__(
        self,
        fiji_dir: str | os.PathLike[str] | None = None,
        *,
        headless: bool = True,
        memory: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        folder = fiji_dir or os.environ.get("FIJI_DIR")
        self.fiji_dir = Path(folder) if folder else None
        self._gateway: Any = None
        if self.fiji_dir is not None:
            self._gateway = _start_fiji(self.fiji_dir, headless)
        else:
            jvm.start([*jvm.resolve_jars(), jar.ensure_jar()], headless=headless, memory=memory)
            self.commands = tuple(str(name) for name in _java("org.quietframe.Scripts").register())

    def __enter__(self) -> Fiji:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def imagej_version(self) -> str:
        """ImageJ's version, e.g. ``1.54p``."""
        return str(_java("ij.IJ").getVersion())

    def print_to_stderr(self) -> None:
        """Send what macros print and commands log to stderr, so that stdout is the caller's alone."""
        system = _java("java.lang.System")
        system.setOut(system.err)

    def to_imageplus(self, image: Image | NDArray[Any], axes: str | None = None, *, title: str = "image") -> Any:
        """Make an ImageJ image; see `convert.to_imageplus`."""
        return convert.to_imageplus(image, axes, title=title)

    def from_imageplus(self, imageplus: Any) -> Image:
        """Make an `Image` out of an ImageJ image; see `convert.from_imageplus`."""
        return convert.from_imageplus(imageplus)

    def run_command(self, name: str, image: Any = None, /, **options: Any) -> dict[str, Any]:
        """Run a menu command on an image.

        Parameters
        ----------
        name
            Its menu label, e.g. ``"Quietframe Denoise"`` or ``"Gaussian Blur..."``.
        image
            `Image`, array or ``ij.ImagePlus``; the command sees it as the active one. ImageJ's own commands change
            an ``ij.ImagePlus`` in place; of an `Image` or an array they get a copy.
        options
            The command's options. ``flag=True`` gives a keyword without value to ImageJ's own commands.

        Returns
        -------
        dict
            The command's outputs by name, images as `Image`; ImageJ's own commands have one, ``result``.

        Raises
        ------
        FijiError
            When the command does not exist or says that it cannot do it, with its message.
        """
        imageplus = self._imageplus(image)
        if self._gateway is None and name in self.commands:
            return self._run_script(name, imageplus, options)
        _check_command(name)
        ij = _java("ij.IJ")
        window_manager = _java("ij.WindowManager")
        text = _option_text(options, bare_flags=not name.startswith(PREFIX))

        def call() -> Any:
            # In one thread: ImageJ keeps the current image and the options per thread.
            window_manager.setTempCurrentImage(imageplus)
            if imageplus is None:
                ij.run(name, text)
            else:
                ij.run(imageplus, name, text)
            return window_manager.getCurrentImage() or imageplus

        result = self._watched(lambda: _answered(name, call))
        return {"result": None if result is None else self.from_imageplus(result)}

    def _imageplus(self, image: Any) -> Any:
        from jpype import JObject

        return image if image is None or isinstance(image, JObject) else self.to_imageplus(image)

    def _run_script(self, name: str, imageplus: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        inputs = dict(options) if imageplus is None else {"image": imageplus, **options}
        return self._outputs(lambda scripts: scripts.runCommand(name, _java_map(inputs), None))

    def _outputs(self, call: Any) -> dict[str, Any]:
        from jpype import JException

        command = _java("org.quietframe.Command")
        command.setLastProblem(None)
        command.setQuiet(True)
        try:
            outputs = self._watched(lambda: call(_java("org.quietframe.Scripts")))
        except JException as error:
            raise jvm.FijiError(str(error.getMessage() or error)) from None
        finally:
            command.setQuiet(False)
        if command.getLastProblem() is not None:
            raise jvm.FijiError(str(command.getLastProblem()))
        return {str(key): self._python_value(outputs.get(key)) for key in outputs.keySet()}

    def _python_value(self, value: Any) -> Any:
        from jpype import JClass
        from scyjava import to_python

        return self.from_imageplus(value) if isinstance(value, JClass("ij.ImagePlus")) else to_python(value)

    def run_macro(self, macro: str | os.PathLike[str], argument: str = "") -> str:
        """Run an ImageJ macro: a file (``.ijm`` or ``.txt``, or any path object) or the text itself.

        Parameters
        ----------
        macro
            A path or the macro's text.
        argument
            What the macro's ``getArgument()`` returns.

        Returns
        -------
        str
            What the macro returns, ``""`` when it returns nothing.

        Raises
        ------
        FijiError
            When the macro stops before its end: an error in it, a command that could not do its work, or ``exit()``.
        """
        text = _macro_text(macro)
        from jpype import JException

        command = None if self._gateway is not None else _java("org.quietframe.Command")
        if command is not None:
            command.setLastProblem(None)
        interpreter = _java("ij.macro.Interpreter")()
        returned, stopped = None, ""
        try:
            returned = self._watched(lambda: interpreter.run(text, argument))
        except JException:
            stopped = "by its own exit(), see what it printed"
        finally:
            _java("ij.WindowManager").setTempCurrentImage(None)  # the next macro starts with no image
        if interpreter.wasError():
            # Stopped inside a block, the interpreter ends by finding fault with the text behind it.
            stopped = str((command.getLastProblem() if command else None) or interpreter.getErrorMessage())
        _forget_batch_images()
        if stopped:
            interpreter.abortMacro()
            raise jvm.FijiError(f"the macro stopped before its end: {stopped}")
        return "" if returned is None else str(returned)

    def run_script(self, path: str | os.PathLike[str], /, **options: Any) -> dict[str, Any]:
        """Run a script file: Groovy or Jython with ``#@`` parameters, or a macro (``.ijm``).

        Parameters
        ----------
        path
            The file.
        options
            Its parameters by name. A macro gets them as ``key=value`` words in ``getArgument()``.

        Returns
        -------
        dict
            Its outputs by name; a macro's return value as ``result``.

        Raises
        ------
        InputError
            When the file is missing or of no known language.
        FijiError
            When it fails, with its message.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such script; give a .groovy, .py or .ijm file")
        if path.suffix == ".ijm":
            return {"result": self.run_macro(path, _option_text(options, bare_flags=False))}
        if path.suffix not in {".groovy", ".py"}:
            raise InputError(
                f"{path}: {path.suffix or 'no suffix'} is no script language here; allowed: .groovy, .py, .ijm"
            )
        if self._gateway is not None:
            language = {".groovy": "Groovy", ".py": "Jython"}[path.suffix]
            source = path.read_text(encoding="utf-8")
            done = self._watched(lambda: self._gateway.py.run_script(language, source, options))
            return {str(key): self._python_value(done.getOutput(key)) for key in done.getOutputs().keySet()}
        return self._outputs(lambda scripts: scripts.runFile(str(path), _java_map(options)))

    def _watched(self, call: Callable[[], Any]) -> Any:
        """Run a Java call in a thread of its own, so that Ctrl-C and the time limit end it as Esc would."""
        outcome: dict[str, Any] = {}
        _java("ij.IJ").resetEscape()

        def work() -> None:
            try:
                outcome["value"] = call()
            except BaseException as error:
                outcome["error"] = error
            finally:
                _java("ij.WindowManager").setTempCurrentImage(None)  # kept per thread, and this one ends

        thread = threading.Thread(target=work, name="quietframe-imagej", daemon=True)
        thread.start()
        limit = time.monotonic() + (self.timeout_s or float("inf"))
        try:
            while thread.is_alive():
                thread.join(min(1.0, max(0.0, limit - time.monotonic())))
                if thread.is_alive() and time.monotonic() >= limit:
                    raise jvm.FijiError(f"ImageJ was still busy after {self.timeout_s:g} s and was stopped")
        except BaseException:
            _java("ij.macro.Interpreter").abort()
            _java("ij.IJ").setKeyDown(_ESCAPE)
            thread.join(5)
            raise
        if "error" in outcome:
            raise outcome["error"]
        return outcome["value"]

    def close(self) -> None:
        """Close all images and models; the Java machine itself ends, without waiting for anything, with the process."""
        _java("ij.WindowManager").setTempCurrentImage(None)
        if self._gateway is not None:
            self._gateway.dispose()
        else:
            _java("org.quietframe.OnnxModel").closeKept()


def _java(name: str) -> Any:
    from jpype import JClass

    return JClass(name)


def _start_fiji(folder: Path, headless: bool) -> Any:
    if not (folder / "jars").is_dir():
        raise jvm.FijiError(
            f"{folder} is no Fiji: it has no folder 'jars'; give the folder that holds it (Fiji.app or Fiji)"
        )
    try:
        import imagej
        import scyjava
    except ImportError as error:
        raise MissingExtraError("the bridge to Fiji", error.name or "imagej", "fiji") from None
    os.environ["JAVA_HOME"] = str(jvm.find_java().home)
    scyjava.config.set_java_constraints(fetch="auto")
    try:
        return imagej.init(str(folder), mode="headless" if headless else "interactive")
    except Exception as error:
        raise jvm.FijiError(
            f"the Fiji in {folder} could not be started by pyimagej ({type(error).__name__}: {error}); it needs "
            "imglib2-imglyb from the SciJava Maven repository, or its jar in Fiji's jars folder"
        ) from error


def _macro_text(macro: str | os.PathLike[str]) -> str:
    is_name = isinstance(macro, str) and "\n" not in macro and macro.endswith((".ijm", ".txt"))
    if isinstance(macro, str) and not is_name:
        return macro
    path = Path(macro)
    if not path.is_file():
        raise InputError(f"{path}: no such macro")
    return path.read_text(encoding="utf-8")


def _forget_batch_images() -> None:
    # Without a window ImageJ leaves the images of a macro open, out of sight: the next one would find them.
    interpreter = _java("ij.macro.Interpreter")
    for number in interpreter.getBatchModeImageIDs() or ():
        interpreter.removeBatchModeImage(interpreter.getBatchModeImage(number))


def _java_map(values: Mapping[str, Any]) -> Any:
    result = _java("java.util.HashMap")()
    for key, value in values.items():
        result.put(key, os.fspath(value) if isinstance(value, os.PathLike) else value)
    return result


def _check_command(name: str) -> None:
    """Refuse a command that ImageJ does not have, with the nearest names."""
    commands = _java("ij.Menus").getCommands()
    if commands.containsKey(name):
        return
    near = difflib.get_close_matches(name, [str(key) for key in commands.keySet()], n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise jvm.FijiError(
        f"this ImageJ has no command {name!r}; {hint}names are those of its menus, with the three dots that some have"
    )


def _answered(name: str, call: Callable[[], Any]) -> Any:
    """Run a command of ImageJ; what it says when it gives up (no image, a wrong option) becomes the error."""
    from jpype import JException

    try:
        return call()
    except JException as error:
        said = _java("ij.IJ").getErrorMessage() or error.getMessage() or error
        raise jvm.FijiError(f"{name} could not do its work: {said}") from None


def _option_text(options: Mapping[str, Any], *, bare_flags: bool) -> str:
    """Write options as a macro has them: ``sigma=2 path=[a b.tif]``; True as a bare keyword for ImageJ's dialogs."""
    words = []
    for key, value in options.items():
        if isinstance(value, bool) and bare_flags:
            words += [key] if value else []
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words.append(f"{key}=[{text}]" if " " in text or not text else f"{key}={text}")
    return " ".join(words)
