"""Quietframe Filter: ImageJ's own filters under Quietframe's names, the same pixels, on all planes, in a new image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.filters import load_filter
from quietframe.images import Image

COMMAND = "Quietframe Filter"
CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("gaussian-blur", {"sigma": 1.3}, "Gaussian Blur...", {"sigma": 1.3}),
    ("gaussian-blur", {"sigma": 12}, "Gaussian Blur...", {"sigma": 12}),
    ("median", {"radius": 1.5}, "Median...", {"radius": 1.5}),
    ("mean", {}, "Mean...", {"radius": 2}),
    ("minimum", {"radius": 3}, "Minimum...", {"radius": 3}),
    ("maximum", {"radius": 3}, "Maximum...", {"radius": 3}),
    ("variance", {"radius": 2}, "Variance...", {"radius": 2}),
    ("top-hat", {"radius": 4}, "Top Hat...", {"radius": 4}),
    ("top-hat", {"radius": 4, "light": True}, "Top Hat...", {"radius": 4, "light": True}),
    ("top-hat", {"radius": 4, "dont_subtract": True}, "Top Hat...", {"radius": 4, "don't": True}),
    ("remove-outliers", {"threshold": 9}, "Remove Outliers...", {"radius": 2, "threshold": 9, "which": "Bright"}),
    (
        "remove-outliers",
        {"threshold": 9, "which": "dark"},
        "Remove Outliers...",
        {"radius": 2, "threshold": 9, "which": "Dark"},
    ),
    ("despeckle", {}, "Despeckle", {}),
    ("unsharp-mask", {}, "Unsharp Mask...", {"radius": 1, "mask": 0.6}),
    ("unsharp_mask", {"radius": 2, "mask": 0.8}, "Unsharp Mask...", {"radius": 2, "mask": 0.8}),
    ("subtract-background", {"rolling": 9}, "Subtract Background...", {"rolling": 9}),
    (
        "subtract-background",
        {"rolling": 12, "light": True, "create": True, "disable": True},
        "Subtract Background...",
        {"rolling": 12, "light": True, "create": True, "disable": True},
    ),
    (
        "subtract-background",
        {"rolling": 9, "sliding": True},
        "Subtract Background...",
        {"rolling": 9, "sliding": True},
    ),
]


def pixels_of(dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    pixels = np.random.default_rng(5).poisson(90, shape).astype(dtype)
    pixels[..., 4:9, 6:14] += 60
    return pixels


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_pixels_are_those_of_imagejs_own_command_on_every_plane(imagej: Fiji, dtype: str) -> None:
    pixels = pixels_of(dtype, (3, 37, 41))
    for method, options, command, words in CASES:
        expected = imagej.run_command(command, pixels, stack=True, **words)["result"].array
        found = imagej.run_command(COMMAND, Image(pixels, "ZYX"), method=method, **options)["result"].array
        assert found.dtype == pixels.dtype
        np.testing.assert_array_equal(found, expected, err_msg=f"{method} {options}")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_volumes_are_filtered_over_z_and_never_over_time_or_channels(imagej: Fiji, dtype: str) -> None:
    pixels = pixels_of(dtype, (2, 4, 2, 13, 17))  # T, Z, C, Y, X
    for method, command in (
        ("mean-3d", "Mean 3D..."),
        ("median-3d", "Median 3D..."),
        ("gaussian-blur-3d", "Gaussian Blur 3D..."),
    ):
        found = imagej.run_command(COMMAND, Image(pixels, "TZCYX"), method=method, x=1, y=1.5, z=1)["result"]
        assert found.axes == "TZCYX"
        for t in range(2):
            for c in range(2):
                one = imagej.to_imageplus(pixels[t, :, c], "ZYX")
                expected = imagej.run_command(command, one, x=1, y=1.5, z=1)["result"].array
                np.testing.assert_array_equal(found.array[t, :, c], expected, err_msg=method)


def test_the_pixels_are_those_of_the_shared_vectors(imagej: Fiji, vectors: Any) -> None:
    shared = vectors("filters.json")
    volume = Image(np.array(shared["volume"], np.float32), "ZYX")
    for case in shared["cases"]:
        found = imagej.run_command(COMMAND, volume, method=case["method"], **case["settings"])["result"].array
        # The file has four digits.
        np.testing.assert_allclose(found, case["pixels"], rtol=0, atol=case["tolerance"] + 5e-5, err_msg=case["method"])


def test_the_result_keeps_what_belongs_to_the_image_and_says_its_settings(imagej: Fiji) -> None:
    pixels = pixels_of("uint16", (2, 3, 20, 24))
    labels = tuple(f"plane {i}" for i in range(6))
    image = Image(pixels, "TZYX", {"Y": 0.2, "X": 0.2, "Z": 0.5}, 3.0, {"ndr.exposure": "E0001"}, labels)
    found = imagej.run_command(COMMAND, image, method="median", radius=3, dtype="float32")["result"]
    assert found.array.dtype == np.float32
    assert (found.axes, found.labels) == ("TZYX", labels)
    assert found.pixel_size_um == pytest.approx(image.pixel_size_um)
    assert found.frame_interval_s == pytest.approx(3.0)
    said = {"quietframe.command": "filter median", "quietframe.radius": "3", "ndr.exposure": "E0001"}
    assert said.items() <= found.info.items()
    median = load_filter("median")
    expected = median.apply(pixels[1, 2].astype(np.float32), median.Settings(radius=3.0))
    np.testing.assert_array_equal(found.array[1, 2], expected)


def test_luts_overlay_display_range_and_the_image_itself_stay(imagej: Fiji) -> None:
    macro = """
        setBatchMode(true); newImage("noise", "8-bit ramp", 30, 30, 2); run("Fire"); run("Invert LUT");
        setMinAndMax(20, 180); makeRectangle(3, 4, 5, 6); run("Add Selection..."); before = getPixel(20, 20);
        run("Quietframe Filter", "method=remove-outliers radius=1 threshold=1 which=dark");
        getMinAndMax(low, high); getLut(r, g, b);
        selectImage("noise"); Roi.getBounds(x, y, w, h);
        same = before == getPixel(20, 20);
        return "" + nImages + " " + low + " " + high + " " + r[255] + g[255] + b[255] + " " + same + " " + x;
    """
    images, low, high, lut, same, x = imagej.run_macro(macro).split()
    assert (images, low, high, x) == ("2", "20", "180", "3")
    assert lut == "0"  # Fire upside down ends in black: the sum of three zeros
    assert same == "1"


@pytest.mark.parametrize("word", ["x=1 y=1 z=0", "radius_x=1 radius_y=1 radius_z=0"])
def test_the_options_of_volumes_may_be_called_as_on_the_command_line(imagej: Fiji, word: str) -> None:
    macro = f"""
        setBatchMode(true); newImage("n", "16-bit ramp", 9, 9, 3); setSlice(2); setPixel(4, 4, 60000);
        run("Quietframe Filter", "method=median-3d {word}"); setSlice(2); return "" + getPixel(4, 4);
    """
    assert float(imagej.run_macro(macro)) < 60000


@pytest.mark.parametrize(
    ("options", "axes", "message"),
    [
        ({"method": "blur"}, "TYX", "unknown method 'blur': allowed: gaussian-blur, median"),
        ({"method": "median", "radius": 0.2}, "TYX", "option radius of median must be 0.5 to 100; got 0.2"),
        ({"method": "median", "radius": 400}, "TYX", "option radius of median must be 0.5 to 100; got 400"),
        ({"method": "unsharp-mask", "mask": 1}, "TYX", "option mask of unsharp-mask must be 0 to 0.99; got 1"),
        ({"sigma": -1}, "TYX", "option sigma of gaussian-blur must be 0 to 100000; got -1"),
        ({"method": "remove-outliers", "which": "all"}, "TYX", "unknown which 'all': allowed: bright, dark"),
        ({"dtype": "uint8"}, "TYX", "unknown dtype 'uint8': allowed: same, float32"),
        ({"method": "mean-3d"}, "TYX", "mean-3d filters volumes .* has 1 slice and 3 frames"),
        ({"method": "mean-3d", "z": 101}, "ZYX", "option z of mean-3d must be 0 to 100; got 101"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(imagej: Fiji, options: dict[str, Any], axes: str, message: str) -> None:
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_command(COMMAND, Image(pixels_of("float32", (3, 20, 20)), axes), **options)
    assert "\n" not in str(error.value)


def test_colours_and_missing_pixels_are_refused(imagej: Fiji) -> None:
    with pytest.raises(FijiError, match="is a colour image"):
        imagej.run_macro('newImage("c", "RGB", 9, 9, 1); run("Quietframe Filter"); return "on";')
    pixels = pixels_of("float32", (12, 12))
    pixels[2, 3] = np.nan
    with pytest.raises(FijiError, match="1 of 144 pixels are NaN or infinite"):
        imagej.run_command(COMMAND, pixels)


def test_a_virtual_stack_is_filtered_plane_by_plane_when_looked_at(imagej: Fiji) -> None:
    from jpype import JClass

    planes = pixels_of("uint16", (3, 20, 24))
    source = imagej.to_imageplus(planes, "ZYX")
    method = JClass("org.quietframe.FilterMethod").named("median")
    settings = method.settings(JClass("java.util.HashMap")({"radius": JClass("java.lang.Double")(2.0)}))
    stack = JClass("org.quietframe.FilterStack")(source, method, settings, False)
    median = load_filter("median")
    assert (int(stack.getSize()), int(stack.getBitDepth())) == (3, 16)
    found = np.array(stack.getProcessor(2).getPixels()).astype(np.uint16).reshape(20, 24)
    np.testing.assert_array_equal(found, median.apply(planes[1], median.Settings(radius=2.0)))
