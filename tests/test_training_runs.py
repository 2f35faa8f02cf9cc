"""How a run ends and what it adapts to: time budget, plateaus, memory, volumes, hooks of methods, slow devices."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from quietframe.errors import OptionError
from quietframe.methods import n2v
from quietframe.training import checkpoint, device, history, loop, memory
from quietframe.training.loop import Job
from quietframe.training.pace import Pace
from quietframe.training.patches import collect
from quietframe.training.schedule import Schedule

PICTURES = collect([np.random.default_rng(5).poisson(50, (2, 48, 64)).astype(np.uint16)], ["a"])


def job(run: Path, method: Any = n2v, **schedule: Any) -> Job:
    options = {"steps": 12, "batch_size": 2, "patch_px": 16, "checkpoint_every": 5, "seed": 3, **schedule}
    return Job("n2v", method, n2v.Settings(filters=2, depth=1), Schedule(**options), PICTURES, run)


def like_n2v(**changed: Any) -> Any:
    parts = {name: getattr(n2v, name) for name in ("DATA", "build", "loss", "denoiser")}
    return SimpleNamespace(**{**parts, **changed})


def scripted(losses: Callable[[int], float]) -> Any:
    """Return Noise2Void whose validation losses are those given, by the number of the validation."""
    count = 0

    def loss(net: nn.Module, batch: Any, settings: Any) -> torch.Tensor:
        nonlocal count
        if net.training:
            return n2v.loss(net, batch, settings)
        count += 1
        return torch.tensor(losses(count))

    return like_n2v(loss=loss)


def same(first: loop.State, second: loop.State) -> bool:
    one, two = first.denoiser["state"], second.denoiser["state"]
    return first.history == second.history and all(torch.equal(one[name], two[name]) for name in one)


def test_patience_ends_a_run_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    state = loop.train(job(tmp_path / "run", scripted(lambda count: [3.0, 2.0, 1.0][count - 1] if count < 4 else 1.5),
                           patience=4))  # fmt: skip
    assert state.stopped == "stopped early after step 7: no gain in 4 validations"
    assert (state.step, state.best_step, state.best_loss) == (7, 3, 1.0)
    first = loop.train(job(tmp_path / "first", scripted(lambda count: 3.0 / count), steps=3, decay="constant"))
    assert first.best_step == 3


def test_plateaus_of_the_validation_halve_the_rate(tmp_path: Path) -> None:
    state = loop.train(job(tmp_path / "run", scripted(lambda count: 1.0), steps=24, decay="plateau", learning_rate=0.8))
    rates = [row["learning_rate"] for row in state.history]
    # the first validation is a gain; the 11th and the 21st are the tenth without one, and the next step's rate is half
    assert rates == [0.8] * 11 + [0.4] * 10 + [0.2] * 3


def test_a_time_budget_fixes_the_number_of_steps_which_a_resumed_run_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("quietframe.training.pace.time", clock)
    monkeypatch.setattr("quietframe.training.loop.time", clock)

    def slow(net: nn.Module, batch: Any, settings: Any) -> torch.Tensor:
        now[0] += 0.1 if net.training else 0.05
        return n2v.loss(net, batch, settings)

    def kill(_: str, done: int, __: int) -> None:
        if done == 30:
            now[0] += 1000.0  # time that passes while the run is dead does not count
            raise ZeroDivisionError

    # 10 s: steps of 0.1 s, 40 validations of one batch, 0.05 s each: 80 steps, one fewer where rounding wants it
    whole = loop.train(job(tmp_path / "run", like_n2v(loss=slow), minutes=10 / 60))
    assert whole.step == whole.steps
    assert whole.steps in (79, 80)
    with pytest.raises(ZeroDivisionError):
        loop.train(job(tmp_path / "killed", like_n2v(loss=slow), minutes=10 / 60), progress=kill)
    resumed = loop.train(job(tmp_path / "killed", minutes=10 / 60), resume=True)  # now without the slow loss
    assert same(resumed, whole)
    assert resumed.steps == whole.steps


@pytest.mark.parametrize(
    "validation_s, steps",
    [(0.0, 10 + 900), (0.5, 10 + 700), (20.0, 10 + 4)],
    ids=["free", "40 of them", "one per step"],
)
def test_steps_fill_the_budget_beside_the_validations(
    validation_s: float, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, *(0.1 * k for k in range(1, 11)), 10.0])
    monkeypatch.setattr("quietframe.training.pace.time.monotonic", lambda: next(clock))
    pace = Pace()
    for _ in range(10):
        pace.tick()
    # 90 s are left; a step takes 0.1 s: 900 of them, 700 with 40 x 0.5 s, and 90 / 20.1 where each is validated
    assert pace.steps_within(100.0, 10, validation_s, 40) == steps


EVERY_OPTION = {"average": 0.9, "weight_decay": 0.01, "decay": "plateau", "patience": 9}


@pytest.mark.parametrize("threads, options", [(1, EVERY_OPTION), (2, {"steps": 7, "checkpoint_every": 3})])
def test_a_resumed_run_has_the_same_bits_with_any_options_and_two_threads(
    threads: int, options: dict[str, Any], tmp_path: Path
) -> None:
    def kill(_: str, done: int, __: int) -> None:
        if done == 5:
            raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = loop.train(job(tmp_path / "whole", **options))
        with pytest.raises(ZeroDivisionError):
            loop.train(job(tmp_path / "run", **options), progress=kill)
        assert same(loop.train(job(tmp_path / "run", **options), resume=True), whole)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("planes, validations", [(1, 40), (4, 20)])
def test_more_held_out_patches_are_looked_at_less_often(planes: int, validations: int, tmp_path: Path) -> None:
    stack = np.random.default_rng(5).poisson(50, (planes, 64, 64)).astype(np.uint16)
    # 16 patches a plane, of which 10 % are held out: 2 of one plane, which is a batch, and 6 of 4 planes
    made = replace(job(tmp_path / "run", steps=80, validation_percent=10), pictures=collect([stack], ["a"]))
    assert len(loop.train(made).history) == validations


def test_losses_that_are_read_late_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each = loop.train(job(tmp_path / "each", steps=90))
    monkeypatch.setattr(device.Place, "waits", 20)  # as on a GPU
    late = loop.train(job(tmp_path / "late", steps=90))
    assert [row["validation"] for row in late.history] == [row["validation"] for row in each.history]
    assert same(late, each)


@pytest.mark.parametrize("waits", [1, 20])
def test_a_bad_loss_that_is_read_late_stops_at_its_step_with_the_weights_before_it(
    waits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def loss(net: nn.Module, batch: Any, settings: Any) -> torch.Tensor:
        nonlocal calls
        calls += net.training
        return n2v.loss(net, batch, settings) * (float("nan") if net.training and calls == 5 else 1.0)

    monkeypatch.setattr(device.Place, "waits", waits)
    state = loop.train(job(tmp_path / "run", like_n2v(loss=loss), steps=400, validation_percent=0))
    assert state.step == 4
    assert state.stopped.startswith("stopped before step 5: the loss is nan")

    def kill(_: str, done: int, __: int) -> None:
        if done == 5:
            raise ZeroDivisionError

    options = {"steps": 400, "validation_percent": 0, "checkpoint_every": 4}
    with pytest.raises(ZeroDivisionError):
        loop.train(job(tmp_path / "good", **options), progress=kill)
    good = checkpoint.load_checkpoint(tmp_path / "good")
    assert good["step"] == 4
    bad = checkpoint.load_checkpoint(tmp_path / "run")
    assert all(torch.equal(bad["net"][name], value) for name, value in good["net"].items())
    assert all(torch.equal(state.denoiser["state"][f"net.{name}"], value) for name, value in good["net"].items())


def allocating(limit: int, error: Exception) -> Any:
    """Return Noise2Void that runs out of memory with more than `limit` patches."""

    def loss(net: nn.Module, batch: Any, settings: Any) -> torch.Tensor:
        if len(batch.source) > limit:
            raise error
        return n2v.loss(net, batch, settings)

    return like_n2v(loss=loss)


CPU_ERROR = RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ...")


@pytest.mark.parametrize("error", [CPU_ERROR, torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_out_of_memory_is_said_with_a_batch_that_may_fit(error: Exception, tmp_path: Path) -> None:
    words = r"out of memory: --batch-size 8 with patches of 16 x 16 px does not fit; start again \(--overwrite\) with"
    with pytest.raises(OptionError, match=words):
        loop.train(job(tmp_path / "run", allocating(4, error), batch_size=8))


def test_one_patch_that_does_not_fit_asks_for_a_smaller_one(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--batch-size 1 .* with a smaller --patch-px"):
        loop.train(job(tmp_path / "run", allocating(0, MemoryError()), batch_size="auto"))


def test_auto_takes_the_batch_that_fits_and_trains_as_if_it_had_been_asked_for(tmp_path: Path) -> None:
    state = loop.train(job(tmp_path / "auto", allocating(5, CPU_ERROR), batch_size="auto"))
    assert state.batch_size == 4
    assert same(state, loop.train(job(tmp_path / "four", batch_size=4)))
    assert checkpoint.load_trained(tmp_path / "auto").settings["batch_size"] == 4


def test_an_error_that_is_not_of_memory_is_not_hidden() -> None:
    assert not memory.is_out_of_memory(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"), memory.explained(4, (8, 8)):
        raise RuntimeError("shapes differ")


class Volumes(nn.Module):
    """A net for volumes of two channels."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv3d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(x)
        return out


def test_volumes_and_channels_are_trained_on_channels_last(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    def loss(net: nn.Module, batch: Any, settings: Any) -> torch.Tensor:
        if net.training:
            seen.append(batch.source)
        return ((net(batch.source) - batch.source) ** 2).mean()

    method = like_n2v(build=lambda settings, stats: Volumes(), loss=loss)
    stack = np.random.default_rng(1).normal([[[[100.0]]], [[[7.0]]]], 2.0, (6, 2, 8, 24, 24)).astype(np.float32)
    pictures = collect([stack], ["a"], dims=3)
    # no denoiser of `nets` fits this net; the weights are kept by hand
    made = SimpleNamespace(**vars(method) | {"denoiser": lambda net, *_: SimpleNamespace(kwargs={}, state_dict=dict)})
    state = loop.train(replace(job(tmp_path / "run", made, patch_z=4, steps=40), pictures=pictures))
    assert seen[0].shape == (2, 2, 4, 16, 16)
    assert seen[0].is_contiguous(memory_format=torch.channels_last_3d)
    # each channel is normalised on its own
    assert torch.stack(seen).mean(dim=(0, 1, 3, 4, 5)).abs().max() < 0.05
    assert state.history[-1]["validation"] < state.history[0]["validation"]
    assert checkpoint.load_checkpoint(tmp_path / "run")["about"]["dims"] == 3


def test_a_method_looks_at_the_data_first_and_its_picture_lies_in_the_run(tmp_path: Path) -> None:
    looked: list[Any] = []

    def prepare(pictures: Any, settings: n2v.Settings, folder: Path) -> tuple[n2v.Settings, list[str]]:
        looked.append((pictures, folder))
        (folder / "noise_correlation.png").write_bytes(b"picture")
        return replace(settings, masked_percent=33.0), ["33 % are hidden"]

    state = loop.train(job(tmp_path / "run", like_n2v(prepare=prepare)))
    assert looked[0][0] is PICTURES
    assert (tmp_path / "run/noise_correlation.png").read_bytes() == b"picture"
    assert state.notes == ["33 % are hidden"]
    assert checkpoint.load_trained(tmp_path / "run").settings["masked_percent"] == 33
    assert '"masked_percent": 10.0' in (tmp_path / "run/settings.json").read_text()  # what was asked for, for --resume


@pytest.mark.parametrize("validation_percent", [5.0, 0.0])
def test_a_method_calibrates_the_weights_that_are_kept(validation_percent: float, tmp_path: Path) -> None:
    calls: list[tuple[bool, bool, int]] = []

    def calibrate(net: nn.Module, batches: Any, settings: Any) -> dict[str, float]:
        batches = list(batches)
        calls.append((net.training, torch.is_inference_mode_enabled(), len(batches)))
        return {"standardised_error": 1.0 + len(calls)}

    method = like_n2v(calibrate=calibrate)
    state = loop.train(job(tmp_path / "run", method, validation_percent=validation_percent))
    assert calls
    assert all(not training and inference and batches for training, inference, batches in calls)
    kept = [row["standardised_error"] for row in state.history]
    assert kept[state.history.index(next(row for row in state.history if row["step"] == state.best_step))] == kept[-1]
    assert state.figures == {"standardised_error": 1.0 + len(calls)}
    assert checkpoint.load_trained(tmp_path / "run").provenance["standardised_error"] == 1.0 + len(calls)
    assert (tmp_path / "run/history.csv").read_text().splitlines()[0].endswith("learning_rate,standardised_error")


def test_compiling_is_asked_for_and_trains_the_same_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    def compile_(forward: Any) -> Any:
        compiled.append(forward)
        return lambda *inputs: forward(*inputs)

    monkeypatch.setattr(torch, "compile", compile_)
    state = loop.train(job(tmp_path / "run", compile=True))
    assert len(compiled) == 1
    assert same(state, loop.train(job(tmp_path / "plain")))


def test_progress_tells_the_speed(tmp_path: Path) -> None:
    seen: list[str] = []
    loop.train(job(tmp_path / "run"), progress=lambda message, *_: seen.append(message))
    assert seen[-1].endswith(" patches/s")
    assert float(seen[-1].split(", ")[-1].split()[0]) > 1


def test_curves_are_drawn_while_training_but_cost_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    drawn: list[float] = []
    monkeypatch.setattr("quietframe.training.history.time.monotonic", lambda: now[0])

    def write(_: Path, __: Any) -> None:
        drawn.append(now[0])
        now[0] += 0.4  # a picture takes this long: 50 times as long must pass before the next

    monkeypatch.setattr(history, "write_curves", write)
    curves = history.Curves(tmp_path, every_s=5)
    row = {"step": 1.0, "loss": 1.0, "validation": 1.0, "learning_rate": 1.0}
    while now[0] < 60:
        curves.show([row])
        now[0] += 1
    assert drawn == pytest.approx([5.0, 26.0, 47.0], abs=1.5)
    assert (tmp_path / "history.csv").is_file()


@pytest.mark.parametrize("loss", [0.5, -0.5, math.nan])
def test_losses_of_any_sign_can_be_drawn(loss: float, tmp_path: Path) -> None:
    rows = [{"step": float(k), "loss": loss, "validation": loss, "learning_rate": 1.0} for k in (1, 2)]
    assert history.write_curves(tmp_path, rows).read_bytes().startswith(b"\x89PNG")


def test_tensorboard_gets_the_curves_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            self.folder = folder

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, value, step))

        def flush(self) -> None:
            pass

        def close(self) -> None:
            told.append(("closed", 0.0, 0))

    fake = ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    monkeypatch.setattr(history.importlib.util, "find_spec", lambda name: name == "tensorboard" or None)
    state = loop.train(job(tmp_path / "run", steps=2))
    names = {name for name, *_ in told}
    assert names == {"loss", "validation", "learning_rate", "closed"}
    assert [value for name, value, _ in told if name == "validation"] == [row["validation"] for row in state.history]
