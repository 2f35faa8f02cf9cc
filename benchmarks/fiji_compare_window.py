"""Compare an image with its result on a display, and photograph the windows; for the docs.

xvfb-run -a -s "-screen 0 1600x1100x24" python benchmarks/fiji_compare_window.py NOISY RESULT REPEAT PHOTO
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import jpype

from quietframe.fiji.bridge import Fiji
from quietframe.images import read_image


def main() -> None:
    """Open, compare, place the windows, write the screen."""
    noisy, result, repeat, photo = sys.argv[1:5]
    fiji = Fiji(headless=False)
    ij = jpype.JClass("ij.IJ")
    for path in (repeat, result, noisy):
        image = fiji.to_imageplus(read_image(path), title=Path(path).name)
        image.show()
        ij.run(image, "Enhance Contrast", "saturated=1")
    compare = jpype.JClass("org.quietframe.Compare").compare
    for made in compare(image, Path(result).name, Path(repeat).name, "auto", True).values():
        if isinstance(made, jpype.JClass("ij.ImagePlus")) and made.getWindow() is None:
            made.show()
    manager = jpype.JClass("ij.WindowManager")
    x, y = 10, 10
    for identifier in list(manager.getIDList()):
        frame = manager.getImage(identifier).getWindow()
        if x + frame.getWidth() > 1500:
            x, y = 10, y + 330
        frame.setLocation(x, y)
        x += frame.getWidth() + 8
    tool = jpype.JClass("ij.plugin.frame.SyncWindows").getInstance()
    if tool is not None:
        tool.setLocation(x, y)
        tool.toFront()
    time.sleep(2)
    robot = jpype.JClass("java.awt.Robot")()
    whole = jpype.JClass("java.awt.Rectangle")(jpype.JClass("java.awt.Toolkit").getDefaultToolkit().getScreenSize())
    picture = robot.createScreenCapture(whole)
    jpype.JClass("javax.imageio.ImageIO").write(picture, "png", jpype.JClass("java.io.File")(photo))
    print("SYNCHRONIZED", tool is not None, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
