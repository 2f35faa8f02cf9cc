"""Files between Quietframe and the real ImageJ, both ways: pixels, axes, calibration, labels, Info."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.fiji.bridge import Fiji
from quietframe.images import Image, read_image, write_image, writing

SIZES = {"T": 3, "Z": 4, "C": 2, "Y": 6, "X": 9}


def java(name: str) -> Any:
    from jpype import JClass

    return JClass(name)


def opened(path: Path) -> Any:
    image = java("ij.io.Opener")().openImage(str(path))
    assert image is not None
    return image


def pixels(image: Any) -> NDArray[Any]:
    """ImageJ's planes in the order of its stack, as float64 (T, Z, C, Y, X)."""
    stack = image.getStack()
    planes = [np.array(stack.getProcessor(index + 1).getFloatArray()).T for index in range(stack.getSize())]
    return np.array(planes).reshape(
        image.getNFrames(), image.getNSlices(), image.getNChannels(), image.getHeight(), image.getWidth()
    )


def picture(axes: str, dtype: str, rng: np.random.Generator) -> Image:
    shape = [SIZES[letter] for letter in axes]
    values = rng.integers(0, 200, shape).astype(dtype) if dtype != "float32" else rng.normal(0, 5, shape)
    planes = int(np.prod(shape[:-2]))
    labels = tuple(f"read {number}" for number in range(planes)) if planes > 1 else ()
    info = {"notes": "two lines\nof notes, °µ", "ndr.spacing": "guarded", "ndr.first": "1"}
    return Image(values.astype(dtype), axes, {"Z": 0.5, "Y": 0.21, "X": 0.1}, 0.05, info, labels)


@pytest.mark.parametrize("dtype", ["float32", "uint16", "uint8"])
@pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "CYX", "TZYX", "TCYX", "ZCYX", "TZCYX"])
def test_a_file_written_here_opens_in_imagej_with_the_same_axes(
    imagej: Fiji, axes: str, dtype: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    image = picture(axes, dtype, rng)
    shown = opened(write_image(tmp_path / "here.tif", image, dtype=dtype))
    sizes = {"T": shown.getNFrames(), "Z": shown.getNSlices(), "C": shown.getNChannels()}
    assert sizes == {letter: SIZES[letter] if letter in axes else 1 for letter in "TZC"}
    assert np.array_equal(pixels(shown).reshape(image.array.shape), image.array.astype(np.float64))
    calibration = shown.getCalibration()
    # The resolution is a fraction of two 32-bit integers: better than 1e-6.
    assert [calibration.pixelWidth, calibration.pixelHeight] == pytest.approx([0.1, 0.21], rel=1e-6)
    assert (calibration.pixelDepth, calibration.frameInterval) == (0.5, 0.05)
    assert str(calibration.getUnit()) in {"um", "µm", "micron"}
    assert str(shown.getProperty("Info")) == ("two lines\nof notes, °µ\nndr.spacing = guarded\nndr.first = 1\n")
    labels = [str(shown.getStack().getSliceLabel(index + 1)) for index in range(len(image.labels))]
    assert tuple(labels) == image.labels


@pytest.mark.parametrize("axes", ["CTZYX", "ZTYX", "CZYX"])
def test_other_orders_of_axes_are_brought_into_imagej_s(
    imagej: Fiji, axes: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    image = picture(axes, "uint16", rng)
    shown = opened(write_image(tmp_path / "here.tif", image, dtype="uint16"))
    lead = axes[:-2]
    for index in np.ndindex(*image.array.shape[:-2]):
        position = {letter: 1 + index[lead.index(letter)] if letter in lead else 1 for letter in "CZT"}
        number = shown.getStackIndex(position["C"], position["Z"], position["T"])
        plane = np.array(shown.getStack().getProcessor(number).getFloatArray()).T
        assert np.array_equal(plane, image.array[index])
        label = image.labels[int(np.ravel_multi_index(index, image.array.shape[:-2]))]
        assert str(shown.getStack().getSliceLabel(number)) == label


def test_the_form_of_files_beyond_4_gb_opens_in_imagej(
    imagej: Fiji, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(writing, "_CLASSIC_LIMIT", 100)  # as if 100 bytes were 4 GB: one directory for all planes
    image = picture("TYX", "uint16", rng)
    path = write_image(tmp_path / "large.tif", image, dtype="uint16")
    shown = opened(path)
    assert np.array_equal(pixels(shown).reshape(image.array.shape), image.array)
    assert shown.getNFrames() == SIZES["T"]
    back = read_image(path)
    assert back.axes == "TYX"
    assert np.array_equal(back.array, image.array)


def test_rgb_goes_both_ways(imagej: Fiji, tmp_path: Path, rng: np.random.Generator) -> None:
    image = Image(rng.integers(0, 256, (3, 5, 7)).astype(np.uint8), "SYX")
    shown = opened(write_image(tmp_path / "colour.tif", image, dtype="uint8"))
    assert shown.getBitDepth() == 24
    for y, x in np.ndindex(5, 7):
        assert list(shown.getPixel(x, y))[:3] == image.array[:, y, x].tolist()
    java("ij.io.FileSaver")(shown).saveAsTiff(str(tmp_path / "back.tif"))
    assert np.array_equal(read_image(tmp_path / "back.tif").array, image.array)


@pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "CYX", "TZCYX"])
def test_a_file_written_by_imagej_reads_here_the_same(
    imagej: Fiji, axes: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    image = picture(axes, "uint16", rng)
    saver = java("ij.io.FileSaver")(imagej.to_imageplus(image))
    path = tmp_path / "imagej.tif"
    assert saver.saveAsTiffStack(str(path)) if len(axes) > 2 else saver.saveAsTiff(str(path))
    found = read_image(path)
    assert found.axes == axes
    assert found.array.dtype == np.uint16
    assert np.array_equal(found.array, image.array)
    assert found.frame_interval_s == 0.05
    assert found.pixel_size_um["X"] == pytest.approx(0.1, rel=1e-6)
    assert found.pixel_size_um["Y"] == pytest.approx(0.21, rel=1e-6)
    if "Z" in axes:
        assert found.pixel_size_um["Z"] == 0.5
    assert dict(found.info) == dict(image.info)
    assert found.labels == image.labels


def test_imagej_s_zip_and_its_signed_16_bit_read_here(imagej: Fiji, tmp_path: Path, rng: np.random.Generator) -> None:
    values = rng.integers(-3000, 3000, (5, 7))
    processor = java("ij.process.ShortProcessor")(7, 5)
    for y, x in np.ndindex(5, 7):
        processor.set(x, y, int(values[y, x]) + 32768)
    image = java("ij.ImagePlus")("signed", processor)
    image.getCalibration().setSigned16BitCalibration()
    saver = java("ij.io.FileSaver")(image)
    assert saver.saveAsTiff(str(tmp_path / "signed.tif"))
    assert saver.saveAsZip(str(tmp_path / "signed.zip"))
    for name in ("signed.tif", "signed.zip"):
        found = read_image(tmp_path / name)
        assert found.array.dtype == np.int16
        assert np.array_equal(found.array, values), name
