"""Models small enough to know their result in closed form, and packages around them. Read by tests with `runpy`.

The box model is one convolution: the mean of 5 x 5 pixels, zeros outside the picture, times `gain`; scipy's
``uniform_filter`` is its truth. It sees 2 pixels on each side.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from scipy import ndimage

OWN = {
    "quietframe.axes": "NCYX",
    "quietframe.halo": "4",
    "quietframe.step": "4",
    "quietframe.min": "8",
    "quietframe.outputs": "denoised",
    "quietframe.unit": "adu",
    "quietframe.method": "n2v",
    "quietframe.version": "0.1.0",
    "quietframe.input_mean": "100.0",
    "quietframe.input_std": "10.0",
}


def box_model(
    properties: dict[str, str] | None = OWN,
    shape: tuple[Any, ...] = ("batch", 1, "height", "width"),
    dtype: int = TensorProto.FLOAT,
    gain: float = 1.0,
    inputs: int = 1,
    channels: int = 1,
) -> bytes:
    """Return the ONNX file; `dtype`, `inputs` and `channels` make models that cannot be run."""
    kernel = np.full((channels, channels, 5, 5), gain / 25, helper.tensor_dtype_to_np_dtype(dtype))
    names = ["input", "second", "third"][:inputs]
    shape = (shape[0], channels, *shape[2:])
    nodes = [helper.make_node("Conv", ["input", "kernel"], ["denoised"], pads=[2, 2, 2, 2])]
    if inputs > 1:
        nodes = [
            helper.make_node("Add", ["input", "second"], ["sum"]),
            helper.make_node("Conv", ["sum", "kernel"], ["denoised"], pads=[2, 2, 2, 2]),
        ]
    return finish(nodes, names, shape, dtype, {"kernel": kernel}, properties)


def finish(
    nodes: list[Any],
    names: list[str],
    shape: tuple[Any, ...],
    dtype: int = TensorProto.FLOAT,
    constants: dict[str, np.ndarray] | None = None,
    properties: dict[str, str] | None = None,
) -> bytes:
    """Make a model of nodes whose output is called ``denoised``."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, dtype, shape) for name in names],
        [helper.make_tensor_value_info("denoised", dtype, [None] * len(shape))],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, properties or {})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def box_truth(picture: np.ndarray) -> np.ndarray:
    """Return what the box model gives, by scipy in float64."""
    return ndimage.uniform_filter(picture.astype(np.float64), 5, mode="constant")


def description(model: bytes, **changes: Any) -> dict[str, Any]:
    """Return the description (format 0.5.4) of a one-input model; `changes` replace its top-level keys."""
    space = [{"type": "space", "id": letter, "size": {"min": 8, "step": 4}} for letter in "yx"]
    kept = [
        {"type": "space", "id": letter, "size": {"tensor_id": "input", "axis_id": letter}, "halo": 4} for letter in "yx"
    ]
    first = [{"type": "batch"}, {"type": "channel", "channel_names": ["channel0"]}]
    return {
        "format_version": "0.5.4",
        "type": "model",
        "name": "Box",
        "inputs": [{"id": "input", "axes": [*first, *space]}],
        "outputs": [{"id": "denoised", "axes": [*first, *kept]}],
        "weights": {"onnx": {"source": "weights.onnx", "sha256": hashlib.sha256(model).hexdigest()}},
        **changes,
    }


def write_box_package(path: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Path:
    """Write a zip around the box model; `files` are added, `changes` replace keys of the description."""
    model = box_model()
    contents = {"weights.onnx": model, "rdf.yaml": yaml.safe_dump(description(model, **changes)).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**contents, **(files or {})}.items():
            archive.writestr(name, content)
    return path


def npy(array: np.ndarray) -> bytes:
    """Return an array as the bytes of an ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def trained_unet(depth: int = 2, filters: int = 8, seed: int = 0, shape: tuple[int, int] = (100, 113)) -> Any:
    """Return a `Trained` around a U-Net with random weights, as training leaves it."""
    import torch

    from quietframe.nets import unet
    from quietframe.training.checkpoint import Trained

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    sample = rng.poisson(300 + 200 * np.exp(-((y - 50) ** 2 + (x - 60) ** 2) / 800)).astype(np.float32)
    stats = {
        "mean": float(sample.mean()),
        "std": float(sample.std()),
        "p01": float(np.percentile(sample, 1)),
        "p50": float(np.median(sample)),
        "p999": float(np.percentile(sample, 99.9)),
        "min": float(sample.min()),
        "max": float(sample.max()),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = unet.Denoiser({"depth": depth, "filters": filters, "residual": True}, stats["mean"], stats["std"]).eval()
        for name, values in net.named_buffers():
            if name.endswith("running_mean"):
                values.normal_(0, 0.2)
            if name.endswith("running_var"):
                values.uniform_(0.5, 2)
    return Trained(
        module=net,
        architecture_file=Path(unet.__file__),
        architecture_class="Denoiser",
        architecture_kwargs=net.kwargs,
        method="n2v",
        settings={"steps": 400},
        stats=stats,
        depth=depth,
        axes="NCYX",
        unit="adu",
        sample=sample,
        provenance={
            "files": [{"name": "a.tif", "sha256": "0" * 64}],
            "seed": seed,
            "steps": 400,
            "quietframe": "0.1.0",
            "minutes": 1.0,
        },
    )
