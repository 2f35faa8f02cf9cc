"""The script that Fiji runs in Python, without Fiji: what it is told, what it answers, how it stops."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quietframe.errors import OptionError
from quietframe.fiji import jar
from quietframe.images import read_image

SCRIPT = jar.scripts_folder() / "worker" / "quietframe_worker.py"
TINY = {"patch_px": 32, "filters": 4, "depth": 1, "batch_size": 2, "device": "cpu"}


@pytest.fixture
def worker() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(SCRIPT)))


class Task:
    """What Appose gives to a script: it is told about progress, and asks to stop after some reports."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.said: list[tuple[str, int, int]] = []
        self.stop_at = stop_at
        self.previews: list[np.ndarray[Any, Any]] = []

    @property
    def cancel_requested(self) -> bool:
        return self.stop_at is not None and any(done >= self.stop_at for text, done, _ in self.said if "loss" in text)

    def update(self, message: str, done: int, total: int, info: dict[str, str] | None = None) -> None:
        self.said.append((message, done, total))
        if info:
            self.previews.append(read_image(info["preview"]).array)


class Shared:
    """A piece of shared memory."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    def ndarray(self) -> np.ndarray[Any, Any]:
        return self.array


def shown(array: np.ndarray[Any, Any], axes: str, **more: Any) -> tuple[dict[str, Any], list[Shared]]:
    """What Fiji tells of an image: its description, and its planes in two pieces where there are several."""
    planes = array.reshape(-1, *array.shape[-2:]).astype(np.float32)
    half = max(1, len(planes) // 2)
    about = {"title": "my cells.tif", "axes": axes, "shape": [float(size) for size in array.shape], "dtype": "uint16"}
    about |= {"pixel_size_um": {}, "frame_interval_s": 0.0, "info": "", **more}
    return about, [Shared(piece) for piece in (planes[:half], planes[half:]) if len(piece)]


def picture(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).poisson(200, shape).astype(np.uint16)


def test_an_image_becomes_a_file_with_all_that_was_told_of_it(worker: SimpleNamespace, tmp_path: Path) -> None:
    pixels = picture(3, 2, 10, 12)
    about = {
        "pixel_size_um": {"Y": 0.2, "X": 0.3},
        "frame_interval_s": 0.5,
        "info": "ndr.gain_e_per_adu = 2\nfree text",
    }
    image = read_image(worker._write(tmp_path, *shown(pixels, "TCYX", **about)))
    assert image.array.dtype == np.uint16
    np.testing.assert_array_equal(image.array, pixels)
    assert image.axes == "TCYX"
    assert image.pixel_size_um == pytest.approx({"Y": 0.2, "X": 0.3})
    assert image.frame_interval_s == pytest.approx(0.5)
    assert image.info["ndr.gain_e_per_adu"] == "2"
    worker._write(tmp_path, *shown(pixels, "TCYX"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my_cells.tif", "my_cells_2.tif"]


def test_faults_of_the_user_are_answered_in_the_words_of_fiji(worker: SimpleNamespace) -> None:
    def fault() -> None:
        raise OptionError("--patch-px 3: give 16 or more,\nor leave out --out; see /x/quietframe-fiji-ab1_/cells.tif")

    said = {"problem": "patch_px 3: give 16 or more, or leave out out; see cells.tif"}
    assert worker._asked(fault) == said
    with pytest.raises(ZeroDivisionError):
        worker._asked(lambda: 1 // 0)


def test_training_writes_a_package_and_leaves_no_files_of_the_images(
    worker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    task = Task()
    images = [shown(picture(64, 64), "YX"), shown(np.arange(4096, dtype=np.uint16).reshape(64, 64), "YX")]
    request = {"method": "care", "options": {"steps": 4, **TINY}}
    answer = worker.train(task, images, str(tmp_path / "runs" / "a"), request)
    assert answer["steps"] == 4
    assert Path(answer["model"]) == tmp_path / "runs" / "a" / "model.zip"
    assert task.said[0] == ("taking the pictures over", 0, 1)
    assert any(text.startswith("training: loss") and (done, total) == (4, 4) for text, done, total in task.said)
    record = json.loads((tmp_path / "runs" / "a" / "settings.json").read_text(encoding="utf-8"))
    assert [file["name"] for file in record["files"]] == ["my_cells.tif", "my_cells_2.tif"]
    assert not list((tmp_path / "temporary").iterdir())
    again = worker.train(task, images, str(tmp_path / "runs" / "a"), request)
    assert "holds a run already; choose another out" in again["problem"]


def test_a_stop_keeps_the_best_weights_as_a_package(worker: SimpleNamespace, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from quietframe.inference.package import read_package

    request = {"method": "n2v", "options": {"steps": 1_000_000, **TINY}}
    task = Task(stop_at=1)
    answer = worker.train(task, [shown(picture(64, 64), "YX")], str(tmp_path / "run"), request)
    assert answer["stopped"].startswith(f"stopped after step {answer['steps']}; the best weights are from step ")
    assert 1 <= answer["steps"] < 1000
    assert read_package(answer["model"]).own("method") == "n2v"


def test_previews_are_made_of_the_best_weights_and_change_nothing(worker: SimpleNamespace, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    weights = []
    for every in (0, 1e-9):
        task, run = Task(), tmp_path / str(every)
        # A report every 0.1 s and a checkpoint every 10 steps: some of them are seen.
        request = {"method": "n2v", "options": {"steps": 150, "checkpoint_every": 10, **TINY}, "preview_s": every}
        assert worker.train(task, [shown(picture(64, 64), "YX")], str(run), request)["steps"] == 150
        weights.append(torch.load(run / "checkpoint.pt", weights_only=False)["net"])
        assert bool(task.previews) == (every > 0)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    noisy, restored = np.hsplit(task.previews[-1], 2)
    assert noisy.shape == restored.shape
    assert restored.std() < noisy.std()  # there is nothing but noise in the picture


def test_a_stop_before_the_first_step_says_that_there_is_no_model(worker: SimpleNamespace, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    task = SimpleNamespace(cancel_requested=True, update=lambda *_: None)
    request = {"method": "n2v", "options": {"steps": 10, **TINY}}
    answer = worker.train(task, [shown(picture(64, 64), "YX")], str(tmp_path / "run"), request)
    assert answer == {"problem": "stopped before the first step; there is no model"}
