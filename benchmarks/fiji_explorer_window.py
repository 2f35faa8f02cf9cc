"""Open the explorer on a display, move its sliders, time its previews, press a key, photograph it.

For `fiji_explorer.py` and the tests; prints a line of JSON after the word REPORT.

    xvfb-run -a python benchmarks/fiji_explorer_window.py PICTURE MODELS PHOTO --escape|--enter [--panel]

PICTURE is what is explored, MODELS a folder with one model, PHOTO the file of the screenshot.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import jpype

from quietframe.fiji.bridge import Fiji

OPTIONS: dict[str, Any] = {
    "methods": "auto", "repeat": "", "correlated": 0, "tune": False, "pick": "none", "sigma": 2.0, "radius": -1.0,
    "mask": 0.6, "threshold": 50.0, "which": "bright", "rolling": 50.0, "light": False, "dont_subtract": False,
    "create": False, "sliding": False, "disable": False, "x": 2.0, "y": 2.0, "z": 2.0, "provider": "cpu", "threads": 0,
}  # fmt: skip


def boxed(value: Any) -> Any:
    """Return a Java object for an option."""
    kinds = {bool: "Boolean", int: "Integer", float: "Double", str: "String"}
    return jpype.JClass(f"java.lang.{kinds[type(value)]}")(value)


class Window:
    """The explorer's dialog, driven as a person would."""

    def __init__(self, picture: str, models: str) -> None:
        self.fiji = Fiji(headless=False)
        jpype.JClass("java.lang.System").setProperty("quietframe.models", models)
        self.image = jpype.JClass("ij.IJ").openImage(picture)
        self.image.show()
        options = jpype.JClass("java.util.HashMap")()
        for key, value in OPTIONS.items():
            options.put(key, boxed(value))
        region = jpype.JClass("org.quietframe.ExplorerRegion")(self.image)
        judge = jpype.JClass("org.quietframe.Explorer").judge(region, options)
        names = jpype.JClass("org.quietframe.ExplorerCandidate").usual(self.image)
        self.explorer = jpype.JClass("org.quietframe.ExplorerDialog")(region, judge, names, options)
        self.answer: list[str] = []
        self.asking = threading.Thread(target=self._ask, daemon=True)
        self.asking.start()
        self.dialog = self._dialog()

    def _ask(self) -> None:
        try:
            self.answer.append(str(self.explorer.ask().line()))
        except Exception as error:
            self.answer.append(str(error))

    def _dialog(self) -> Any:
        dialogs = jpype.JClass("ij.gui.GenericDialog")
        for _ in range(150):
            windows = jpype.JClass("java.awt.Window").getWindows()
            found = [window for window in windows if isinstance(window, dialogs) and window.isShowing()]
            if found:
                return found[0]
            time.sleep(0.1)
        raise SystemExit(f"no dialog was shown: {self.answer}")

    def _posted(self, component: Any, event: Any) -> None:
        jpype.JClass("java.awt.Toolkit").getDefaultToolkit().getSystemEventQueue().postEvent(event)

    def choose(self, method: str) -> float:
        """Take a method; seconds until its preview is shown."""
        before, start = int(self.explorer.getShown()), time.perf_counter()
        choice = self.dialog.getChoices().get(0)
        choice.select(method)
        events = jpype.JClass("java.awt.event.ItemEvent")
        self._posted(choice, events(choice, events.ITEM_STATE_CHANGED, method, events.SELECTED))
        return self._shown_after(before, start)

    def anew(self, model: str) -> float:
        """Take a model that is loaded, and whose result is forgotten; seconds until the preview is shown."""
        self.choose("gaussian-blur")
        self.explorer.forget()
        return self.choose(model)

    def slide(self, number: int, value: int) -> float:
        """Move a slider, in its own steps; seconds until the preview is shown."""
        before, start = int(self.explorer.getShown()), time.perf_counter()
        slider = self.dialog.getSliders().get(number)
        events = jpype.JClass("java.awt.event.AdjustmentEvent")
        slider.setValue(value)
        self._posted(slider, events(slider, events.ADJUSTMENT_VALUE_CHANGED, events.TRACK, value))
        return self._shown_after(before, start)

    def wait(self, count: int, limit: float = 30) -> None:
        """Wait until this many previews were shown."""
        end = time.perf_counter() + limit
        while int(self.explorer.getShown()) < count:
            if time.perf_counter() > end:
                raise SystemExit(f"no preview after {limit} s: {self.answer}")
            time.sleep(0.001)

    def _shown_after(self, before: int, start: float) -> float:
        self.wait(before + 1)
        return time.perf_counter() - start

    def press(self, key: str) -> float:
        """Press Esc or Enter; seconds until the dialog is gone and the command has its answer."""
        start, keys = time.perf_counter(), jpype.JClass("java.awt.event.KeyEvent")
        code = {"escape": keys.VK_ESCAPE, "enter": keys.VK_ENTER}[key]
        button = self.dialog.getButtons()[0]
        self._posted(button, keys(button, keys.KEY_PRESSED, int(time.time() * 1000), 0, code, keys.CHAR_UNDEFINED))
        self.asking.join(60)
        return time.perf_counter() - start

    def compare(self) -> None:
        """Press the first of the buttons that compare all methods, and wait for the panel."""
        buttons = jpype.JClass("java.awt.Button")
        todo, found = [self.dialog], []
        while todo:
            part = todo.pop()
            if isinstance(part, buttons) and "best settings" in str(part.getLabel()):
                found.append(part)
            if isinstance(part, jpype.JClass("java.awt.Container")):
                todo += list(part.getComponents())
        events = jpype.JClass("java.awt.event.ActionEvent")
        self._posted(found[0], events(found[0], events.ACTION_PERFORMED, "press"))
        for _ in range(600):
            if self.explorer.getPanel() is not None:
                return
            time.sleep(0.1)
        raise SystemExit("no panel was made")

    def photograph(self, path: str) -> None:
        """Write what is on the screen."""
        time.sleep(1.0)
        robot = jpype.JClass("java.awt.Robot")()
        whole = jpype.JClass("java.awt.Rectangle")(jpype.JClass("java.awt.Toolkit").getDefaultToolkit().getScreenSize())
        screen = robot.createScreenCapture(whole)
        jpype.JClass("javax.imageio.ImageIO").write(screen, "png", jpype.JClass("java.io.File")(path))


def place(window: Window) -> None:
    """Put the windows side by side, so that the photograph shows them all."""
    manager = jpype.JClass("ij.WindowManager")
    across = 10
    for identifier in list(manager.getIDList()):
        frame = manager.getImage(identifier).getWindow()
        frame.setLocation(across, 10)
        across += frame.getWidth() + 8
    window.dialog.setLocation(10, 330)


def main() -> None:
    """Go through it all."""
    picture, models, photo = sys.argv[1:4]
    window = Window(picture, models)
    window.wait(1)
    report: dict[str, Any] = {"methods": [str(window.dialog.getChoices().get(0).getItem(i)) for i in range(7)]}
    report["gaussian_slid_s"] = [window.slide(0, 10 + 3 * i) for i in range(12)]
    report["gaussian_only_s"] = float(window.explorer.getLastSeconds())
    (model,) = [name for name in os.listdir(models) if name.endswith((".zip", ".onnx"))]
    report["model_first_s"] = window.choose(model)
    report["model_only_s"] = float(window.explorer.getLastSeconds())
    report["model_s"] = [window.anew(model) for _ in range(5)]
    window.choose("gaussian-blur")
    window.slide(0, 12)
    if "--panel" in sys.argv:
        window.compare()
    place(window)
    window.photograph(photo)
    if "--escape" in sys.argv:
        window.explorer.forget()
        choice = window.dialog.getChoices().get(0)
        choice.select(model)
        events = jpype.JClass("java.awt.event.ItemEvent")
        window._posted(choice, events(choice, events.ITEM_STATE_CHANGED, model, events.SELECTED))
        time.sleep(0.15)
        report["escape_s"] = window.press("escape")
    else:
        report["enter_s"] = window.press("enter")
    report["answer"] = window.answer
    text = json.dumps(report)
    print("REPORT", text, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
