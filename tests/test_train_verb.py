"""`quietframe train`: from files to a run folder with a package; what it refuses; what a kill leaves."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from quietframe import cli
from quietframe.errors import InputError, MissingExtraError, OptionError, OutputError, QuietframeError
from quietframe.methods import n2v
from quietframe.ndr import SimulatedCamera, simulate_exposure
from quietframe.training.checkpoint import load_trained
from quietframe.training.reading import checksum
from quietframe.training.schedule import Schedule
from quietframe.verbs import train as verb
from quietframe.verbs.ndr import CameraOptions
from quietframe.verbs.train_options import ReadingOptions, method_options

TINY: dict[str, Any] = {"steps": 4, "batch_size": 2, "patch_px": 16}


def train(method: str, sources: list[Path], out: Path, **options: Any) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(Schedule)}
    settings = import_module(f"quietframe.methods.{method}").Settings
    given = {**TINY, **options}
    schedule = {name: given.pop(name) for name in list(given) if name in fields}
    chosen = {field.name: given.pop(field.name) for field in dataclasses.fields(settings) if field.name in given}
    return verb.make_command(method)(
        sources, out=out, settings=settings(filters=2, depth=1, **chosen), schedule=Schedule(**schedule), **given
    )


def write(path: Path, array: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, array, **options)
    return path


@pytest.fixture
def noisy(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write(tmp_path / "noisy.tif", rng.poisson(50, (40, 48)).astype(np.uint16))


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write(tmp_path / "clean.tif", np.tile(np.arange(48, dtype=np.float32), (40, 1)))


@pytest.fixture(autouse=True)
def unpacked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the package out, whose export takes longer than these runs, but where it is looked into."""
    if request.function is not test_a_run_ends_in_a_package_and_says_what_it_did:
        monkeypatch.setattr(verb, "_write_package", lambda trained, model, progress: model.write_bytes(b""))


def test_a_run_ends_in_a_package_and_says_what_it_did(noisy: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    result = train("n2v", [noisy], tmp_path / "run", progress=lambda message, *_: seen.append(message))
    names = {"checkpoint.pt", "history.csv", "losses.png", "model.zip", "settings.json"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == names
    with zipfile.ZipFile(result["model"]) as package:
        assert package.testzip() is None
        assert {"rdf.yaml", "weights.onnx", "weights.pt"} <= set(package.namelist())
    assert result["steps"] == 4
    assert result["patches_per_s"] > 0
    assert any(message.startswith("training: loss ") for message in seen)
    assert f"model: {tmp_path / 'run/model.zip'}" in result["summary"]
    json.dumps(result)
    files = load_trained(tmp_path / "run").provenance["files"]
    assert [(file["name"], file["role"], len(file["sha256"])) for file in files] == [("noisy.tif", "input", 64)]


def test_a_finished_run_is_not_trained_again(noisy: Path, tmp_path: Path) -> None:
    first = train("n2v", [noisy], tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    again = train("n2v", [noisy], tmp_path / "run", resume=True)
    assert again["notes"] == ["the run was finished already; nothing was done"]
    assert again["loss"] == first["loss"]
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_resume_takes_the_options_of_the_run(noisy: Path, tmp_path: Path) -> None:
    train("n2v", [noisy], tmp_path / "run", steps=6, masked_percent=20.0)
    (tmp_path / "run/model.zip").unlink()
    result = train("n2v", [noisy], tmp_path / "run", steps=400, resume=True)  # 400 is the default: not asked for
    assert result["steps"] == 6
    assert (tmp_path / "run/model.zip").is_file()


def test_resume_without_a_run_starts_one_and_says_so(noisy: Path, tmp_path: Path) -> None:
    result = train("n2v", [noisy], tmp_path / "run", resume=True)
    assert "held no run to resume" in result["notes"][0]


def test_overwrite_replaces_a_run_of_another_method(noisy: Path, clean: Path, tmp_path: Path) -> None:
    train("n2v", [noisy], tmp_path / "run")
    train("care", [noisy], tmp_path / "run", target=[clean], overwrite=True)
    assert load_trained(tmp_path / "run").method == "care"


def test_a_target_that_is_the_input_is_said(noisy: Path, tmp_path: Path) -> None:
    result = train("care", [noisy], tmp_path / "run", target=[noisy])
    assert any("the net learns to change nothing" in line for line in result["summary"])


def test_notes_name_no_option_that_there_is_not(tmp_path: Path, rng: np.random.Generator) -> None:
    np.save(tmp_path / "stack.npy", rng.poisson(50, (3, 40, 48)))
    notes = train("n2v", [tmp_path / "stack.npy"], tmp_path / "run")["notes"]
    assert [note.rpartition(": ")[2] for note in notes] == ["taken as TYX"]


def test_stacks_and_channels_are_samples(tmp_path: Path, rng: np.random.Generator) -> None:
    stack = write(
        tmp_path / "stack.tif", rng.poisson(9, (3, 2, 32, 32)).astype(np.uint16), imagej=True, metadata={"axes": "TCYX"}
    )
    result = train("n2v", [stack], tmp_path / "run")
    assert "its channels are taken as samples" in result["notes"][0]


def colour(path: Path) -> Path:
    return write(path, np.random.default_rng(1).integers(0, 255, (40, 40, 3), np.uint8), photometric="rgb")


BAD: list[tuple[str, Callable[[Path], Path], str]] = [
    ("missing", lambda folder: folder / "none.tif", "none.tif"),
    ("folder", lambda folder: folder, "folder"),
    ("colour", lambda folder: colour(folder / "rgb.tif"), r"colour picture \(axes SYX"),
    ("one pixel", lambda folder: write(folder / "one.tif", np.ones((1, 1), np.uint16)), "constant"),
    (
        "small",
        lambda folder: write(folder / "s.tif", np.arange(150.0).reshape(10, 15)),
        "smaller than a patch of 16 px",
    ),
    ("nan", lambda folder: write(folder / "n.tif", np.full((40, 40), np.nan, np.float32)), "1600 pixels that are NaN"),
    ("constant", lambda folder: write(folder / "c.tif", np.full((40, 40), 3, np.uint8)), "constant .every pixel is 3"),
]


@pytest.mark.parametrize("make, message", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_pictures_that_cannot_be_trained_on_are_refused(
    make: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        train("n2v", [make(tmp_path)], tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "targets, error, message",
    [
        (None, OptionError, "care learns from pairs: give --target"),
        (["clean", "clean"], InputError, "1 pictures but 2 targets"),
        (["wide"], InputError, "a pair differs in shape: .*noisy.tif is 40 x 48 px, .*wide.tif is 40 x 50 px"),
        (["zero"], InputError, r"the target .*zero.tif is zero everywhere"),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    targets: list[str] | None, error: type[QuietframeError], message: str, noisy: Path, clean: Path, tmp_path: Path
) -> None:
    write(tmp_path / "wide.tif", np.arange(2000.0).reshape(40, 50))
    write(tmp_path / "zero.tif", np.zeros((40, 48)))
    paths = None if targets is None else [tmp_path / f"{name}.tif" for name in targets]
    with pytest.raises(error, match=message):
        train("care", [noisy], tmp_path / "run", target=paths)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({}, OutputError, "holds a run already; choose another --out, or add --resume or --overwrite"),
        ({"resume": True, "overwrite": True}, OptionError, "give one of them"),
        ({"resume": True, "steps": 5}, OptionError, "was started with --steps 4; it cannot resume with --steps 5"),
        ({"resume": True, "masked_percent": 5.0}, OptionError, "started with --masked-percent 10.0"),
        ({"resume": True, "method": "care"}, InputError, "is a run of n2v, not of care"),
        ({"resume": True, "other": True}, InputError, "started on other pictures"),
        ({"resume": True, "quietframe": "0.0.1"}, InputError, "was started by Quietframe 0.0.1"),
        ({"resume": True, "damage": True}, InputError, "settings.json is damaged"),
        ({"overwrite": True, "steps": 0}, OptionError, "--steps 0"),
    ],
)
def test_a_run_that_exists_is_only_continued_as_it_was(
    options: dict[str, Any], error: type[QuietframeError], message: str, noisy: Path, clean: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    record = {
        "method": "n2v",
        "settings": dataclasses.asdict(n2v.Settings(filters=2, depth=1)),
        "schedule": dataclasses.asdict(Schedule(**TINY)),
        "quietframe": options.pop("quietframe", verb._version()),
        "files": [{"name": "noisy.tif", "role": "input", "sha256": checksum(noisy)}],
    }
    run.mkdir()
    (run / "settings.json").write_text("{" if options.pop("damage", False) else json.dumps(record))
    method = options.pop("method", "n2v")
    source = clean if options.pop("other", False) else noisy
    if method == "care":
        options["target"] = [clean]
    with pytest.raises(error, match=message):
        train(method, [source], run, **options)
    assert [path.name for path in run.iterdir()] == ["settings.json"]


@pytest.fixture
def exposure(tmp_path: Path, rng: np.random.Generator) -> Path:
    camera = SimulatedCamera(reads=40, read_noise_e=2.0, gain_e_per_adu=1.0)
    reads, _ = simulate_exposure(rng.uniform(20, 60, (40, 48)).astype(np.float32), camera, rng)
    return write(tmp_path / "exposure.tif", reads, imagej=True, metadata={"axes": "TYX"})


def test_an_exposure_is_trained_on_and_resumed_as_it_was_read(exposure: Path, tmp_path: Path) -> None:
    camera = CameraOptions(gain_e_per_adu=1.0, read_noise_e=2.0)
    reading = ReadingOptions(difference=(4, 6))
    run = tmp_path / "run"
    train("n2n", [exposure], run, reading=reading, camera=camera)
    record = json.loads((run / "settings.json").read_text())["reading"]
    assert (record["difference"], record["read_noise_e"], record["fit"]) == ([4, 6], 2.0, False)
    assert load_trained(run).unit == "electrons"
    # not given again: taken from the run
    assert "finished already" in train("n2n", [exposure], run, resume=True)["notes"][0]
    with pytest.raises(OptionError, match=r"was started with --difference \[4, 6\]; it cannot resume with"):
        train("n2n", [exposure], run, resume=True, reading=ReadingOptions(difference=(5,)))
    with pytest.raises(OptionError, match="was started with --guard 1; it cannot resume with --guard 2"):
        train("n2n", [exposure], run, resume=True, reading=replace(reading, guard=2), camera=camera)


@pytest.mark.parametrize(
    "reading, camera, words",
    [
        ({"guard": 2}, {}, "--guard is for exposures: add --difference K or --fit, or leave it out"),
        ({"first": 3}, {}, "--first is for exposures"),
        ({}, {"gain_e_per_adu": 0.5}, "--gain-e-per-adu is for exposures"),
    ],
)
def test_options_of_exposures_are_refused_for_pictures(
    reading: dict[str, Any], camera: dict[str, Any], words: str, noisy: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=words):
        train("n2v", [noisy], tmp_path / "run", reading=ReadingOptions(**reading), camera=CameraOptions(**camera))


def test_joint_channels_are_one_input_of_the_net(tmp_path: Path, rng: np.random.Generator) -> None:
    stack = write(
        tmp_path / "stack.tif", rng.poisson(9, (6, 2, 32, 32)).astype(np.uint16), imagej=True, metadata={"axes": "TCYX"}
    )
    train("n2v", [stack], tmp_path / "run", reading=ReadingOptions(joint_channels=True))
    trained = load_trained(tmp_path / "run")
    assert len(trained.stats["channels"]) == 2
    with torch.inference_mode():
        assert trained.module(torch.rand(1, 2, 24, 24)).shape == (1, 2, 24, 24)


def test_a_method_has_its_own_defaults_whatever_else_is_given() -> None:
    words = ["train", "care-laplace", "a.tif", "--target", "b.tif", "--out", "run", "--steps", "7"]
    words += ["--batch-size", "auto"]
    bound = cli.build_app(words).parse_args(words, print_error=False, exit_on_error=False)[1]
    given = dataclasses.asdict(bound.kwargs["schedule"])
    assert (given["steps"], given["batch_size"], given["validation_percent"]) == (7, "auto", 10.0)
    usual = method_options("care_laplace")
    assert dataclasses.asdict(usual.schedule) == dataclasses.asdict(Schedule(validation_percent=10.0))
    assert usual.data == "pairs"
    for name in verb.method_names():
        module, options = import_module(f"quietframe.methods.{name}"), method_options(name)
        assert dataclasses.asdict(options.settings) == dataclasses.asdict(module.Settings())
        assert options.data == module.DATA
        own = Schedule(**getattr(module, "SCHEDULE", {}))
        assert dataclasses.asdict(options.schedule) == dataclasses.asdict(own)


def test_methods_are_the_files_of_the_folder() -> None:
    assert {"care", "n2v"} <= set(verb.method_names())
    for name in verb.method_names():
        assert len(verb.method_summary(name)) > 20
        assert getattr(verb, name).__name__ == name
    with pytest.raises(OptionError, match="unknown method 'n2w': did you mean n2v"):
        verb.make_command("n2w")


def test_commands_and_their_options_need_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from quietframe.verbs import train\n"
        "commands = [train.make_command(name) for name in train.method_names()]\n"
        f"try:\n    commands[0]([Path('a.tif')], out=Path({str(tmp_path / 'run')!r}))\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message = str(MissingExtraError("training", "torch", "train"))
    assert f"MissingExtraError {message}" in result.stdout


def test_help_lists_the_options_of_method_and_schedule(quietframe: Any) -> None:
    care, n2v = quietframe("train", "care", "--help"), quietframe("train", "n2v", "--help")
    assert care.returncode == n2v.returncode == 0
    assert "--target" in care.stdout
    assert "--target" not in n2v.stdout
    assert "--masked-percent" in n2v.stdout
    assert "Pixels hidden in each patch" in n2v.stdout  # the help of a method's own option, out of its docstring
    assert "5.0]" in care.stdout  # the default of --validation-percent
    assert "5.0]" not in n2v.stdout  # which this method sets to 0
    for option in ("--steps", "--device", "--seed", "--resume", "--precision", "--learning-rate", "--difference"):
        assert option in care.stdout
        assert option in n2v.stdout


@pytest.mark.slow
def test_killed_at_random_moments_no_half_file_is_left_and_resume_gives_the_same_weights(
    noisy: Path, tmp_path: Path
) -> None:
    script = Path(__file__).with_name("killed_training.py")
    log = tmp_path / "log.txt"
    with log.open("w") as file:  # not a pipe, which a forked child could hold open
        result = subprocess.run(
            [sys.executable, str(script), str(noisy), str(tmp_path), "6", "20260101"],
            stdout=file, stderr=file, timeout=280, check=False,
        )  # fmt: skip
    lines = log.read_text().splitlines()
    assert result.returncode == 0, lines
    assert len(lines) == 6, lines
    assert all(line.endswith("same weights") for line in lines), lines
