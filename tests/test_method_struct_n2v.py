"""StructN2V: masks that follow the correlation of the noise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from quietframe.errors import InputError, OptionError
from quietframe.images import Image, write_image
from quietframe.methods import n2v, noise2self, struct_n2v
from quietframe.training import loop
from quietframe.training.checkpoint import load_trained
from quietframe.training.loop import Job
from quietframe.training.patches import Batch, Pictures, collect
from quietframe.training.schedule import Schedule


def striped(seed: int = 1, size: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Return blobs, and the same under noise that is the mean of 3 pixels along each row."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.random((size, size)) ** 8, 4)
    clean = 10 + 60 * (blobs - blobs.min()) / np.ptp(blobs)
    noise = ndimage.uniform_filter1d(rng.normal(size=clean.shape), 3, axis=1, mode="wrap")
    return clean, (clean + 12 * noise / noise.std()).astype(np.float32)


def pictures() -> Pictures:
    return collect([striped()[1]], ["striped"])


STATS = collect([np.random.default_rng(7).normal(25, 10, (32, 32)).astype(np.float32)], ["noise"]).statistics()


def rows(pattern: np.ndarray) -> str:
    return "rows:" + "/".join("".join(str(int(on)) for on in row) for row in pattern)


def test_auto_hides_the_line_that_shares_its_noise_and_draws_what_it_measured(tmp_path: Path) -> None:
    settings, notes = struct_n2v.prepare(pictures(), struct_n2v.Settings(), tmp_path)
    assert settings.mask == "rows:11111"  # the mean of 3 shares noise with two pixels on each side
    assert "1 x 5 px are hidden" in notes[0]
    assert (tmp_path / "noise_correlation.png").read_bytes()[:4] == b"\x89PNG"


def test_auto_says_that_white_noise_needs_no_mask(tmp_path: Path) -> None:
    white = np.random.default_rng(3).normal(50, 5, (160, 160)).astype(np.float32)
    settings, notes = struct_n2v.prepare(collect([white], ["white"]), struct_n2v.Settings(), tmp_path)
    assert settings.mask == "rows:1"
    assert "n2v learns more" in notes[1]


@pytest.mark.parametrize(
    "mask, expected",
    [
        ("line-x", "rows:11111"),
        ("line-y", "rows:1/1/1/1/1"),
        ("cross", "rows:00100/00100/11111/00100/00100"),
        ("square", "rows:11111/11111/11111/11111/11111"),
    ],
)
def test_named_masks_reach_as_far_as_they_are_told(mask: str, expected: str, tmp_path: Path) -> None:
    settings, notes = struct_n2v.prepare(pictures(), struct_n2v.Settings(mask=mask, reach=2), tmp_path)
    assert settings.mask == expected
    assert not notes


def test_a_mask_can_be_drawn(tmp_path: Path) -> None:
    drawn = np.array([[0, 0, 255], [0, 0, 0], [255, 0, 0]], np.uint8)
    path = write_image(tmp_path / "mask.tif", Image(drawn, "YX", {}, None, {}), dtype="uint8")
    settings, _ = struct_n2v.prepare(pictures(), struct_n2v.Settings(mask=str(path)), tmp_path)
    assert settings.mask == "rows:001/010/100"  # the pixel itself is always hidden


@pytest.mark.parametrize(
    "settings, error, message",
    [
        (struct_n2v.Settings(reach=0), OptionError, "--reach 0: give 1 to 10"),
        (struct_n2v.Settings(mask="circle"), OptionError, "unknown mask 'circle'"),
    ],
)
def test_masks_that_cannot_be_are_refused(
    settings: struct_n2v.Settings, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        struct_n2v.prepare(pictures(), settings, tmp_path)


def test_a_drawn_mask_without_a_middle_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "mask.tif", Image(np.ones((4, 3), np.uint8), "YX", {}, None, {}), dtype="uint8")
    with pytest.raises(InputError, match=r"shape \(4, 3\); draw a mask of odd height and width up to 21"):
        struct_n2v.prepare(pictures(), struct_n2v.Settings(mask=str(path)), tmp_path)


def test_pictures_too_small_to_measure_ask_for_a_mask(tmp_path: Path) -> None:
    small = collect([striped()[1][:24, :24]], ["small"])
    with pytest.raises(InputError, match="give --mask and --reach"):
        struct_n2v.prepare(small, struct_n2v.Settings(), tmp_path)


def test_volumes_are_refused(tmp_path: Path) -> None:
    volume = np.random.default_rng(6).normal(50, 5, (8, 48, 48)).astype(np.float32)
    settings = struct_n2v.Settings(mask="rows:111")
    with pytest.raises(OptionError, match="trains planes; leave out --patch-z"):
        struct_n2v.build(settings, collect([volume], ["volume"], dims=3).statistics())


@pytest.mark.parametrize("pattern", [np.ones((1, 5), bool), np.ones((5, 3), bool)])
def test_neither_training_nor_use_sees_what_shares_noise_with_a_pixel(pattern: np.ndarray) -> None:
    """Change a pixel and its rectangle: the net's answer there does not change; change what is beside it: it does."""
    torch.manual_seed(4)
    settings = struct_n2v.Settings(mask=rows(pattern), filters=8)
    module = struct_n2v.denoiser(struct_n2v.build(settings, STATS), settings, STATS)
    picture = torch.rand(1, 1, 41, 50) * 50
    ry, rx = (size // 2 for size in pattern.shape)
    hole, wider = picture.clone(), picture.clone()
    hole[..., 20 - ry : 21 + ry, 25 - rx : 26 + rx] += 100
    wider[..., 20 - ry : 21 + ry, 25 - rx : 27 + rx] += 100
    with torch.no_grad():
        plain, same, other = (module(one)[0, 0, 20, 25].item() for one in (picture, hole, wider))
    assert same == pytest.approx(plain, abs=1e-4)
    assert abs(other - plain) > 1e-2


def test_all_pixels_teach_where_the_mask_is_a_rectangle() -> None:
    batch = Batch(torch.rand(2, 1, 16, 16), None, torch.Generator(), STATS)
    loss = struct_n2v.loss(torch.zeros_like, batch, struct_n2v.Settings(mask="rows:111"))  # type: ignore[arg-type]
    assert loss.item() == pytest.approx((batch.source**2).mean().item(), rel=1e-5)


def test_crosses_are_hidden_in_training_and_their_middles_judged() -> None:
    settings = struct_n2v.Settings(mask="rows:010/111/010", filters=4)
    picture = torch.rand(1, 1, 64, 64)
    seen: list[torch.Tensor] = []

    def net(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(hidden)
        return torch.zeros_like(hidden)

    batch = Batch(picture, None, torch.Generator().manual_seed(5), STATS)
    loss = struct_n2v.loss(net, batch, settings)  # type: ignore[arg-type]
    changed = (seen[0] != picture)[0, 0].numpy()
    # judged are those whose whole cross is hidden; beyond the margin of 1, hidden arms that touch can add some
    judged = ndimage.binary_erosion(changed, np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]), border_value=1)
    assert judged.sum() > 100
    assert loss.item() == pytest.approx(float((picture[0, 0].numpy()[judged] ** 2).mean()), rel=0.1)


def train(method: object, name: str, run: Path) -> loop.State:
    settings = dataclasses.replace(method.Settings(), filters=8)  # type: ignore[attr-defined]
    schedule = Schedule(steps=120, batch_size=8, patch_px=32, learning_rate=4e-3, validation_percent=0)
    return loop.train(Job(name, method, settings, schedule, pictures(), run))  # type: ignore[arg-type]


def error(run: Path) -> float:
    clean, noisy = striped()
    with torch.inference_mode():
        return float(
            ((load_trained(run).module(torch.from_numpy(noisy)[None, None])[0, 0].numpy() - clean) ** 2).mean()
        )


def test_it_beats_n2v_where_rows_share_their_noise_and_n2v_says_so(tmp_path: Path) -> None:
    clean, noisy = striped()
    train(struct_n2v, "struct_n2v", tmp_path / "struct")
    state = train(n2v, "n2v", tmp_path / "n2v")
    assert (tmp_path / "struct" / "noise_correlation.png").is_file()
    assert error(tmp_path / "struct") < 0.5 * error(tmp_path / "n2v")
    assert error(tmp_path / "struct") < 0.25 * float(((noisy - clean) ** 2).mean())
    assert any("horizontal neighbours is correlated" in note and "use struct_n2v" in note for note in state.notes)


def test_every_blind_spot_of_one_pixel_warns_of_correlated_noise(tmp_path: Path) -> None:
    for method in (n2v, noise2self):
        assert "is correlated" in method.prepare(pictures(), method.Settings(), tmp_path)[1][0]  # type: ignore[attr-defined]
