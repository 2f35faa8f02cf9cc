"""The list of models, on a display (Xvfb): opened, photographed, answered, in a process of its own."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from quietframe.images import read_image

pytest.importorskip("onnx")
onnx_models = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("onnx_models.py"))))

PROGRAM = """
import sys, threading, time
import jpype
from quietframe.errors import QuietframeError
from quietframe.fiji.bridge import Fiji
folder, file, photo, wanted = sys.argv[1:5]
fiji = Fiji(headless=False)
jpype.JClass("java.lang.System").setProperty("quietframe.models", folder)
models, dialogs = jpype.JClass("org.quietframe.Models"), jpype.JClass("ij.gui.GenericDialog")
windows, events = jpype.JClass("java.awt.Window"), jpype.JClass("java.awt.event.ActionEvent")
chosen = []

def ask():
    try:
        chosen.append(str(models.find("").getName()))
    except Exception as error:
        chosen.append(str(error.getMessage()))

asking = threading.Thread(target=ask, daemon=True)
asking.start()
for _ in range(100):
    shown = [window for window in windows.getWindows() if isinstance(window, dialogs) and window.isShowing()]
    if shown:
        break
    time.sleep(0.2)
(dialog,) = shown
robot = jpype.JClass("java.awt.Robot")()
whole = jpype.JClass("java.awt.Rectangle")(jpype.JClass("java.awt.Toolkit").getDefaultToolkit().getScreenSize())
for _ in range(50):  # until it is painted
    time.sleep(0.2)
    screen = robot.createScreenCapture(whole)
    height = screen.getHeight()
    if len({screen.getRGB(x, y) for x in range(0, screen.getWidth(), 3) for y in range(0, height, 3)}) > 2:
        break
    dialog.toFront()
time.sleep(0.5)
screen = robot.createScreenCapture(whole)
jpype.JClass("javax.imageio.ImageIO").write(screen, "png", jpype.JClass("java.io.File")(photo))
print("listed", [str(dialog.getChoices().get(0).getItem(i)) for i in range(dialog.getChoices().get(0).getItemCount())])
if wanted == "second":
    dialog.getChoices().get(0).select(1)
if wanted == "file":
    dialog.getStringFields().get(0).setText(file)
button = dialog.getButtons()[1 if wanted == "cancel" else 0]
dialog.actionPerformed(events(button, events.ACTION_PERFORMED, "press"))
asking.join(20)
print("chosen", chosen)
sys.stdout.flush()
import os
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [("second", "cells.zip"), ("file", "dragged here.onnx"), ("cancel", "no model was chosen; there is no result")],
)
def test_the_models_of_the_folder_are_listed_and_a_file_can_be_given(tmp_path: Path, wanted: str, chosen: str) -> None:
    if shutil.which("xvfb-run") is None:
        pytest.skip("no Xvfb to open a window on")
    folder = tmp_path / "models"
    folder.mkdir()
    onnx_models.write_model(folder / "bare.onnx")
    onnx_models.write_model(folder / "cells.zip")
    file = onnx_models.write_model(tmp_path / "dragged here.onnx")
    photo = tmp_path / "dialog.png"
    command = ["xvfb-run", "-a", sys.executable, "-c", textwrap.dedent(PROGRAM), folder, file, photo, wanted]
    environment = {key: value for key, value in os.environ.items() if key not in {"FIJI_DIR", "DISPLAY"}}
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, timeout=140, check=False
    )
    assert "listed ['bare.onnx', 'cells.zip']" in done.stdout, done.stderr
    assert f"chosen ['{chosen}']" in done.stdout, done.stderr
    picture = read_image(photo).array
    assert picture.max() > picture.min()  # a window with text, not an empty screen
