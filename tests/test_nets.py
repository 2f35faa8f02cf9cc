"""The U-Net and the denoiser around it."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from quietframe.nets import unet
from quietframe.nets.unet import Denoiser, UNet


def denoiser(**net: object) -> Denoiser:
    torch.manual_seed(1)
    return Denoiser({"filters": 4, **net}, input_mean=100.0, input_std=20.0).eval()


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("shape", [(8, 8), (9, 11), (37, 50), (64, 15)])
def test_any_size_from_8_px_on_is_kept(depth: int, shape: tuple[int, int]) -> None:
    with torch.no_grad():
        assert denoiser(depth=depth)(torch.rand(2, 1, *shape)).shape == (2, 1, *shape)


def test_an_odd_picture_is_reflected_to_a_multiple_and_cropped() -> None:
    module = denoiser(depth=2)
    picture = np.random.default_rng(2).normal(100, 20, (13, 18)).astype(np.float32)
    padded = np.pad(picture, ((0, 3), (0, 2)), mode="reflect")
    with torch.no_grad():
        odd = module(torch.from_numpy(picture)[None, None])
        whole = module(torch.from_numpy(padded)[None, None])
    # the same numbers go through the same net: equal but for the order of sums
    np.testing.assert_allclose(odd.numpy(), whole.numpy()[..., :13, :18], rtol=1e-5)


def test_a_residual_net_with_zero_weights_maps_counts_between_the_two_normalisations() -> None:
    module = Denoiser({"filters": 4, "residual": True}, 100.0, 20.0, 1000.0, 50.0)
    torch.nn.init.zeros_(module.net.last.weight)
    torch.nn.init.zeros_(module.net.last.bias)
    picture = torch.from_numpy(np.random.default_rng(3).normal(100, 20, (1, 1, 16, 24)).astype(np.float32))
    with torch.no_grad():
        result = module(picture)
    # float32: 1000 * 2**-24 per operation, 4 operations
    np.testing.assert_allclose(result, (picture - 100) / 20 * 50 + 1000, atol=4 * 1000 * 2**-23)


def test_normalisation_can_differ_between_channels() -> None:
    module = Denoiser({"in_channels": 2, "filters": 4}, [10.0, 1000.0], [2.0, 30.0], 0.0, 1.0).eval()
    normal = torch.rand(1, 2, 16, 16)
    counts = normal * torch.tensor([2.0, 30.0]).reshape(1, 2, 1, 1) + torch.tensor([10.0, 1000.0]).reshape(1, 2, 1, 1)
    with torch.no_grad():
        np.testing.assert_allclose(module(counts), module.net(normal), atol=1e-4)


def test_plain_arguments_and_weights_are_all_it_takes_to_make_it_again() -> None:
    first = denoiser(depth=1, residual=True)
    again = Denoiser(**json.loads(json.dumps(first.kwargs))).eval()
    again.load_state_dict(first.state_dict())
    picture = torch.rand(1, 1, 20, 20) * 200
    with torch.no_grad():
        assert torch.equal(first(picture), again(picture))


@pytest.mark.parametrize("arguments", [{"depth": 0}, {"filters": 0}])
def test_a_net_without_levels_or_filters_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="depth >= 1 and filters >= 1"):
        UNet(**arguments)


def test_a_package_can_ship_the_file_alone() -> None:
    tree = ast.parse(Path(str(unet.__file__)).read_text(encoding="utf-8"))
    roots = {
        (node.module or "").partition(".")[0] if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert roots == {"__future__", "collections", "typing", "torch"}
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))
