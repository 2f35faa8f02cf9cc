"""The filters of Python against the pixels that ImageJ's side is tested with, too."""

from __future__ import annotations

from typing import Any

import numpy as np

from quietframe.filters import load_filter


def test_the_filters_give_the_pixels_of_the_shared_vectors(vectors: Any) -> None:
    shared = vectors("filters.json")
    volume = np.array(shared["volume"], np.float32)
    assert len(shared["cases"]) == 14
    for case in shared["cases"]:
        filter_ = load_filter(case["method"])
        settings = case["settings"]
        if case["method"] in {"mean-3d", "median-3d"}:
            settings = {f"radius_{axis}": value for axis, value in settings.items()}
        chosen = filter_.Settings(**settings)
        if filter_.AXES == "ZYX":
            found = filter_.apply(volume, chosen)
        else:
            found = np.stack([filter_.apply(plane, chosen) for plane in volume])
        # The file has four digits.
        np.testing.assert_allclose(found, case["pixels"], rtol=0, atol=case["tolerance"] + 5e-5, err_msg=case["method"])
