"""N2V, N2V2, Noise2Self and the ensemble: what each of them hides, sees and gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from quietframe.errors import OptionError
from quietframe.methods import n2v, n2v2, n2v_ensemble, noise2self
from quietframe.nets.unet import Denoiser, EnsembleDenoiser
from quietframe.training.patches import Batch, collect

NOISE = np.random.default_rng(1).normal(100, 10, (8, 48, 48)).astype(np.float32)
STATS = collect([NOISE], ["planes"]).statistics()
METHODS = [n2v, n2v2, noise2self, n2v_ensemble]


@pytest.mark.parametrize("shape", [(2, 1, 24, 32), (1, 2, 24, 32), (1, 1, 6, 24, 32)])
@pytest.mark.parametrize(
    "method, settings",
    [
        (n2v, n2v.Settings(masked_percent=20)),
        (n2v, n2v.Settings(replace="median", radius=2)),
        (n2v, n2v.Settings(replace="uniform")),
        (n2v2, n2v2.Settings()),
        (noise2self, noise2self.Settings()),
        (noise2self, noise2self.Settings(spacing=4)),
        (n2v_ensemble, n2v_ensemble.Settings()),
    ],
)
def test_the_error_of_hidden_pixels_counts_and_no_other(method: Any, settings: Any, shape: tuple[int, ...]) -> None:
    picture = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    seen: list[torch.Tensor] = []

    def net(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(hidden)
        return torch.zeros_like(hidden)

    # the ensemble takes a net without members for one of its nets
    loss = method.loss(net, Batch(picture, None, torch.Generator().manual_seed(3), STATS), settings)
    hidden = seen[0] != picture
    assert 0 < hidden.sum() < 0.4 * hidden.numel()
    # the net says 0 everywhere, so the loss is the mean square of the pixels that were hidden from it
    assert loss.item() == pytest.approx((picture[hidden] ** 2).mean().item(), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dims, channels", [(2, 1), (2, 3), (3, 1)])
def test_pictures_channels_and_volumes_keep_their_shape(method: Any, dims: int, channels: int) -> None:
    array = np.random.default_rng(4).normal(100, 10, (2, channels, *(8, 24, 24)[3 - dims :])).astype(np.float32)
    stats = collect([array], ["picture"], dims=dims).statistics()
    settings = method.Settings(filters=4)
    module = method.denoiser(method.build(settings, stats), settings, stats)
    with torch.inference_mode():
        result = module(torch.from_numpy(array))
    assert result.shape == array.shape
    assert not module.training
    assert abs(float(result.mean()) - 100) < 60  # counts, not normalised units


def test_n2v2_pools_with_blur_and_has_no_top_skip() -> None:
    module = n2v2.denoiser(n2v2.build(n2v2.Settings(), STATS), n2v2.Settings(), STATS)
    assert isinstance(module, Denoiser)
    assert module.kwargs["net"]["pooling"] == "blur"
    assert module.kwargs["net"]["top_skip"] is False


def test_the_ensemble_keeps_the_share_it_is_told_and_turns_only_if_it_shall() -> None:
    settings = n2v_ensemble.Settings(turns=False, kept_percent=25, filters=4)
    net = n2v_ensemble.build(settings, STATS)
    module = n2v_ensemble.denoiser(net, settings, STATS)
    assert isinstance(module, EnsembleDenoiser)
    plain = EnsembleDenoiser(module.kwargs["net"], STATS.input_mean, STATS.input_std, turns=False).eval()
    plain.load_state_dict(module.state_dict())
    picture = torch.from_numpy(NOISE[:1, None])
    with torch.inference_mode():
        denoised = plain(picture)
        put_back = module(picture) - denoised
        removed = (picture - denoised)[..., 1:-1, 1:-1]
        windows = (picture - denoised).unfold(-2, 3, 1).unfold(-2, 3, 1)
        np.testing.assert_allclose(put_back[..., 1:-1, 1:-1], 0.25 * (removed - windows.mean(dim=(-1, -2))), atol=1e-4)


@pytest.mark.parametrize(
    "method, settings, message",
    [
        (n2v, {"masked_percent": 0}, "--masked-percent 0: give 0.1 to 50"),
        (n2v, {"replace": "mode"}, "unknown replacement 'mode'"),
        (n2v, {"radius": 8}, "--radius 8: give 1 to 7"),
        (n2v2, {"masked_percent": 51}, "--masked-percent 51: give 0.1 to 50"),
        (n2v2, {"replace": "meen"}, "unknown replacement 'meen': did you mean mean"),
        (n2v2, {"radius": 0}, "--radius 0: give 1 to 7"),
        (noise2self, {"spacing": 1}, "--spacing 1: give 2 to 8"),
        (n2v_ensemble, {"kept_percent": 51}, "--kept-percent 51: give 0 to 50"),
        (n2v_ensemble, {"depth": 1}, "--depth 1: give 2 to 4"),
        *((method, {"filters": 0}, "--filters 0: give 1 to 512") for method in METHODS),
        *((method, {"depth": 5}, "--depth 5: give 1 to 4") for method in METHODS),
    ],
)
def test_settings_out_of_range_are_refused(method: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        method.build(method.Settings(**settings), STATS)
