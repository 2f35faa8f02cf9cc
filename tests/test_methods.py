"""Every learned method: what each file of the folder owes, then what each method is for."""

from __future__ import annotations

import ast
import dataclasses
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from quietframe import methods
from quietframe.errors import OptionError
from quietframe.methods import care, n2v
from quietframe.training import loop
from quietframe.training.checkpoint import load_trained
from quietframe.training.loop import Job
from quietframe.training.patches import Batch, DataStatistics, collect, measure
from quietframe.training.schedule import Schedule

FILES = sorted(path for path in Path(str(methods.__file__)).parent.glob("*.py") if path.stem != "__init__")
NAMES = [path.stem for path in FILES]


def scene(seed: int, size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Return blobs of up to 60 photons on a background of 10, and what a camera with 2 e- read noise sees of them."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.random((size, size)) ** 8, 3)
    clean = 10 + 50 * (blobs - blobs.min()) / np.ptp(blobs)
    return clean, (rng.poisson(clean) + rng.normal(0, 2, clean.shape)).astype(np.float32)


def mse(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.mean((first - second) ** 2))


def job(name: str, run: Path, **schedule: Any) -> Job:
    module = import_module(f"quietframe.methods.{name}")
    clean, noisy = scene(1)
    if module.DATA == "repeats":
        again = np.random.default_rng(9).poisson(clean).astype(np.float32)
        pictures = collect([np.stack([noisy, again])], ["noisy"], partners=True)
    else:
        pictures = collect([noisy], ["noisy"], None if module.DATA == "single" else [clean.astype(np.float32)])
    # a small net takes a large rate, and 40 steps are few
    options = {"steps": 40, "batch_size": 8, "patch_px": 32, "checkpoint_every": 15, "learning_rate": 4e-3, **schedule}
    return Job(name, module, dataclasses.replace(module.Settings(), filters=8), Schedule(**options), pictures, run)


def denoise(run: Path, picture: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        result = load_trained(run).module(torch.from_numpy(picture)[None, None])
        return np.asarray((result[0] if isinstance(result, tuple) else result)[0, 0])


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    run = tmp_path_factory.mktemp(request.param) / "run"
    loop.train(job(request.param, run))
    return request.param, run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_trained(run).module.state_dict()


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_method_is_one_short_file_that_names_its_source(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert len(text.splitlines()) <= 150
    assert "Assumes" in docstring
    assert re.search(r"References\n-+\n.+ \d{4}, ", docstring), "no reference with a year"
    assert re.search(r"eq\.|section", docstring), "no equation or section of the paper"


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_frozen_documented_and_plain(name: str) -> None:
    module = import_module(f"quietframe.methods.{name}")
    settings = module.Settings()
    assert module.DATA in {"single", "pairs", "repeats"}
    for field in dataclasses.fields(settings):
        assert f"\n    {field.name}\n        " in module.Settings.__doc__
        assert isinstance(getattr(settings, field.name), int | float | str | bool)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(settings, field.name, 1)


def test_forty_steps_bring_a_picture_nearer_to_the_truth(trained: tuple[str, Path]) -> None:
    clean, noisy = scene(1)
    # nets that see a pixel's surroundings pooled, or from four sides apart, need more steps than these to become good
    share = {"n2v2": 0.75, "struct_n2v": 0.9}.get(trained[0], 0.5)
    assert mse(denoise(trained[1], noisy), clean) < share * mse(noisy, clean)


def test_the_same_seed_gives_the_same_weights_and_another_one_others(trained: tuple[str, Path], tmp_path: Path) -> None:
    name, run = trained
    loop.train(job(name, tmp_path / "same"))
    loop.train(job(name, tmp_path / "other", seed=43, steps=2))
    first, same, other = weights(run), weights(tmp_path / "same"), weights(tmp_path / "other")
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_an_interrupted_run_resumes_to_the_same_weights(trained: tuple[str, Path], tmp_path: Path) -> None:
    def interrupt(message: str, done: int, total: int) -> None:
        if done == 22:  # seven steps after the last checkpoint
            raise ZeroDivisionError

    name, run = trained
    with pytest.raises(ZeroDivisionError):
        loop.train(job(name, tmp_path / "run"), progress=interrupt)
    loop.train(job(name, tmp_path / "run"), resume=True)
    first, again = weights(run), weights(tmp_path / "run")
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize(
    "module, settings, message",
    [
        (n2v, n2v.Settings(masked_percent=0), "--masked-percent 0: give 0.1 to 50"),
        (n2v, n2v.Settings(filters=0), "--filters 0: give 1 to 512"),
        (n2v, n2v.Settings(depth=5), "--depth 5: give 1 to 4"),
        (care, care.Settings(filters=513), "--filters 513"),
        (care, care.Settings(depth=0), "--depth 0"),
        (care, care.Settings(loss="mea"), "unknown loss 'mea': did you mean mse or mae"),  # type: ignore[arg-type]
    ],
)
def test_settings_out_of_range_are_refused(module: Any, settings: Any, message: str) -> None:
    stats = measure([scene(1)[1][np.newaxis]])
    with pytest.raises(OptionError, match=message):
        module.build(settings, DataStatistics((stats,), (stats,)))


def test_n2v_counts_the_error_of_hidden_pixels_alone() -> None:
    picture = torch.rand(2, 1, 16, 16)
    stats = measure([scene(1)[1][np.newaxis]])
    inputs: list[torch.Tensor] = []

    def net(hidden: torch.Tensor) -> torch.Tensor:
        inputs.append(hidden)
        return torch.zeros_like(hidden)

    batch = Batch(picture, None, torch.Generator().manual_seed(1), DataStatistics((stats,), (stats,)))
    loss = n2v.loss(net, batch, n2v.Settings(masked_percent=20))  # type: ignore[arg-type]
    hidden = inputs[0] != picture
    assert 0 < hidden.sum() < hidden.numel()
    # the net says 0 everywhere, so the loss is the mean square of the pixels that were hidden from it
    assert loss.item() == pytest.approx((picture[hidden] ** 2).mean().item(), rel=1e-5)


def test_n2v_learns_from_a_stack_with_time_as_samples(tmp_path: Path) -> None:
    clean, _ = scene(1)
    stack = np.random.default_rng(2).poisson(clean, (6, *clean.shape)).astype(np.uint16)
    base = job("n2v", tmp_path / "run")
    loop.train(dataclasses.replace(base, pictures=collect([stack], ["stack"])))
    first = stack[0].astype(np.float32)
    assert mse(denoise(tmp_path / "run", first), clean) < 0.5 * mse(first, clean)


@pytest.mark.parametrize("kind, error", [("mse", lambda x: x**2), ("mae", np.abs)])
def test_care_measures_the_error_it_is_asked_for(kind: Any, error: Any) -> None:
    stats = measure([scene(1)[1][np.newaxis]])
    source, target = torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8)
    batch = Batch(source, target, torch.Generator(), DataStatistics((stats,), (stats,)))
    loss = care.loss(torch.nn.Identity(), batch, care.Settings(loss=kind))
    assert loss.item() == pytest.approx(error((source - target).numpy()).mean(), rel=1e-5)


def test_care_gives_the_units_of_its_targets_on_pictures_it_never_saw(tmp_path: Path) -> None:
    pairs = [scene(seed) for seed in (1, 2)]
    pictures = collect(
        [noisy for _, noisy in pairs], ["a", "b"], [(3 * clean + 500).astype(np.float32) for clean, _ in pairs]
    )
    loop.train(dataclasses.replace(job("care", tmp_path / "run", steps=80), pictures=pictures))
    clean, noisy = scene(3)
    result = (denoise(tmp_path / "run", noisy) - 500) / 3
    # 5 dB above the noisy picture, where a wrong unit would put it far below
    assert mse(result, clean) < 10**-0.5 * mse(noisy, clean)
