"""What Appose runs in Python for the Fiji commands: pixels out of shared memory, one verb, its answer.

Fiji starts this as the worker's init script, so its functions are known to every task: ``train(task, ...)``,
``prepare(task, ...)``, ``denoise(task, ...)``. Each returns a dict of plain values; what the user can mend comes back
as ``{"problem": sentence}``.
"""

import os
import re
import signal
import sys
import tempfile
import time

import numpy  # on Windows it must be imported before the worker reads its input, else the import hangs

PAUSE_S = 0.1
"""Shortest time between two reports of progress [s]."""

_kept = {}


def _asked(work):
    """Run `work`; a fault of the user becomes an answer, in the words of Fiji's options."""
    from quietframe.errors import QuietframeError

    try:
        return work()
    except QuietframeError as error:
        text = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda found: found[1].replace("-", "_"), str(error))
        text = text.replace(", or add resume or overwrite", "")  # Fiji's command has neither
        text = re.sub(r"\S*quietframe-fiji-\w+[/\\]", "", text)  # the folder of the files that stand for open images
        return {"problem": " ".join(text.split())}
    except MemoryError:
        return {"problem": "Python has too little memory for this: take a smaller picture, batch_size or patch_px"}


def _pixels(parts):
    """Planes, an array of N x Y x X, out of the pieces of shared memory they came in."""
    arrays = [part.ndarray() for part in parts]
    return arrays[0] if len(arrays) == 1 else numpy.concatenate(arrays)


def _write(folder, about, parts):
    """Write an image as the file that a verb reads; the name of the image stays."""
    from pathlib import Path

    from quietframe.images import Image, write_image
    from quietframe.images.tiff_metadata import parse_info

    shape = [int(size) for size in about["shape"]]
    array = _pixels(parts).reshape(shape)
    image = Image(
        array,
        about["axes"],
        {axis: float(size) for axis, size in about["pixel_size_um"].items()},
        float(about["frame_interval_s"]) or None,
        parse_info(about["info"]),
    )
    stem = re.sub(r"[^\w.+-]+", "_", re.sub(r"\.tiff?$", "", about["title"])) or "image"
    path = Path(folder, stem + ".tif")
    number = 1
    while path.exists():
        number += 1
        path = Path(folder, f"{stem}_{number}.tif")
    return write_image(path, image, dtype=about["dtype"])


class _Preview:
    """A piece of the picture, noisy beside restored by the best weights so far, as a file; anew with the checkpoints."""

    def __init__(self, run, file, every_s):
        self.run, self.file, self.every_s, self.due, self.seen = run, file, every_s, 0.0, None

    def __call__(self):
        """Return the path of a new preview, or None."""
        checkpoint = self.run / "checkpoint.pt"
        if not self.every_s or time.monotonic() < self.due or not checkpoint.is_file():
            return None
        try:
            stamp = os.stat(checkpoint).st_mtime_ns
            if stamp == self.seen:
                return None
            self._make()
        except Exception as error:  # a training must not end of a preview
            print(f"no preview: {error}", file=sys.stderr)
            return None
        finally:
            self.due = time.monotonic() + self.every_s
        self.seen = stamp
        return self.file

    def _make(self):
        import tifffile
        import torch

        from quietframe.training.checkpoint import load_trained

        with torch.random.fork_rng(devices=[]), torch.inference_mode():  # loading draws numbers that are the training's
            trained = load_trained(self.run)
            noisy = torch.from_numpy(trained.sample)
            restored = trained.module(noisy.reshape(1, *([1] * (trained.dims + 1 - noisy.ndim)), *noisy.shape))
        restored = restored if torch.is_tensor(restored) else restored[0]
        planes = [values.reshape(-1, *values.shape[-2:])[0].numpy() for values in (noisy, restored)]
        tifffile.imwrite(self.file, numpy.concatenate(planes, axis=1).astype(numpy.float32))


class _Progress:
    """Tell Fiji how far it is; stop the training, as Ctrl-C does, when Fiji says so or is gone."""

    def __init__(self, task, preview=lambda: None):
        self.task, self.preview, self.parent, self.last, self.stopped = task, preview, os.getppid(), 0.0, False

    def __call__(self, message, done, total):
        now = time.monotonic()
        if now - self.last >= PAUSE_S or done >= total:
            self.last = now
            shown = self.preview()
            self.task.update(message, done, total, **({"info": {"preview": shown}} if shown else {}))
        if not self.stopped and (self.task.cancel_requested or os.getppid() != self.parent):
            self.stopped = True  # a second signal would interrupt within a step
            signal.raise_signal(signal.SIGINT)


def train(task, images, out, request):
    """Train a method; runs in the main thread, where Python has signals.

    `images`: one or two (about, parts): the picture, and its target. `request`: method, options (option -> value for
    those that differ from the method's own), preview_s (pause between two previews [s], 0 for none).
    """
    return _asked(lambda: _train(task, images, out, request))


def _train(task, images, out, request):
    from dataclasses import fields, replace
    from pathlib import Path

    from quietframe.verbs.train import make_command
    from quietframe.verbs.train_options import ReadingOptions, method_options

    method, run = request["method"], Path(out)
    run.parent.mkdir(parents=True, exist_ok=True)
    usual, options = method_options(method), request["options"]
    settings, schedule = (
        replace(part, **{field.name: options[field.name] for field in fields(part) if field.name in options})
        for part in (usual.settings, usual.schedule)
    )
    reading = ReadingOptions(difference=(options["difference"],)) if options.get("difference") else ReadingOptions()
    try:
        with tempfile.TemporaryDirectory(prefix="quietframe-fiji-") as folder:
            preview = _Preview(run, os.path.join(folder, "preview.tif"), request.get("preview_s", 0))
            progress = _Progress(task, preview)
            progress("taking the pictures over", 0, 1)
            paths = [_write(folder, about, parts) for about, parts in images]
            target = {"target": paths[1:]} if paths[1:] else {}
            report = make_command(method)(
                paths[:1], out=run, settings=settings, schedule=schedule, reading=reading, progress=progress, **target
            )
    except KeyboardInterrupt:
        return _stopped(run, method)
    return {
        "model": report["model"],
        "stopped": report["stopped"] or "",
        "summary": report["summary"][:-1],  # all but the path of the model
        "steps": report["steps"],
    }


def _stopped(run, method):
    """Make the package of the best weights that a stopped run has kept."""
    if not (run / "checkpoint.pt").is_file():
        return {"problem": "stopped before the first step; there is no model"}
    from quietframe.training.checkpoint import load_checkpoint, load_trained
    from quietframe_export.package import write_package

    state = load_checkpoint(run)
    write_package(load_trained(run), run / "model.zip", overwrite=True)
    said = f"stopped after step {state['step']}; the best weights are from step {state['best_step']}"
    return {"model": str(run / "model.zip"), "stopped": said, "summary": [f"{method}: {said}"], "steps": state["step"]}


def prepare(task, model, provider, threads):
    """Load a model, or take the one that is loaded; say what it gives and where it runs."""
    return _asked(lambda: _prepare(model, provider, threads))


def _prepare(model, provider, threads):
    from pathlib import Path

    from quietframe.inference.package import read_package
    from quietframe.inference.runner import Runner

    weights = os.path.join(model, "weights.onnx")
    stat = os.stat(weights if os.path.isdir(model) else model)
    key = (model, provider, threads, stat.st_size, stat.st_mtime_ns)
    if _kept.get("key") != key:
        _kept.clear()
        _kept.update(key=key, runner=Runner(read_package(Path(model)), provider, threads or None))
    runner = _kept["runner"]
    return {
        "outputs": list(runner.outputs),
        "provider": runner.provider,
        "provider_note": runner.provider_note,
        "method": str(runner.package.own("method") or ""),
        "name": runner.package.name,
        "sha256": runner.package.sha256,
    }


def denoise(task, about, parts, results, tile):
    """Denoise with the model that `prepare` has loaded, into the shared memory `results` (a list of parts per output)."""
    return _asked(lambda: _denoise(task, about, parts, results, tile))


def _denoise(task, about, parts, results, tile):
    from quietframe.images import Image
    from quietframe.inference.large import denoise_outputs
    from quietframe.verbs.denoise import tile_option

    def progress(message, done, total):
        task.update(message, done, total)
        if task.cancel_requested:
            raise KeyboardInterrupt

    start = time.perf_counter()
    image = Image(_pixels(parts).reshape([int(size) for size in about["shape"]]), about["axes"], {}, None, {})
    made = list(denoise_outputs(image, _kept["runner"], tile=tile_option(tile), progress=progress).values())
    computed = time.perf_counter() - start
    for one, places in zip(made, results, strict=True):
        if one.array.shape != image.array.shape:
            return {"problem": f"the model gives {one.array.shape}, not {image.array.shape}; use engine=java"}
        planes, at = one.array.reshape(-1, *one.array.shape[-2:]), 0
        for place in places:
            piece = place.ndarray()
            piece[:] = planes[at : at + len(piece)]
            at += len(piece)
    infos = [{key: str(value) for key, value in one.info.items()} for one in made]
    return {"computed_s": computed, "info": infos}
