"""Denoise in the real ImageJ against ONNX Runtime in Python: the same network, the same pixels, the same values."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image

onnx_models = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("onnx_models.py"))))

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
COMMAND = "Quietframe Denoise"
TOLERANCE = 1e-5
"""Of the range of the result: what the project promises; both run float32 kernels of ONNX Runtime."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_models.write_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


def picture(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).poisson(100, shape).astype(np.float32)


def assert_equal(result: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= TOLERANCE * np.ptp(expected)


@pytest.mark.parametrize("tile", ["auto", "0", "32", "40"])
@pytest.mark.parametrize("shape", [(64, 64), (61, 83), (9, 200), (8, 8)])
def test_pixels_equal_those_of_python_tiled_and_not(
    imagej: Fiji, model: Path, shape: tuple[int, int], tile: str
) -> None:
    pixels = picture(*shape)
    result = imagej.run_command(COMMAND, pixels, model=model, tile=tile)["result"]
    assert result.array.dtype == np.float32
    assert_equal(result.array, onnx_models.run_model(model, pixels))


@pytest.mark.parametrize(("axes", "shape"), [("ZYX", (3, 31, 40)), ("TYX", (3, 31, 40)), ("TZCYX", (2, 3, 2, 24, 20))])
def test_every_plane_of_a_stack_is_denoised_and_axes_calibration_and_labels_stay(
    imagej: Fiji, model: Path, axes: str, shape: tuple[int, ...]
) -> None:
    pixels = picture(*shape)
    labels = tuple(f"plane {number}" for number in range(int(np.prod(shape[:-2]))))
    sizes = {"Y": 0.1, "X": 0.1} | ({"Z": 0.5} if "Z" in axes else {})
    given = Image(pixels, axes, sizes, 0.25, {"sample": "cells"}, labels)
    result = imagej.run_command(COMMAND, given, model=model)["result"]
    assert_equal(result.array, onnx_models.run_model(model, pixels))
    assert (result.axes, result.labels) == (axes, labels)
    assert result.pixel_size_um == pytest.approx(sizes)
    assert result.frame_interval_s == pytest.approx(0.25)
    assert result.info["sample"] == "cells"
    assert result.info["quietframe.command"] == "denoise"
    assert result.info["quietframe.provider"] == "cpu"
    assert "not CUDA" in result.info["quietframe.provider_note"]
    assert result.info["quietframe.tile"] == "one shot"


def test_a_package_runs_as_its_bare_network_and_sixteen_bit_as_float(imagej: Fiji, model: Path, tmp_path: Path) -> None:
    package = onnx_models.write_model(tmp_path / "my model.zip")
    pixels = picture(40, 50)
    result = imagej.run_command(COMMAND, pixels.astype(np.uint16), model=package, provider="cpu")["result"]
    assert_equal(result.array, onnx_models.run_model(model, pixels))
    assert result.info["quietframe.model"] == "my model.zip"


def test_signed_sixteen_bit_images_are_denoised_by_their_real_values(imagej: Fiji, model: Path) -> None:
    # ImageJ stores -5 as 32763 with a calibration curve; the network must see -5.
    pixels = (picture(24, 24) - 100).astype(np.int16)
    imageplus = imagej.to_imageplus((pixels.astype(np.int32) + 32768).astype(np.uint16))
    imageplus.getCalibration().setSigned16BitCalibration()
    np.testing.assert_array_equal(imagej.from_imageplus(imageplus).array, pixels)
    result = imagej.run_command(COMMAND, imageplus, model=model)["result"]
    assert_equal(result.array, onnx_models.run_model(model, pixels))


def test_tiled_memory_does_not_grow_with_calls(imagej: Fiji, model: Path) -> None:
    psutil = pytest.importorskip("psutil")
    from jpype import JClass

    imageplus = imagej.to_imageplus(picture(256, 256))
    denoise = JClass("org.quietframe.OnnxDenoiser").denoise

    def resident(calls: int) -> int:
        for _ in range(calls):
            denoise(imageplus, str(model), "cpu", "64")
        JClass("java.lang.System").gc()
        return int(psutil.Process().memory_info().rss)

    before = resident(10)
    # 30 calls allocate 30 x 25 tensors of 16 kB and 30 buffers; a leak of tensors alone would be 24 MB.
    assert resident(30) - before < 12e6


@pytest.mark.parametrize(
    ("options", "properties", "message"),
    [
        ({"model": ""}, None, "no model is given"),
        ({"model": "gone.zip"}, None, "does not exist"),
        ({"provider": "cuda"}, None, "provider cuda cannot be used: .*provider=cpu"),
        ({"provider": "gpu"}, None, "unknown provider 'gpu': allowed: auto, cpu, cuda"),
        ({"tile": "8"}, None, "tile 8 is too small .* smallest tile is 12"),
        ({"tile": "big"}, None, "tile must be auto, 0 .* got 'big'"),
        ({"til": "8"}, None, "unknown option 'til'"),
        ({}, {"axes": None}, "does not say what its axes are"),
        ({}, {"axes": "NZYX"}, r"takes axes NZYX; models for planes \(NCYX\) and volumes \(NCZYX\) run"),
        ({}, {"halo": "x"}, "quietframe.halo is x, not a number of pixels; export"),
        ({}, {"halo": "4,4"}, "quietframe.halo is 4,4, not a number of pixels"),
        ({}, {"outputs": "mean"}, "no output mean; it has denoised"),
        ({}, {"min": "64"}, "needs at least 64 x 64"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(
    imagej: Fiji, tmp_path: Path, options: dict[str, Any], properties: dict[str, str | None] | None, message: str
) -> None:
    path = onnx_models.write_model(tmp_path / "tiny.onnx", properties=properties)
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_command(COMMAND, picture(30, 30), **{"model": path, **options})
    assert "\n" not in str(error.value)


def test_models_of_two_channels_and_damaged_files_are_refused(imagej: Fiji, tmp_path: Path) -> None:
    empty = tmp_path / "empty.zip"
    empty.write_bytes(onnx_models.write_model(tmp_path / "a.zip").read_bytes()[:200])
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no protobuf at all")
    for path, message in {
        onnx_models.write_model(tmp_path / "two.onnx", channels=2): "takes 2 channels at once",
        empty: "not a readable zip",
        broken: "cannot load it",
    }.items():
        with pytest.raises(FijiError, match=message):
            imagej.run_command(COMMAND, picture(30, 30), model=path)


def test_nan_and_colour_are_refused(imagej: Fiji, model: Path) -> None:
    from jpype import JClass

    pixels = picture(3, 30, 30)
    pixels[1, 4, 4] = np.nan
    with pytest.raises(FijiError, match=r"plane 2 of 3: 1 of 900 pixels are NaN"):
        imagej.run_command(COMMAND, pixels, model=model)
    colour = JClass("ij.IJ").createImage("photo", "RGB white", 20, 20, 1)
    with pytest.raises(FijiError, match=r"'photo' is a colour image \(RGB\)"):
        imagej.run_command(COMMAND, colour, model=model)
    with pytest.raises(FijiError, match="no image is open"):
        imagej.run_command(COMMAND, model=model)
