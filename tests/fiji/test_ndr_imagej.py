"""NDR Subtract in the real ImageJ: the vectors that Python is tested on, calibration, Info, wrong options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image

COMMAND = "Quietframe NDR Subtract"


@pytest.fixture(scope="module")
def ramp(vectors: Any) -> dict[str, Any]:
    return vectors("ndr.json")


def exposure(ramp: dict[str, Any], **keywords: Any) -> Image:
    return Image(np.array(ramp["ramp"]["values"], dtype=np.uint16), "TYX", **keywords)


def test_subtract_gives_the_difference_images_of_the_vectors_exactly(imagej: Fiji, ramp: dict[str, Any]) -> None:
    assert ramp["subtract"]
    for case in ramp["subtract"]:
        options = {key: case[key] for key in ("difference", "first", "spacing")}
        result = imagej.run_command(COMMAND, exposure(ramp), **options)["result"]
        expected = np.array(case["values"], dtype=np.float32)
        assert result.array.dtype == np.float32
        np.testing.assert_array_equal(result.array.reshape(expected.shape), expected, err_msg=str(options))
        windows = ",".join(f"{low}-{high}" for low, high in case["windows"])
        assert result.info["ndr.reads_used"] == windows
