"""torch to ONNX: exact versions, free sizes, no trace of the machine; the receptive field, measured."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from quietframe_export.graph import check_graph, export_onnx, receptive_field

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_models.py"))))


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    return tiny.trained_unet(depth=2, filters=4).module


@pytest.fixture(scope="module")
def exported(unet: nn.Module) -> bytes:
    return export_onnx(unet, ["denoised"], {"quietframe.unit": "adu", "quietframe.halo": "28"})


def test_the_file_has_the_versions_names_and_properties_of_packages(exported: bytes) -> None:
    model = onnx.load_from_string(exported)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "quietframe.unit": "adu",
        "quietframe.halo": "28",
    }
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    assert [(value.name, value.type, value.shape) for value in session.get_inputs()] == [
        ("input", "tensor(float)", ["batch", 1, "height", "width"])
    ]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [
        ("denoised", ["batch", 1, "height", "width"])
    ]


class Scaled(nn.Module):
    """One weight, whose bytes are chosen."""

    def __init__(self, weight: bytes) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.frombuffer(bytearray(weight), dtype=torch.float32))
        self.register_buffer("constant", torch.frombuffer(bytearray(weight), dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight + self.constant


def test_weights_may_happen_to_hold_the_bytes_of_a_file_name() -> None:
    # 2 MB of weights hold three given bytes with a chance of 2e6 / 2**24, one in eight
    exported = export_onnx(Scaled(b"x.py"), ["denoised"], {"quietframe.unit": "adu"})
    assert b".py" in exported


def test_no_trace_of_the_machine_is_inside(exported: bytes) -> None:
    for trace in (b".py", str(Path.home()).encode() + b"/", b"site-packages", b"Traceback"):
        assert trace not in exported


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 9, 8), (2, 33, 47), (3, 64, 20), (1, 101, 99)])
def test_every_batch_height_and_width_gives_what_torch_gives(
    unet: nn.Module, exported: bytes, shape: tuple[int, int, int]
) -> None:
    batch, height, width = shape
    pictures = np.random.default_rng(0).normal(330, 50, (batch, 1, height, width)).astype(np.float32)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"input": pictures})
    with torch.no_grad():
        expected = unet(torch.from_numpy(pictures)).numpy()
    # 12 layers of float32 on values of order 1, times 50 counts: some 1e-6 of the range
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.ptp(expected), rtol=0)


def test_exporting_twice_gives_the_same_bytes(unet: nn.Module, exported: bytes) -> None:
    assert export_onnx(unet, ["denoised"], {"quietframe.unit": "adu", "quietframe.halo": "28"}) == exported


class TwoOutputs(nn.Module):
    """Mean and spread, as methods with an uncertainty give them."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 1, x * x


def test_several_outputs_keep_their_names_and_order() -> None:
    data = export_onnx(TwoOutputs(), ["denoised", "uncertainty"], {})
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    mean, spread = session.run(["denoised", "uncertainty"], {"input": np.full((1, 1, 8, 8), 3, np.float32)})
    assert (mean[0, 0, 0, 0], spread[0, 0, 0, 0]) == (4, 9)


class FrozenSize(nn.Module):
    """Takes the size of the example for a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.zeros(1, 1, int(x.shape[2]), int(x.shape[3]))


def test_a_size_frozen_into_the_graph_does_not_pass() -> None:
    with pytest.raises(RuntimeError, match="cannot be exported for every size"):
        export_onnx(FrozenSize(), ["denoised"], {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: setattr(model, "ir_version", 9), "IR 9"),
        (lambda model: setattr(model.opset_import[0], "version", 18), "opset"),
        (lambda model: setattr(model.graph.node[0], "doc_string", 'File "unet.py", line 1'), "Python file in it"),
        (lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 64), "input size"),
    ],
)
def test_a_file_that_is_not_as_promised_is_found(exported: bytes, change: object, message: str) -> None:
    model = onnx.load_from_string(exported)
    change(model)  # type: ignore[operator]
    with pytest.raises(RuntimeError, match=message):
        check_graph(model, ["denoised"])


def convolutions(*sizes: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Conv2d(1, 1, size, padding=size // 2) for size in sizes))


@pytest.mark.parametrize(("sizes", "field"), [((1,), 0), ((3,), 1), ((3, 5), 3), ((7, 3, 3), 5)])
def test_the_field_of_convolutions_is_the_sum_of_their_radii(sizes: tuple[int, ...], field: int) -> None:
    assert receptive_field(convolutions(*sizes), (4, 4), 0.0, 1.0) == (field, field)


class PoolUp(nn.Module):
    """Pool by 2, then repeat: pixel 2k of the output sees 2k and 2k+1, and so does pixel 2k+1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(nn.functional.avg_pool2d(x, 2), scale_factor=2.0, mode="nearest")


class Shifted(nn.Module):
    """Sees 9 pixels up and nothing down: the field is the larger side."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + nn.functional.pad(x, (0, 0, 9, 0))[:, :, :-9]


class WholePicture(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=(2, 3), keepdim=True)


def test_the_field_of_pooling_and_of_lopsided_networks() -> None:
    assert receptive_field(PoolUp(), (2, 2), 0.0, 1.0) == (1, 1)
    assert receptive_field(Shifted(), (4, 4), 0.0, 1.0) == (9, 0)


def test_a_network_that_sees_the_whole_picture_has_no_tiles() -> None:
    with pytest.raises(RuntimeError, match="sees further than 512"):
        receptive_field(WholePicture(), (16, 16), 0.0, 1.0)


def test_the_field_of_a_unet_is_found_by_gradients_too(unet: nn.Module) -> None:
    """Gradients of single pixels: those that are not zero lie within the field, and reach its edge or nearly."""
    field = max(receptive_field(unet, (4, 4), 330.0, 50.0))
    double = tiny.trained_unet(depth=2, filters=4).module.double()
    generator = torch.Generator().manual_seed(1)
    reach = 0
    for phase in range(4):
        picture = torch.randn(1, 1, 96, 96, generator=generator, dtype=torch.float64) * 50 + 330
        picture.requires_grad_(True)
        double(picture)[0, 0, 48 + phase, 48 + phase].backward()
        rows = torch.nonzero(picture.grad[0, 0].abs().amax(dim=1)).flatten()
        reach = max(reach, 48 + phase - int(rows.min()), int(rows.max()) - 48 - phase)
    assert reach <= field
    # max pooling passes a gradient to one of two pixels only, on each of two levels: up to 1 + 2 pixels are missed
    assert field - reach <= 3
