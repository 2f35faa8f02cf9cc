"""The runner: which provider and why, which networks and sizes, clear sentences for everything else."""

from __future__ import annotations

import importlib.metadata
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quietframe.errors import InputError, MissingExtraError, OptionError
from quietframe.inference import runner as running
from quietframe.inference.package import Package, read_array, read_package
from quietframe.inference.processing import apply_steps
from quietframe.inference.runner import ProviderError, Runner

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_models.py"))))


def bare(tmp_path: Path, model: bytes) -> Package:
    (tmp_path / "model.onnx").write_bytes(model)
    return read_package(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["", "v0_4_9.bioimageio.yaml"])
def test_a_published_package_gives_its_published_output(data_dir: Path, name: str) -> None:
    package = read_package(data_dir / "bioimageio" / "unet2d_nuclei_broad" / name)
    given = read_array(package, "test_input.npy").astype(np.float32)
    result = Runner(package, "cpu").run(apply_steps(package.preprocessing, given))[0]
    result = apply_steps(package.postprocessing, result)
    # probabilities in 0..1; 23 layers in another order of summation: measured 1.7e-6
    np.testing.assert_allclose(result, read_array(package, "test_output.npy"), atol=1e-5)


def test_the_network_is_run_as_it_is(tmp_path: Path, rng: np.random.Generator) -> None:
    runner = Runner(bare(tmp_path, tiny.box_model()), "cpu", threads=1)
    batch = rng.normal(100, 10, (3, 1, 17, 23)).astype(np.float32)
    (result,) = runner.run(batch)
    expected = [[tiny.box_truth(picture[0])] for picture in batch]
    # 25 products of 4 in float32: relative 25 * 6e-8
    np.testing.assert_allclose(result, expected, rtol=2e-6)
    assert runner.outputs == ("denoised",)


def test_auto_says_that_it_took_the_cpu_and_why(tmp_path: Path) -> None:
    runner = Runner(bare(tmp_path, tiny.box_model()), "auto")
    if runner.provider == "cuda":
        pytest.skip("this machine has CUDA")
    assert runner.provider_note.startswith("CPU, onnxruntime ")
    assert "not CUDA: " in runner.provider_note


class FakeRuntime:
    """Stands in for onnxruntime on a machine with CUDA libraries that do or do not load."""

    __version__ = "9.9"

    def __init__(self, available: list[str], started: list[str]) -> None:
        self.available, self.started = available, started
        self.asked: list[Any] = []

    def get_available_providers(self) -> list[str]:
        return self.available

    class SessionOptions:
        log_severity_level = intra_op_num_threads = 0

    def InferenceSession(self, model: bytes, sess_options: Any, providers: list[Any]) -> Any:
        self.asked.append(providers)
        started = self.started if len(providers) > 1 else providers
        value = SimpleNamespace(name="input", type="tensor(float)", shape=["n", 1, "h", "w"])
        return SimpleNamespace(get_providers=lambda: started, get_inputs=lambda: [value], get_outputs=list)


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(
        available: list[str], started: list[str], *, driver: bool = True, installed: tuple[str, ...] = ()
    ) -> FakeRuntime:
        runtime = FakeRuntime(available, started)
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)

        def load(name: str) -> None:
            if not driver:
                raise OSError(name)

        def version(name: str) -> str:
            if name not in installed:
                raise importlib.metadata.PackageNotFoundError(name)
            return "1"

        monkeypatch.setattr(running.ctypes, "CDLL", load)
        monkeypatch.setattr(running.importlib.metadata, "version", version)
        return runtime

    return install


def test_auto_takes_cuda_where_it_starts_without_tf32(tmp_path: Path, pretend: Any) -> None:
    package = bare(tmp_path, tiny.box_model())
    runtime = pretend([CUDA, CPU], [CUDA, CPU])
    runner = Runner(package, "auto")
    assert (runner.provider, runner.provider_note) == ("cuda", "CUDA, onnxruntime 9.9")
    assert runtime.asked[0][0][1]["use_tf32"] == "0"


@pytest.mark.parametrize(
    ("available", "started", "options", "reason"),
    [
        ([CPU], [CPU], {"driver": False}, "no NVIDIA driver"),
        ([CPU], [CPU], {"installed": ("onnxruntime",)}, "onnxruntime has no CUDA: pip uninstall -y onnxruntime and"),
        (
            [CPU],
            [CPU],
            {"installed": ("onnxruntime", "onnxruntime-gpu")},
            "pip uninstall -y onnxruntime onnxruntime-gpu and then pip install 'quietframe.gpu.'; onnxruntime and "
            "onnxruntime-gpu are installed together and hide each other",
        ),
        ([CUDA, CPU], [CPU], {}, "could not start CUDA"),
    ],
)
def test_why_not_cuda_is_said_and_cuda_never_falls_back(
    tmp_path: Path, pretend: Any, available: list[str], started: list[str], options: dict[str, Any], reason: str
) -> None:
    package = bare(tmp_path, tiny.box_model())
    pretend(available, started, **options)
    runner = Runner(package, "auto")
    assert runner.provider == "cpu"
    assert re.search(reason, runner.provider_note)
    with pytest.raises(ProviderError, match=f"provider cuda cannot be used: .*{reason}.*--provider cpu"):
        Runner(package, "cuda")
    assert Runner(package, "cpu").provider_note.startswith("CPU, onnxruntime 9.9, as asked")


def test_distributions_that_hide_each_other_are_named_whatever_runs(tmp_path: Path, pretend: Any) -> None:
    package = bare(tmp_path, tiny.box_model())
    pretend([CUDA, CPU], [CUDA, CPU], driver=False, installed=("onnxruntime", "onnxruntime-openvino"))
    for provider in ("auto", "cpu"):
        assert "onnxruntime and onnxruntime-openvino are installed together" in Runner(package, provider).provider_note


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = bare(tmp_path, tiny.box_model())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"needs onnxruntime.*pip install 'quietframe\[cpu\]'"):
        Runner(package)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"provider": "cda"}, "unknown provider 'cda': did you mean cuda"),
        ({"provider": "CPU"}, "allowed: auto, cpu, cuda"),
        ({"threads": 0}, "threads must be 1 to 1024; got 0"),
    ],
)
def test_options_that_do_not_exist_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Runner(bare(tmp_path, tiny.box_model()), **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": TensorProto.FLOAT16}, r"input input is tensor\(float16\)"),
        ({"inputs": 2}, r"takes 2 inputs \(input .*, second .*\)"),
    ],
)
def test_networks_with_other_inputs_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Runner(bare(tmp_path, tiny.box_model(**options)), "cpu")


@pytest.mark.parametrize(("dtype", "name"), [(TensorProto.INT64, "int64"), (TensorProto.DOUBLE, "double")])
def test_a_network_on_another_type_is_named(tmp_path: Path, dtype: int, name: str) -> None:
    nodes = [helper.make_node("Add", ["input", "input"], ["denoised"])]
    model = tiny.finish(nodes, ["input"], (1, 1, None, None), dtype)
    with pytest.raises(InputError, match=rf"input input is tensor\({name}\); Quietframe gives float32"):
        Runner(bare(tmp_path, model), "cpu")


def test_a_network_with_other_axes_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["input"], ["denoised"])]
    with pytest.raises(InputError, match="expected are 4 axes, NCYX"):
        Runner(bare(tmp_path, tiny.finish(nodes, ["input"], (None, None))), "cpu")


def test_a_network_of_a_future_opset_is_named(tmp_path: Path) -> None:
    model = onnx.load_from_string(tiny.box_model())
    model.opset_import[0].version = 99
    with pytest.raises(InputError, match=r"cannot load the network \(opset 99, IR 8\)"):
        Runner(bare(tmp_path, model.SerializeToString()), "cpu")


def test_a_network_of_fixed_size_runs_that_size_only(tmp_path: Path) -> None:
    runner = Runner(bare(tmp_path, tiny.box_model(properties=None, shape=(1, 1, 16, 20))), "cpu")
    assert runner.size == (16, 20)
    assert runner.run(np.ones((1, 1, 16, 20), np.float32))[0].shape == (1, 1, 16, 20)
    with pytest.raises(InputError, match=r"exactly 16 x 20 pixels \(height x width\); this one has 20 x 16"):
        runner.run(np.ones((1, 1, 20, 16), np.float32))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 30), (1, 8), (1, 1)])
def test_own_networks_refuse_less_than_their_minimum(tmp_path: Path, height: int, width: int) -> None:
    runner = Runner(bare(tmp_path, tiny.box_model()), "cpu")
    batch = np.zeros((1, 1, height, width), np.float32)
    if min(height, width) >= 8:
        assert runner.run(batch)[0].shape == batch.shape
        return
    with pytest.raises(InputError, match=f"has {height} x {width} pixels; model needs at least 8 x 8"):
        runner.run(batch)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 15), (3, 20), (1, 1), (50, 51)])
def test_others_networks_get_an_allowed_size_and_give_the_given_one(tmp_path: Path, height: int, width: int) -> None:
    """The description says 8 + n * 4; the picture's own pixels near the upper left do not see the padding."""
    model = tiny.box_model(properties=None)
    path = tiny.write_box_package(
        tmp_path / "box.zip", {"weights.onnx": model}, weights={"onnx": {"source": "weights.onnx"}}
    )
    sizes = []
    runner = Runner(read_package(path), "cpu")
    session = runner._session
    runner._session = SimpleNamespace(
        run=lambda names, feed: sizes.append(feed["input"].shape) or session.run(names, feed)
    )
    picture = np.random.default_rng(0).normal(100, 10, (height, width)).astype(np.float32)
    result = runner.run(picture[None, None])[0][0, 0]
    assert result.shape == (height, width)
    assert all(side >= 8 and side % 4 == 0 for side in sizes[0][2:])
    inner = (slice(0, max(0, height - 2)), slice(0, max(0, width - 2)))
    np.testing.assert_allclose(result[inner], tiny.box_truth(picture)[inner], rtol=2e-6)


def test_tensors_with_axes_in_another_order_are_turned(tmp_path: Path, rng: np.random.Generator) -> None:
    """A channels-last network: its width is scaled by 1, 2, 3, ..., so a wrong turn would show."""
    ramp = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 12, 1)
    nodes = [helper.make_node("Mul", ["input", "ramp"], ["denoised"])]
    model = tiny.finish(nodes, ["input"], (None, None, 12, 1), constants={"ramp": ramp})
    space = {"type": "space", "size": {"min": 4, "step": 4}}
    axes = [{"type": "batch"}, {**space, "id": "y"}, {**space, "id": "x"}, {"type": "channel", "channel_names": ["a"]}]
    path = tiny.write_box_package(
        tmp_path / "last.zip",
        {"weights.onnx": model},
        weights={"onnx": {"source": "weights.onnx"}},
        inputs=[{"id": "input", "axes": axes}],
        outputs=[{"id": "denoised", "axes": axes}],
    )
    picture = rng.normal(size=(8, 12)).astype(np.float32)
    result = Runner(read_package(path), "cpu").run(picture[None, None])[0]
    np.testing.assert_array_equal(result[0, 0], picture * ramp[0, :, :, 0].reshape(1, 12))


def test_a_network_that_changes_the_size_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("MaxPool", ["input"], ["denoised"], kernel_shape=[2, 2], strides=[2, 2])]
    model = tiny.finish(nodes, ["input"], (None, 1, None, None))
    with pytest.raises(InputError, match=r"shape \(1, 1, 8, 8\) for a picture of 16 x 16"):
        Runner(bare(tmp_path, model), "cpu").run(np.zeros((1, 1, 16, 16), np.float32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Failed to allocate memory for requested buffer", "not enough memory to run 8 x 9 pixels at once.*--tile 512"),
        ("bad allocation", "not enough memory"),
        ("Concat mismatch", r"failed on 8 x 9 pixels: Concat mismatch"),
    ],
)
def test_failures_of_the_session_become_sentences(tmp_path: Path, text: str, message: str) -> None:
    runner = Runner(bare(tmp_path, tiny.box_model()), "cpu")

    def fail(names: Any, feed: Any) -> None:
        raise RuntimeError(text)

    runner._session = SimpleNamespace(run=fail)
    with pytest.raises(InputError, match=message):
        runner.run(np.zeros((1, 1, 8, 9), np.float32))
