"""Region masks against the real ImageJ: the same pixels for every kind of area, in and partly outside the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.errors import InputError
from quietframe.fiji.bridge import Fiji
from quietframe.rois import Roi, read_rois, roi_mask

HEIGHT, WIDTH = 90, 110


def java(name: str) -> Any:
    from jpype import JClass

    return JClass(name)


def imagej_mask(roi: Any, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.bool_]:
    """Fill the region in a black image with ImageJ itself."""
    processor = java("ij.process.ByteProcessor")(width, height)
    processor.setValue(255.0)
    processor.fill(roi)
    return np.array(processor.getPixels(), dtype=np.int8).reshape(height, width) != 0


def saved(roi: Any, folder: Path) -> tuple[Roi, Any]:
    """Save a region with ImageJ's encoder; read the file here, and with ImageJ's decoder."""
    path = folder / "region.roi"
    java("ij.io.RoiEncoder").save(roi, str(path))
    return read_rois(path)[0], java("ij.io.RoiDecoder").open(str(path))


def floats(values: NDArray[Any]) -> Any:
    from jpype import JArray, JFloat

    return JArray(JFloat)(values.astype(np.float32).tolist())


def ints(values: NDArray[Any]) -> Any:
    from jpype import JArray, JInt

    return JArray(JInt)(values.astype(int).tolist())


def polygon(points: NDArray[Any], kind: str, *, subpixel: bool) -> Any:
    make = floats if subpixel else ints
    roi = java("ij.gui.Roi")
    x, y = points.T
    return java("ij.gui.PolygonRoi")(make(x), make(y), len(points), getattr(roi, kind))


def walk(rng: np.random.Generator, steps: int) -> NDArray[np.float64]:
    """A hand-drawn outline that crosses itself and leaves the image."""
    return np.array([55, 45]) + np.cumsum(rng.normal(0, 7, (steps, 2)), axis=0)


def area(rng: np.random.Generator, kind: str) -> Any:
    x, y = (int(value) for value in rng.integers(-10, 80, 2))
    width, height = (int(value) for value in rng.integers(12, 60, 2))
    ends = [float(value) for value in rng.uniform(0, 85, 4)]
    match kind:
        case "rectangle":
            return java("ij.gui.Roi")(x, y, width, height)
        case "rounded":
            return java("ij.gui.Roi")(x, y, width, height, int(rng.integers(2, 40)))
        case "oval":
            return java("ij.gui.OvalRoi")(x, y, width, height)
        case "subpixel rectangle":
            return java("ij.gui.Roi")(x + 0.4, y + 0.7, width + 0.3, height + 0.1)
        case "subpixel oval":
            return java("ij.gui.OvalRoi")(x + 0.4, y + 0.7, width + 0.3, height + 0.1)
        case "polygon":
            return polygon(rng.integers(-15, 110, (7, 2)), "POLYGON", subpixel=False)
        case "subpixel polygon":
            return polygon(rng.uniform(-15, 110, (7, 2)), "POLYGON", subpixel=True)
        case "half pixel polygon":  # corners and edges exactly on pixel centres
            return polygon(rng.integers(0, 160, (6, 2)) / 2, "POLYGON", subpixel=True)
        case "freehand":
            return polygon(np.rint(walk(rng, 60)), "FREEROI", subpixel=False)
        case "subpixel freehand":
            return polygon(walk(rng, 60), "FREEROI", subpixel=True)
        case "ellipse":
            return java("ij.gui.EllipseRoi")(*ends, float(rng.uniform(0.2, 1)))
        case "rotated rectangle":
            return java("ij.gui.RotatedRectRoi")(*ends, float(rng.uniform(3, 30)))
        case "points":
            return java("ij.gui.PointRoi")(ints(rng.integers(0, 80, 9)), ints(rng.integers(0, 80, 9)), 9)
        case "subpixel points":
            return java("ij.gui.PointRoi")(floats(rng.uniform(0, 80, 9)), floats(rng.uniform(0, 80, 9)), 9)
    shape = java("ij.gui.ShapeRoi")
    first, second = shape(area(rng, "oval")), shape(area(rng, str(rng.choice(["rounded", "ellipse", "oval"]))))
    return {"or": first.or_, "xor": first.xor, "not": first.not_}[kind](second)


KINDS = [
    "rectangle", "rounded", "oval", "subpixel rectangle", "subpixel oval", "polygon", "subpixel polygon",
    "half pixel polygon", "freehand", "subpixel freehand", "ellipse", "rotated rectangle", "points", "subpixel points",
    "or", "xor", "not",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_imagej_s_own_pixels(imagej: Fiji, kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    compared = 0
    for trial in range(12):
        roi = area(rng, kind)
        if not imagej_mask(roi).any():
            continue
        region, opened = saved(roi, tmp_path)
        expected = imagej_mask(opened)
        found = roi_mask(region, (HEIGHT, WIDTH))
        assert np.array_equal(found, expected), f"trial {trial}: {np.argwhere(found != expected)[:5].tolist()}"
        compared += 1
    assert compared >= 6


def test_a_wand_s_traced_outline_is_the_thresholded_area(
    imagej: Fiji, tmp_path: Path, rng: np.random.Generator
) -> None:
    from scipy.ndimage import gaussian_filter, label

    bright = gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), 4) > 0
    processor = java("ij.process.ByteProcessor")(WIDTH, HEIGHT)
    for y, x in np.argwhere(bright):
        processor.set(int(x), int(y), 255)
    processor.setThreshold(255, 255, 0)
    roi = java("ij.plugin.filter.ThresholdToSelection")().convert(processor)
    assert np.array_equal(roi_mask(saved(roi, tmp_path)[0], bright.shape), bright)
    y, x = (int(value) for value in np.argwhere(bright)[100])
    wand = java("ij.gui.Wand")(processor)
    wand.autoOutline(x, y, 255.0, 255.0)
    traced = java("ij.gui.PolygonRoi")(wand.xpoints, wand.ypoints, wand.npoints, java("ij.gui.Roi").TRACED_ROI)
    expected = imagej_mask(traced)
    assert np.array_equal(roi_mask(saved(traced, tmp_path)[0], bright.shape), expected)
    regions, _ = label(bright)
    assert expected[regions == regions[y, x]].all()


def test_files_of_every_kind_have_imagej_s_own_pixels(imagej: Fiji, data_dir: Path) -> None:
    compared = 0
    for path in sorted((data_dir / "roi" / "read-roi").glob("*.roi")):
        roi = java("ij.io.RoiDecoder").open(str(path))
        if roi.isLine():
            with pytest.raises(InputError, match="without area"):
                read_rois(path)
            continue
        found = roi_mask(read_rois(path)[0], (300, 310))
        assert np.array_equal(found, imagej_mask(roi, 300, 310)), path.name
        compared += 1
    assert compared >= 18


def test_area_and_mean_are_those_of_measure(imagej: Fiji, tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = rng.normal(100, 20, (HEIGHT, WIDTH)).astype(np.float32)
    image = imagej.to_imageplus(pixels)
    for kind in ("oval", "freehand", "ellipse", "xor"):
        roi = area(rng, kind)
        image.setRoi(roi)
        statistics = image.getStatistics()
        mask = roi_mask(saved(roi, tmp_path)[0], pixels.shape)
        assert mask.sum() == statistics.pixelCount
        # ImageJ sums in double: rounding of n values, far below 1e-9.
        assert pixels[mask].mean(dtype=np.float64) == pytest.approx(statistics.mean, rel=1e-9)
