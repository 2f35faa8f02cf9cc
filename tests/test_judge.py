"""The judgement without truth, held against simulations whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter, uniform_filter

from quietframe.errors import InputError
from quietframe.judge.honesty import Judgement, judge_plane, pair_variance_map, structure_z_map

Plane = NDArray[np.float64]
READ_NOISE_E, READS = 3.0, 50
PLACES = ((60, 80), (130, 400), (250, 60), (400, 420), (300, 256))


def scene(side: int = 512) -> Plane:
    """Make a rate map [e-/px/sub-frame] out of a real micrograph that scikit-image ships."""
    from skimage.data import cell

    picture = cell()[:side, :side].astype(np.float64)
    return 0.05 + 6 * ((picture - picture.min()) / np.ptp(picture)) ** 1.5


def half(rate: Plane, rng: np.random.Generator) -> Plane:
    """Return the rate from one half of an exposure: 50 sub-frames, two reads, e-/px/sub-frame."""
    light = rng.poisson(rate * READS)
    return (light + rng.normal(0, READ_NOISE_E, rate.shape) - rng.normal(0, READ_NOISE_E, rate.shape)) / READS


def half_variance(rate: Plane) -> Plane:
    return (rate * READS + 2 * READ_NOISE_E**2) / READS**2


def invented_spots(side: int) -> Plane:
    spots = np.zeros((side, side))
    for y, x in PLACES:
        spots[y, x] = 1.0
    spots = gaussian_filter(spots, 1.5)
    return 1.2 * spots / spots.max()


RATE = scene()
SPOTS = invented_spots(512)
DENOISERS: dict[str, Callable[[Plane], Plane]] = {
    "identity": lambda a: a,
    "gaussian": lambda a: gaussian_filter(a, 0.6),
    "median": lambda a: median_filter(a, 3),
    "invented spots": lambda a: gaussian_filter(a, 0.6) + SPOTS,
}


@pytest.fixture(scope="module")
def halves() -> tuple[Plane, Plane]:
    rng = np.random.default_rng(21)
    return half(RATE, rng), half(RATE, rng)


def judged(halves: tuple[Plane, Plane], name: str, *, maps: bool) -> tuple[Judgement, Plane]:
    a, b = halves
    result = DENOISERS[name](a)
    variance = half_variance(RATE) if maps else None
    return judge_plane(a, result, b, variance_noisy=variance, variance_repeat=variance), result


@pytest.fixture(scope="module")
def exposures() -> list[tuple[Plane, Plane]]:
    rng = np.random.default_rng(23)
    return [(half(RATE, rng), half(RATE, rng)) for _ in range(5)]


@pytest.mark.parametrize("name", DENOISERS)
def test_error_without_truth_is_within_two_percent_of_the_true_one(
    exposures: list[tuple[Plane, Plane]], name: str
) -> None:
    # One pair has a standard error of up to 2 % (the median filter), the mean over five exposures 0.9 %.
    truths = [float(np.mean((DENOISERS[name](a) - RATE) ** 2)) for a, _ in exposures]
    for maps in (False, True):
        verdicts = [judged(pair, name, maps=maps)[0].result for pair in exposures]
        assert np.mean([verdict.mse for verdict in verdicts]) == pytest.approx(np.mean(truths), rel=0.02)
        for verdict, true in zip(verdicts, truths, strict=True):
            assert abs(verdict.mse - true) < 5 * verdict.standard_error


def test_comparing_with_the_input_itself_would_be_useless(halves: tuple[Plane, Plane]) -> None:
    # The reason for the whole room: A's own noise is inside den(A), the estimate comes out far too low.
    a, _ = halves
    result = DENOISERS["gaussian"](a)
    dependent = float(np.mean((result - a) ** 2) - np.mean(half_variance(RATE)))
    assert dependent < 0.5 * float(np.mean((result - RATE) ** 2))


def test_improvement_is_the_ratio_of_true_errors(halves: tuple[Plane, Plane]) -> None:
    verdict, result = judged(halves, "gaussian", maps=False)
    true = 10 * np.log10(np.mean((halves[0] - RATE) ** 2) / np.mean((result - RATE) ** 2))
    # Two percent on either error is 0.09 dB each.
    assert verdict.improvement_db == pytest.approx(true, abs=0.18)


@pytest.mark.parametrize("maps", [False, True], ids=["equal noise assumed", "variance maps given"])
def test_z_of_an_unchanged_picture_has_deviation_one(halves: tuple[Plane, Plane], maps: bool) -> None:
    verdict, _ = judged(halves, "identity", maps=maps)
    # 5 x 5 sums leave about 512^2 / 25 independent values: the deviation is known to 0.7 %; 4 of these.
    assert float(verdict.z_map.std()) == pytest.approx(1.0, abs=0.028)
    assert verdict.n_flagged <= 20


def test_z_is_a_plain_sum_over_squares(rng: np.random.Generator) -> None:
    result, repeat, variance = rng.random((12, 15)), rng.random((12, 15)), 0.5 + rng.random((12, 15))
    z = structure_z_map(result, repeat, variance)
    for y, x in ((6, 7), (0, 0), (11, 3)):
        rows, columns = slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)
        expected = (repeat - result)[rows, columns].sum() / np.sqrt(variance[rows, columns].sum())
        assert z[y, x] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "median"])
def test_fair_filters_are_hardly_flagged(name: str) -> None:
    # Four times dimmer: here the filters' bias stays below the noise, as in a picture worth denoising.
    rng = np.random.default_rng(4)
    dim = gaussian_filter(RATE, 2) / 4
    a, b = half(dim, rng), half(dim, rng)
    verdict = judge_plane(a, DENOISERS[name](a), b)
    assert verdict.n_flagged <= 10


def test_every_invented_spot_is_found_and_little_else(halves: tuple[Plane, Plane]) -> None:
    clean, _ = judged(halves, "gaussian", maps=False)
    verdict, _ = judged(halves, "invented spots", maps=False)
    flagged = np.abs(verdict.z_map) > 4.5
    for y, x in PLACES:
        assert flagged[y - 2 : y + 3, x - 2 : x + 3].any()
        assert verdict.z_map[y, x] < 0, "an invented bright spot lies above the repeat"
    elsewhere = flagged & (uniform_filter(SPOTS, 5) < 1e-3)
    assert np.count_nonzero(elsewhere) <= clean.n_flagged + 5
    assert verdict.n_places >= len(PLACES)


def test_oversmoothing_is_flagged(halves: tuple[Plane, Plane]) -> None:
    a, b = halves
    assert judge_plane(a, gaussian_filter(a, 4), b).n_flagged > 2000


def test_variance_learned_from_the_pair_follows_the_brightness(halves: tuple[Plane, Plane]) -> None:
    learned, true = pair_variance_map(*halves), 2 * half_variance(RATE)
    for low, high in ((0, 0.5), (0.5, 1.5), (1.5, 3), (3, 9)):
        inside = (low <= RATE) & (high > RATE)
        # The chi-square scatter of the squares, sqrt(2 / n), and the blur of the 5 x 5 brightness near edges.
        assert learned[inside].mean() == pytest.approx(true[inside].mean(), rel=0.06)


def test_cosmic_hits_in_the_repeat_are_left_out_not_blamed_on_the_result(halves: tuple[Plane, Plane]) -> None:
    a, b = halves
    rng = np.random.default_rng(8)
    hit = b.copy()
    where = rng.integers(0, b.size, 300)
    hit.ravel()[where] += rng.exponential(40, 300) + 10
    result = DENOISERS["gaussian"](a)
    verdict = judge_plane(a, result, hit)
    true = float(np.mean((result - RATE) ** 2))
    assert verdict.n_left_out == pytest.approx(300, abs=10)
    assert verdict.result.mse == pytest.approx(true, rel=0.03)
    assert verdict.n_flagged <= judge_plane(a, result, b).n_flagged + 20


def test_two_different_scenes_are_not_tidied_up() -> None:
    # When far more than 2 % contradict, the repeat is no repeat: nothing may be left out to look better.
    rng = np.random.default_rng(9)
    a = half(RATE, rng)
    b = half(np.roll(RATE, 60, axis=1), rng)
    v = half_variance(RATE)
    verdict = judge_plane(a, a, b, variance_noisy=v, variance_repeat=v)
    assert verdict.n_left_out == 0
    assert verdict.n_contradictions > 0.02 * a.size


def test_a_changed_light_level_is_seen(halves: tuple[Plane, Plane]) -> None:
    a, b = halves
    result = DENOISERS["gaussian"](a)
    assert not judge_plane(a, result, b).level_changed
    faded = judge_plane(a, result, b - 0.1)
    assert faded.level_changed
    assert faded.level_shift == pytest.approx(-0.1, abs=5 * faded.level_shift_error)


def test_pixels_that_are_not_finite_are_ignored(halves: tuple[Plane, Plane]) -> None:
    a, b = (plane[:128, :128].copy() for plane in halves)
    whole = judge_plane(a, a, b)
    a[3, 4], b[100, 100] = np.nan, np.inf
    verdict = judge_plane(a, a, b)
    assert verdict.result.n_pixels == whole.result.n_pixels - 2
    assert np.isfinite(verdict.z_map).all()
    assert verdict.result.mse == pytest.approx(whole.result.mse, rel=0.02)


FLAT = np.full((16, 16), 5.0)


@pytest.mark.parametrize(
    "planes, message",
    [
        ((FLAT, FLAT[:9], FLAT), r"one shape; got \(16, 16\), \(9, 16\) and \(16, 16\)"),
        ((FLAT, FLAT, FLAT), "repeat are equal, so the repeat is no second exposure"),
        ((np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1))), r"at least 5 x 5 pixels .* shape \(1, 1\)"),
        ((FLAT * np.nan, FLAT, FLAT), "equal"),
        ((np.zeros((16, 16, 3)),) * 3, r"plane \(Y, X\)"),
    ],
)
def test_bad_planes_are_named(planes: tuple[Plane, Plane, Plane], message: str) -> None:
    with pytest.raises(InputError, match=message):
        judge_plane(*planes)


def test_variance_of_another_shape_is_named(rng: np.random.Generator) -> None:
    a, b = rng.random((16, 16)), rng.random((16, 16))
    with pytest.raises(InputError, match=r"variance of the repeat has shape \(4, 4\), the picture \(16, 16\)"):
        judge_plane(a, a, b, variance_repeat=np.ones((4, 4)))
