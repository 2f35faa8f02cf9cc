"""The U-Net and the denoiser around it."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

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


@pytest.mark.parametrize("shape", [(8, 8, 8), (9, 11, 10), (4, 17, 30)])
def test_volumes_of_any_size_are_kept(shape: tuple[int, int, int]) -> None:
    with torch.no_grad():
        assert denoiser(dims=3)(torch.rand(1, 1, *shape)).shape == (1, 1, *shape)


@pytest.mark.parametrize("dims", [2, 3])
def test_blurred_pooling_is_the_maximum_then_1_2_1_then_every_second_pixel(dims: int) -> None:
    picture = np.random.default_rng(4).normal(size=(12, 10, 8)[:dims])
    padded = np.pad(picture, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2,) * dims)
    pooled = windows.max(axis=tuple(range(dims, 2 * dims)))
    for axis in range(dims):  # the window of output pixel i begins at padded pixel 2 i and is 3 maxima long
        pooled = np.apply_along_axis(lambda line: np.convolve(line, [0.25, 0.5, 0.25], "valid")[::2], axis, pooled)
    ours = unet._blur_pool(torch.from_numpy(picture)[None, None], dims)
    np.testing.assert_allclose(ours[0, 0], pooled, atol=1e-12)


def test_without_its_top_skip_no_pixel_reaches_the_output_unpooled() -> None:
    """A pattern that alternates from pixel to pixel is wiped out by blurred pooling, and nothing else carries it."""
    torch.manual_seed(5)
    with_skip, without = (UNet(filters=4, pooling="blur", top_skip=skip).eval() for skip in (True, False))
    picture = torch.rand(1, 1, 32, 32)

    def roughness(net: UNet) -> float:
        with torch.no_grad():
            result = net(picture)[..., 4:-4, 4:-4]
        second = result[..., 2:] - 2 * result[..., 1:-1] + result[..., :-2]
        return float(second.std() / result.std())

    assert roughness(without) < 0.5 * roughness(with_skip)


def test_a_net_that_knows_the_noise_gets_it_right_from_the_local_mean() -> None:
    net = UNet(filters=4, noise=(0.5, 2.0))
    flat = torch.full((1, 1, 16, 16), 6.0)
    np.testing.assert_allclose(net.sigma(flat), np.sqrt(0.5 * 6 + 2), rtol=1e-6)
    # far below zero signal the variance stops at 2 % of that of the mean picture, or at what is given
    np.testing.assert_allclose(net.sigma(-100 * flat), np.sqrt(0.02 * 2), rtol=1e-6)
    np.testing.assert_allclose(UNet(filters=4, noise=(0.5, 2.0, 1.5)).sigma(-100 * flat), np.sqrt(1.5), rtol=1e-6)


def test_a_net_that_knows_the_noise_corrects_the_local_mean_in_the_units_it_was_given() -> None:
    net = UNet(filters=4, noise=(0.0, 4.0), residual=True)
    torch.nn.init.zeros_(net.last.weight)
    torch.nn.init.zeros_(net.last.bias)
    picture = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        mean = torch.nn.functional.avg_pool2d(picture, 5, stride=1, padding=2, count_include_pad=False)
        np.testing.assert_allclose(net(picture), mean * (mean / 2) ** 2 / ((mean / 2) ** 2 + 1), atol=1e-6)


@pytest.mark.parametrize("arguments", [{"dims": 1}, {"pooling": "mean"}])
def test_other_dims_and_poolings_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="dims 2 or 3 and pooling max or blur"):
        UNet(**arguments)


@pytest.mark.parametrize("shape", [(32, 32), (24, 28)])  # else padding shifts the pooling grid
def test_an_ensemble_gives_a_turned_picture_the_turned_result(shape: tuple[int, int]) -> None:
    torch.manual_seed(6)
    module = unet.EnsembleDenoiser({"filters": 4, "depths": [1, 2]}, 100.0, 20.0).eval()
    picture = 100 + 20 * torch.randn(1, 1, *shape)
    with torch.no_grad():
        plain = module(picture)
        for turn in (lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.transpose(-1, -2)):
            # each turn undoes itself; sums in another order: 8 results of about 100 in float32
            np.testing.assert_allclose(turn(module(turn(picture))), plain, atol=8 * 100 * 2**-23)


def test_an_ensemble_is_the_mean_over_eight_turns_and_puts_fine_detail_back() -> None:
    torch.manual_seed(6)
    module = unet.EnsembleDenoiser({"filters": 4, "depths": [1, 2]}, 100.0, 20.0, kept=0.25).eval()
    singles = [Denoiser({"filters": 4, "depth": depth}, 100.0, 20.0).eval() for depth in (1, 2)]
    for single, member in zip(singles, module.net.members, strict=True):
        single.net.load_state_dict(member.state_dict())
    picture = 100 + 20 * np.random.default_rng(7).normal(size=(24, 32)).astype(np.float32)
    results = []
    with torch.no_grad():
        for turn in range(4):
            for mirror in (False, True):
                turned = torch.from_numpy(np.rot90(picture[:, ::-1] if mirror else picture, turn).copy())[None, None]
                for single in singles:
                    result = np.rot90(single(turned)[0, 0].numpy(), -turn)
                    results.append(result[:, ::-1] if mirror else result)
        mean = np.mean(results, axis=0)
        ours = module(torch.from_numpy(picture)[None, None])[0, 0].numpy()
    removed = picture - mean
    broad = ndimage.uniform_filter(removed, 3, mode="constant") / ndimage.uniform_filter(
        np.ones_like(removed), 3, mode="constant"
    )
    np.testing.assert_allclose(ours, mean + 0.25 * (removed - broad), atol=1e-3)


@pytest.mark.parametrize("hidden", [(0, 0), (2, 1), (0, 3)])
def test_a_blind_spot_net_sees_all_but_the_rectangle_around_a_pixel(hidden: tuple[int, int]) -> None:
    torch.manual_seed(8)
    net = unet.BlindSpotUNet(filters=16, hidden=hidden).double()
    picture = torch.rand(1, 1, 32, 28, dtype=torch.double, requires_grad=True)
    ry, rx = hidden
    for y, x in ((15, 14), (16, 11), (13, 12)):  # different places within the pooled pixels
        (slopes,) = torch.autograd.grad(net(picture)[0, 0, y, x], picture)
        sees = slopes[0, 0].numpy() != 0
        assert not sees[y - ry : y + ry + 1, x - rx : x + rx + 1].any()
        ring = sees[y - ry - 1 : y + ry + 2, x - rx - 1 : x + rx + 2]
        assert ring.sum() == ring.size - (2 * ry + 1) * (2 * rx + 1)
