"""Small ONNX networks with the properties that Quietframe's export writes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALO = 4
"""Two 3 x 3 convolutions see 2 pixels to each side; the halo is the next multiple of the step."""


def write_model(path: Path, *, properties: dict[str, str | None] | None = None, channels: int = 1) -> Path:
    """Write a network of two convolutions that turns counts around 100 into counts around 100; .onnx or .zip."""
    from onnx import helper, numpy_helper, save_model

    rng = np.random.default_rng(7)
    first = rng.normal(0, 0.3, (8, channels, 3, 3)).astype(np.float32)
    second = rng.normal(0, 0.3, (1, 8, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "first"], ["hidden"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("Conv", ["active", "second"], ["denoised"], pads=[1, 1, 1, 1]),
        ],
        "tiny",
        [helper.make_tensor_value_info("input", 1, ["batch", channels, "height", "width"])],
        [helper.make_tensor_value_info("denoised", 1, ["batch", 1, "height", "width"])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    names = {"axes": "NCYX", "halo": str(HALO), "step": "4", "min": "8", "outputs": "denoised", "unit": "adu"}
    names |= {"method": "tiny", "version": "0.1.0", "input_mean": "0", "input_std": "1"} | (properties or {})
    helper.set_model_props(model, {f"quietframe.{key}": text for key, text in names.items() if text is not None})
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as package:
            package.writestr("weights.onnx", model.SerializeToString())
    else:
        save_model(model, path)
    return path


def run_model(path: Path, planes: NDArray[Any]) -> NDArray[np.float32]:
    """Run every plane whole in Python's ONNX Runtime: what ImageJ must reproduce."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    flat = planes.reshape(-1, 1, 1, *planes.shape[-2:]).astype(np.float32)
    return np.stack([session.run(None, {"input": plane})[0][0, 0] for plane in flat]).reshape(planes.shape)
