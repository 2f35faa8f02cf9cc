"""The training loop, one for all methods: read it from top to bottom.

A method (a file of `quietframe.methods`) says what the net is and what its loss is; the loop does the rest. Weights,
patches and masks depend on the seed and on the number of the step, never on what ran before, so a run that was killed
and resumed ends with the weights of an uninterrupted one, bit for bit (on the same processor and number of threads).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from ..errors import OptionError
from ..progress import Progress, silent
from . import device
from .checkpoint import load_checkpoint, save_checkpoint, snapshot
from .distributed import Crew, join
from .feed import Feed, open_feed
from .history import Curves, write_history
from .interrupt import interruptible
from .job import Job, Method, State, load_state
from .memory import explained
from .optimizer import AdamW
from .pace import Pace
from .patches import Batch, DataStatistics
from .run_folder import adopt_pictures, remove_partial, start_run
from .schedule import PLATEAU

__all__ = ["Job", "Method", "State", "load_state", "train"]


@dataclass(frozen=True)
class Parts:
    """What the functions below work on; only net, optimiser, state, and the list of unread losses change."""

    job: Job
    place: device.Place
    crew: Crew
    stats: DataStatistics
    feed: Feed
    net: nn.Module
    optimizer: AdamW
    state: State
    pace: Pace
    curves: Curves | None
    unread: list[Tensor] = field(default_factory=list)


def train(job: Job, *, resume: bool = False, progress: Progress = silent) -> State:
    """Train until the last step, until nothing is gained any more, or until the loss is no longer a number.

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
        When an option cannot work, a batch does not fit into the memory, or the loss is not a number from the first
        step on.
    InputError
        When a picture is smaller than a patch.
    KeyboardInterrupt
        After Ctrl-C, when the step is finished and the checkpoint is written.
    """
    parts = _begin(job, resume=resume)
    state = parts.state
    try:
        memory = explained(state.batch_size, parts.feed.sampler.patch)
        with memory, parts.place.tuned(), interruptible() as interrupted:
            while not state.stopped and (state.step < state.steps or not state.steps):
                _step(parts)
                _after_step(parts, interrupted, progress)
        if state.stopped and state.step == 0:
            raise OptionError(f"training {state.stopped.partition(';')[0]}; give a smaller --learning-rate")
        if not state.history:
            _validate(parts)
        _save(parts)
    finally:
        parts.feed.close()
    if parts.curves is not None:
        parts.curves.finish(state.history)
    return state


def _after_step(parts: Parts, interrupted: Callable[[], bool], progress: Progress) -> None:
    """Read the losses, validate, save and tell the progress, each when its time has come."""
    state, schedule, crew = parts.state, parts.job.schedule, parts.crew
    due = _validates(parts)
    if due or not state.steps or len(parts.unread) >= parts.place.waits:
        _read_losses(parts)
    if not state.stopped and due:
        _validate(parts)
    if not state.stopped and not state.steps and crew.any(parts.pace.is_known(60 * (schedule.minutes or 0))):
        _fix_steps(parts)
    if crew.first:
        progress(_message(parts), state.step, state.steps or state.step + 1)
    stop = not parts.unread and crew.any(interrupted())
    if stop or (state.step % schedule.checkpoint_every == 0 and not state.stopped):
        _save(parts)
    if stop:
        raise KeyboardInterrupt


def _begin(job: Job, *, resume: bool) -> Parts:
    """Check all options, make the net, and the run folder; load what was there where the run resumes."""
    schedule = job.schedule
    schedule.check(2**job.settings.depth)
    place = device.choose(schedule.device, schedule.precision)
    crew = join(place.device.type)
    crew.check_batch(schedule.batch_size)
    device.keep_freed_memory()
    stats = job.pictures.statistics()
    options = {"settings": asdict(job.settings), "schedule": asdict(schedule)}  # as they were asked for
    saved = load_checkpoint(job.run) if resume and (job.run / "checkpoint.pt").is_file() else None
    with TemporaryDirectory(prefix="quietframe-") as drawn:
        notes: list[str] = []
        if hasattr(job.method, "prepare"):
            settings, notes = job.method.prepare(job.pictures, job.settings, Path(drawn))
            job = replace(job, settings=settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(schedule.seed)
            net = job.method.build(job.settings, stats)
        net = place.settle(net, stats.dims)
        state = State(notes=list(notes)) if saved is None else load_state(saved)
        feed = open_feed(job, place, stats, net, state)
        crew.split(net)
        if crew.first and not resume:
            start_run(job.run, {"method": job.name, **options, **job.provenance})
        if crew.first:
            remove_partial(job.run)
            adopt_pictures(job.run, Path(drawn))
    optimizer = AdamW(net.parameters(), weight_decay=schedule.weight_decay, average=schedule.average)
    if saved is not None:
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
    if schedule.compile:
        net.forward = torch.compile(net.forward)
    curves = Curves(job.run) if crew.first else None
    return Parts(job, place, crew, stats, feed, net, optimizer, state, Pace(state.seconds), curves)


def _step(parts: Parts) -> None:
    """Train one step; from the first loss or gradient on that is no number, the optimiser leaves the weights alone."""
    job, state = parts.job, parts.state
    parts.net.train()
    parts.optimizer.clear()
    with parts.place.autocast():
        loss = job.method.loss(parts.net, parts.feed.batch(state.step), job.settings)
    loss.backward()  # type: ignore[no-untyped-call]
    parts.crew.sum_gradients(parts.optimizer.parameters)
    norm = parts.optimizer.step(loss, job.schedule.rate(state.step, state.steps, state.halvings))
    parts.unread.append(torch.stack([loss.detach().float(), norm]))
    state.step += 1
    parts.pace.tick()


def _read_losses(parts: Parts) -> None:
    """Take the losses of the last steps from the device; where one is no number, go back to the step before it."""
    state = parts.state
    first = state.step - len(parts.unread)
    values = torch.stack(parts.unread).tolist() if parts.unread else []
    parts.unread.clear()
    for step, (loss, norm) in enumerate(values, first):
        if not (math.isfinite(loss) and math.isfinite(norm)):
            what = f"the gradient is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
            state.step = step
            state.stopped = f"stopped before step {step + 1}: {what}; the last good weights were kept"
            return
        state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
    state.seconds = parts.pace.seconds


def _validates(parts: Parts) -> bool:
    """Tell whether the step just done is followed by a validation."""
    state = parts.state
    every = parts.job.schedule.validate_every(state.steps, parts.feed.validations)
    return state.steps > 0 and (state.step % every == 0 or state.step == state.steps)


def _validate(parts: Parts) -> None:
    """Measure the loss on the held-out patches, add a row to the history, keep the denoiser if it is the best."""
    job, state = parts.job, parts.state
    parts.net.eval()
    total, count = 0.0, 0
    with torch.inference_mode(), parts.place.autocast(), parts.optimizer.averaged():
        for batch in parts.feed.validation():
            total += float(job.method.loss(parts.net, batch, job.settings)) * len(batch.source)
            count += len(batch.source)
    row = {
        "step": float(state.step),
        "loss": state.loss_sum / max(1, state.loss_count),
        "validation": parts.crew.agree(total / count)[0] if count else math.nan,
        "learning_rate": job.schedule.rate(max(0, state.step - 1), state.steps, state.halvings),
    }
    state.loss_sum, state.loss_count = 0.0, 0
    judged = row["validation"] if count else -state.step  # without held-out patches the latest weights are the best
    state.waiting, state.flat = state.waiting + 1, state.flat + 1
    if judged < state.best_loss or not state.denoiser:
        state.best_loss, state.best_step = judged if math.isfinite(judged) else math.inf, state.step
        state.waiting = state.flat = 0
        _keep(parts)
    state.history.append({**row, **state.figures})
    if job.schedule.decay == "plateau" and state.flat >= PLATEAU:
        state.halvings, state.flat = state.halvings + 1, 0
    if 0 < job.schedule.patience <= state.waiting and state.step < state.steps:
        state.stopped = f"stopped early after step {state.step}: no gain in {state.waiting} validations"
    if parts.curves is not None:
        parts.curves.show(state.history)


def _fix_steps(parts: Parts) -> None:
    """Turn the time budget into a number of steps, once, from the speed so far."""
    start = time.monotonic()
    _validate(parts)
    budget = 60 * (parts.job.schedule.minutes or 0)
    took = time.monotonic() - start
    steps = parts.pace.steps_within(budget, parts.state.step, took, parts.feed.validations)
    parts.state.steps = int(parts.crew.agree(steps)[0])


def _keep(parts: Parts) -> None:
    """Copy the present weights as a denoiser; making one draws weights, which must not touch the caller's seed."""
    method, settings = parts.job.method, parts.job.settings
    with torch.random.fork_rng(devices=[]), parts.optimizer.averaged():
        if hasattr(method, "calibrate"):
            batches: Iterable[Batch] = list(parts.feed.validation()) or [parts.feed.batch(0)]
            parts.net.eval()
            with torch.inference_mode():
                parts.state.figures = method.calibrate(parts.net, batches, settings)
        parts.state.denoiser = snapshot(method.denoiser(parts.net, settings, parts.stats))


def _message(parts: Parts) -> str:
    """Say the losses, the mean since the last validation and the validation's, and the speed."""
    state = parts.state
    last = state.history[-1] if state.history else {"loss": math.nan, "validation": math.nan}
    mean = state.loss_sum / state.loss_count if state.loss_count else last["loss"]
    validation = f", validation {last['validation']:.4f}" if math.isfinite(last["validation"]) else ""
    speed = f", {state.batch_size / parts.pace.step_s:.0f} patches/s" if parts.pace.step_s else ""
    return f"training: loss {mean:.4f}{validation}{speed}"


def _save(parts: Parts) -> None:
    """Write checkpoint and history."""
    job, state = parts.job, parts.state
    _read_losses(parts)
    if not state.denoiser:  # before the first validation the present weights are all there is
        _keep(parts)
    if not parts.crew.first:
        return
    about = {
        "method": job.name,
        "settings": asdict(job.settings),
        "schedule": asdict(job.schedule),
        "stats": parts.stats.to_dict(),
        "dims": parts.stats.dims,
        "depth": job.settings.depth,
        "unit": job.unit,
        "provenance": {"seed": job.schedule.seed, "device": parts.place.note, **job.provenance},
    }
    trained = {"net": parts.net.state_dict(), "optimizer": parts.optimizer.state_dict()}
    sample = torch.from_numpy(job.pictures.sample())
    save_checkpoint(job.run, {**vars(state), **trained, "about": about, "sample": sample})
    write_history(job.run, state.history)
