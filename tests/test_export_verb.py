"""``export`` and ``model check`` on a run folder, as a user calls them; their errors."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from quietframe.errors import MissingExtraError, QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.inference.package import read_package
from quietframe.training.checkpoint import save_checkpoint, snapshot
from quietframe.verbs.denoise import denoise
from quietframe.verbs.export import export

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_models.py"))))


@pytest.fixture(scope="module")
def trained() -> Any:
    return tiny.trained_unet(depth=1, filters=4)


@pytest.fixture(scope="module")
def run_folder(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `train` leaves, without the hours."""
    folder = tmp_path_factory.mktemp("run")
    about = {
        "method": trained.method,
        "settings": trained.settings,
        "schedule": {},
        "stats": trained.stats,
        "depth": trained.depth,
        "dims": trained.dims,
        "unit": trained.unit,
        "provenance": {key: trained.provenance[key] for key in ("files", "seed", "quietframe")},
    }
    state = {"denoiser": snapshot(trained.module), "about": about, "step": 400, "seconds": 60.0, "batch_size": 16}
    save_checkpoint(folder, {**state, "figures": {}, "sample": torch.from_numpy(trained.sample)})
    return folder


def test_a_run_becomes_a_package_that_computes_what_torch_computes(
    trained: Any, run_folder: Path, tmp_path: Path
) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("name: Example denoiser\nlicense: MIT\n", encoding="utf-8")
    result = export(run_folder, tmp_path / "model.zip", card=card)
    assert (result["name"], result["halo"], result["step"]) == ("Example denoiser", 10, 2)
    picture = np.random.default_rng(0).poisson(330, (3, 51, 47)).astype(np.uint16)
    write_image(tmp_path / "in.tif", Image(picture, "TYX"), dtype="uint16")
    denoise(tmp_path / "in.tif", tmp_path / "out.tif", model=tmp_path / "model.zip", provider="cpu", tile="32")
    with torch.no_grad():
        expected = trained.module(torch.from_numpy(picture.astype(np.float32))[:, None])[:, 0].numpy()
    result = read_image(tmp_path / "out.tif").array
    assert np.abs(result - expected).max() <= 1e-5 * np.ptp(expected)


def test_the_command_line_exports_and_checks(
    run_folder: Path, tmp_path: Path, quietframe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = quietframe("export", run_folder, tmp_path / "m.zip", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["package"] == str(tmp_path / "m.zip")
    assert read_package(tmp_path / "m.zip").own("method") == "n2v"
    done = quietframe("model", "check", tmp_path / "m.zip", "--skip-zoo")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "Quietframe N2V denoiser: passed"


def _card(folder: Path, text: str) -> Path:
    (folder / "card.yaml").write_text(text, encoding="utf-8")
    return folder / "card.yaml"


BAD: list[tuple[Callable[[Path, Path], tuple[Any, ...]], str]] = [
    (lambda run, tmp: (tmp / "none", tmp / "m.zip"), r"none holds no checkpoint\.pt"),
    (lambda run, tmp: (tmp, tmp / "m.zip"), r"holds no checkpoint\.pt; give the folder"),
    (lambda run, tmp: (run / "checkpoint.pt", tmp / "m.zip"), r"checkpoint\.pt holds no|checkpoint"),
    (lambda run, tmp: (run, tmp / "m.tif"), r"a model package is a \.zip; got m\.tif"),
    (lambda run, tmp: (run, tmp), "is a folder; give the name of a file"),
    (lambda run, tmp: (run, tmp / "none" / "m.zip"), "none does not exist"),
    (lambda run, tmp: (run, tmp / "there.zip"), "exists; choose another name or add --overwrite"),
    (lambda run, tmp: (run, tmp / "m.zip", tmp / "none.yaml"), r"none\.yaml: No such file"),
    (lambda run, tmp: (run, tmp / "m.zip", _card(tmp, "licence: MIT")), "did you mean license"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_what_cannot_be_exported_is_named(run_folder: Path, tmp_path: Path, make: Any, message: str) -> None:
    (tmp_path / "there.zip").write_bytes(b"precious")
    run, out, *card = make(run_folder, tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(QuietframeError, match=message):
        export(run, out, card=card[0] if card else None)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "there.zip").read_bytes() == b"precious"


def test_a_folder_that_is_not_writable_is_named_before_work(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quietframe.outputs.os.access", lambda *given: False)
    with pytest.raises(QuietframeError, match="is not writable; choose another place"):
        export(run_folder, tmp_path / "m.zip")


def test_without_torch_the_extra_is_named(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("quietframe_export", "quietframe.training"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"exporting a model needs torch.*'quietframe\[train\]'"):
        export(run_folder, tmp_path / "m.zip")


def test_the_package_names_the_training_files_by_checksum(run_folder: Path, tmp_path: Path) -> None:
    export(run_folder, tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        record = json.loads(archive.read("quietframe.json"))
        assert yaml.safe_load(archive.read("rdf.yaml"))["type"] == "model"
    assert record["provenance"]["files"] == [{"name": "a.tif", "sha256": "0" * 64}]
    assert (record["provenance"]["steps"], record["provenance"]["minutes"]) == (400, 1.0)
