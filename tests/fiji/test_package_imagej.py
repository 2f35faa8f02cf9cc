"""A real package (a U-Net, exported as training does): the runner in Python and ImageJ give the same pixels."""

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
from quietframe.methods import method_names

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

TINY = Path(__file__).parent.parent / "tiny_models.py"
METHODS = TINY.with_name("test_export_methods.py")
TOLERANCE = 1e-5
"""Of the range of the result: what the project promises for the same package and picture."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from quietframe_export.package import write_package

    tiny = SimpleNamespace(**runpy.run_path(str(TINY)))
    path = tmp_path_factory.mktemp("package") / "unet.zip"
    write_package(tiny.trained_unet(), path)
    return path


@pytest.fixture(scope="module")
def runner(package: Path) -> Any:
    from quietframe.inference.package import read_package
    from quietframe.inference.runner import Runner

    return Runner(read_package(package), "cpu")


KINDS: dict[str, tuple[dict[str, Any], str, tuple[int, ...], int]] = {
    "volumes in one shot": ({"dims": 3, "shape": (20, 60, 70)}, "ZYX", (13, 45, 51), 0),
    "volumes in blocks, twice": ({"dims": 3, "shape": (20, 60, 70), "depth": 1}, "TZYX", (2, 31, 40, 61), 32),
    "volumes of every channel": ({"dims": 3, "shape": (20, 60, 70), "depth": 1}, "ZCYX", (9, 2, 40, 41), 0),
    "channels together": ({"shape": (3, 100, 113)}, "TCYX", (2, 3, 90, 87), 80),
    "channels of volumes together": ({"dims": 3, "shape": (2, 20, 50, 60), "depth": 1}, "ZCYX", (11, 2, 40, 33), 28),
}
"""What -> model, axes and shape of the picture, tile."""


@pytest.mark.parametrize("kind", KINDS)
def test_volumes_and_channels_give_pythons_pixels_in_imagej(imagej: Fiji, tmp_path: Path, kind: str) -> None:
    from quietframe.inference.large import denoise_image
    from quietframe.inference.package import read_package
    from quietframe.inference.runner import Runner
    from quietframe_export.package import write_package

    options, axes, shape, tile = KINDS[kind]
    tiny = SimpleNamespace(**runpy.run_path(str(TINY)))
    path = tmp_path / "model.zip"
    write_package(tiny.trained_unet(filters=4, **options), path)
    given = Image(picture(*shape), axes)
    expected = denoise_image(given, Runner(read_package(path), "cpu"), tile=tile)
    outputs = imagej.run_command("Quietframe Denoise", given, model=path, tile=str(tile), provider="cpu")
    result = outputs["result"]
    assert outputs["second"] is None
    assert (result.axes, result.array.shape) == (axes, shape)
    assert np.abs(result.array - expected.array).max() <= TOLERANCE * np.ptp(expected.array)
    for key in ("tile", "halo"):
        assert result.info[f"quietframe.{key}"] == expected.info[f"quietframe.{key}"], key


@pytest.mark.parametrize(("axes", "shape"), [("TYX", (2, 30, 31)), ("ZYX", (9, 30, 31))])
def test_a_second_output_is_a_second_image(imagej: Fiji, tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    from quietframe.inference.large import denoise_outputs
    from quietframe.inference.package import read_package
    from quietframe.inference.runner import Runner

    tiny = SimpleNamespace(**runpy.run_path(str(TINY)))
    path = tmp_path / "two.onnx"
    make = tiny.plane_model if axes == "TYX" else tiny.volume_model
    path.write_bytes(make(("denoised", "scale")))
    given = Image(picture(*shape), axes, {"Y": 0.1, "X": 0.1}, None, {"sample": "cells"})
    expected = denoise_outputs(given, Runner(read_package(path), "cpu"), tile=24)
    outputs = imagej.run_command("Quietframe Denoise", given, model=path, tile="24")
    for key, name in (("result", "denoised"), ("second", "scale")):
        found = outputs[key]
        assert found.axes == axes
        assert found.info["quietframe.output"] == expected[name].info["quietframe.output"] == name
        assert found.info["sample"] == "cells"
        assert found.pixel_size_um == pytest.approx({"Y": 0.1, "X": 0.1} | ({"Z": 1.0} if axes == "ZYX" else {}))
        assert np.abs(found.array - expected[name].array).max() <= TOLERANCE * np.ptp(expected[name].array)
    np.testing.assert_allclose(outputs["second"].array, outputs["result"].array / 2, rtol=1e-6)


@pytest.mark.parametrize("method", method_names())
def test_every_method_gives_pythons_pixels(imagej: Fiji, tmp_path: Path, method: str) -> None:
    from quietframe.inference.large import denoise_outputs
    from quietframe.inference.package import read_package
    from quietframe.inference.runner import Runner
    from quietframe_export.package import write_package

    path = tmp_path / "model.zip"
    write_package(SimpleNamespace(**runpy.run_path(str(METHODS))).trained_by(method), path)
    given = Image(picture(101, 90), "YX")
    expected = list(denoise_outputs(given, Runner(read_package(path), "cpu"), tile=64).values())
    outputs = imagej.run_command("Quietframe Denoise", given, model=path, tile="64", provider="cpu")
    found = [outputs[key] for key in ("result", "second") if outputs[key] is not None]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one.array - other.array).max() <= TOLERANCE * np.ptp(given.array)


def test_images_whose_axes_do_not_fit_the_model_are_refused_with_what_helps(imagej: Fiji, tmp_path: Path) -> None:
    tiny = SimpleNamespace(**runpy.run_path(str(TINY)))
    volumes, two = tmp_path / "volumes.onnx", tmp_path / "two.onnx"
    volumes.write_bytes(tiny.volume_model())
    two.write_bytes(tiny.plane_model(("denoised",), channels=2))
    for model, axes, shape, message in (
        (volumes, "TYX", (9, 30, 30), r"1 slice and 9 frames: if its frames are slices in z, say so"),
        (volumes, "ZYX", (9, 7, 30), r"9 x 7 x 30 pixels; .* at least 2 x 8 x 8 \(depth x height x width\)"),
        (two, "CYX", (3, 30, 30), "takes 2 channels at once; .* has 3: give one with 2 channels"),
    ):
        with pytest.raises(FijiError, match=message):
            imagej.run_command("Quietframe Denoise", Image(picture(*shape), axes), model=model)


def picture(*shape: int) -> np.ndarray[Any, Any]:
    """Counts like those the network was normalised for, a bright spot on a background."""
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    spot = 300 + 200 * np.exp(-((y - 50) ** 2 + (x - 60) ** 2) / 800)
    return np.random.default_rng(9).poisson(np.broadcast_to(spot, shape)).astype(np.uint16)


@pytest.mark.parametrize(
    ("axes", "shape", "tile"),
    [
        ("YX", (128, 128), 0),
        ("YX", (127, 201), 0),
        ("YX", (300, 317), 128),
        ("ZYX", (3, 150, 131), 0),
        ("ZYX", (3, 150, 131), 112),
    ],
)
def test_imagej_gives_pythons_pixels(
    imagej: Fiji, package: Path, runner: Any, axes: str, shape: tuple[int, ...], tile: int
) -> None:
    from quietframe.inference.large import denoise_image

    given = Image(picture(*shape), axes)
    expected = denoise_image(given, runner, tile=tile)
    result = imagej.run_command("Quietframe Denoise", given, model=package, tile=str(tile), provider="cpu")["result"]
    assert result.axes == axes
    difference = np.abs(result.array - expected.array).max()
    assert difference <= TOLERANCE * np.ptp(expected.array)
    for key in ("model_sha256", "tile", "halo", "method", "unit", "provider"):
        assert result.info[f"quietframe.{key}"] == expected.info[f"quietframe.{key}"], key
