"""Filters chosen without truth: the judges, the candidates, the verb."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from quietframe.errors import InputError, OptionError, OutputError
from quietframe.filtering.tune import Candidate, candidates, depends_on_signal, liveliest, tune
from quietframe.filtering.tune_judges import (
    HalvesJudge,
    HiddenJudge,
    SteinJudge,
    correlation_radius,
    hidden_planes,
    unit_noise,
)
from quietframe.filtering.tune_plan import TuneRequest, plan_picture
from quietframe.images import Image, read_image, write_image
from quietframe.metrics.noise_correlation import noise_correlation
from quietframe.noise_models.poisson_gaussian import NoiseLine, estimate_line
from quietframe.verbs.filter_tune import tune as verb

SIZE = 192


def scene() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    return 100.0 + 60.0 * np.sin(40 * x * y) + 40.0 * np.cos(23 * x)


def blur(sigma: float) -> Any:
    return lambda plane: gaussian_filter(plane, sigma)


SIGMAS = (0.5, 0.8, 1.2, 2.0, 3.0)


def test_stein_gives_the_true_error_of_linear_filters() -> None:
    truth = scene()
    noisy = truth + np.random.default_rng(1).normal(0, 12.0, truth.shape)
    judge = SteinJudge(noisy, NoiseLine(0.0, 144.0, "the test"))
    for sigma in SIGMAS:
        error = float(np.mean((gaussian_filter(noisy, sigma) - truth) ** 2))
        # Standard error of Stein's estimate: about sqrt(2 / 36864) * 144 * sqrt(share that is kept) < 1.1.
        assert judge.error(blur(sigma)) == pytest.approx(error, abs=3.3)
    assert judge.input_error == pytest.approx(144.0)


def test_stein_gives_the_true_error_under_photon_noise() -> None:
    truth = scene()
    noisy = 3.0 * np.random.default_rng(2).poisson(truth / 3.0)
    judge = SteinJudge(noisy, NoiseLine(3.0, 0.0, "the test"))
    for sigma in SIGMAS:
        error = float(np.mean((gaussian_filter(noisy, sigma) - truth) ** 2))
        # As above with a mean variance of 300.
        assert judge.error(blur(sigma)) == pytest.approx(error, abs=7.0)


def correlated(rng: np.random.Generator, sigma: float = 1.0) -> np.ndarray:
    noise = gaussian_filter(rng.standard_normal((SIZE, SIZE)), 0.8, mode="wrap")
    return sigma * noise / noise.std()


def test_on_correlated_noise_stein_chooses_a_wider_filter_than_for_white_noise() -> None:
    truth = gaussian_filter(scene(), 2.0)
    noisy = truth + correlated(np.random.default_rng(3), 15.0)
    white = SteinJudge(noisy, NoiseLine(0.0, 225.0, "the test"))
    aware = SteinJudge(noisy, NoiseLine(0.0, 225.0, "the test", correlation=noise_correlation(noisy)))
    sigmas = np.array([0.3, 0.5, 0.8, 1.2, 1.7, 2.4, 3.4])
    errors = [float(np.mean((gaussian_filter(noisy, sigma) - truth) ** 2)) for sigma in sigmas]
    chosen, fooled = (int(np.argmin([judge.error(blur(sigma)) for sigma in sigmas])) for judge in (aware, white))
    assert fooled < chosen
    # Within half a decibel of the best: the limit for correlated noise.
    assert 10 * math.log10(errors[chosen] / min(errors)) < 0.5


def test_drawn_noise_has_variance_one_and_the_measured_correlation() -> None:
    rng = np.random.default_rng(4)
    measured = noise_correlation(correlated(rng))
    noise = unit_noise((256, 256), measured, rng)
    assert noise.var() == pytest.approx(1.0, abs=0.05)
    assert (noise[:, 1:] * noise[:, :-1]).mean() == pytest.approx(measured.x, abs=0.06)
    white = unit_noise((256, 256), None, rng)
    # Three standard errors of a correlation of 65536 pairs.
    assert (white[:, 1:] * white[:, :-1]).mean() == pytest.approx(0.0, abs=0.012)


@pytest.mark.parametrize("radius", [0, 1, 2, 4])
def test_hidden_pixels_and_their_neighbourhood_do_not_reach_the_filter(radius: int) -> None:
    plane = np.random.default_rng(5).normal(0, 1.0, (64, 72))
    for filled, judged in hidden_planes(plane, radius):
        ys, xs = np.nonzero(judged)
        assert len(ys) > 5
        for y, x in zip(ys, xs, strict=True):
            box = (slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1))
            # Filled from outside of the box alone: equal all over it, and another value than the pixel's own.
            assert np.ptp(filled[box]) < 1e-12
            assert filled[y, x] != plane[y, x]


def test_a_hidden_pixel_does_not_change_what_stands_in_its_place() -> None:
    plane = np.random.default_rng(6).normal(0, 1.0, (48, 48))
    filled, judged = next(hidden_planes(plane, 2))
    y, x = np.argwhere(judged)[3]
    other = plane.copy()
    other[y - 2 : y + 3, x - 2 : x + 3] += 100.0
    again, _ = next(hidden_planes(other, 2))
    np.testing.assert_array_equal(again[y, x], filled[y, x])


def test_the_identity_cannot_cheat_hidden_pixels() -> None:
    truth = scene()
    noisy = truth + np.random.default_rng(7).normal(0, 12.0, truth.shape)
    judge = HiddenJudge(noisy)
    assert judge.error(lambda plane: plane) > judge.error(blur(0.8))
    assert math.isnan(judge.input_error)


def test_halves_judge_by_the_error_itself() -> None:
    truth, rng = scene(), np.random.default_rng(8)
    first, second = (truth + rng.normal(0, 12.0, truth.shape) for _ in range(2))
    judge = HalvesJudge(first, second)
    for sigma in SIGMAS:
        error = float(np.mean((gaussian_filter(first, sigma) - truth) ** 2))
        # Two sums of products of noise over 36864 pixels: 3 * 144 * sqrt(2 / 36864) = 3.2.
        assert judge.error(blur(sigma)) == pytest.approx(error, abs=3.2)
    assert judge.input_error == pytest.approx(144.0, abs=4.0)


def test_candidates_are_the_products_of_the_grids() -> None:
    from quietframe.filters import load_filter

    found = candidates(["gaussian-blur", "wavelet", "gaussian_blur"], stabilised=True)
    sizes = [math.prod(map(len, load_filter(name).GRID.values())) for name in ("gaussian_blur", "wavelet")]
    # A filter that is named twice, once with a hyphen, is tried once.
    assert len(found) == sum(sizes)
    assert {one.stabilised for one in found if one.name == "gaussian_blur"} == {False}
    assert {one.stabilised for one in found if one.name == "wavelet"} == {True}
    assert Candidate("total_variation", {"weight": 1.0}).text == "total-variation --weight 1.0"


def test_all_means_every_filter_of_planes_with_a_grid() -> None:
    names = {one.name for one in candidates(["all"], stabilised=False)}
    assert {"gaussian_blur", "median", "wavelet"} <= names
    assert not names & {"local_pca", "gaussian_blur_3d", "subtract_background", "unsharp_mask"}


@pytest.mark.parametrize(
    "methods, message",
    [(["gausian-blur"], "did you mean gaussian-blur"), (["temporal-median"], "temporal_median works on TYX")],
)
def test_filters_that_cannot_be_tuned_are_refused(methods: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        candidates(methods, stabilised=False)


def test_the_liveliest_part_holds_the_structure() -> None:
    plane = np.zeros((300, 400))
    plane[200:260, 300:380] = np.random.default_rng(9).normal(0, 5.0, (60, 80)).cumsum(axis=0)
    rows, columns = liveliest(plane, 128)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (128, 128)
    assert rows.stop > 230
    assert columns.stop > 340
    assert liveliest(np.ones((20, 500)), 64) == (slice(0, 20), slice(0, 64))
    with pytest.raises(OptionError, match="32 px a side"):
        liveliest(plane, 16)


def test_tuning_finds_what_the_truth_would_choose() -> None:
    truth = scene()
    noisy = truth + np.random.default_rng(10).normal(0, 15.0, truth.shape)
    plan = plan_picture(noisy, TuneRequest(crop=SIZE))
    assert plan.stabiliser is None
    tried = tune(plan.plane, candidates(["gaussian_blur"], stabilised=False), plan.judge)
    errors = {one.candidate.settings["sigma"]: float(np.mean((one.result - truth) ** 2)) for one in tried}
    chosen = tried[0].candidate.settings["sigma"]
    assert 10 * math.log10(errors[chosen] / min(errors.values())) < 0.3
    assert [one.error for one in tried] == sorted(one.error for one in tried)


def test_photon_noise_is_stabilised_for_filters_that_need_it_and_read_noise_is_not() -> None:
    rng = np.random.default_rng(11)
    photons = 4.0 * rng.poisson(scene() / 4.0)
    assert depends_on_signal(estimate_line(photons), photons)
    plan = plan_picture(photons, TuneRequest(crop=64))
    assert plan.stabiliser is not None
    assert any("stabilised variance" in note for note in plan.notes)
    assert plan_picture(photons, TuneRequest(crop=64, stabilise="no")).stabiliser is None


def test_correlated_noise_is_said_and_hidden_widely() -> None:
    noisy = gaussian_filter(scene(), 2.0) + correlated(np.random.default_rng(12), 12.0)
    plan = plan_picture(noisy, TuneRequest(crop=128, judge="hidden"))
    assert any("is correlated" in note for note in plan.notes)
    assert "px around each" in plan.judged
    line = estimate_line(noisy)
    # A Gaussian of 0.8 px gives 0.68, 0.21, 0.03 at 1, 2, 3 px.
    assert correlation_radius(line.correlation) in (2, 3)


def write(path: Path, array: np.ndarray, axes: str = "YX") -> Path:
    write_image(path, Image(array.astype(np.float32), axes))
    return path


def test_the_verb_prints_the_command_of_the_best_and_writes_table_and_picture(tmp_path: Path, capsys: Any) -> None:
    noisy = scene() + np.random.default_rng(13).normal(0, 15.0, (SIZE, SIZE))
    source = write(tmp_path / "noisy.tif", noisy)
    steps: list[tuple[int, int]] = []
    done = verb(
        source, tmp_path / "best.png", methods="gaussian-blur,median", crop=96, csv=tmp_path / "all.csv",
        progress=lambda message, at, total: steps.append((at, total)),
    )  # fmt: skip
    best = done["candidates"][0]
    assert done["command"].startswith(f"quietframe filter {best['filter']} IN OUT --")
    assert done["summary"][-1] == f"best: {done['command']}"
    assert steps[-1] == (len(done["candidates"]),) * 2
    assert (tmp_path / "best.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "all.csv").read_text().splitlines()) == len(done["candidates"]) + 1
    assert best["gain_db"] > 3
    json.dumps({key: value for key, value in done.items() if key != "summary"})
    with pytest.raises(OutputError, match="exists"):
        verb(source, tmp_path / "best.png", methods="median")


@pytest.mark.parametrize("how", [{"difference": 8}, {"fit": True}])
def test_an_exposure_is_judged_by_its_other_half(tmp_path: Path, how: dict[str, Any]) -> None:
    rng = np.random.default_rng(14)
    flux = scene()[:96, :96] / 10.0
    reads = np.cumsum(rng.poisson(flux, (20, 96, 96)), axis=0) + rng.normal(0, 3.0, (20, 96, 96)) + 100.0
    source = write(tmp_path / "ramp_NDR.tif", reads, "TYX")
    done = verb(source, methods="gaussian-blur", crop=96, stabilise="no", **how)
    assert "against" in done["judged_by"]
    assert done["candidates"][0]["gain_db"] > 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"methods": "medain"}, "did you mean median"),
        ({"difference": 3, "fit": True}, "give one of them"),
        ({"difference": 3, "judge": "stein"}, "leave --judge and --plane out"),
        ({"plane": 4}, "from 1 to 1"),
        ({"crop": 8}, "32 px a side"),
        ({"stabilise": "camera"}, "without its gain"),
        ({"methods": "subtract-background", "judge": "hidden"}, None),
    ],
)
def test_what_cannot_be_tuned_is_refused(tmp_path: Path, options: dict[str, Any], message: str | None) -> None:
    source = write(tmp_path / "noisy.tif", scene())
    if message is None:
        assert len(verb(source, **options)["candidates"]) == 1
        return
    with pytest.raises(OptionError, match=message):
        verb(source, **options)


def test_pictures_without_known_noise_are_judged_by_hidden_pixels(tmp_path: Path) -> None:
    small = np.random.default_rng(15).normal(100, 5.0, (24, 30))
    done = verb(write(tmp_path / "small.tif", small), methods="gaussian-blur")
    assert "hidden" in done["judged_by"]
    assert any("noise is not known" in note for note in done["notes"])
    assert done["candidates"][0]["gain_db"] is None
    with pytest.raises(InputError, match="Stein's formula needs the noise"):
        verb(tmp_path / "small.tif", methods="gaussian-blur", judge="stein")


def test_nan_is_filled_and_counted_and_nothing_but_nan_is_refused(tmp_path: Path) -> None:
    noisy = scene() + np.random.default_rng(16).normal(0, 9.0, (SIZE, SIZE))
    noisy[10:12, 30:33] = np.nan
    done = verb(write(tmp_path / "nan.tif", noisy), methods="gaussian-blur", crop=64)
    assert any("6 of 36864 pixels are NaN" in note for note in done["notes"])
    with pytest.raises(InputError, match="none of the 16384 pixels is finite"):
        verb(write(tmp_path / "none.tif", np.full((128, 128), np.nan)), methods="median")


@pytest.mark.parametrize("name, limit", [("Confocal_FISH", 0.3), ("Confocal_BPAE_G", 0.3), ("WideField_BPAE_G", 0.5)])
def test_real_pictures_get_a_choice_near_the_oracle(data_dir: Path, name: str, limit: float) -> None:
    noisy, truth = (read_image(data_dir / "fmd" / f"{name}_{part}.png").array.astype(float) for part in ("raw1", "gt"))
    plan = plan_picture(noisy, TuneRequest())
    given = candidates(["gaussian-blur", "median"], stabilised=False)
    tried = tune(plan.plane, given, plan.judge)
    whole = tune(noisy, given, HalvesJudge(noisy, truth))
    errors = {one.candidate.text: float(np.mean((one.result - truth) ** 2)) for one in whole}
    assert 10 * math.log10(errors[tried[0].candidate.text] / min(errors.values())) < limit
    assert any("correlated" in note for note in plan.notes) == name.startswith("WideField")


def test_hits_in_one_half_do_not_make_the_error_negative() -> None:
    rng = np.random.default_rng(8)
    y, x = np.indices((128, 128))
    clean = 50 + 20 * np.sin(x / 20) * np.cos(y / 17)
    half, other = clean + rng.normal(0, 5, (2, 128, 128))
    half[rng.random(half.shape) < 0.01] += 300  # variance 900 more than that of the other half

    true = np.mean([np.mean((gaussian_filter(plane, 3.0) - clean) ** 2) for plane in (half, other)])
    # What is not known is the mean of noise times error, with a standard deviation of about 30 * 3.5 / 128 = 0.8.
    assert HalvesJudge(half, other).error(blur(3.0)) == pytest.approx(true, abs=3.5)
