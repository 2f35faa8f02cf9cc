"""NDR Subtract in the real ImageJ: the vectors that Python is tested on, calibration, Info, wrong options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image, write_image
from quietframe.ndr.subtract import SPACINGS, difference_windows, differences

COMMAND = "Quietframe NDR Subtract"


@pytest.fixture(scope="module")
def ramp(vectors: Any) -> dict[str, Any]:
    return vectors("ndr.json")


def exposure(ramp: dict[str, Any], **keywords: Any) -> Image:
    return Image(np.array(ramp["ramp"]["values"], dtype=np.uint16), "TYX", **keywords)


def test_subtract_gives_the_difference_images_of_the_vectors_exactly(imagej: Fiji, ramp: dict[str, Any]) -> None:
    assert ramp["subtract"]
    for case in ramp["subtract"]:
        options = {key: case[key] for key in ("difference", "first", "spacing")}
        result = imagej.run_command(COMMAND, exposure(ramp), **options)["result"]
        expected = np.array(case["values"], dtype=np.float32)
        assert result.array.dtype == np.float32
        np.testing.assert_array_equal(result.array.reshape(expected.shape), expected, err_msg=str(options))
        windows = ",".join(f"{low}-{high}" for low, high in case["windows"])
        assert result.info["ndr.reads_used"] == windows


def test_what_the_vectors_refuse_is_refused_with_the_value(imagej: Fiji, ramp: dict[str, Any]) -> None:
    assert ramp["subtract_refused"]
    for options in ramp["subtract_refused"]:
        # The value that is wrong, or the read that it would need.
        named = "|".join(str(value) for value in (*options.values(), options["difference"] + options["first"]))
        with pytest.raises(FijiError, match=named) as error:
            imagej.run_command(COMMAND, exposure(ramp), **options)
        assert "\n" not in str(error.value)


def test_units_scale_the_differences_by_the_camera_of_options_or_info(imagej: Fiji, ramp: dict[str, Any]) -> None:
    camera = ramp["camera"]
    gain, interval = camera["gain_e_per_adu"], camera["t_subframe_s"]
    info = {"ndr.gain_e_per_adu": str(gain), "ndr.t_subframe_s": str(interval)}
    adu = imagej.run_command(COMMAND, exposure(ramp), difference=3)["result"].array
    for unit, factor in {"electrons": gain, "rate": gain / (3 * interval)}.items():
        from_info = imagej.run_command(COMMAND, exposure(ramp, info=info), difference=3, unit=unit)["result"]
        options = {"gain_e_per_adu": gain, "t_subframe_s": interval}
        from_options = imagej.run_command(COMMAND, exposure(ramp), difference=3, unit=unit, **options)["result"]
        np.testing.assert_array_equal(from_info.array, adu * np.float32(factor))
        np.testing.assert_array_equal(from_options.array, from_info.array)
        assert from_info.info["ndr.unit"] == unit
    with pytest.raises(FijiError, match="unit electrons needs gain_e_per_adu"):
        imagej.run_command(COMMAND, exposure(ramp), difference=3, unit="electrons")
    given = exposure(ramp, info={"ndr.gain_e_per_adu": "high"})
    with pytest.raises(FijiError, match=r"ndr.gain_e_per_adu in its Info is not a number: 'high'"):
        imagej.run_command(COMMAND, given, difference=3, unit="electrons")


def test_calibration_and_info_stay_and_settings_are_added(imagej: Fiji, ramp: dict[str, Any]) -> None:
    sizes = {"Y": 0.11, "X": 0.11}
    given = exposure(ramp, pixel_size_um=sizes, frame_interval_s=0.5, info={"ndr.exposure": "E0001", "ndr.unit": "old"})
    result = imagej.run_command(COMMAND, given, difference=3)["result"]
    assert result.pixel_size_um == pytest.approx(sizes)
    assert result.frame_interval_s == pytest.approx(0.5 * 4)  # guarded windows start 4 reads apart
    assert result.labels == ("reads 1-4", "reads 5-8", "reads 9-12")
    wanted = {
        "ndr.exposure": "E0001",
        "ndr.unit": "adu",
        "ndr.difference": "3",
        "ndr.first": "1",
        "ndr.count_from": "1",
    }
    wanted |= {"ndr.spacing": "guarded", "quietframe.command": "ndr subtract"}
    assert wanted.items() <= result.info.items()


def test_differences_equal_pythons_on_a_long_float_ramp(imagej: Fiji) -> None:
    reads = np.random.default_rng(8).normal(5, 3, (50, 20, 30)).cumsum(axis=0).astype(np.float32)
    for spacing in SPACINGS:
        windows = difference_windows(50, 7, 1, spacing)
        expected = np.stack(list(differences(reads, windows, scale=0.3)))
        options = {"difference": 7, "first": 2, "spacing": spacing, "unit": "electrons", "gain_e_per_adu": 0.3}
        result = imagej.run_command(COMMAND, Image(reads, "TYX"), **options)["result"]
        np.testing.assert_array_equal(result.array.reshape(expected.shape), expected)


def test_a_virtual_stack_is_read_plane_by_plane(imagej: Fiji, tmp_path: Any) -> None:
    from jpype import JClass

    reads = np.arange(20 * 6 * 7, dtype=np.uint16).reshape(20, 6, 7)
    path = write_image(tmp_path / "ramp.tif", Image(reads, "TYX"), dtype="uint16")
    virtual = JClass("ij.plugin.FileInfoVirtualStack").openVirtual(str(path))
    assert virtual.getStack().isVirtual()
    result = imagej.run_command(COMMAND, virtual, difference=5)["result"]
    np.testing.assert_array_equal(result.array, np.full((3, 6, 7), 5 * 42, np.float32))


def test_differences_larger_than_memory_are_made_when_looked_at(imagej: Fiji, tmp_path: Any) -> None:
    from jpype import JClass

    reads = np.random.default_rng(9).integers(0, 60000, (20, 6, 7), dtype=np.uint16)
    path = write_image(tmp_path / "ramp.tif", Image(reads, "TYX"), dtype="uint16")
    virtual = JClass("ij.plugin.FileInfoVirtualStack").openVirtual(str(path))
    lazy = JClass("org.quietframe.NdrDifferences")
    ramps = JClass("org.quietframe.NdrRamps")
    stack = lazy(virtual, ramps.windows(20, 5, 2, "rolling"), 0.5)
    expected = imagej.run_command(
        COMMAND, virtual, difference=5, first=2, spacing="rolling", unit="electrons", gain_e_per_adu=0.5
    )["result"]
    made = [np.array(stack.getProcessor(n).getPixels()).reshape(6, 7) for n in range(1, stack.getSize() + 1)]
    np.testing.assert_array_equal(made, expected.array)
    assert tuple(str(stack.getSliceLabel(n)) for n in range(1, stack.getSize() + 1)) == expected.labels
    assert not lazy.tooLarge(virtual, 14)
    assert lazy.tooLarge(virtual, 2**31 - 1)


@pytest.mark.parametrize(
    ("array", "axes", "message"),
    [
        (np.zeros((4, 5)), "YX", "is a single image; an exposure is a stack"),
        (np.zeros((2, 3, 4, 5)), "TZYX", "1 channels, 3 slices and 2 frames; an exposure is a stack"),
    ],
)
def test_what_is_no_exposure_is_refused(imagej: Fiji, array: Any, axes: str, message: str) -> None:
    with pytest.raises(FijiError, match=message):
        imagej.run_command(COMMAND, Image(array.astype(np.uint16), axes), difference=1)
