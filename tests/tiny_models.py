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
    outputs: tuple[str, ...] = (),
) -> bytes:
    """Make a model of nodes whose output is called ``denoised``; named `outputs` have the shape of the input."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, dtype, shape) for name in names],
        [helper.make_tensor_value_info(name, dtype, shape) for name in outputs]
        or [helper.make_tensor_value_info("denoised", dtype, [None] * len(shape))],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, properties or {})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def box_truth(picture: np.ndarray) -> np.ndarray:
    """Return what the box model gives, by scipy in float64."""
    return ndimage.uniform_filter(picture.astype(np.float64), 5, mode="constant")


VOLUME = {
    **OWN,
    "quietframe.axes": "NCZYX",
    "quietframe.halo": "2,4,4",
    "quietframe.step": "2,4,4",
    "quietframe.min": "2,8,8",
}


def volume_model(outputs: tuple[str, ...] = ("denoised",), channels: int = 1, **changes: str) -> bytes:
    """Return a network of volumes: the mean of 5 x 5 x 5 voxels, zeros outside; of two outputs the second is its half.

    Of several channels each result is the sum of the means of all. `changes` are properties.
    """
    kernel = np.full((channels, channels, 5, 5, 5), 1 / 125, np.float32)
    nodes = [helper.make_node("Conv", ["input", "kernel"], ["denoised"], pads=[2] * 6)]
    constants = {"kernel": kernel}
    if len(outputs) > 1:
        nodes.append(helper.make_node("Mul", ["denoised", "half"], [outputs[1]]))
        constants["half"] = np.array(0.5, np.float32)
    properties = {**VOLUME, "quietframe.outputs": ",".join(outputs)}
    properties |= {f"quietframe.{key}": text for key, text in changes.items()}
    shape = ("batch", channels, "depth", "height", "width")
    return finish(nodes, ["input"], shape, constants=constants, properties=properties, outputs=outputs)


def plane_model(outputs: tuple[str, ...], channels: int = 1, **changes: str) -> bytes:
    """Return a network of planes like `volume_model`: 5 x 5 pixels."""
    nodes = [helper.make_node("Conv", ["input", "kernel"], ["denoised"], pads=[2] * 4)]
    constants = {"kernel": np.full((channels, channels, 5, 5), 1 / 25, np.float32)}
    if len(outputs) > 1:
        nodes.append(helper.make_node("Mul", ["denoised", "half"], [outputs[1]]))
        constants["half"] = np.array(0.5, np.float32)
    properties = {**OWN, "quietframe.outputs": ",".join(outputs)}
    properties |= {f"quietframe.{key}": text for key, text in changes.items()}
    shape = ("batch", channels, "height", "width")
    return finish(nodes, ["input"], shape, constants=constants, properties=properties, outputs=outputs)


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


def trained_unet(
    depth: int = 2, filters: int = 8, seed: int = 0, shape: tuple[int, ...] = (100, 113), dims: int = 2
) -> Any:
    """Return a `Trained` around a U-Net with random weights, as training leaves it.

    Shape of the sample: Y, X, or Z, Y, X with `dims` 3; one number more in front is the channels.
    """
    import torch

    from quietframe.nets import unet

    sample = _counts(shape, seed)
    channels = shape[0] if len(shape) > dims else 1
    stats = _statistics(sample)
    mean, std = stats["mean"], stats["std"]
    if channels > 1:
        stats["channels"] = [_statistics(channel) for channel in sample]
        mean, std = ([channel[key] for channel in stats["channels"]] for key in ("mean", "std"))
    net = {"depth": depth, "filters": filters, "residual": True}
    if channels > 1 or dims == 3:
        net |= {"in_channels": channels, "out_channels": channels, "dims": dims}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = unet.Denoiser(net, mean, std).eval()
    return _trained(module, unet.__file__, sample, stats, depth, dims)


def _counts(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return counts of a bright spot; every channel is brighter than the one before."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    spot = 300 + 200 * np.exp(-((y - 50) ** 2 + (x - 60) ** 2) / 800)
    planes = np.broadcast_to(spot, shape).copy()
    if len(shape) > 2:
        planes *= 1 + 0.5 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) / shape[0]
    return rng.poisson(planes).astype(np.float32)


def _statistics(sample: np.ndarray) -> dict[str, Any]:
    percentiles = {key: float(np.percentile(sample, at)) for key, at in (("p01", 1), ("p50", 50), ("p999", 99.9))}
    ends = {"min": float(sample.min()), "max": float(sample.max())}
    return {"mean": float(sample.mean()), "std": float(sample.std()), **percentiles, **ends}


def _trained(module: Any, file: str, sample: np.ndarray, stats: dict[str, Any], depth: int, dims: int) -> Any:
    from quietframe.training.checkpoint import Trained

    return Trained(
        module=module,
        architecture_file=Path(file),
        architecture_class=type(module).__name__,
        architecture_kwargs=module.kwargs,
        method="n2v",
        settings={"steps": 400},
        stats=stats,
        depth=depth,
        axes="NCYX" if dims == 2 else "NCZYX",
        unit="adu",
        sample=sample,
        provenance={
            "files": [{"name": "a.tif", "sha256": "0" * 64}],
            "seed": 0,
            "steps": 400,
            "quietframe": "0.1.0",
            "minutes": 1.0,
        },
        outputs=module.outputs,
        dims=dims,
    )
