"""Training and denoising in a Python that ImageJ starts: what comes out, and what happens when something goes wrong."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image

for package in ("appose", "torch", "onnx", "psutil"):
    pytest.importorskip(package)
TRAIN, DENOISE = "Quietframe Train", "Quietframe Denoise"
TINY = {"patch_px": 32, "filters": 4, "depth": 1, "batch_size": 2, "device": "cpu"}
ENDLESS = 1_000_000
"""Steps that no test waits for."""


@pytest.fixture(autouse=True)
def models(imagej: Fiji, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A models folder of its own, this Python, and one thread for it."""
    from jpype import JClass

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    system = JClass("java.lang.System")
    system.setProperty("quietframe.models", str(tmp_path / "models"))
    system.setProperty("quietframe.python", sys.executable)
    before = shared_memory()
    yield tmp_path / "models"
    JClass("org.quietframe.PythonWorkerDenoise").closeKept()
    for name in ("quietframe.models", "quietframe.python"):
        system.clearProperty(name)
    assert shared_memory() <= before, "shared memory that nobody gives back"


def shared_memory() -> set[str]:
    """Pieces of shared memory of Appose; Linux shows them as files."""
    return {path.name for path in Path("/dev/shm").glob("psm_*")}


def picture(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).poisson(100, shape).astype(np.uint16)


def workers() -> list[Any]:
    """Python processes that this one has started through Appose."""
    import psutil

    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            line = child.cmdline()
        except psutil.Error:
            continue
        if any("appose.python_worker" in word for word in line):
            found.append(child)
    return found


def during(run: Path, act: Callable[[], Any], call: Callable[[], Any]) -> Any:
    """Run `call`, and do `act` when the run has made its first checkpoint."""
    from jpype import JClass

    trouble: list[BaseException] = []

    def wait() -> None:
        try:
            limit = time.monotonic() + 90
            while not (run / "checkpoint.pt").is_file():
                assert time.monotonic() < limit, "no training within 90 s"
                time.sleep(0.05)
            act()
        except BaseException as error:
            trouble.append(error)
            JClass("ij.IJ").setKeyDown(27)  # Esc, so that the training ends in any case

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    try:
        return call()
    finally:
        thread.join(95)
        assert not trouble


@pytest.mark.slow
def test_a_model_trained_from_an_open_image_is_in_the_list_of_denoise_and_runs(
    imagej: Fiji, models: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noisy = Image(picture(96, 90), "YX", {"Y": 0.2, "X": 0.2}, None, {"sample": "cells"})
    trained = imagej.run_command(TRAIN, noisy, method="n2v", steps=20, out=tmp_path / "run", **TINY)["model"]
    assert trained == str(models / "run.zip")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text(encoding="utf-8"))
    assert settings["method"] == "n2v"
    assert (settings["schedule"]["steps"], settings["schedule"]["seed"]) == (20, 42)
    assert settings["schedule"]["validation_percent"] == 0  # what was not given stays the method's own
    assert (settings["settings"]["filters"], settings["settings"]["depth"]) == (4, 1)
    said = capfd.readouterr().out
    assert "n2v: 20 steps" in said
    assert f"model=[{trained}]" in said
    assert not workers()
    in_java = imagej.run_command(DENOISE, noisy, model="run.zip")["result"]
    in_python = imagej.run_command(DENOISE, noisy, model="run", engine="python")["result"]
    assert np.abs(in_java.array - in_python.array).max() <= 1e-5 * np.ptp(in_java.array)
    assert in_python.info["quietframe.engine"] == "python"
    assert in_python.info["sample"] == "cells"
    assert in_python.pixel_size_um == pytest.approx({"Y": 0.2, "X": 0.2})
    second = imagej.run_command(TRAIN, noisy, method="n2v", steps=2, seed=7, **TINY)["model"]
    third = imagej.run_command(TRAIN, noisy, method="n2v", steps=2, seed=7, **TINY)["model"]
    assert [Path(path).name for path in (second, third)] == ["image_n2v.zip", "image_n2v_2.zip"]  # none is overwritten


@pytest.mark.slow
def test_n2n_learns_from_an_exposure_and_care_from_a_target_in_a_macro(
    imagej: Fiji, models: Path, tmp_path: Path
) -> None:
    import tifffile

    reads = np.cumsum(np.random.default_rng(2).poisson(30, (24, 64, 64)), axis=0).astype(np.uint16)
    exposure = Image(reads, "ZYX", {}, None, {"ndr.gain_e_per_adu": "1", "ndr.exposure": "E7"})
    made = imagej.run_command(TRAIN, exposure, method="n2n", difference=4, steps=3, out=tmp_path / "n2n", **TINY)
    record = json.loads((tmp_path / "n2n" / "settings.json").read_text(encoding="utf-8"))
    assert made["model"] == str(models / "n2n.zip")
    assert record["reading"]["difference"] == [4]
    tifffile.imwrite(tmp_path / "noisy one.tif", picture(2, 64, 64))
    tifffile.imwrite(tmp_path / "clean one.tif", np.tile(np.arange(100, 164, dtype=np.uint16), (2, 64, 1)))
    options = " ".join(f"{key}={value}" for key, value in TINY.items())
    macro = f"""
        setBatchMode(true);
        open("{tmp_path}/clean one.tif"); open("{tmp_path}/noisy one.tif");
        run("{TRAIN}", "method=care target=[clean one.tif] steps=3 {options}");
        return getInfo("quietframe.trained");
    """
    assert imagej.run_macro(macro) == str(models / "noisy_one.tif_care.zip".replace(".tif", ""))
    names = [
        file["name"] for file in json.loads((models / "runs" / "noisy_one_care" / "settings.json").read_text())["files"]
    ]
    assert names == ["noisy_one.tif", "clean_one.tif"]


@pytest.mark.slow
def test_esc_keeps_the_best_model(imagej: Fiji, models: Path, tmp_path: Path) -> None:
    from jpype import JClass

    escape = JClass("ij.IJ").setKeyDown
    made = during(
        tmp_path / "run",
        lambda: escape(27),
        lambda: imagej.run_command(TRAIN, picture(64, 64), method="n2v", steps=ENDLESS, out=tmp_path / "run", **TINY),
    )
    assert made["model"] == str(models / "run.zip")
    assert imagej.run_command(DENOISE, picture(40, 40), model=made["model"])["result"].array.shape == (40, 40)
    assert not workers()


@pytest.mark.slow
def test_a_killed_worker_is_a_message_and_imagej_lives(imagej: Fiji, tmp_path: Path) -> None:
    killed: list[float] = []

    def kill() -> None:
        (worker,) = workers()
        killed.append(time.monotonic())
        worker.kill()

    with pytest.raises(FijiError, match=r"ended in the middle of its work \(exit code 137\): it was killed, perhaps"):
        during(
            tmp_path / "run",
            kill,
            lambda: imagej.run_command(
                TRAIN, picture(64, 64), method="n2v", steps=ENDLESS, out=tmp_path / "run", **TINY
            ),
        )
    assert time.monotonic() - killed[0] < 10
    assert imagej.run_macro('return "alive";') == "alive"


def pretended(folder: Path, answer: str) -> Path:
    """A program that answers what it is asked as a Python with other packages would."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    return program


HAS = {
    "python": "3.12",
    "quietframe": "0.1.0",
    "appose": "0.12.0",
    "torch": "2.9",
    "onnx": "1.19",
    "onnxruntime": "1.2",
}


@pytest.mark.skipif(os.name == "nt", reason="the pretended Python is a shell script")
@pytest.mark.parametrize(
    ("has", "message"),
    [
        ({"quietframe": "9.9"}, r"has quietframe 9\.9, this Fiji has 0\.1\.0; make them equal: pip install"),
        (
            {"quietframe": None},
            r"\(Python 3\.12\) has no quietframe; install it with: pip install 'quietframe\[train,fi",
        ),
        ({"appose": None}, r"has quietframe, but no appose; run there: pip install 'quietframe\[train,fiji\]'"),
        ({"torch": None, "onnx": None}, "has quietframe, but no torch and no onnx"),
        (None, r"is no Python that works \(it said: hello\); install it with: pip install"),
    ],
)
def test_a_python_that_lacks_something_is_named_with_what_to_do(
    imagej: Fiji, tmp_path: Path, has: dict[str, Any] | None, message: str
) -> None:
    answer = "hello" if has is None else f"quietframe-python {json.dumps({**HAS, **has})}"
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_command(TRAIN, picture(64, 64), python=pretended(tmp_path, answer))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"python": "/no/such/place"}, "python=/no/such/place: there is no Python; give the path"),
        ({"method": "care"}, "care learns from a target: open the clean picture"),
        ({"method": "n2n"}, "n2n learns from two noisy pictures of one scene; 'image' is one plane"),
        ({"method": "n2n", "target": "gone.tif"}, r"target=\[gone.tif\]: no image with this title is open"),
        ({"method": "n2v", "target": "gone.tif"}, "n2v learns from noisy pictures alone; leave target out"),
        ({"method": "n2n", "difference": 3}, "has axes YX; difference=K needs one exposure"),
        ({"method": "n2n", "difference": 3, "target": "x"}, "takes input and target out of one exposure"),
        ({"steps": 3, "minutes": 1.0}, "steps says how long, and so does minutes; give one of them"),
        ({"minutes": -1.0}, "minutes=-1.0: give 0"),
        ({"patch_px": 30}, r"patch_px 30: give 16 or more, in multiples of 4"),
        ({"method": "sparse"}, r"unknown method 'sparse': allowed: n2v, n2v2, n2n, care"),
    ],
)
def test_a_wrong_option_is_named(imagej: Fiji, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_command(TRAIN, picture(64, 64), **options)
    assert "\n" not in str(error.value)
    assert "--" not in str(error.value)  # the option's name here, not the command line's


def test_where_python_is_looked_for(imagej: Fiji, tmp_path: Path) -> None:
    from jpype import JClass

    place = JClass("org.quietframe.PythonWorkerPlace")
    environment, other = tmp_path / "environment" / "bin", tmp_path / "other"
    environment.mkdir(parents=True)
    other.mkdir()
    for path in (environment / "python3", environment / "quietframe", other / "python"):
        path.write_text("")
    path = os.pathsep.join(map(str, (tmp_path / "gone", other, environment)))
    assert str(place.onPath(path)) == str(environment / "python3")  # the one beside the program quietframe
    assert str(place.onPath(str(other))) == str(other / "python")
    assert place.onPath(str(tmp_path)) is None
    assert str(place.executable(str(tmp_path / "environment"))) == str(environment / "python3")


def test_shared_memory_that_is_too_small_is_refused_before_it_is_written(imagej: Fiji) -> None:
    from jpype import JClass

    image, problem = JClass("org.quietframe.PythonWorkerImage"), JClass("org.quietframe.Problem")
    with pytest.raises(problem, match="has 1 MB free, the image needs 2 MB: take a part of it"):
        image.requireRoom(1 << 21, 1 << 20)
    image.requireRoom(1 << 20, 1 << 20)


def test_the_loss_is_read_out_of_what_the_training_says(imagej: Fiji) -> None:
    from jpype import JClass

    loss_in = JClass("org.quietframe.TrainProgress").lossIn
    assert loss_in("training: loss 0.1234, validation 0.2000, 33 patches/s") == 0.1234
    assert loss_in("training: loss 1.2e-05") == 1.2e-5
    assert np.isnan(loss_in("training: loss nan"))
    assert np.isnan(loss_in("exporting"))


def started() -> Any:
    from jpype import JClass

    place = JClass("org.quietframe.PythonWorkerPlace").find(sys.executable, JClass("java.util.ArrayList")())
    return JClass("org.quietframe.PythonWorker")(place)


@pytest.fixture(scope="module")
def worker(imagej: Fiji) -> Iterator[Any]:
    made = started()
    yield made
    made.close()


def test_a_second_esc_ends_a_worker_that_does_not_stop(imagej: Fiji) -> None:
    from jpype import JClass, JProxy

    stubborn, presses = started(), []

    def press(*_: Any) -> None:
        presses.append(time.monotonic())
        if len(presses) in (1, 8):
            JClass("ij.IJ").setKeyDown(27)

    listener = JProxy("org.quietframe.PythonWorker$Listener", dict={"progress": press})
    line = "[(task.update('at', i, 600), __import__('time').sleep(0.1)) for i in range(600)] and {}"
    with pytest.raises(JClass("org.quietframe.Problem"), match="stopped at once by a second Esc; there is no result"):
        stubborn.call(line, JClass("java.util.HashMap")(), False, listener)
    assert 8 <= len(presses) < 100
    stubborn.close()


def test_a_worker_answers_whatever_is_printed_or_thrown_meanwhile(worker: Any) -> None:
    from jpype import JClass, JProxy

    heard: list[tuple[str, int, int]] = []
    nothing = JClass("java.util.HashMap")()

    def hear(message: str, done: int, total: int, info: Any) -> None:
        heard.append((str(message), int(done), int(total)))
        if len(heard) > 3:
            raise ValueError("a listener that throws")

    listener = JProxy("org.quietframe.PythonWorker$Listener", dict={"progress": hear})
    line = "print('no JSON') or [task.update('at', i, 3) for i in range(3)] and {'answer': 5}"
    assert int(worker.call(line, nothing, False, listener).get("answer")) == 5
    assert heard == [("at", 0, 3), ("at", 1, 3), ("at", 2, 3)]
    with pytest.raises(Exception, match="a listener that throws"):
        worker.call(line, nothing, False, listener)
    assert int(worker.call("{'answer': 6}", nothing, True, None).get("answer")) == 6


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 / 0", "Python failed: ZeroDivisionError: division by zero"),
        (
            "numpy.empty(1 << 57)",
            "Python has too little memory for this .*: take a smaller picture, batch_size or patch_px",
        ),
        ("{'problem': 'one sentence'}", "^.*one sentence$"),
        ("nonsense", "Python failed: NameError: name 'nonsense' is not defined"),
        (
            "__import__('os')._exit(3)",
            r"ended in the middle of its work \(exit code 3\); what it said is in the console",
        ),
    ],
)
def test_what_goes_wrong_in_python_is_one_sentence(worker: Any, line: str, message: str) -> None:
    from jpype import JClass

    with pytest.raises(JClass("org.quietframe.Problem"), match=message):
        worker.call(line, JClass("java.util.HashMap")(), False, None)


@pytest.mark.parametrize(("axes", "shape"), [("YX", (33, 40)), ("TCYX", (3, 2, 24, 20)), ("ZYX", (3, 31, 40))])
def test_engine_python_gives_the_pixels_and_axes_of_engine_java(
    imagej: Fiji, tmp_path: Path, axes: str, shape: tuple[int, ...]
) -> None:
    import runpy

    write_model = runpy.run_path(str(Path(__file__).with_name("onnx_models.py")))["write_model"]
    model = write_model(tmp_path / "tiny net.onnx")
    image = Image(picture(*shape), axes, {}, 0.5 if "T" in axes else None, {"sample": "cells"})
    results = [
        imagej.run_command(DENOISE, image, model=model, engine=engine)["result"] for engine in ("java", "python")
    ]
    assert results[0].axes == results[1].axes == axes
    assert np.abs(results[0].array - results[1].array).max() <= 1e-5 * np.ptp(results[0].array)
    assert results[0].info["quietframe.model_sha256"] == results[1].info["quietframe.model_sha256"]


def test_what_is_wrong_with_engine_python_is_named_and_its_worker_is_replaced(imagej: Fiji, tmp_path: Path) -> None:
    import runpy

    model = runpy.run_path(str(Path(__file__).with_name("onnx_models.py")))["write_model"](tmp_path / "tiny.onnx")
    with pytest.raises(FijiError, match=r"unknown engine 'rust'|engine must"):
        imagej.run_command(DENOISE, picture(32, 32), model=model, engine="rust")
    with pytest.raises(FijiError, match="tile must be auto, 0"):
        imagej.run_command(DENOISE, picture(32, 32), model=model, engine="python", tile="x")
    with pytest.raises(FijiError, match="provider"):
        imagej.run_command(DENOISE, picture(32, 32), model=model, engine="python", provider="tpu")
    (worker,) = workers()
    worker.kill()
    # Java itself must see how its child ended: to wait for it here would take that from it.
    deadline = time.monotonic() + 10
    while worker.is_running() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    result = imagej.run_command(DENOISE, picture(32, 32), model=model, engine="python")["result"]
    assert result.array.shape == (32, 32)
