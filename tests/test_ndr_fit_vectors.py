"""Python's fit gives the vectors that Fiji is tested on too; the vectors are explicit matrices and known jumps."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quietframe.camera import Camera
from quietframe.ndr.fit import FitTuning, fit_ramp
from quietframe.ndr.reads import Reads

maker = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("ndr_fit_vectors.py"))))


@pytest.fixture
def known(vectors: Callable[[str], Any]) -> Any:
    return vectors("ndr_fit.json")


def test_the_vectors_file_is_what_its_script_makes(known: Any) -> None:
    made = json.loads(json.dumps(maker.make_vectors()))
    for name in ("ramp", "flags", "n_used", "flux_e", "camera"):
        assert made[name] == known[name]
    for name in ("rate", "variance_poisson", "variance_read"):
        # Linear algebra may round differently on another machine.
        np.testing.assert_allclose(np.array(made[name], float), np.array(known[name], float), rtol=1e-9)


def test_jumps_of_the_vectors_are_the_only_significant_steps(known: Any) -> None:
    ramps = known["camera"]["gain_e_per_adu"] * np.array(known["ramp"]["values"], float)
    for (y, x), flux in np.ndenumerate(np.array(known["flux_e"])):
        length = maker.SATURATES.get((y, x), len(ramps))
        places = [place for place, _ in maker.STEPS.get((y, x), [])]
        if places:
            # Far above the threshold, so that it does not matter how many sigma exactly make a jump.
            strongest = np.abs(maker.significance(ramps[:length, y, x], flux))
            assert int(strongest.argmax()) in places
            assert strongest.max() > 15
        for a, b in maker.pieces_of(ramps[:length, y, x], places):
            if b - a >= 4:
                assert np.abs(maker.significance(ramps[a:b, y, x], flux)).max() < 4.5


def test_the_fit_equals_explicit_matrices_cuts_and_jumps(known: Any) -> None:
    ramp = np.array(known["ramp"]["values"], np.float64)
    tuning = FitTuning(
        jump_sigma=known["jump_sigma"],
        flux_guess=np.array(known["flux_e"]),
        saturation_adu=known["saturation_adu"],
    )
    fit = fit_ramp(Reads(ramp, ramp.shape, ramp.dtype, stored=np.uint16), Camera(**known["camera"]), tuning=tuning)
    np.testing.assert_array_equal(fit.flags, known["flags"])
    np.testing.assert_array_equal(fit.n_used, known["n_used"])
    # Worked out in float64, stored as float32.
    np.testing.assert_allclose(fit.rate, np.array(known["rate"], float), rtol=1e-6)
    np.testing.assert_allclose(fit.variance_poisson, np.array(known["variance_poisson"], float), rtol=1e-6)
    np.testing.assert_allclose(fit.variance_read, np.array(known["variance_read"], float), rtol=1e-6)
