"""Drawn scenes hold the structure their name says, are repeatable, and are simulated as a micrograph is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from quietframe.errors import OptionError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr.scene import draw_scene
from quietframe.ndr.simulated_camera import SimulatedCamera
from quietframe.verbs.ndr import simulate

SHORT = SimulatedCamera(reads=4)


def drawn(kind: str, size: int = 256, seed: int = 3) -> np.ndarray:
    return draw_scene(kind, size, np.random.default_rng(seed)).astype(np.float64)


def line_likeness(scene: np.ndarray) -> float:
    """Return the light-weighted anisotropy of the structure tensor: 1 on lines, 0 where no direction is preferred."""
    down, across = np.gradient(ndimage.gaussian_filter(scene, 1.0))
    yy, xx, yx = (ndimage.gaussian_filter(part, 4.0) for part in (down * down, across * across, down * across))
    return float((np.hypot(yy - xx, 2 * yx) * scene).sum() / ((yy + xx) * scene).sum())


@pytest.mark.parametrize("kind", ["filaments", "blobs"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_scene_is_finite_light_with_empty_background_and_repeatable(kind: str, seed: int) -> None:
    scene = draw_scene(kind, 256, np.random.default_rng(seed))
    assert scene.shape == (256, 256)
    assert scene.dtype == np.float32
    assert np.isfinite(scene).all()
    assert scene.min() >= 0.0
    dim = np.mean(scene < 0.05 * np.percentile(scene, 99.9))
    assert 0.2 < dim < 0.9  # structure on a background: neither full nor empty
    np.testing.assert_array_equal(scene, draw_scene(kind, 256, np.random.default_rng(seed)))
    assert not np.array_equal(scene, draw_scene(kind, 256, np.random.default_rng(seed + 1)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_filaments_are_lines_and_blobs_are_not(seed: int) -> None:
    assert line_likeness(drawn("filaments", seed=seed)) > 0.65
    assert line_likeness(drawn("blobs", seed=seed)) < 0.55


@pytest.mark.parametrize("kind", ["filaments", "blobs"])
def test_structure_is_smooth_over_a_pixel_and_gone_over_thirty(kind: str) -> None:
    scene = drawn(kind) - drawn(kind).mean()
    power = np.abs(np.fft.fft2(scene)) ** 2
    correlation = np.fft.ifft2(power).real / power.sum() * scene.size
    # a blur of sigma 1.3 makes neighbours correlate at exp(-1 / (4 * 1.3^2)) = 0.86 across a line, more along it
    assert correlation[0, 1] > 0.85
    assert correlation[1, 0] > 0.85
    assert abs(correlation[0, 30]) < 0.3


def test_simulate_draws_the_scene_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "a_E0001_NDR.tif"
    answer = simulate(out, scene="filaments", size=96, flux=5.0, background=0.5, seed=7, settings=SHORT)
    assert answer["shape"] == [4, 96, 96]
    assert "filaments, 96 x 96" in answer["scaling"]
    exposure = read_image(out)
    assert exposure.info["quietframe.scene"] == "filaments"
    assert exposure.info["quietframe.size"] == "96"
    parts = read_image(tmp_path / "a_E0001_NDR_TRUTH_PARTS.tif")
    light = parts.array[0].astype(np.float64)
    assert light.min() == pytest.approx(0.5)  # what is dark by the 0.1 percentile is the background
    assert np.percentile(light, 99.9) == pytest.approx(5.5, rel=1e-3)
    again = tmp_path / "b.tif"
    simulate(again, scene="filaments", size=96, flux=5.0, background=0.5, seed=7, settings=SHORT)
    np.testing.assert_array_equal(read_image(again).array, exposure.array)


def test_a_drawn_scene_has_512_pixels_on_an_edge_unless_told(tmp_path: Path) -> None:
    answer = simulate(tmp_path / "a.tif", scene="blobs", settings=SimulatedCamera(reads=2))
    assert answer["shape"] == [2, 512, 512]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--image FILE, or --scene filaments or blobs; neither was given"),
        ({"image": "i.tif", "scene": "blobs"}, "both were given"),
        ({"image": "i.tif", "size": 64}, "--size 64 goes with --scene"),
        ({"scene": "filament"}, "unknown scene 'filament': did you mean filaments"),
        ({"scene": "blobs", "size": 15}, "16 to 8192 pixels; got 15"),
        ({"scene": "blobs", "size": 8193}, "16 to 8192 pixels; got 8193"),
        ({"scene": "blobs", "seed": -1}, "a seed is a whole number of 0 or more; got -1"),
        ({"image": "i.tif", "seed": -1}, "a seed is a whole number of 0 or more; got -1"),
        ({"scene": "blobs", "flux": 0.0}, "flux must be .* above 0"),
    ],
)
def test_simulate_refuses_what_is_no_scene(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    write_image(tmp_path / "i.tif", Image(np.eye(32, dtype=np.float32), "YX"))
    given = {**options, **({"image": tmp_path / "i.tif"} if "image" in options else {})}
    with pytest.raises(OptionError, match=message):
        simulate(tmp_path / "out.tif", settings=SHORT, **given)
    assert not (tmp_path / "out.tif").exists()
