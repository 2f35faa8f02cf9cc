"""Pairs out of one exposure: which reads they take, how their noise is related, the files that come out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietframe.errors import QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr.light import light_curve
from quietframe.ndr.pairs import PairRequest, guarded_windows, leak, make_pairs, noise_correlation, noise_covariance
from quietframe.verbs.ndr import CameraOptions
from quietframe.verbs.ndr_split import split

GAIN, NOISE = 0.5, 5.0


def write_ramp(path: Path, flux: np.ndarray, n_reads: int, seed: int, profile: np.ndarray | None = None) -> Path:
    """Write reads with gain 0.5 and read noise 5 e-, rounded to whole ADU (which adds 0.14 e-)."""
    rng = np.random.default_rng(seed)
    light = np.ones(n_reads) if profile is None else profile
    electrons = np.cumsum(rng.poisson(flux * light[:, None, None]), axis=0) + rng.normal(
        0, NOISE, (n_reads, *flux.shape)
    )
    info = {"ndr.gain_e_per_adu": str(GAIN), "ndr.read_noise_e": str(NOISE), "ndr.exposure": "E0003", "sample": "s1"}
    reads = np.rint(electrons / GAIN + 400).astype(np.uint16)
    write_image(path, Image(reads, "TYX", {"Y": 0.1, "X": 0.1}, 0.02, info), dtype="uint16")
    return path


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Make 48 reads of a flat scene, 0.2 e-/sub-frame, 100 x 100."""
    return write_ramp(tmp_path / "flat_E0003_NDR.tif", np.full((100, 100), 0.2), 48, 1)


windows = st.tuples(st.integers(0, 12), st.integers(1, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(one=windows, other=windows, flux=st.floats(0, 50), noise=st.floats(0.1, 20))
def test_noise_covariance_is_that_of_the_sums_it_stands_for(
    one: tuple[int, int], other: tuple[int, int], flux: float, noise: float
) -> None:
    photons, reads = np.zeros((2, 30)), np.zeros((2, 30))
    for row, (a, b) in enumerate((one, other)):
        photons[row, a + 1 : b + 1] = 1  # sub-frame i arrives before read i
        reads[row, b] += 1
        reads[row, a] -= 1
    brute = flux * photons @ photons.T + noise**2 * reads @ reads.T
    assert noise_covariance(one, other, flux, noise) == pytest.approx(brute[0, 1], rel=1e-12, abs=1e-9)
    expected = brute[0, 1] / np.sqrt(brute[0, 0] * brute[1, 1])
    assert noise_correlation(one, other, flux, noise) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(
    n_reads=st.integers(9, 200), difference=st.integers(1, 20), guard=st.integers(1, 4), seed=st.integers(0, 9),
    count=st.integers(1, 60) | st.none(),
)  # fmt: skip
def test_guarded_pairs_share_neither_a_read_nor_a_sub_frame(
    n_reads: int, difference: int, guard: int, seed: int, count: int | None
) -> None:
    many = (n_reads - difference - 1) // (difference + guard) + 1 if n_reads > difference else 0
    if many < 2 or (count or 1) > many * (many - 1) // 2:
        with pytest.raises(QuietframeError):
            make_pairs(n_reads, PairRequest(difference, "n2n", guard, count, seed))
        return
    pairs = make_pairs(n_reads, PairRequest(difference, "n2n", guard, count, seed))
    assert len(pairs) == (count or (many if many > 2 else 1))
    for noisy, target in zip(pairs.inputs, pairs.targets, strict=True):
        assert noisy[1] - noisy[0] == target[1] - target[0] == difference
        early, late = sorted((noisy, target))
        assert late[0] - early[1] >= guard
        assert noise_covariance(noisy, target, 1.0, 1.0) == 0.0
        assert 0 <= early[0] < late[1] < n_reads
    assert len({frozenset(pair) for pair in zip(pairs.inputs, pairs.targets, strict=True)}) == len(pairs)
    assert pairs == make_pairs(n_reads, PairRequest(difference, "n2n", guard, count, seed))


def test_each_window_is_once_input_and_once_target() -> None:
    pairs = make_pairs(1000, PairRequest(20, seed=4))
    assert len(pairs) == 47
    assert Counter(pairs.inputs) == Counter(pairs.targets) == Counter(guarded_windows(0, 1000, 20))
    every = make_pairs(1000, PairRequest(20, count=1081))
    earlier = sum(a < b for a, b in zip(every.inputs, every.targets, strict=True))
    assert abs(earlier - 540) < 4 * np.sqrt(1081) / 2  # the order of a pair is a coin toss


@given(n_reads=st.integers(50, 200), difference=st.integers(1, 15), guard=st.integers(1, 4))
def test_care_targets_share_no_read_with_their_inputs(n_reads: int, difference: int, guard: int) -> None:
    pairs = make_pairs(n_reads, PairRequest(difference, "care", guard))
    for noisy, (begin, end) in zip(pairs.inputs, pairs.targets, strict=True):
        assert noisy[1] + guard <= begin or end + guard <= noisy[0]


def test_the_report_design_leaks_ten_to_fifteen_percent() -> None:
    # ndr.md finding 6: s = 3 e-, f = 1 e-/sub-frame, difference 20, target read 100 - read 1
    pairs = make_pairs(300, PairRequest(20, "report"))
    assert pairs.targets == ((0, 99),) * 4
    assert pairs.inputs == ((0, 20), (21, 41), (42, 62), (63, 83))
    first, nested = leak(pairs.inputs[0], (0, 99), 1.0, 3.0), leak(pairs.inputs[1], (0, 99), 1.0, 3.0)
    assert first == pytest.approx(20 / 99 * (20 + 9) / (20 + 18))
    assert nested == pytest.approx(20 / 99 * 20 / (20 + 18))


def noise_of(path: Path) -> np.ndarray:
    """Return the planes of a flat scene without their means, one row each."""
    planes = read_image(path).array.astype(np.float64)
    planes = planes.reshape(-1, planes.shape[-2] * planes.shape[-1])
    return planes - planes.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(("guard", "reach"), [(1, 0.0), (2, 0.0), (0, -0.463)])
def test_the_guard_is_what_makes_pairs_independent(flat: Path, tmp_path: Path, guard: int, reach: float) -> None:
    # 0: -s^2/(f k + 2 s^2) = -25/54 for abutting pairs. 10^4 pixels: 0.01 per sigma.
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    result = split(flat, a, b, pairs=20, guard=guard, count=1, seed=2)
    first, second = noise_of(a)[0], noise_of(b)[0]
    measured = float(np.mean(first * second) / np.sqrt(np.mean(first**2) * np.mean(second**2)))
    assert measured == pytest.approx(reach, abs=0.03)
    warned = [note for note in result["notes"] if "share a read" in note]
    assert bool(warned) == (guard == 0)
    assert all("-0.46" in note for note in warned)


def test_pairs_are_signed_differences_with_their_story(flat: Path, tmp_path: Path) -> None:
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    result = split(flat, a, b, pairs=10, unit="electrons", seed=3)
    reads, noisy, target = (read_image(path) for path in (flat, a, b))
    assert len(result["inputs"]) == 4
    for image, used, role in ((noisy, result["inputs"], "input"), (target, result["targets"], "target")):
        for plane, (first, last) in zip(image.array, used, strict=True):
            expected = GAIN * (reads.array[last - 1].astype(np.float64) - reads.array[first - 1])
            np.testing.assert_allclose(plane, expected, rtol=1e-6)
        assert image.axes == "TYX"
        assert image.array.dtype == np.float32
        assert image.labels[0] == f"pair 1 {role} reads {used[0][0]}-{used[0][1]}"
        wanted = {
            "quietframe.command": "ndr split", "quietframe.seed": "3", "quietframe.design": "n2n", "ndr.pair": role,
            "ndr.difference": "10", "ndr.guard": "1", "ndr.unit": "electrons", "ndr.count_from": "1", "sample": "s1",
            "ndr.reads_used": ",".join(f"{x}-{y}" for x, y in used),
        }  # fmt: skip
        assert {key: image.info[key] for key in wanted} == wanted


def test_halves_are_independent_fits_with_their_variance(tmp_path: Path) -> None:
    path = write_ramp(tmp_path / "s.tif", np.full((120, 120), 1.0), 61, 5)
    files = [tmp_path / f"{name}.tif" for name in ("a", "b", "va", "vb")]
    result = split(path, files[0], files[1], variance_a=files[2], variance_b=files[3], unit="electrons")
    assert result["reads"] == [[1, 30], [32, 61]]
    a, b = noise_of(files[0])[0], noise_of(files[1])[0]
    assert abs(np.mean(a * b) / np.sqrt(np.mean(a**2) * np.mean(b**2))) < 4 / 120
    for rate, variance, name in ((files[0], files[2], "A"), (files[1], files[3], "B")):
        image = read_image(rate)
        predicted = float(read_image(variance).array.mean())
        # 14400 pixels: the variance is measured to 1.2 %; the flux guess and rounding add a little
        assert image.array.astype(np.float64).var() == pytest.approx(predicted, rel=0.05)
        assert image.array.mean() == pytest.approx(1.0, abs=5 * np.sqrt(predicted) / 120)
        assert image.labels[0].startswith(f"half {name}, reads ")
        assert image.info["ndr.part"] == name


def test_a_half_by_last_first_is_the_difference(flat: Path, tmp_path: Path) -> None:
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    split(flat, a, b, method="last-first", unit="adu", guard=3)
    reads = read_image(flat).array.astype(np.float64)
    np.testing.assert_allclose(read_image(a).array, (reads[22] - reads[0]) / 22, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(read_image(b).array, (reads[47] - reads[25]) / 22, rtol=1e-5, atol=1e-5)


def test_care_targets_are_the_fit_of_the_other_side_at_the_inputs_scale(tmp_path: Path) -> None:
    flux = np.full((80, 80), 1.0)
    flux[20:60, 20:60] = 4.0
    path = write_ramp(tmp_path / "s.tif", flux, 100, 6)
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    result = split(path, a, b, pairs=10, design="care", unit="electrons")
    assert result["targets"][0] == [51, 100]
    assert result["targets"][-1] == [1, 50]
    noisy, target = read_image(a).array, read_image(b).array
    assert noisy.shape == target.shape == (8, 80, 80)
    error = target - 10 * flux
    assert abs(error.mean()) < 0.2  # sigma of one pixel about 1.6 e-; 6400 pixels, 2 targets
    assert error.std() < 0.3 * (noisy - 10 * flux).std()


def test_the_report_design_warns_with_its_leak(tmp_path: Path) -> None:
    path = write_ramp(tmp_path / "s.tif", np.full((100, 100), 1.0), 110, 7)
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    result = split(path, a, b, pairs=20, design="report")
    leaks = [leak((x, x + 20), (0, 99), 1.0, NOISE) for x in (0, 21)]
    said = f"{100 * leaks[1]:.0f} to {100 * leaks[0]:.0f} % of the input's noise is in its target"
    assert any(said in note for note in result["notes"])
    assert said in read_image(a).info["ndr.warning"]
    noisy, target = noise_of(a), noise_of(b)
    slope = np.mean(noisy * target, axis=1) / np.mean(noisy**2, axis=1)  # the part of the noise that came along
    assert slope[0] == pytest.approx(leaks[0], abs=0.02)
    assert slope[1:].mean() == pytest.approx(leaks[1], abs=0.02)


def test_bleaching_is_taken_out_and_steady_light_left_alone(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :64]
    flux = 4.0 + 3.0 * np.sin(x / 6) * np.cos(y / 9)
    profile = np.exp(-np.arange(120) / 120)  # 63 % lost at the end
    path = write_ramp(tmp_path / "s.tif", flux, 120, 8, profile)
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    result = split(path, a, b, unit="electrons")
    assert any("the light changes by -6" in note for note in result["notes"])
    mean = flux.mean() * profile[1:].mean()
    for half in (a, b):
        # 4096 pixels of sigma 0.3: 0.2 %; the polynomial of degree 3 follows the exponential to 0.1 %
        assert read_image(half).array.mean() == pytest.approx(mean, rel=0.01)
        assert float(read_image(half).info["ndr.light_factor"]) != 1.0
    split(path, a, b, unit="electrons", as_measured=True, overwrite=True)
    assert read_image(a).array.mean() > 1.5 * read_image(b).array.mean()
    steady = write_ramp(tmp_path / "t.tif", flux, 120, 9)
    curve = light_curve(read_image(steady).array)
    assert curve.degree == 0
    assert curve.factor((0, 20)) == 1.0


Change = dict[str, Any]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": 48}, "the largest difference possible here is 47"),
        ({"pairs": 0}, "difference must be 1 or more"),
        ({"pairs": 40}, "fits only once into reads 1 to 48"),
        ({"pairs": 20, "guard": -1}, "guard is the number of sub-frames left out, 0 or more"),
        ({"guard": -1}, "guard is the number of sub-frames left out"),
        ({"guard": 46}, "it takes at least 49"),
        ({"pairs": 5, "count": 0}, "count must be 1 pair or more"),
        ({"pairs": 20, "count": 2}, "more than the 1 pairs that 2 windows give"),
        ({"pairs": 20, "design": "cares"}, "did you mean care"),
        ({"design": "n2n"}, "needs --pairs K"),
        ({"design": "halves", "pairs": 5}, "halves have no --pairs"),
        ({"count": 5}, "halves have no --pairs and no --count"),
        ({"pairs": 20, "design": "report"}, "there are 48 reads"),
        ({"pairs": 30, "design": "care"}, "48 reads are too few"),
        ({"pairs": 5, "variance_a": "v.tif"}, "pairs have no variance"),
        ({"first": 0}, "first read 0 is not one of the reads 1 to 48"),
        ({"first": 47}, "do not give two halves"),
        ({"last": 60}, "last read 60"),
        ({"method": "best"}, "unknown method"),
        ({"unit": "volts"}, "unknown unit"),
        ({"pairs": 5, "unit": "volts"}, "unknown unit"),
        ({"axes": "ZYX"}, "z-stack"),
        ({"camera": CameraOptions(gain_e_per_adu=-2.0)}, "gain_e_per_adu must be above 0"),
        ({"out_b": "a.tif"}, "must be different files"),
        ({"out_a": "flat_E0003_NDR.tif"}, "add --overwrite"),
        ({"out_a": "no/a.tif"}, "make it first"),
        ({"out_b": "b.jpg"}, "jpg"),
        ({"source": "nothing.tif"}, "does not exist"),
    ],
)  # fmt: skip
def test_split_refuses_bad_input_and_leaves_nothing(flat: Path, change: Change, message: str) -> None:
    folder = flat.parent
    options = {"source": flat.name, "out_a": "a.tif", "out_b": "b.tif", **change}
    places = [folder / options.pop(name) for name in ("source", "out_a", "out_b")]
    if "variance_a" in options:
        options["variance_a"] = folder / options["variance_a"]
    before = sorted(folder.iterdir())
    with pytest.raises(QuietframeError, match=message):
        split(*places, **options)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("reads", "axes", "message"),
    [
        (np.full((1, 16, 16), 7, np.uint16), "TYX", "is one read"),
        (np.full((8, 16, 16), 7, np.uint16), "TYX", "all reads are equal"),
        (np.full((8, 16, 16), np.nan, np.float32), "TYX", "whole, finite, unsaturated ramp"),
        (np.arange(8 * 256, dtype=np.uint16).reshape(8, 16, 16), "ZYX", "z-stack"),
        (np.zeros((4, 2, 16, 16), np.uint16), "TCYX", "nothing else"),
    ],
)
def test_split_refuses_what_is_no_exposure(tmp_path: Path, reads: np.ndarray, axes: str, message: str) -> None:
    path = write_image(tmp_path / "x.tif", Image(reads, axes), dtype=str(reads.dtype))
    with pytest.raises(QuietframeError, match=message):
        split(path, tmp_path / "a.tif", tmp_path / "b.tif")
    assert [item.name for item in tmp_path.iterdir()] == ["x.tif"]


def test_the_command_line_splits(quietframe: Callable[..., Any], flat: Path, tmp_path: Path) -> None:
    done = quietframe("ndr", "split", flat, tmp_path / "a.tif", tmp_path / "b.tif", "--pairs", 5, "--guard", 0)
    assert done.returncode == 0, done.stderr
    assert "pairs share a read" in done.stdout
    shown = quietframe("ndr", "split", "--help")
    assert "--guard" in shown.stdout
    assert "leaks noise" in shown.stdout


def test_pairs_of_saturated_reads_are_said_to_be_too_dark(tmp_path: Path) -> None:
    flux = np.full((40, 40), 20.0)
    flux[:10] = 400.0
    path = write_ramp(tmp_path / "s.tif", flux, 50, 13)
    image = read_image(path)
    write_image(
        path, Image(np.minimum(image.array, 25000), "TYX", {}, None, image.info), dtype="uint16", overwrite=True
    )
    camera = CameraOptions(full_well_e=12300.0, black_adu=400.0)
    result = split(path, tmp_path / "a.tif", tmp_path / "b.tif", pairs=5, camera=camera)
    assert any("400 pixels are saturated at read 48" in note for note in result["notes"])
    result = split(path, tmp_path / "a.tif", tmp_path / "b.tif", pairs=5, last=20, camera=camera, overwrite=True)
    assert not any("saturated" in note for note in result["notes"])


def test_halves_tell_the_error_of_any_denoiser(tmp_path: Path) -> None:
    # One exposure of 256 x 256, where the estimate is good to 1 to 4 %; the benchmark averages six to stay within 2 %.
    from scipy import ndimage

    from quietframe.metrics.repeats import mse_from_repeat

    y, x = np.mgrid[:256, :256]
    flux = 0.4 + 0.3 * np.sin(x / 9) * np.cos(y / 7) + 2.0 * np.exp(-(((y % 64 - 32) ** 2 + (x % 64 - 32) ** 2) / 30))
    path = write_ramp(tmp_path / "s.tif", flux, 102, 12)
    files = [tmp_path / f"{name}.tif" for name in ("a", "b", "va", "vb")]
    split(path, files[0], files[1], variance_a=files[2], variance_b=files[3], unit="electrons", as_measured=True)
    a, b, variance = (read_image(files[i]).array.astype(np.float64) for i in (0, 1, 3))
    spots = np.zeros_like(a)
    spots[40::70, 30::60] = 12.0
    for result in (
        a,
        ndimage.gaussian_filter(a, 3.0),
        ndimage.median_filter(a, 3),
        ndimage.gaussian_filter(a, 0.8) + ndimage.gaussian_filter(spots, 1.5),
    ):
        true = float(np.mean((result - flux) ** 2))
        estimate = mse_from_repeat(result, b, variance)
        # 3 standard errors, and 0.5 % of the variance that was subtracted, which rests on a guess of the flux
        assert abs(estimate.mse - true) < 3 * estimate.standard_error + 0.005 * variance.mean()
        assert estimate.standard_error < 0.05 * true
        assert mse_from_repeat(result, a, variance).mse < 0.97 * true  # its own half says nothing


def test_the_committed_benchmark_reaches_what_is_asked() -> None:
    results = Path(__file__).resolve().parent.parent / "benchmarks" / "results" / "ndr_pairs.json"
    made = json.loads(results.read_text(encoding="utf-8"))
    for row in made["correlations"]:
        assert row["measured"] == pytest.approx(row["formula"], abs=0.02)
        assert not row["parts"].startswith("guard") or abs(row["measured"]) <= 0.02
    assert all(row["largest"] <= 0.02 for row in made["pairs"] if row["pairs"].startswith("n2n"))
    assert len(made["halves"]) >= 5
    assert all(abs(row["difference %"]) <= 2 for row in made["halves"])
    assert all(row["measured"] == pytest.approx(row["predicted"], rel=0.03) for row in made["windows"])
