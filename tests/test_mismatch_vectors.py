"""The warning about pictures unlike the training data: the vectors that Fiji's is tested on too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from quietframe.inference.mismatch import mismatch


def test_python_says_what_the_vectors_say(vectors: Any) -> None:
    cases = vectors("mismatch.json")["cases"]
    assert cases
    for case in cases:
        channel = case["channel"]
        record = {"statistics": {"channels": [case["statistics"]] * (1 if channel is None else channel + 1)}}
        package = SimpleNamespace(statistics=case["statistics"], record=record)
        planes = [np.array(plane, np.float32) for plane in case["planes"]]
        said = mismatch(cast("Any", SimpleNamespace(package=package)), planes, channel)
        assert list(said) == case["said"], case["name"]
