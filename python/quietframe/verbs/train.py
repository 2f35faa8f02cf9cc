"""`quietframe train METHOD`: pictures in, a run folder with a model package out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import InputError, MissingExtraError, OptionError, unknown
from ..methods import method_names, method_summary
from ..progress import Progress, silent

_HELP = """{summary}

The run folder gets model.zip (the package that Python and Fiji run), history.csv, losses.png, settings.json and
checkpoint.pt. A run that was interrupted or killed continues with --resume to the weights it would have had.

Parameters
----------
sources
    Noisy pictures: planes or stacks; time, z and channels are all taken as samples.
out
    Run folder, made where it does not exist.
{target}resume
    Continue the run in the folder; options not given are taken from it.
overwrite
    Replace the run in the folder.
"""

_TARGET_HELP = """target
    One target per picture, in the same order: the clean or less noisy picture of the same scene.
"""


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    method: str
    sources: list[Path]
    target: list[Path] | None
    out: Path
    settings: Any
    schedule: Any
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
    MissingExtraError
        When torch is not installed.
    """
    if method not in method_names():
        raise unknown("method", method, method_names())
    module, schedule_class = _method(method), _schedule_class()

    def command(
        sources: list[Path],
        /,
        *,
        out: Path,
        target: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative=())] = None,
        settings: Any = None,
        schedule: Any = None,
        resume: Annotated[bool, Parameter(negative=())] = False,
        overwrite: Annotated[bool, Parameter(negative=())] = False,
        progress: Annotated[Progress, Parameter(parse=False)] = silent,
    ) -> dict[str, Any]:
        settings, schedule = settings or module.Settings(), schedule or schedule_class()
        return train(Request(method, sources, target, out, settings, schedule, resume, overwrite), progress)

    return _with_options(command, method, module, schedule_class)


def _with_options(command: Any, method: str, module: Any, schedule_class: Any) -> Callable[..., dict[str, Any]]:
    """Give a command its name, its help, and the fields of the two dataclasses as options."""
    defaults = {"settings": module.Settings(), "schedule": schedule_class()}
    parameters = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        if name in defaults:
            annotation = Annotated[type(defaults[name]), Parameter(name="*")]  # type: ignore[valid-type]
            parameters.append(parameter.replace(annotation=annotation, default=defaults[name]))
            command.__annotations__[name] = annotation
        elif name != "target" or module.DATA == "pairs":
            parameters.append(parameter)
    command.__signature__ = inspect.Signature(parameters)
    command.__name__ = method
    command.__doc__ = _HELP.format(
        summary=method_summary(method), target=_TARGET_HELP if module.DATA == "pairs" else ""
    )
    return command  # type: ignore[no-any-return]


def __getattr__(name: str) -> Callable[..., dict[str, Any]]:
    """Give the command of a method as train.<method>, for `quietframe.cli`."""
    if name.startswith("_") or name not in method_names():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make_command(name)


def _method(name: str) -> Any:
    try:
        return import_module(f"quietframe.methods.{name}")
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "torch":
            raise MissingExtraError("training", "torch", "train") from error
        raise


def _schedule_class() -> Any:
    return import_module("quietframe.training.schedule").Schedule


def train(request: Request, progress: Progress = silent) -> dict[str, Any]:
    """Train, write the package, and say what came out.

    Returns
    -------
    dict
        run, model, method, steps, best_step, loss, validation, seconds,
        patches_per_s, device, stopped, notes, summary.
    """
    from ..training import loop, run_folder
    from ..training.checkpoint import load_checkpoint, load_trained

    record = run_folder.check_run(request.out, resume=request.resume, overwrite=request.overwrite)
    pictures, facts = _read(request)
    settings, schedule = request.settings, request.schedule
    if record is not None:
        settings, schedule = _continued(request, record, facts["files"])
    job = loop.Job(
        request.method, _method(request.method), settings, schedule, pictures, request.out, facts["unit"],
        {"quietframe": _version(), "files": facts["files"]},
    )  # fmt: skip
    model = request.out / "model.zip"
    done = record is not None and model.is_file()
    notes = [*facts["notes"], *pictures.notes]
    if done:
        notes.append("the run was finished already; nothing was done")
    elif request.resume and record is None:
        notes.append(f"{request.out} held no run to resume; started from the beginning")
    state = (
        loop.load_state(load_checkpoint(request.out))
        if done
        else loop.train(job, resume=record is not None, progress=progress)
    )
    if not done:
        _write_package(load_trained(request.out), model, progress)
    return _report(request.out, load_trained(request.out), state, schedule, notes)


def _read(request: Request) -> tuple[Any, dict[str, Any]]:
    """Read and check all pictures; return them with names, checksums, unit and notes."""
    from ..images import open_image
    from ..training.patches import collect

    files: list[dict[str, str]] = []
    notes: list[str] = []
    units: list[str] = []

    def read(path: Path, role: str) -> Any:
        with open_image(path) as reader:
            if "S" in reader.axes:
                raise InputError(
                    f"{path} is a colour picture (axes {reader.axes}, shape {reader.shape}); training takes gray "
                    "ones: convert it, or split it into its channels"
                )
            image = reader.read()
            # Planes are samples whatever their axis is called, so train has no --axes.
            notes.extend(f"{path}: {remark.removesuffix('; --axes says otherwise')}" for remark in reader.remarks)
        if "C" in image.axes and image.array.shape[image.axes.index("C")] > 1:
            notes.append(f"{path}: its channels are taken as samples of one model; split them for one model each")
        files.append({"name": path.name, "role": role, "sha256": _checksum(path)})
        units.append(image.info.get("ndr.unit", "counts"))
        return image.array.reshape(-1, *image.array.shape[-2:])

    if _method(request.method).DATA == "pairs" and not request.target:
        raise OptionError(f"{request.method} learns from pairs: give --target, one file per picture, in the same order")
    sources = [read(path, "input") for path in request.sources]
    targets = None if request.target is None else [read(path, "target") for path in request.target]
    pictures = collect(
        sources,
        [str(path) for path in request.sources],
        targets,
        None if request.target is None else [str(path) for path in request.target],
    )
    return pictures, {"files": files, "notes": notes, "unit": units[-1]}


def _checksum(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _continued(request: Request, record: dict[str, Any], files: list[dict[str, str]]) -> tuple[Any, Any]:
    """Return settings and schedule of the run to continue, or say why it cannot be."""
    from ..training.run_folder import same_options

    run = request.out
    if record["method"] != request.method:
        raise InputError(f"{run} is a run of {record['method']}, not of {request.method}; choose another --out")
    if record.get("quietframe") != _version():
        raise InputError(
            f"{run} was started by Quietframe {record.get('quietframe')}, this is {_version()}: the weights would not "
            "be those of one run; choose another --out"
        )
    if record["files"] != files:
        raise InputError(f"{run} was started on other pictures (their checksums differ); choose another --out")
    continued = []
    for kind, given in (("settings", request.settings), ("schedule", request.schedule)):
        options = same_options(run, kind, record[kind], asdict(given), asdict(type(given)()))
        continued.append(type(given)(**options))
    return continued[0], continued[1]


def _write_package(trained: Any, model: Path, progress: Progress) -> None:
    from quietframe_export.package import write_package

    write_package(trained, model, overwrite=True, progress=progress)


def _report(run: Path, trained: Any, state: Any, schedule: Any, notes: list[str]) -> dict[str, Any]:
    """Put what came out of a run into a plain dict, with the lines a person reads."""
    last = state.history[-1]
    speed = state.step * schedule.batch_size / max(state.seconds, 1e-9)
    validation = "" if last["validation"] != last["validation"] else f", validation {last['validation']:.4f}"
    summary = [
        f"{trained.method}: {state.step} steps in {state.seconds:.1f} s ({speed:.0f} patches/s) on "
        f"{trained.provenance['device']}",
        f"loss {last['loss']:.4f}{validation}; best weights from step {state.best_step}",
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
        "device": trained.provenance["device"],
        "stopped": state.stopped,
        "notes": notes,
        "stats": trained.stats,
        "summary": summary,
    }


def _version() -> str:
    from importlib.metadata import version

    return version("quietframe")
