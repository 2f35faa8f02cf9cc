"""Exposures as training data: which reads, in which unit, with which noise, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.camera import Camera
from quietframe.errors import InputError, OptionError, QuietframeError
from quietframe.images import Image, write_image
from quietframe.ndr.pairs import guarded_windows
from quietframe.training import reading
from quietframe.training.exposures import ExposureRequest
from quietframe.training.patches import Pictures, Sampler
from quietframe.training.reading import ReadRequest, read_training

GAIN, NOISE = 0.5, 4.0
READS, SIZE = 40, 96
FLUX = np.tile(np.linspace(0.5, 6.0, SIZE), (SIZE, 1))
KNOWN = Camera(gain_e_per_adu=GAIN, read_noise_e=NOISE)


def ramp(light: np.ndarray, seed: int) -> np.ndarray:
    """Simulate reads (N, Y, X) [e-]: photons that add up, and read noise of each read."""
    rng = np.random.default_rng(seed)
    photons = np.cumsum(rng.poisson(FLUX * light[:, None, None]), axis=0)
    return np.asarray(photons + rng.normal(0, NOISE, photons.shape))


def write(path: Path, reads_e: np.ndarray, **keys: str) -> Path:
    stored = np.rint(reads_e / GAIN + 400).astype(np.uint16)
    info = {f"ndr.{name}": value for name, value in keys.items()}
    return write_image(path, Image(stored, "TYX", {"Y": 0.1, "X": 0.1}, 0.02, info), dtype="uint16")


@pytest.fixture(scope="module")
def exposure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("exposure") / "a_NDR.tif", ramp(np.ones(READS), 1))


def made(path: Path, data: str = "single", **options: Any) -> tuple[Pictures, dict[str, Any]]:
    request = ExposureRequest(camera=options.pop("camera", KNOWN), **options)
    return read_training([path], None, ReadRequest(data, "the method", exposure=request))


def test_differences_are_those_of_guarded_windows_in_electrons(exposure: Path) -> None:
    pictures, facts = made(exposure, difference=(3, 12))
    stored = np.rint(ramp(np.ones(READS), 1) / GAIN + 400)
    for stack, difference in zip(pictures.sources, (3, 12), strict=True):
        windows = guarded_windows(0, READS, difference)
        expected = np.stack([(stored[b] - stored[a]) * GAIN for a, b in windows])
        np.testing.assert_array_equal(np.asarray(stack[:])[:, 0], expected.astype(np.float32))
        np.testing.assert_array_equal(stack[1, 0, 5:9, 7:10], expected[1, 5:9, 7:10].astype(np.float32))
    assert facts["unit"] == "electrons"
    assert facts["exposure"] == {"difference": [3, 12], "fit": False, "guard": 1, "windows": [10, 3]}
    assert facts["files"][0]["role"] == "exposure"


def test_differences_have_the_noise_that_is_said(exposure: Path) -> None:
    pictures, _ = made(exposure, difference=(3, 12))
    assert pictures.noise is not None
    assert (pictures.noise.slope, pictures.noise.intercept) == (1.0, 2 * NOISE**2)
    for stack, difference in zip(pictures.sources, (3, 12), strict=True):
        away = (np.asarray(stack[:])[:, 0] - difference * FLUX) ** 2
        said = pictures.noise.slope * difference * FLUX + pictures.noise.intercept
        # 3 windows of 9216 px at least: a mean of z^2 scatters by sqrt(2 / 27648) = 0.0085; rounding adds 0.2 %
        assert (away / said).mean() == pytest.approx(1.0, abs=5 * 0.0085)


def test_partners_are_of_the_same_difference_and_share_no_noise(exposure: Path) -> None:
    pictures, _ = made(exposure, "repeats", difference=(3, 12))
    assert pictures.partners
    assert pictures.targets is None
    sampler, products, sizes = Sampler(pictures, 16, 16, 5, seed=2), [], []
    for step in range(40):
        corners = sampler._corners(np.random.default_rng([2, 1, step]))
        source, target = sampler.batch(step)
        assert target is not None
        difference = np.array([3, 12])[corners[:, 0]]
        # a net pair differs by noise alone: sd sqrt(2 (12 * 3 + 32)) = 12 per px, mean of 256 px 0.8, of 11 e- or more
        np.testing.assert_allclose(source.mean((1, 2, 3)), target.mean((1, 2, 3)), atol=6 * 0.8)
        noise = [patch - patch.mean((1, 2), keepdims=True) for patch in (source[:, 0], target[:, 0])]
        short = difference == 3  # where noise outweighs the scene
        products.append((noise[0] * noise[1])[short].ravel())
        sizes.append((noise[0] ** 2)[short].ravel())
    # the scene rises by 5.5 / 96 e- per px: over 16 px its variance is (5.5 / 96)^2 * 9 * 21.25 = 0.63 of 40 in all
    assert np.concatenate(products).mean() / np.concatenate(sizes).mean() == pytest.approx(0.63 / 41, abs=0.02)


@pytest.mark.parametrize(
    "data, options, windows",
    [
        ("single", {}, [(0, 39)]),
        ("repeats", {}, [(0, 19), (20, 39)]),
        ("single", {"difference": (12,)}, [(0, 12), (13, 25), (26, 38)]),
        ("repeats", {"difference": (12,), "guard": 2}, [(0, 12), (14, 26)]),
        ("single", {"first": 11, "last": 30}, [(10, 29)]),
    ],
)
def test_fits_are_rates_of_their_windows(
    data: str, options: dict[str, Any], windows: list[tuple[int, int]], exposure: Path
) -> None:
    pictures, facts = made(exposure, data, fit=True, **options)
    stack = np.asarray(pictures.sources[0][:])[:, 0]
    assert facts["exposure"]["windows"] == [len(windows)]
    assert stack.shape == (len(windows), SIZE, SIZE)
    assert pictures.noise is not None
    for plane, (a, b) in zip(stack, windows, strict=True):
        # the difference of last and first estimates the same rate; both are unbiased, mean over 9216 px
        error = np.sqrt((FLUX.mean() * (b - a) + 2 * NOISE**2) / (b - a) ** 2 / FLUX.size)
        assert plane.mean() == pytest.approx(FLUX.mean(), abs=6 * error)
    said = pictures.noise.slope * FLUX + pictures.noise.intercept
    ratio = float((((stack - FLUX) ** 2) / said).mean())
    # weights are made for the flux of each pixel and the level is their mean: 10 % of the variance, and its scatter
    assert ratio == pytest.approx(1.0, abs=0.1 + 5 * np.sqrt(2 / stack.size))


def test_fading_light_is_scaled_to_its_mean(tmp_path: Path) -> None:
    light = np.linspace(1.4, 0.6, READS)
    path = write(tmp_path / "fading.tif", ramp(light, 3))
    pictures, facts = made(path, "repeats", difference=(6,))
    means = np.asarray(pictures.sources[0][:]).mean((1, 2, 3))
    # without the factor the first and last window would differ by a factor of 2
    np.testing.assert_allclose(means, 6 * FLUX.mean() * light.mean(), rtol=0.03)
    assert any("the light changes by" in note for note in facts["notes"])


def test_pairs_get_the_fit_of_the_other_side_as_target(exposure: Path) -> None:
    pictures, _ = made(exposure, "pairs", difference=(4, 8))
    assert pictures.targets is not None
    for source, target, difference in zip(pictures.sources, pictures.targets, (4, 8), strict=True):
        assert source.shape == target.shape
        noisy, clean = np.asarray(source[:])[:, 0], np.asarray(target[:])[:, 0]
        expected = difference * FLUX
        # the target has the reads of half the exposure, so a fraction of the noise; and no noise of its source
        assert ((clean - expected) ** 2).mean() < 0.5 * ((noisy - expected) ** 2).mean()
        together = np.corrcoef((noisy - expected).ravel(), (clean - expected).ravel())[0, 1]
        assert abs(together) < 5 / np.sqrt(SIZE * SIZE)  # targets are two planes only


def test_what_is_not_known_is_measured_and_said(exposure: Path, tmp_path: Path) -> None:
    pictures, facts = made(exposure, difference=(4,), camera=Camera())
    assert pictures.noise is not None
    assert pictures.noise.intercept == pytest.approx(2 * NOISE**2, rel=0.1)
    assert any("gain measured from the ramp" in note for note in facts["notes"])
    assert any("read noise measured from the ramp" in note for note in facts["notes"])
    dark = write(tmp_path / "dark.tif", ramp(np.full(READS, 1e-4), 1))
    pictures, facts = made(dark, difference=(4,), camera=Camera())
    assert pictures.noise is None  # a gain that is only taken as 1 tells no photon noise
    assert facts["unit"] == "adu"


def test_reads_on_disk_give_the_differences_of_reads_in_memory(exposure: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, _ = made(exposure, "repeats", difference=(3, 5))
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 0)
    lazy, _ = made(exposure, "repeats", difference=(3, 5))
    assert held.statistics() == lazy.statistics()
    for step in range(4):
        one, other = (Sampler(pictures, 32, 8, 5, seed=1).batch(step) for pictures in (held, lazy))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(np.asarray(one[1]), np.asarray(other[1]))


def test_reference_pixels_at_the_border_are_left_out(tmp_path: Path) -> None:
    reads = ramp(np.ones(READS), 1)
    path = write(tmp_path / "border.tif", reads, reference_border="4")
    whole, _ = made(write(tmp_path / "whole.tif", reads), difference=(3,))
    for options in ({"difference": (3,)}, {"fit": True}):
        pictures, facts = made(path, **options)
        assert pictures.sources[0].shape[2:] == (SIZE - 8, SIZE - 8)
        assert any("4 px of reference pixels" in note for note in facts["notes"])
    pictures, _ = made(path, difference=(3,))
    np.testing.assert_array_equal(pictures.sources[0][2], np.asarray(whole.sources[0][2])[:, 4:-4, 4:-4])


def test_pixels_that_are_full_are_counted(tmp_path: Path) -> None:
    reads = np.minimum(ramp(np.ones(READS), 1), 200.0)
    _, facts = made(write(tmp_path / "full.tif", reads), difference=(4,), camera=Camera(GAIN, NOISE, full_well_e=200))
    # black_adu is unknown and taken as 0, so the level is 200 / 0.5 = 400 ADU, which all pixels pass
    assert any("pixels are saturated at read" in note for note in facts["notes"])


def test_several_exposures_are_trained_on_together(exposure: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "b.tif", ramp(np.ones(READS), 2), gain_e_per_adu=str(GAIN), read_noise_e=str(2 * NOISE))
    first = write(tmp_path / "a.tif", ramp(np.ones(READS), 1), gain_e_per_adu=str(GAIN), read_noise_e=str(NOISE))
    request = ReadRequest("repeats", exposure=ExposureRequest((3, 12)))
    pictures, facts = read_training([first, other], None, request)
    assert [stack.shape[0] for stack in pictures.sources] == [10, 3, 10, 3]
    assert pictures.noise is not None
    assert pictures.noise.intercept == pytest.approx(2 * NOISE**2 * (1 + 4) / 2)
    assert any("read noise differs (variance 32 to 128); the mean is taken" in note for note in facts["notes"])
    dark = write(tmp_path / "dark.tif", ramp(np.full(READS, 1e-4), 1))
    with pytest.raises(InputError, match="gain of some of the exposures is known and of some not"):
        read_training([first, dark], None, request)


BAD: list[tuple[str, str, dict[str, Any], type[QuietframeError], str]] = [
    ("fits once", "repeats", {"difference": (20,)}, InputError, "difference 20 fits only once into reads 1 to 40"),
    (
        "abutting",
        "repeats",
        {"difference": (3,), "guard": 0},
        InputError,
        r"reads 1-4 and 4-7 share read 4, so their noise is correlated \(-0.3",
    ),
    ("too long", "single", {"difference": (40,)}, OptionError, "difference 40 from read 1 needs read 41"),
    ("twice", "single", {"difference": (3, 3)}, OptionError, "name each number once"),
    ("zero", "single", {"difference": (0, 3)}, OptionError, "1 or more"),
    ("guard", "single", {"difference": (3,), "guard": -1}, OptionError, "guard"),
    ("range", "single", {"difference": (3,), "first": 39, "last": 39}, InputError, "one read only"),
    ("pairs without K", "pairs", {"fit": True}, OptionError, "needs --difference K"),
    ("pairs of fits", "pairs", {"fit": True, "difference": (3,)}, OptionError, "--fit goes with methods"),
    ("pairs too long", "pairs", {"difference": (30,)}, InputError, "too few for inputs of 30"),
]


@pytest.mark.parametrize("data, options, error, message", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_cannot_be_made_of_an_exposure_is_refused(
    data: str, options: dict[str, Any], error: type[QuietframeError], message: str, exposure: Path
) -> None:
    with pytest.raises(error, match=message):
        made(exposure, data, **options)


@pytest.mark.parametrize("option", [{"volumes": True}, {"joint_channels": True}])
def test_exposures_have_planes_of_one_channel(option: dict[str, Any], exposure: Path) -> None:
    request = ReadRequest("single", exposure=ExposureRequest((3,)), **option)
    with pytest.raises(OptionError, match="planes of one channel"):
        read_training([exposure], None, request)
    with pytest.raises(OptionError, match="--target goes with pictures"):
        read_training([exposure], [exposure], ReadRequest("pairs", exposure=ExposureRequest((3,))))
