"""Python's NDR code gives the vectors that Fiji is tested on too, and the vectors are explicit arithmetic."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from quietframe.camera import Camera
from quietframe.errors import OptionError
from quietframe.ndr import weights
from quietframe.ndr.fit import FitTuning, fit_ramp
from quietframe.ndr.subtract import difference_windows, differences


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ndr_vectors", Path(__file__).with_name("ndr_vectors.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ndr(vectors: Callable[[str], Any]) -> Any:
    return vectors("ndr.json")


@pytest.fixture
def ramp(ndr: Any) -> np.ndarray:
    return np.array(ndr["ramp"]["values"], np.uint16)


def test_the_vectors_file_is_what_its_script_makes(ndr: Any, maker: ModuleType) -> None:
    made = json.loads(json.dumps(maker.make_vectors()))
    assert made["subtract"] == ndr["subtract"]
    assert made["ramp"] == ndr["ramp"]
    # Linear algebra may round differently on another machine: 1e-9 is far above that and far below any mistake.
    for name in ("rate", "variance_poisson", "variance_read", "chi2"):
        np.testing.assert_allclose(made["fit"][name], ndr["fit"][name], rtol=1e-9)


def test_difference_images_equal_the_written_out_subtractions(ndr: Any, ramp: np.ndarray) -> None:
    for case in ndr["subtract"]:
        windows = difference_windows(len(ramp), case["difference"], case["first"] - 1, case["spacing"])
        assert [[a + 1, b + 1] for a, b in windows] == case["windows"]
        images = list(differences(ramp, windows))
        np.testing.assert_array_equal(images, case["values"])
        assert all(image.dtype == np.float32 for image in images)


def test_refused_options_are_refused(ndr: Any, ramp: np.ndarray) -> None:
    for case in ndr["subtract_refused"]:
        with pytest.raises(OptionError):
            difference_windows(len(ramp), case["difference"], case["first"] - 1, case["spacing"])


def test_closed_form_weights_equal_the_inverted_covariance(ndr: Any) -> None:
    for case in ndr["weights"]:
        mine = weights.optimal(case["n_reads"], case["flux_e"], case["read_noise_e"])
        np.testing.assert_allclose(mine, case["weights"], rtol=1e-9)
        shot, read = weights.noise_factors(mine)
        assert case["flux_e"] * shot == pytest.approx(case["variance_poisson"], rel=1e-9)
        assert case["read_noise_e"] ** 2 * read == pytest.approx(case["variance_read"], rel=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-6), (np.uint16, 2e-5)])
def test_the_fit_equals_explicit_least_squares(ndr: Any, ramp: np.ndarray, dtype: Any, tolerance: float) -> None:
    # Integers are fitted in float32: 12 terms of up to 12000 e- with 6e-8 each against rates of 0.07 and more; the
    # result itself is stored as float32 in both cases.
    camera = Camera(**ndr["camera"])
    guess = np.array(ndr["fit"]["flux_e"])
    tuning = FitTuning(jump_sigma=8.0, flux_guess=guess)
    fit = fit_ramp(ramp.astype(dtype), camera, tuning=tuning)
    np.testing.assert_allclose(fit.rate, ndr["fit"]["rate"], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(fit.variance_poisson, ndr["fit"]["variance_poisson"], rtol=1e-6)
    np.testing.assert_allclose(fit.variance_read, ndr["fit"]["variance_read"], rtol=1e-6)
    np.testing.assert_allclose(fit.chi2, ndr["fit"]["chi2"], rtol=1e-4)
    plain = fit_ramp(ramp.astype(dtype), camera, method="last-first", tuning=tuning)
    np.testing.assert_allclose(plain.rate, ndr["last_first"], rtol=tolerance, atol=tolerance)
