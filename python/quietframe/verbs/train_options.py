"""The options of `quietframe train METHOD`: of the method, of every run, and of how files become training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, make_dataclass
from importlib import import_module
from typing import Annotated, Any

from cyclopts import Parameter

from ..camera import Camera
from ..errors import MissingExtraError, OptionError
from ..training.schedule import Schedule
from .ndr import CameraOptions
from .settings_reading import settings_module


@dataclass(frozen=True)
class ReadingOptions:
    """How files become training pictures.

    Parameters
    ----------
    joint_channels
        Show the net all channels at once; without it each channel is a sample of its own.
    difference
        The files are exposures: train on differences of K sub-frames, of several K at once where several are given.
    fit
        The files are exposures: train on fits, of windows of K sub-frames where --difference says K, else of all.
    guard
        Sub-frames left out between two windows of an exposure.
    first
        First sub-frame of an exposure to use, from 1; by default the first valid one.
    last
        Last sub-frame of an exposure to use; by default the last.
    """

    joint_channels: Annotated[bool, Parameter(negative=())] = False
    difference: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative=())] = ()
    fit: Annotated[bool, Parameter(negative=())] = False
    guard: int = 1
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True)
class MethodOptions:
    """What a method's file says of itself, as far as options go.

    Parameters
    ----------
    data
        What it learns from: ``single``, ``pairs`` or ``repeats``.
    settings
        Its settings with their defaults, a dataclass.
    schedule
        The schedule with the method's own defaults.
    """

    data: str
    settings: Any
    schedule: Schedule


def load_method(name: str) -> Any:
    """Import a method's file, and torch with it.

    Raises
    ------
    MissingExtraError
        When torch is not installed.
    """
    try:
        return import_module(f"quietframe.methods.{name}")
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "torch":
            raise MissingExtraError("training", "torch", "train") from error
        raise


def method_options(name: str) -> MethodOptions:
    """Read a method's options from its file without running the rest of it, and so without importing torch."""
    module = settings_module("methods", name) or load_method(name)
    return MethodOptions(module.DATA, module.Settings(), _schedule(getattr(module, "SCHEDULE", {})))


def _schedule(own: Mapping[str, Any]) -> Schedule:
    """Return the schedule with a method's own defaults, as a class of its own: cyclopts asks the class for them."""
    fields = [(name, Schedule.__annotations__[name], value) for name, value in own.items()]
    about = {"__doc__": Schedule.__doc__, "__module__": Schedule.__module__}
    made: Schedule = make_dataclass("Schedule", fields, bases=(Schedule,), namespace=about, frozen=True)()
    return made


def reading_record(reading: ReadingOptions, camera: Camera) -> dict[str, Any]:
    """Return what decides on the training data, beside the files, as plain values for ``settings.json``.

    Raises
    ------
    OptionError
        When an option of exposures is given for pictures.
    """
    record = {**asdict(reading), "difference": list(reading.difference), **asdict(camera)}
    if not (reading.difference or reading.fit):
        usual = {**asdict(ReadingOptions()), "difference": [], **asdict(Camera())}
        for name, value in record.items():
            if value != usual[name] and name != "joint_channels":
                raise OptionError(
                    f"--{name.replace('_', '-')} is for exposures: add --difference K or --fit, or leave it out"
                )
    return record


def recorded_reading(record: dict[str, Any]) -> tuple[ReadingOptions, Camera]:
    """Return the options of a `reading_record`."""
    reading = {name: record[name] for name in asdict(ReadingOptions())}
    reading["difference"] = tuple(reading["difference"])
    return ReadingOptions(**reading), Camera(**{name: record[name] for name in asdict(Camera())})


NO_READING = ReadingOptions()
NO_CAMERA = CameraOptions()
