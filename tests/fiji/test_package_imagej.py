"""A real package (a U-Net, exported as training does): the runner in Python and ImageJ give the same pixels."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quietframe.fiji.bridge import Fiji
from quietframe.images import Image

pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

TINY = Path(__file__).parent.parent / "tiny_models.py"
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
