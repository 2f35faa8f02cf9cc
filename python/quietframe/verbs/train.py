"""`quietframe train METHOD`: pictures in, a run folder with a model package out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..camera import Camera
from ..errors import InputError, unknown
from ..methods import method_names, method_summary
from ..progress import Progress, silent
from ..training.schedule import Schedule
from .ndr import CameraOptions
from .train_options import (
    NO_CAMERA,
    NO_READING,
    MethodOptions,
    ReadingOptions,
    load_method,
    method_options,
    reading_record,
    recorded_reading,
)

_HELP = """{summary}

The run folder gets model.zip (the package that Python and Fiji run), history.csv, losses.png, settings.json and
checkpoint.pt. A run that was interrupted or killed continues with --resume to the weights it would have had. Started
by torchrun, several processes share each batch.

Parameters
----------
sources
    {sources}
out
    Run folder, made where it does not exist.
{target}reading
    How files become training pictures.
camera
    What is known of the camera, for exposures.
resume
    Continue the run in the folder; options not given are taken from it.
overwrite
    Replace the run in the folder.
"""

_SOURCES_HELP = {
    "single": "Noisy pictures: planes or stacks; time, z and channels are all taken as samples. Or exposures.",
    "pairs": "Noisy pictures, or exposures with --difference: the fit of their other reads is then the target.",
    "repeats": "Stacks of repeats of a scene each, or one picture per repeat, or exposures with --difference or --fit.",
}
_TARGET_HELP = {
    "single": "",
    "pairs": """target
    One target per picture, in the same order: the clean or less noisy picture of the same scene.
""",
    "repeats": """target
    One second picture per picture, in the same order: the same scene with other noise.
""",
}


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    method: str
    sources: list[Path]
    target: list[Path] | None
    out: Path
    options: MethodOptions
    reading: ReadingOptions
    camera: Camera
    resume: bool
    overwrite: bool


def make_command(method: str) -> Callable[..., dict[str, Any]]:
    """Make the command of a method: its settings and the schedule are options, its data decide on --target.

    Parameters
    ----------
    method
        One of `method_names`.

    Raises
    ------
    OptionError
        When there is no such method.
    """
    if method not in method_names():
        raise unknown("method", method, method_names())
    usual = method_options(method)

    def command(
        sources: list[Path],
        /,
        *,
        out: Path,
        target: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative=())] = None,
        settings: Any = None,
        schedule: Any = None,
        reading: Annotated[ReadingOptions, Parameter(name="*")] = NO_READING,
        camera: Annotated[CameraOptions, Parameter(name="*")] = NO_CAMERA,
        resume: Annotated[bool, Parameter(negative=())] = False,
        overwrite: Annotated[bool, Parameter(negative=())] = False,
        progress: Annotated[Progress, Parameter(parse=False)] = silent,
    ) -> dict[str, Any] | None:
        options = MethodOptions(usual.data, settings or usual.settings, schedule or usual.schedule)
        known = camera.to_camera()
        return train(Request(method, sources, target, out, options, reading, known, resume, overwrite), progress)

    return _with_options(command, method, usual)


def _with_options(command: Any, method: str, usual: MethodOptions) -> Callable[..., dict[str, Any]]:
    """Give a command its name, its help, and the fields of the two dataclasses as options."""
    defaults = {"settings": usual.settings, "schedule": usual.schedule}
    parameters = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        if name in defaults:
            annotation = Annotated[type(defaults[name]), Parameter(name="*")]  # type: ignore[valid-type]
            parameters.append(parameter.replace(annotation=annotation, default=defaults[name]))
            command.__annotations__[name] = annotation
        elif name != "target" or usual.data != "single":
            parameters.append(parameter)
    command.__signature__ = inspect.Signature(parameters)
    command.__name__ = method
    command.__doc__ = _HELP.format(
        summary=method_summary(method), sources=_SOURCES_HELP[usual.data], target=_TARGET_HELP[usual.data]
    )
    return command  # type: ignore[no-any-return]


def __getattr__(name: str) -> Callable[..., dict[str, Any]]:
    """Give the command of a method as train.<method>, for `quietframe.cli`."""
    if name.startswith("_") or name not in method_names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make_command(name)


def train(request: Request, progress: Progress = silent) -> dict[str, Any] | None:
    """Train, write the package, and say what came out.

    Returns
    -------
    dict or None
        run, model, method, steps, best_step, loss, validation, seconds, patches_per_s, batch_size, device, figures
        (what the method has calibrated), stopped, notes, summary. None in all processes but the first.
    """
    method = load_method(request.method)
    from ..training import device, loop
    from ..training.checkpoint import load_checkpoint, load_trained
    from ..training.distributed import join

    schedule = request.options.schedule
    crew = join(device.choose(schedule.device, schedule.precision).device.type)
    record = _record(request, crew)
    if record is not None:
        request = _continued(request, record)
    pictures, facts = _read(request, progress if crew.first else silent)
    if record is not None and record["files"] != facts["files"]:
        raise InputError(f"{request.out} was started on other pictures (their checksums differ); choose another --out")
    settings, schedule = method.Settings(**asdict(request.options.settings)), request.options.schedule
    about = {"quietframe": _version(), "files": facts["files"], "reading": facts["reading"]}
    job = loop.Job(request.method, method, settings, schedule, pictures, request.out, facts["unit"], about)
    model = request.out / "model.zip"
    done = record is not None and model.is_file()
    state = (
        loop.load_state(load_checkpoint(request.out))
        if done
        else loop.train(job, resume=record is not None, progress=progress)
    )
    if not crew.first:
        return None
    trained = load_trained(request.out)
    if not done:
        _write_package(trained, model, progress)
    return _report(request.out, trained, state, [*_notes(request, record, done=done), *facts["notes"], *pictures.notes])


def _record(request: Request, crew: Any) -> dict[str, Any] | None:
    """Check the run folder, in the first process and then in the others; return the record of a run to continue."""
    from ..training import run_folder

    if crew.first:
        record = run_folder.check_run(request.out, resume=request.resume, overwrite=request.overwrite)
    crew.agree(0)  # the others wait, so that they find the folder as the first has found it
    if not crew.first:
        record = run_folder.read_record(request.out) if request.resume else None
    crew.agree(0)
    return record


def _notes(request: Request, record: dict[str, Any] | None, *, done: bool) -> list[str]:
    """Say what --resume has found."""
    if done:
        return ["the run was finished already; nothing was done"]
    if request.resume and record is None:
        return [f"{request.out} held no run to resume; started from the beginning"]
    return []


def _read(request: Request, progress: Progress) -> tuple[Any, dict[str, Any]]:
    """Read and check all training files; return the data with checksums, unit and notes."""
    from ..training.exposures import ExposureRequest
    from ..training.reading import ReadRequest, read_training

    given = request.reading
    record = reading_record(given, request.camera)
    exposure = ExposureRequest(given.difference, given.fit, request.camera, given.guard, given.first, given.last)
    how = ReadRequest(
        request.options.data,
        request.method,
        volumes=request.options.schedule.patch_z > 1,
        joint_channels=given.joint_channels,
        exposure=exposure if given.difference or given.fit else None,
    )
    pictures, facts = read_training(request.sources, request.target, how, progress=progress)
    return pictures, {**facts, "reading": record}


def _continued(request: Request, record: dict[str, Any]) -> Request:
    """Return the request with the options of the run to continue, or say why it cannot be."""
    from ..training.run_folder import same_options

    run = request.out
    if record["method"] != request.method:
        raise InputError(f"{run} is a run of {record['method']}, not of {request.method}; choose another --out")
    if record.get("quietframe") != _version():
        raise InputError(
            f"{run} was started by Quietframe {record.get('quietframe')}, this is {_version()}: the weights would not "
            "be those of one run; choose another --out"
        )
    usual = method_options(request.method)
    given = request.options
    settings = same_options(run, "settings", record["settings"], asdict(given.settings), asdict(usual.settings))
    schedule = same_options(run, "schedule", record["schedule"], asdict(given.schedule), asdict(usual.schedule))
    plain = reading_record(NO_READING, Camera())
    wanted = reading_record(request.reading, request.camera)
    reading, camera = recorded_reading(same_options(run, "option", record.get("reading", plain), wanted, plain))
    options = MethodOptions(usual.data, type(given.settings)(**settings), Schedule(**schedule))
    return replace(request, options=options, reading=reading, camera=camera)


def _write_package(trained: Any, model: Path, progress: Progress) -> None:
    from quietframe_export.package import write_package

    write_package(trained, model, overwrite=True, progress=progress)


def _report(run: Path, trained: Any, state: Any, notes: list[str]) -> dict[str, Any]:
    """Put what came out of a run into a plain dict, with the lines a person reads."""
    last, notes = state.history[-1], [*notes, *state.notes]
    speed = state.step * state.batch_size / max(state.seconds, 1e-9)
    validation = "" if last["validation"] != last["validation"] else f", validation {last['validation']:.4f}"
    summary = [
        f"{trained.method}: {state.step} steps in {state.seconds:.1f} s ({speed:.0f} patches/s) on "
        f"{trained.provenance['device']}",
        f"loss {last['loss']:.4f}{validation}; best weights from step {state.best_step}",
        *(f"{name.replace('_', ' ')}: {value:.4g}" for name, value in state.figures.items()),
        *([state.stopped] if state.stopped else []),
        *(f"note: {note}" for note in notes),
        f"model: {run / 'model.zip'}",
    ]
    return {
        "run": str(run),
        "model": str(run / "model.zip"),
        "method": trained.method,
        "steps": state.step,
        "best_step": state.best_step,
        "loss": last["loss"],
        "validation": last["validation"],
        "seconds": state.seconds,
        "patches_per_s": speed,
        "batch_size": state.batch_size,
        "figures": state.figures,
        "device": trained.provenance["device"],
        "stopped": state.stopped,
        "notes": notes,
        "stats": trained.stats,
        "summary": summary,
    }


def _version() -> str:
    from importlib.metadata import version

    return version("quietframe")
