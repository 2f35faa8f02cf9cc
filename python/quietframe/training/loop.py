"""The training loop, one for all methods: read it from top to bottom.

A method (a file of `quietframe.methods`) says what the net is and what its loss is; the loop does the rest. Weights,
patches and masks depend on the seed and on the number of the step, never on what ran before, so a run that was killed
and resumed ends with the weights of an uninterrupted one, bit for bit (on the same processor and number of threads).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import OptionError
from ..progress import Progress, silent
from . import device
from .checkpoint import load_checkpoint, save_checkpoint, snapshot
from .history import write_curves, write_history
from .interrupt import interruptible
from .patches import Batch, DataStatistics, Pictures, Sampler, Statistics, normalise
from .run_folder import remove_partial, start_run
from .schedule import Schedule

CLIP = 1.0
"""Largest norm of the gradient; a rare bright patch must not throw the weights away."""


class Method(Protocol):
    """What a file of `quietframe.methods` offers."""

    DATA: str

    def build(self, settings: Any, stats: DataStatistics) -> nn.Module:
        """Make the untrained net, normalised input to normalised output."""

    def loss(self, net: nn.Module, batch: Batch, settings: Any) -> Tensor:
        """Return the loss of a batch, a scalar."""

    def denoiser(self, net: nn.Module, settings: Any, stats: DataStatistics) -> nn.Module:
        """Make the module from raw counts to denoised counts around the trained net."""


@dataclass(frozen=True)
class Job:
    """All that a run is made of.

    Parameters
    ----------
    name, method
        The method and its name.
    settings
        The method's settings, a dataclass with ``depth``.
    schedule
        How long, how much, where.
    pictures
        Training data.
    run
        Folder for settings, checkpoint, history and curves; made where it does not exist.
    unit
        Unit of the denoised picture.
    provenance
        Plain values kept with the weights and in ``settings.json``: ``quietframe`` (version), ``files``.
    """

    name: str
    method: Method
    settings: Any
    schedule: Schedule
    pictures: Pictures
    run: Path
    unit: str = "counts"
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass
class State:
    """What changes while a run trains, and what its checkpoint holds beside net and optimiser."""

    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    stopped: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    denoiser: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """What the functions below work on; only net, optimiser and state change."""

    job: Job
    place: device.Place
    stats: DataStatistics
    sampler: Sampler
    net: nn.Module
    optimizer: torch.optim.Optimizer
    state: State


def train(job: Job, *, resume: bool = False, progress: Progress = silent) -> State:
    """Train until the last step, or until the loss is no longer a number.

    Parameters
    ----------
    job
        The run.
    resume
        Continue from the checkpoint in ``job.run`` where there is one.
    progress
        Called after every step with the losses in words.

    Returns
    -------
    State
        ``history`` (one row per validation), ``stopped`` (why it ended early, else empty), ``denoiser`` (best weights).

    Raises
    ------
    OptionError
        When an option cannot work, or the loss is not a number from the first step on.
    InputError
        When a picture is smaller than a patch.
    KeyboardInterrupt
        After Ctrl-C, when the step is finished and the checkpoint is written.
    """
    parts = _begin(job, resume=resume)
    state, schedule = parts.state, job.schedule
    clock = time.monotonic()
    with interruptible() as interrupted:
        while state.step < schedule.steps and not state.stopped:
            source, target = parts.sampler.batch(state.step)
            loss = _step(parts, _batch(parts, source, target, state.step + 1))
            if state.stopped:
                break
            state.step += 1
            state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
            if state.step % schedule.validate_every(schedule.steps) == 0 or state.step == schedule.steps:
                _validate(parts)
            progress(_message(state), state.step, schedule.steps)
            state.seconds, clock = state.seconds + time.monotonic() - clock, time.monotonic()
            if interrupted() or state.step % schedule.checkpoint_every == 0:
                _save(parts)
            if interrupted():
                raise KeyboardInterrupt
    if state.stopped and state.step == 0:
        raise OptionError(f"training {state.stopped.partition(';')[0]}; give a smaller --learning-rate")
    if not state.history:
        _validate(parts)
    _save(parts)
    write_curves(job.run, state.history)
    return state


def _begin(job: Job, *, resume: bool) -> Parts:
    """Check all options, make the net, and the run folder; load what was there where the run resumes."""
    schedule, settings = job.schedule, job.settings
    schedule.check(2**settings.depth)
    place = device.choose(schedule.device, schedule.precision)
    device.keep_freed_memory()
    stats = job.pictures.statistics()
    patch = (schedule.patch_z, schedule.patch_px, schedule.patch_px)[0 if schedule.patch_z > 1 else 1 :]
    batch = 16 if schedule.batch_size == "auto" else schedule.batch_size
    sampler = Sampler(job.pictures, patch, batch, schedule.validation_percent, schedule.seed, schedule.foreground)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(schedule.seed)
        net = job.method.build(settings, stats)
    net = net.to(place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(net.parameters(), lr=schedule.learning_rate)
    state = State()
    if not resume:
        options = {"settings": asdict(settings), "schedule": asdict(schedule)}
        start_run(job.run, {"method": job.name, **options, **job.provenance})
    else:
        remove_partial(job.run)
        if (job.run / "checkpoint.pt").is_file():
            saved = load_checkpoint(job.run)
            net.load_state_dict(saved["net"])
            optimizer.load_state_dict(saved["optimizer"])
            state = load_state(saved)
    return Parts(job, place, stats, sampler, net, optimizer, state)


def load_state(saved: Mapping[str, Any]) -> State:
    """Take the state out of a checkpoint."""
    return State(**{name: saved[name] for name in vars(State())})


def _step(parts: Parts, batch: Batch) -> float:
    """Train one step and return its loss; where that is no number, say so in the state and leave the weights alone."""
    net, optimizer, state = parts.net, parts.optimizer, parts.state
    for group in optimizer.param_groups:
        group["lr"] = parts.job.schedule.rate(state.step)
    net.train()
    optimizer.zero_grad(set_to_none=True)
    with parts.place.autocast():
        loss = parts.job.method.loss(net, batch, parts.job.settings)
    value = float(loss.detach())
    loss.backward()  # type: ignore[no-untyped-call]
    norm = float(nn.utils.clip_grad_norm_(net.parameters(), CLIP))
    if math.isfinite(value) and math.isfinite(norm):
        optimizer.step()
    else:
        what = f"the loss is {value}" if not math.isfinite(value) else f"the gradient is {norm}"
        state.stopped = f"stopped before step {state.step + 1}: {what}; the last good weights were kept"
    return value


def _batch(
    parts: Parts, source: NDArray[np.float32], target: NDArray[np.float32] | None, stream: int, part: int = 0
) -> Batch:
    """Normalise patches and put them where the net is; stream 0 is the validation's, stream k + 1 that of step k."""

    def normal(patches: NDArray[np.float32], of: tuple[Statistics, ...]) -> Tensor:
        tensor = torch.from_numpy(normalise(patches, of))
        return tensor.to(parts.place.device, memory_format=torch.channels_last)

    mixed = np.random.SeedSequence([parts.job.schedule.seed, 2, stream, part]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(mixed >> np.uint64(1)))  # torch takes 63 bits
    answer = None if target is None else normal(target, parts.stats.target)
    return Batch(normal(source, parts.stats.source), answer, generator, parts.stats)


def _validate(parts: Parts) -> None:
    """Measure the loss on the held-out patches, add a row to the history, keep the denoiser if it is the best."""
    job, net, state = parts.job, parts.net, parts.state
    net.eval()
    total, count = 0.0, 0
    with torch.inference_mode(), parts.place.autocast():
        for part, (source, target) in enumerate(parts.sampler.validation()):
            batch = _batch(parts, source, target, 0, part)  # the same masks every time, so that losses compare
            total += float(job.method.loss(net, batch, job.settings)) * len(source)
            count += len(source)
    row = {
        "step": float(state.step),
        "loss": state.loss_sum / max(1, state.loss_count),
        "validation": total / count if count else math.nan,
        "learning_rate": job.schedule.rate(max(0, state.step - 1)),
    }
    state.history.append(row)
    state.loss_sum, state.loss_count = 0.0, 0
    judged = row["validation"] if count else -state.step  # without held-out patches the latest weights are the best
    if judged < state.best_loss or not state.denoiser:
        state.best_loss, state.best_step = judged if math.isfinite(judged) else math.inf, state.step
        state.denoiser = _snapshot(parts)


def _snapshot(parts: Parts) -> dict[str, Any]:
    """Copy the present weights as a denoiser; making one draws weights, which must not touch the caller's seed."""
    with torch.random.fork_rng(devices=[]):
        return snapshot(parts.job.method.denoiser(parts.net, parts.job.settings, parts.stats))


def _message(state: State) -> str:
    """Losses in words: the mean since the last validation, and the validation's."""
    last = state.history[-1] if state.history else {"loss": math.nan, "validation": math.nan}
    mean = state.loss_sum / state.loss_count if state.loss_count else last["loss"]
    validation = f", validation {last['validation']:.4f}" if math.isfinite(last["validation"]) else ""
    return f"training: loss {mean:.4f}{validation}"


def _save(parts: Parts) -> None:
    """Write checkpoint and history."""
    job, state = parts.job, parts.state
    if not state.denoiser:  # before the first validation the present weights are all there is
        state.denoiser = _snapshot(parts)
    about = {
        "method": job.name,
        "settings": asdict(job.settings),
        "schedule": asdict(job.schedule),
        "stats": parts.stats.to_dict(),
        "depth": job.settings.depth,
        "unit": job.unit,
        "provenance": {"seed": job.schedule.seed, "device": parts.place.note, **job.provenance},
    }
    trained = {"net": parts.net.state_dict(), "optimizer": parts.optimizer.state_dict()}
    sample = torch.from_numpy(job.pictures.sample())
    save_checkpoint(job.run, {**vars(state), **trained, "about": about, "sample": sample})
    write_history(job.run, state.history)
