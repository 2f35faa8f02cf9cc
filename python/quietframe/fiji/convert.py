"""NumPy images to ImageJ's and back, with axes, calibration, Info and slice labels; one copy of the pixels each way.

Needs a running Java machine with ImageJ on its class path, see `jvm.start`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import axes as letters
from ..errors import InputError
from ..images.tiff_metadata import format_info, parse_info

if TYPE_CHECKING:
    from ..images import Image

IMAGEJ_ORDER = "TZCYX"
"""How ImageJ counts planes: channels fastest."""

_EXACT = {"uint8": "int8", "uint16": "int16", "float32": "float32"}  # Java has no unsigned arrays: same bits
_GRAY_TYPES = 3  # ImagePlus.GRAY8, GRAY16, GRAY32 are 0, 1, 2
_MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "min": 60.0, "h": 3600.0}


def to_imageplus(image: Image | NDArray[Any], axes: str | None = None, *, title: str = "image") -> Any:
    """Make an ImageJ image (``ij.ImagePlus``) with the same pixels.

    Parameters
    ----------
    image
        An `Image`, or a bare array. uint8, uint16 and float32 keep their type, bool becomes 0 and 255, everything else
        becomes float32.
    axes
        Axes of a bare array, letters over TCZYX; None = `axes.default_axes`.
    title
        Its title in ImageJ.

    Returns
    -------
    ij.ImagePlus
        A hyperstack with pixel size [µm], frame interval [s], Info and slice labels.

    Raises
    ------
    InputError
        When the axes do not fit, or the image has samples (S) beyond one: ImageJ's gray images have none.
    """
    from jpype import JArray, JClass

    from ..images import Image

    if not isinstance(image, Image):
        image = Image(np.asarray(image), axes or letters.default_axes(np.ndim(image)))
    pixels = _imagej_pixels(letters.to_axes(image.array, image.axes, IMAGEJ_ORDER))
    labels = _labels_in_order(image)
    frames, slices, channels, height, width = pixels.shape
    stack = JClass("ij.ImageStack")(width, height)
    planes = pixels.reshape(-1, height * width)
    as_java = planes.view(_EXACT[pixels.dtype.name])
    for index in range(len(planes)):
        stack.addSlice(labels[index] if labels else None, JArray.of(as_java[index]))
    result = JClass("ij.ImagePlus")(title, stack)
    result.setDimensions(channels, slices, frames)
    if channels > 1:
        composite = JClass("ij.CompositeImage")
        result = composite(result, composite.GRAYSCALE)
    result.setOpenAsHyperStack(True)
    _calibrate(result.getCalibration(), image.pixel_size_um, image.frame_interval_s)
    if image.info:
        result.setProperty("Info", format_info(image.info))
    return result


def _imagej_pixels(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif pixels.dtype.name not in _EXACT:
        if pixels.dtype.kind not in "iuf":
            raise InputError(f"real pixel values are needed here; got {pixels.dtype}")
        with np.errstate(over="ignore"):
            pixels = pixels.astype(np.float32)
    return np.ascontiguousarray(pixels)


def _labels_in_order(image: Image) -> list[str]:
    if not image.labels:
        return []
    kept = [(letter, size) for letter, size in zip(image.axes, image.array.shape, strict=True) if letter not in "YX"]
    labels = np.array(image.labels, dtype=object).reshape([size for _, size in kept] + [1, 1])
    names = "".join(letter for letter, _ in kept) + "YX"
    return [str(label) for label in letters.to_axes(labels, names, IMAGEJ_ORDER).ravel()]


def _calibrate(calibration: Any, pixel_size_um: Mapping[str, float], frame_interval_s: float | None) -> None:
    if pixel_size_um:
        calibration.setUnit("micron")
        calibration.pixelWidth = float(pixel_size_um["X"])
        calibration.pixelHeight = float(pixel_size_um["Y"])
        calibration.pixelDepth = float(pixel_size_um.get("Z", 1.0))
    if frame_interval_s is not None:
        calibration.frameInterval = float(frame_interval_s)
        calibration.setTimeUnit("sec")


def from_imageplus(imageplus: Any) -> Image:
    """Make an `Image` out of an ImageJ image; axes of length 1 other than Y and X are left out.

    Parameters
    ----------
    imageplus
        A gray ``ij.ImagePlus``: 8 bit, 16 bit (also ImageJ's signed one, as int16) or float32.

    Raises
    ------
    InputError
        When it is a colour image.
    """
    from ..images import Image

    if imageplus.getType() >= _GRAY_TYPES:
        raise InputError(f"'{imageplus.getTitle()}' is a colour image (RGB); split its channels or convert it to gray")
    sizes = (imageplus.getNFrames(), imageplus.getNSlices(), imageplus.getNChannels())
    shape = (*sizes, imageplus.getHeight(), imageplus.getWidth())
    stack = imageplus.getStack()
    array = _pixels(stack).reshape(shape)
    calibration = imageplus.getCalibration()
    if calibration.isSigned16Bit():
        array = (array.astype(np.int32) - 32768).astype(np.int16)
    kept = [position for position, letter in enumerate(IMAGEJ_ORDER) if letter in "YX" or shape[position] > 1]
    axes = "".join(IMAGEJ_ORDER[position] for position in kept)
    labels = [str(stack.getSliceLabel(index) or "") for index in range(1, stack.getSize() + 1)]
    return Image(
        array.reshape([shape[position] for position in kept]),
        axes,
        _pixel_size_um(calibration, "Z" in axes),
        _frame_interval_s(calibration),
        parse_info(str(imageplus.getProperty("Info") or "")),
        tuple(labels) if any(labels) else (),
    )


def _pixels(stack: Any) -> NDArray[Any]:
    """Return all planes of a stack, each copied once, straight to its place; the array stays when Java's goes."""
    array: NDArray[Any] | None = None
    for index in range(1, stack.getSize() + 1):
        values = np.asarray(memoryview(stack.getProcessor(index).getPixels()))
        if array is None:
            array = np.empty((stack.getSize(), values.size), values.dtype)
        array[index - 1] = values
    assert array is not None  # an ImagePlus has at least one plane
    unsigned = {"int8": np.uint8, "int16": np.uint16}.get(array.dtype.name)
    return array.view(unsigned) if unsigned else array


def _pixel_size_um(calibration: Any, with_depth: bool) -> dict[str, float]:
    factor = _MICROMETRES.get(str(calibration.getUnit()).replace("μ", "µ"))
    if factor is None:
        return {}
    sizes = {"Y": float(calibration.pixelHeight) * factor, "X": float(calibration.pixelWidth) * factor}
    return {"Z": float(calibration.pixelDepth) * factor, **sizes} if with_depth else sizes


def _frame_interval_s(calibration: Any) -> float | None:
    interval = float(calibration.frameInterval) * _SECONDS.get(str(calibration.getTimeUnit()), 0.0)
    return interval if interval > 0 else None
