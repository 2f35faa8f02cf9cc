"""Pre- and postprocessing of others' packages against the formulas of the bioimage.io format."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quietframe.errors import InputError
from quietframe.inference.processing import Step, apply_steps, check_steps

PICTURE = np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]]]], np.float32)  # mean 4, variance 20/3
MEAN, STD = 4.0, np.sqrt(20 / 3)

CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("scale_linear", {"gain": 2.0, "offset": -1.0}, 2 * PICTURE - 1),
    ("scale_linear", {"gain": [2.0], "offset": [-1.0], "axis": "channel"}, 2 * PICTURE - 1),
    ("fixed_zero_mean_unit_variance", {"mean": 3.0, "std": 2.0}, (PICTURE - 3) / 2),
    ("zero_mean_unit_variance", {"mode": "fixed", "mean": [3.0], "std": [2.0], "axes": "yx"}, (PICTURE - 3) / 2),
    ("zero_mean_unit_variance", {"axes": ["x", "y"]}, (PICTURE - MEAN) / (STD + 1e-6)),
    ("zero_mean_unit_variance", {"axes": "cyx", "mode": "per_sample"}, (PICTURE - MEAN) / (STD + 1e-6)),
    ("zero_mean_unit_variance", {"eps": 1.0}, (PICTURE - MEAN) / (STD + 1.0)),
    (
        "zero_mean_unit_variance",
        {"axes": ["x"], "eps": 1e-6},
        # rows 1 2 3 (mean 2, variance 2/3) and 4 5 9 (mean 6, variance 14/3)
        (PICTURE - [[2.0], [6.0]]) / (np.sqrt([[2 / 3], [14 / 3]]) + 1e-6),
    ),
    ("scale_range", {}, (PICTURE - 1) / (8 + 1e-6)),
    # percentiles 20 and 80 of 1 2 3 4 5 9 are the second and the fifth value
    ("scale_range", {"min_percentile": 20, "max_percentile": 80, "axes": "yx"}, (PICTURE - 2) / (3 + 1e-6)),
    ("sigmoid", {}, 1 / (1 + np.exp(-PICTURE.astype(np.float64)))),
    ("clip", {"min": 2.0, "max": 4.0}, [[[[2, 2, 3], [4, 4, 4]]]]),
    ("clip", {"min": 2.0}, [[[[2, 2, 3], [4, 5, 9]]]]),
    ("binarize", {"threshold": 3.0}, [[[[0, 0, 0], [1, 1, 1]]]]),
    ("ensure_dtype", {"dtype": "float32"}, PICTURE),
]


@pytest.mark.parametrize(("name", "options", "expected"), CASES)
def test_step_computes_its_formula(name: str, options: dict[str, Any], expected: Any) -> None:
    step = Step(name, options)
    check_steps([step], "here")
    result = apply_steps([step], PICTURE.copy())
    assert result.dtype == np.float32
    # float32 has 6e-8 relative precision; a handful of operations on numbers up to 81
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


def test_sigmoid_does_not_overflow() -> None:
    values = np.array([[[[-1e30, -200.0, 0.0, 200.0, 1e30]]]], np.float32)
    assert apply_steps([Step("sigmoid", {})], values).ravel().tolist() == [0, 0, 0.5, 1, 1]


def test_steps_are_applied_in_order() -> None:
    steps = [Step("scale_linear", {"offset": 1.0}), Step("scale_linear", {"gain": 3.0})]
    np.testing.assert_array_equal(apply_steps(steps, PICTURE), 3 * (PICTURE + 1))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step("magic", {}), "step 'magic' is not supported; supported: binarize, clip"),
        (Step("zero_mean_unit_variance", {"mode": "per_dataset"}), "whole data set"),
        (Step("scale_range", {"reference_tensor": "input"}), "another tensor"),
        (Step("fixed_zero_mean_unit_variance", {}), "cannot be applied"),
        (Step("zero_mean_unit_variance", {"axes": ["w"]}), "cannot be applied"),
        (Step("scale_linear", {"gain": "strong"}), "cannot be applied"),
        (Step("scale_linear", {"gain": [1.0, 2.0], "axis": "channel"}), "2 values of gain for one channel"),
        (Step("ensure_dtype", {"dtype": "uint8"}), "would round or wrap"),
        (Step("ensure_dtype", {"dtype": "colour"}), "cannot be applied"),
        (Step("clip", {"min": "low"}), "cannot be applied"),
    ],
)
def test_steps_that_cannot_be_applied_are_named_before_anything_runs(step: Step, message: str) -> None:
    with pytest.raises(InputError, match=f"here: .*{message}"):
        check_steps([step], "here")
