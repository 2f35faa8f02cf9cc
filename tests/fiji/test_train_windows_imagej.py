"""The windows of a training, on a display (Xvfb): loss and preview are shown while it runs, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quietframe.images import read_image

for package in ("appose", "torch", "onnx"):
    pytest.importorskip(package)

PROGRAM = """
import sys, threading, time
import jpype
import numpy as np
from quietframe.fiji.bridge import Fiji
folder, photo = sys.argv[1:]
fiji = Fiji(headless=False)
jpype.JClass("java.lang.System").setProperty("quietframe.models", folder)
manager, ij = jpype.JClass("ij.WindowManager"), jpype.JClass("ij.IJ")
y, x = np.mgrid[:128, :128]
noisy = np.random.default_rng(0).poisson(100 + 80 * np.sin(x / 9) * np.cos(y / 7)).astype(np.uint16)
image = fiji.to_imageplus(noisy, title="cells.tif")
image.show()
made = []

def train():
    options = dict(method="n2v", steps=20000, patch_px=32, filters=8, depth=1, batch_size=4, device="cpu")
    made.append(fiji.run_command("Quietframe Train", image, python=sys.executable, **options))

training = threading.Thread(target=train, daemon=True)
training.start()
wanted = {"Loss of cells.tif", "Preview of cells.tif"}
for _ in range(400):
    titles = {str(title) for title in manager.getImageTitles()}
    if wanted <= titles:
        break
    time.sleep(0.2)
windows = [manager.getImage(title).getWindow() for title in ("cells.tif", "Loss of cells.tif", "Preview of cells.tif")]
for window, (x, y) in zip(windows, ((20, 40), (20, 260), (240, 40))):
    window.setLocation(x, y)  # there is no window manager here that would
time.sleep(2)
robot = jpype.JClass("java.awt.Robot")()
whole = jpype.JClass("java.awt.Rectangle")(jpype.JClass("java.awt.Toolkit").getDefaultToolkit().getScreenSize())
screen = robot.createScreenCapture(whole)
jpype.JClass("javax.imageio.ImageIO").write(screen, "png", jpype.JClass("java.io.File")(photo))
points = len(manager.getImage("Loss of cells.tif").getWindow().getXValues())
ij.setKeyDown(27)
training.join(30)
print("windows", sorted(titles & wanted), "points", points > 1, "made", made)
sys.stdout.flush()
import os
os._exit(0)
"""


@pytest.mark.slow
def test_loss_and_preview_are_shown_while_it_trains(tmp_path: Path) -> None:
    if shutil.which("xvfb-run") is None:
        pytest.skip("no Xvfb to open a window on")
    photo, folder = tmp_path / "training.png", tmp_path / "models"
    command = ["xvfb-run", "-a", "-s", "-screen 0 1280x900x24", sys.executable, "-c", PROGRAM, str(folder), str(photo)]
    environment = {key: value for key, value in os.environ.items() if key not in {"FIJI_DIR", "DISPLAY"}}
    environment["OMP_NUM_THREADS"] = "1"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=140, check=False)
    assert "windows ['Loss of cells.tif', 'Preview of cells.tif'] points True" in done.stdout, done.stderr
    assert f"made [{{'model': '{folder / 'cells_n2v.zip'}'}}]" in done.stdout
    picture = read_image(photo).array
    assert picture.max() > picture.min()
