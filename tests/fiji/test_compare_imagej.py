"""Quietframe Compare: differences, z-maps as Python judges them, profiles under one line, what cannot be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.filters import load_filter
from quietframe.images import Image, read_image, write_image
from quietframe.judge.honesty import judge_plane

SHAPE = (73, 91)


def scene() -> NDArray[np.float64]:
    y, x = np.indices(SHAPE)
    rate: NDArray[np.float64] = (
        60 + 50 * np.sin(x / 9.0) * np.cos(y / 11.0) + 400 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / 8)
    )
    return rate


def files(folder: Path, *, planes: int = 2, hit: bool = False) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(8)
    # No two sums of 5 x 5 pixels are equal: then the classes of brightness do not depend on how equal ones are sorted.
    noisy, repeat = (
        (rng.poisson(scene(), (planes, *SHAPE)) + rng.random((planes, *SHAPE))).astype(np.float32) for _ in range(2)
    )
    if hit:
        noisy[0, 50, 60], repeat[0, 12:14, 70] = 9000, 4000
        noisy[0, 3, 3] = np.nan
    blur = load_filter("gaussian-blur")
    result = np.stack([blur.apply(np.nan_to_num(plane), blur.Settings(sigma=3.0)) for plane in noisy])
    pictures = {"noisy": noisy, "result": result, "repeat": repeat}
    for name, pixels in pictures.items():
        write_image(folder / f"{name}.tif", Image(pixels, "TYX", {"Y": 0.2, "X": 0.2}))
    return pictures


def compared(imagej: Fiji, folder: Path, options: str, after: str = 'return "";') -> str:
    opened = "".join(f'open("{folder}/{name}.tif");' for name in ("repeat", "result", "noisy"))
    return imagej.run_macro(f'setBatchMode(true); {opened} run("Quietframe Compare", "{options}"); {after}')


@pytest.mark.parametrize("hit", [False, True])
def test_the_z_map_is_that_of_python(imagej: Fiji, tmp_path: Path, hit: bool) -> None:
    pictures = files(tmp_path, hit=hit)
    save = "".join(
        f'selectImage("noisy_{name}.tif"); saveAs("tiff", "{tmp_path}/{name}.tif");' for name in ("Z", "DIFFERENCE")
    )
    compared(imagej, tmp_path, "result=result.tif repeat=repeat.tif", save)
    z = read_image(tmp_path / "Z.tif")
    for plane in range(2):
        expected = judge_plane(*(pictures[name][plane] for name in ("noisy", "result", "repeat"))).z_map
        assert np.abs(expected).max() > 4.5  # the blur has smoothed the spot away
        # float32 numbers up to 30 after sums of 25 terms in another order
        np.testing.assert_allclose(z.array[plane], expected, rtol=1e-5, atol=1e-5)
    difference = read_image(tmp_path / "DIFFERENCE.tif")
    np.testing.assert_array_equal(difference.array, pictures["noisy"] - pictures["result"])
    assert difference.pixel_size_um == pytest.approx({"Y": 0.2, "X": 0.2})
    assert difference.info["quietframe.repeat"] == "repeat.tif"


def test_a_result_that_is_the_truth_is_not_contradicted(imagej: Fiji, tmp_path: Path) -> None:
    files(tmp_path)
    write_image(tmp_path / "result.tif", Image(np.stack([scene()] * 2).astype(np.float32), "TYX"), overwrite=True)
    after = f'selectImage("noisy_Z.tif"); saveAs("tiff", "{tmp_path}/Z.tif"); return "";'
    compared(imagej, tmp_path, "result=result.tif repeat=repeat.tif", after)
    # Its z has the deviation of one half over that of a pair, sqrt(1/2).
    assert np.std(read_image(tmp_path / "Z.tif").array) == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_the_stack_holds_the_current_plane_of_all(imagej: Fiji, tmp_path: Path) -> None:
    pictures = files(tmp_path)
    after = f'selectImage("noisy_COMPARED.tif"); saveAs("tiff", "{tmp_path}/all.tif"); return "" + nImages;'
    assert compared(imagej, tmp_path, "result=result.tif repeat=repeat.tif line=none", after) == "6"
    stack = read_image(tmp_path / "all.tif")
    assert [label.split()[0] for label in stack.labels] == ["original", "result", "difference", "z"]
    np.testing.assert_array_equal(stack.array[0], pictures["noisy"][0])
    np.testing.assert_array_equal(stack.array[2], pictures["noisy"][0] - pictures["result"][0])
    assert compared(imagej, tmp_path, "result=result.tif line=none", 'return "" + nImages + getTitle();') == (
        "5noisy_COMPARED.tif"
    )


@pytest.mark.parametrize(("line", "count", "row", "left"), [("4,20,60,20", 57, 20, 4), ("auto", 91, 36, 0)])
def test_the_profiles_are_those_under_the_line(
    imagej: Fiji, tmp_path: Path, line: str, count: int, row: int, left: int
) -> None:
    from jpype import JClass

    pictures = files(tmp_path, planes=1)
    noisy, result = (imagej.to_imageplus(pictures[name][0], "YX", title=name) for name in ("noisy", "result"))
    compare = JClass("org.quietframe.Compare")
    plot = compare.profile(noisy, result, compare.lineIn(noisy, line)).getProperty("thePlot")
    for number, name in enumerate(("noisy", "result")):
        along, values = (np.array(part) for part in list(plot.getDataObjectArrays(number))[:2])
        np.testing.assert_allclose(along, np.arange(count), atol=1e-5)
        # Between the ends ImageJ interpolates, which on pixel centres leaves single precision.
        np.testing.assert_allclose(values, pictures[name][0, row, left : left + count], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "option result: give the title of the result; open are: "),
        ("result=gone.tif", "option result: no image 'gone.tif' is open; open are: "),
        ("result=result.tif repeat=gone", "option repeat: no image 'gone' is open"),
        ("result=other", "'other' has dimensions 9 x 9 x 1 x 1 x 1 .x, y, c, z, t.*only pictures of the same pixels"),
        ("result=result.tif repeat=noisy.tif", "the image and its repeat are equal"),
        ("result=result.tif line=1,2,3", "option line is '1,2,3': give auto, none, selection, or x1,y1,x2,y2"),
        ("result=result.tif line=1,2,3,400", "ends outside of 'noisy.tif' .91 x 73 pixels"),
        ("result=result.tif line=selection", "has no straight line"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(imagej: Fiji, tmp_path: Path, options: str, message: str) -> None:
    files(tmp_path)
    opened = "".join(f'open("{tmp_path}/{name}.tif");' for name in ("repeat", "result", "noisy"))
    macro = f"""setBatchMode(true); newImage("other", "8-bit", 9, 9, 1); {opened}
        run("Quietframe Compare", "{options}"); return "went on";"""
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_macro(macro)
    assert "\n" not in str(error.value)
