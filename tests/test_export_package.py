"""Packages: every file as promised, the same bytes twice, the same pixels from torch, ONNX Runtime, whole and tiled."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import importlib.util
import io
import json
import os
import runpy
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
import yaml

from quietframe.errors import InputError, MissingExtraError, OutputError
from quietframe.inference.large import denoise_plane
from quietframe.inference.package import read_array, read_file, read_package
from quietframe.inference.runner import Runner
from quietframe_export import check as checking
from quietframe_export import zoo
from quietframe_export.card import Card
from quietframe_export.check import check_package
from quietframe_export.package import Sizes, cover, example_picture, write_package

HERE = Path(__file__).parent
tiny = SimpleNamespace(**runpy.run_path(str(HERE / "tiny_models.py")))
CARD = Card(
    name="Nuclei denoiser (camera A)",
    description="For 20-read differences.",
    authors=({"name": "Ada Example", "affiliation": "Example Institute", "orcid": "0000-0002-1825-0097"},),
    maintainers=({"name": "Ada Example", "github_user": "ada-example-of-quietframe"},),
    license="CC-BY-4.0",
    cite=({"text": "Example 2026", "doi": "10.1038/s41592-018-0216-7"},),
    tags=("nuclei", "2d"),
    training_data="Twelve exposures.",
    validation="Residuals show no structure.",
)


@pytest.fixture(scope="module")
def trained() -> Any:
    return tiny.trained_unet(depth=2, filters=8)


@pytest.fixture(scope="module")
def written(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("packages") / "model.zip"
    return path, write_package(trained, path, CARD)


def files_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_zip_is_flat_complete_and_without_times(written: tuple[Path, dict[str, Any]]) -> None:
    with zipfile.ZipFile(written[0]) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == [
        "README.md",
        "architecture.py",
        "cover.png",
        "environment.yaml",
        "quietframe.json",
        "rdf.yaml",
        "sample_input.tif",
        "sample_output.tif",
        "test_input.npy",
        "test_output.npy",
        "weights.onnx",
        "weights.pt",
    ]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}


def test_what_breaks_readers_is_not_there(written: tuple[Path, dict[str, Any]]) -> None:
    """Fiji's readers cast documentation and covers to texts, need id and channel_names, and opset 17 at most."""
    rdf = yaml.safe_load(files_of(written[0])["rdf.yaml"])
    assert rdf["format_version"] == "0.5.4"
    assert rdf["documentation"] == "README.md"
    assert rdf["covers"] == ["cover.png"]
    assert isinstance(rdf["id"], str)
    assert rdf["id"]
    assert rdf["weights"]["onnx"]["opset_version"] == 17
    assert rdf["weights"]["onnx"]["parent"] == "pytorch_state_dict"
    for tensor in (*rdf["inputs"], *rdf["outputs"]):
        assert tensor["axes"][1]["channel_names"]
        assert "preprocessing" not in tensor
        assert "postprocessing" not in tensor
    for axis, kept in zip(rdf["inputs"][0]["axes"][2:], rdf["outputs"][0]["axes"][2:], strict=True):
        minimum, step, halo = axis["size"]["min"], axis["size"]["step"], kept["halo"]
        assert step == 4
        assert minimum % step == halo % step == 0
        assert minimum > 2 * halo
        assert halo >= written[1]["receptive_field"]


def test_every_file_has_the_checksum_that_is_declared(written: tuple[Path, dict[str, Any]]) -> None:
    files = files_of(written[0])
    package = read_package(written[0])
    assert package.missing == ()
    # all but the three that the format names by text alone
    assert set(files) - set(package.files) == {"rdf.yaml", "README.md", "cover.png"}
    for name, digest in package.files.items():
        assert hashlib.sha256(files[name]).hexdigest() == digest


def test_the_card_is_in_the_description_and_the_readme(written: tuple[Path, dict[str, Any]]) -> None:
    files = files_of(written[0])
    rdf, readme = yaml.safe_load(files["rdf.yaml"]), files["README.md"].decode()
    assert (rdf["name"], rdf["license"], rdf["authors"][0]["name"]) == (CARD.name, "CC-BY-4.0", "Ada Example")
    assert rdf["tags"].count("2d") == 1
    assert "nuclei" in rdf["tags"]
    for part in ("# Nuclei denoiser", "## Validation", "Twelve exposures.", "Residuals show no structure.", "n2v"):
        assert part in readme
    assert "nan" not in readme.lower().replace("nano", "")


def test_without_a_card_nothing_is_claimed(trained: Any, tmp_path: Path) -> None:
    write_package(trained, tmp_path / "m.zip")
    files = files_of(tmp_path / "m.zip")
    rdf = yaml.safe_load(files["rdf.yaml"])
    assert rdf["authors"] == rdf["cite"] == []
    assert not {"license", "maintainers"} & set(rdf)
    assert "The author of this package says nothing about it." in files["README.md"].decode()


def test_the_same_run_gives_the_same_bytes(trained: Any, written: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    write_package(trained, tmp_path / "again.zip", CARD)
    assert (tmp_path / "again.zip").read_bytes() == written[0].read_bytes()


def test_the_onnx_file_alone_says_all_a_runner_needs(
    trained: Any, written: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "weights.onnx").write_bytes(files_of(written[0])["weights.onnx"])
    bare, whole = read_package(tmp_path / "weights.onnx"), read_package(written[0])
    assert bare.kind == whole.kind == "quietframe"
    for name in ("halo", "step", "minimum", "axes", "any_size", "sha256"):
        assert getattr(bare, name) == getattr(whole, name)
    expected = {"axes": "NCYX", "halo": "28", "step": "4", "min": "8", "outputs": "denoised", "unit": "adu"}
    expected |= {"method": "n2v", "version": "0.1.0"}
    assert {key: bare.own(key) for key in expected} == expected
    assert float(bare.own("input_mean")) == trained.stats["mean"]
    assert float(bare.own("input_std")) == trained.stats["std"]


def test_the_record_holds_settings_statistics_and_provenance(
    trained: Any, written: tuple[Path, dict[str, Any]]
) -> None:
    record = json.loads(files_of(written[0])["quietframe.json"])
    assert record["statistics"] == trained.stats
    assert record["settings"] == {"steps": 400}
    assert record["provenance"]["files"] == [{"name": "a.tif", "sha256": "0" * 64}]
    assert record["sizes"] == {"receptive_field": 26, "halo": 28, "step": 4, "minimum": 8}


def test_test_tensors_are_a_real_crop_and_what_torch_makes_of_it(
    trained: Any, written: tuple[Path, dict[str, Any]]
) -> None:
    package = read_package(written[0])
    given, expected = read_array(package, "test_input.npy"), read_array(package, "test_output.npy")
    assert given.shape == expected.shape == (1, 1, 100, 112)  # 60 + n * 4 within 100 x 113
    np.testing.assert_array_equal(given[0, 0], trained.sample[:100, :112])
    with torch.no_grad():
        np.testing.assert_array_equal(trained.module(torch.from_numpy(given)).numpy(), expected)
    for name, array in (("sample_input.tif", given), ("sample_output.tif", expected)):
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(read_file(package, name))), array[0, 0])


def test_weights_load_into_the_architecture_without_quietframe(
    written: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    package = read_package(written[0])
    weights = package.description["weights"]["pytorch_state_dict"]
    (tmp_path / "architecture.py").write_bytes(read_file(package, "architecture.py"))
    assert b"quietframe" not in read_file(package, "architecture.py").lower()
    spec = importlib.util.spec_from_file_location("shipped_architecture", tmp_path / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = getattr(module, weights["architecture"]["callable"])(**weights["architecture"]["kwargs"]).eval()
    net.load_state_dict(torch.load(io.BytesIO(read_file(package, "weights.pt")), weights_only=True))
    with torch.no_grad():
        result = net(torch.from_numpy(read_array(package, "test_input.npy"))).numpy()
    np.testing.assert_array_equal(result, read_array(package, "test_output.npy"))


def test_the_cover_is_two_to_one_and_small(written: tuple[Path, dict[str, Any]]) -> None:
    data = files_of(written[0])["cover.png"]
    height, width = imagecodecs.png_decode(data).shape
    assert (width, len(data) < 500_000) == (2 * height, True)
    noise = np.random.default_rng(0).normal(size=(400, 700)).astype(np.float32)
    assert len(cover(noise, noise)) < 500_000
    flat = np.full((64, 64), 7, np.float32)
    assert imagecodecs.png_decode(cover(flat, flat)).shape == (192, 384)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ((128, 128), (128, 128)),
        ((200, 99), (128, 96)),
        ((60, 61), (60, 60)),
        ((20, 50), (60, 60)),
        ((9, 300), (60, 128)),
    ],
)
def test_test_pictures_have_an_allowed_size(sample: tuple[int, int], expected: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).normal(size=sample).astype(np.float32)
    result = example_picture(picture, Sizes(field=(26, 26), step=(4, 4), halo=(28, 28), minimum=(8, 8)))
    assert result.shape == (1, 1, *expected)
    rows, columns = min(sample[0], expected[0]), min(sample[1], expected[1])
    np.testing.assert_array_equal(result[0, 0, :rows, :columns], picture[:rows, :columns])


@pytest.mark.parametrize("tile", [60, 88, 128])
def test_tiled_equals_whole_to_1e_5_of_the_data_range(written: tuple[Path, dict[str, Any]], tile: int) -> None:
    runner = Runner(read_package(written[0]), "cpu", threads=1)
    picture = np.random.default_rng(3).poisson(330, (187, 150)).astype(np.float32)
    whole, tiled = denoise_plane(picture, runner, tile=0), denoise_plane(picture, runner, tile=tile)
    assert np.abs(whole - tiled).max() <= 1e-5 * np.ptp(whole)


def test_a_halo_below_the_field_shows_at_the_seams(written: tuple[Path, dict[str, Any]]) -> None:
    """The tolerance of the test above means something: half the halo misses it by far."""
    package = dataclasses.replace(read_package(written[0]), halo=(12, 12))
    runner = Runner(package, "cpu", threads=1)
    picture = np.random.default_rng(3).poisson(330, (187, 150)).astype(np.float32)
    whole, tiled = denoise_plane(picture, runner, tile=0), denoise_plane(picture, runner, tile=60)
    assert np.abs(whole - tiled).max() > 1e-4 * np.ptp(whole)


def test_the_result_says_what_was_measured(written: tuple[Path, dict[str, Any]]) -> None:
    path, result = written
    assert (result["halo"], result["step"], result["receptive_field"], result["opset"]) == (28, 4, 26, 17)
    assert result["bytes"] == path.stat().st_size
    assert result["sha256"] == read_package(path).sha256
    assert result["onnx_difference"] < 1e-5


def test_our_own_check_passes_and_says_its_figures(written: tuple[Path, dict[str, Any]]) -> None:
    seen: list[int] = []
    result = check_package(written[0], zoo=False, progress=lambda message, done, total: seen.append(done))
    assert result["passed"]
    assert all(item["passed"] for item in result["checks"])
    assert [item["name"] for item in result["checks"]] == [
        "files",
        "versions",
        "test tensors",
        "odd sizes",
        "tiles of 120 against the whole",
        "torch against ONNX Runtime",
    ]
    assert seen == list(range(7))


@pytest.mark.slow
def test_bioimageio_core_passes_the_package_offline(written: tuple[Path, dict[str, Any]]) -> None:
    if importlib.util.find_spec("bioimageio") is None:
        pytest.skip("needs the extra zoo")
    results = zoo.run_test_model(written[0], zoo.FORMATS)
    assert set(results) == {"onnx", "pytorch_state_dict"}
    for result in results.values():
        assert (result["status"], result["errors"]) == ("passed", [])


def test_the_check_fails_a_package_with_another_test_output(
    written: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    files = files_of(written[0])
    wrong = np.load(io.BytesIO(files["test_output.npy"])) + 10
    files["test_output.npy"] = tiny.npy(wrong)
    rdf = yaml.safe_load(files["rdf.yaml"])
    rdf["outputs"][0]["test_tensor"]["sha256"] = hashlib.sha256(files["test_output.npy"]).hexdigest()
    files["rdf.yaml"] = yaml.safe_dump(rdf).encode()
    with zipfile.ZipFile(tmp_path / "wrong.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    failed = [item["name"] for item in check_package(tmp_path / "wrong.zip", zoo=False)["checks"] if not item["passed"]]
    assert failed == ["test tensors"]


def test_code_of_others_is_not_executed(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n", encoding="utf-8")
    write_package(dataclasses.replace(trained, architecture_file=trap), tmp_path / "m.zip")
    passed = {"status": "passed", "errors": [], "version": ""}
    monkeypatch.setattr(checking, "run_test_model", lambda path, formats: dict.fromkeys(formats, passed))
    result = check_package(tmp_path / "m.zip")
    notes = {item["name"]: item["note"] for item in result["checks"] if item["passed"] is None}
    assert set(notes) == {"torch against ONNX Runtime", "bioimageio.core test_model, pytorch_state_dict"}
    assert all("not executed" in note for note in notes.values())
    assert not (tmp_path / "sprung").exists()


def test_without_the_extra_zoo_the_check_says_so(
    written: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path, formats: list[str]) -> None:
        raise MissingExtraError("the bioimage.io test", "bioimageio.core", "zoo")

    monkeypatch.setattr(checking, "run_test_model", missing)
    checks = check_package(written[0])["checks"]
    assert checks[-1]["passed"] is None
    assert "pip install 'quietframe[zoo]'" in checks[-1]["note"]


def test_counts_on_a_large_offset_may_differ_by_their_rounding(trained: Any, tmp_path: Path) -> None:
    # near 1e6 float32 has steps of 1/16, more than 1e-4 of a range of a few counts
    sample = (1e6 + np.random.default_rng(0).normal(0, 2, (64, 64))).astype(np.float32)
    net = tiny.trained_unet(depth=2, filters=8).module
    for name in ("input", "output"):
        getattr(net, f"{name}_mean").fill_(1e6)
        getattr(net, f"{name}_std").fill_(2)
    statistics = {**trained.stats, "mean": 1e6, "std": 2.0}
    result = write_package(
        dataclasses.replace(trained, module=net, sample=sample, stats=statistics), tmp_path / "m.zip"
    )
    assert result["onnx_difference"] is not None


def test_a_network_that_onnx_runtime_computes_otherwise_is_not_packaged(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quietframe_export.package.export_onnx", lambda *given, **options: tiny.box_model())
    with pytest.raises(RuntimeError, match="ONNX Runtime and torch differ by"):
        write_package(trained, tmp_path / "m.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("m.onnx", InputError, r"a model package is a \.zip; got m\.onnx"),
        ("none/m.zip", OutputError, "does not exist"),
        ("there.zip", OutputError, "exists; choose another name or add --overwrite"),
    ],
)
def test_outputs_that_cannot_be_are_named_before_work(
    trained: Any, tmp_path: Path, name: str, kind: type[Exception], message: str
) -> None:
    (tmp_path / "there.zip").write_bytes(b"precious")
    with pytest.raises(kind, match=message):
        write_package(trained, tmp_path / name)
    assert (tmp_path / "there.zip").read_bytes() == b"precious"


def test_a_full_disk_leaves_nothing(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_package(trained, tmp_path / "m.zip")
    assert list(tmp_path.iterdir()) == []


LOOP = """
import itertools, runpy, sys
from pathlib import Path
from quietframe_export import package
trained = runpy.run_path(sys.argv[1])["trained_unet"](depth=1, filters=64)
sizes = package.Sizes(*((side, side) for side in (10, 2, 10, 8)))
model = package.export_onnx(trained.module, ["denoised"], {})
package.measure_sizes, package.export_onnx = lambda trained: sizes, lambda *given, **options: model
for number in itertools.count():
    package.write_package(trained, Path(sys.argv[2]) / f"{number % 2}.zip", overwrite=True)
"""


@pytest.mark.slow
def test_kill_9_leaves_no_half_package(tmp_path: Path) -> None:
    """Export is repeated without its slow, harmless beginning, so that the kills hit the writing."""
    rng = np.random.default_rng(int.from_bytes(os.urandom(4), "little"))
    command = [sys.executable, "-c", LOOP, str(HERE / "tiny_models.py"), str(tmp_path)]
    with subprocess.Popen(command) as process:
        for _ in range(3000):
            if (tmp_path / "1.zip").exists():
                break
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.4))
        process.kill()
    finished = sorted(tmp_path.glob("[01].zip"))
    assert len(finished) == 2
    for path in finished:
        assert read_package(path).missing == ()
