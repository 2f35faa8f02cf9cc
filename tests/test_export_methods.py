"""Every method's denoiser exports: the same pixels from torch and ONNX Runtime, whole and tiled, at odd sizes."""

from __future__ import annotations

import dataclasses
import runpy
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml

from quietframe.inference.package import read_array, read_file, read_package
from quietframe.inference.runner import Runner
from quietframe.methods import method_names
from quietframe.training.pictures import collect
from quietframe.training.statistics import NoiseLevel
from quietframe_export import zoo
from quietframe_export.check import check_package
from quietframe_export.package import write_package

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_models.py"))))
TWO = {"care_laplace": ("denoised", "scale"), "psf_blind_spot": ("denoised", "phantom")}


def trained_by(method: str, dims: int = 2, noise: NoiseLevel | None = None) -> Any:
    """Make what training with a method leaves, with random weights and few filters."""
    module = import_module(f"quietframe.methods.{method}")
    settings = dataclasses.replace(module.Settings(), filters=2, depth=2 if method == "n2v_ensemble" else 1)
    if method == "struct_n2v":
        settings = dataclasses.replace(settings, mask="horizontal")
    base = tiny.trained_unet(dims=dims, shape=(20, 60, 70) if dims == 3 else (100, 113))
    stats = collect([base.sample], ["sample"], dims=dims, noise=noise).statistics()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        denoiser = module.denoiser(module.build(settings, stats), settings, stats).eval()
    return dataclasses.replace(
        base,
        module=denoiser,
        architecture_class=type(denoiser).__name__,
        architecture_kwargs=denoiser.kwargs,
        method=method,
        stats=stats.to_dict(),
        depth=settings.depth,
        outputs=denoiser.outputs,
    )


def assert_sound(trained: Any, path: Path) -> None:
    result = write_package(trained, path)
    assert result["onnx_difference"] < 1e-5
    checks = {check["name"].partition(" of ")[0]: check for check in check_package(path, zoo=False)["checks"]}
    assert set(checks) == {"files", "versions", "test tensors", "odd sizes", "tiles", "torch against ONNX Runtime"}
    assert [check for check in checks.values() if check["passed"] is not True] == []


@pytest.mark.parametrize("method", method_names())
def test_every_method_ends_in_a_sound_package(tmp_path: Path, method: str) -> None:
    trained = trained_by(method)
    assert_sound(trained, tmp_path / "m.zip")
    package = read_package(tmp_path / "m.zip")
    names = TWO.get(method, ("denoised",))
    assert Runner(package, "cpu").outputs == trained.outputs == names
    assert [output["id"] for output in package.description["outputs"]] == list(names)
    assert package.own("method") == method
    if len(names) == 2:
        second = read_array(package, f"test_output_{names[1]}.npy")
        assert (
            second.shape == read_array(package, "test_output.npy").shape == read_array(package, "test_input.npy").shape
        )
        assert len(package.description["outputs"][1]["axes"][1]["channel_names"]) == 1


@pytest.mark.parametrize("method", ["n2v", "care_laplace"])
def test_a_volume_ends_in_a_sound_package(tmp_path: Path, method: str) -> None:
    assert_sound(trained_by(method, dims=3), tmp_path / "m.zip")
    package = read_package(tmp_path / "m.zip")
    assert (package.own("axes"), package.own("halo"), package.own("step"), package.own("min")) == (
        "NCZYX", "10,10,10", "2,2,2", "8,8,8",
    )  # fmt: skip
    axes = yaml.safe_load(read_file(package, "rdf.yaml"))["inputs"][0]["axes"]
    assert [axis.get("id", axis["type"]) for axis in axes] == ["batch", "channel", "z", "y", "x"]
    shape = onnx.load_from_string(package.model).graph.output[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in shape] == ["batch", 1, "depth", "height", "width"]


def test_a_net_that_knows_the_noise_is_one_of_one_channel_outside(tmp_path: Path) -> None:
    trained = trained_by("n2n", noise=NoiseLevel(slope=2.0, intercept=40.0))
    assert trained.architecture_kwargs["net"]["noise"] is not None
    assert_sound(trained, tmp_path / "m.zip")
    assert Runner(read_package(tmp_path / "m.zip"), "cpu").channels == 1


def test_channels_are_named_and_normalised_one_by_one(tmp_path: Path) -> None:
    trained = tiny.trained_unet(shape=(3, 100, 113), filters=4)
    assert_sound(trained, tmp_path / "m.zip")
    package = read_package(tmp_path / "m.zip")
    for tensor in (*package.description["inputs"], *package.description["outputs"]):
        assert tensor["axes"][1]["channel_names"] == ["channel0", "channel1", "channel2"]
    means = [float(text) for text in package.own("input_mean").split(",")]
    assert means == [channel["mean"] for channel in trained.stats["channels"]]
    np.testing.assert_array_equal(read_array(package, "test_input.npy")[0], trained.sample[:, :100, :112])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["care_laplace"])
def test_bioimageio_core_passes_volumes_with_two_outputs(tmp_path: Path, method: str) -> None:
    pytest.importorskip("bioimageio.core")
    write_package(trained_by(method, dims=3), tmp_path / "m.zip")
    for result in zoo.run_test_model(tmp_path / "m.zip", zoo.FORMATS).values():
        assert (result["status"], result["errors"]) == ("passed", [])
