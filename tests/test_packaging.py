"""The wheel: built, installed into a clean environment, every module found, extras missed by name."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
EXTRAS = {"torch", "onnx", "yaml", "onnxruntime", "scyjava", "matplotlib", "jinja2"}
"""Import names that come with extras and may be missing in a base install."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--installer", "uv", "--outdir", str(folder), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def sources() -> set[str]:
    folders = {"python": "quietframe", "model_export": "quietframe_export"}
    return {
        str(path.relative_to(REPOSITORY / folder))
        for folder, package in folders.items()
        for path in (REPOSITORY / folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_wheel_carries_every_module_and_the_fiji_side_but_no_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert sources() <= names
    assert any(name.endswith(".ijm") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "docs/")) or "fmd" in name.lower()]


@pytest.mark.slow
@pytest.mark.xdist_group("packaging")
def test_base_install_runs_and_names_the_extra_that_is_missing(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env"
    uv = str(Path(sys.executable).parent / "uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True, timeout=60)
    python = environment / "bin" / "python"
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--constraint", "constraints.txt", str(wheel)]
    subprocess.run(install, check=True, cwd=REPOSITORY, timeout=250)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(environment / "bin" / "quietframe"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)

    assert run("--help").returncode == 0
    assert run("--version").stdout.strip() == version("quietframe")
    make = "import numpy, tifffile; tifffile.imwrite('a.tif', numpy.random.default_rng(0).random((64, 64), 'float32'))"
    subprocess.run([str(python), "-c", make], check=True, cwd=tmp_path, timeout=60)
    assert run("info", "a.tif").returncode == 0
    tiny = runpy.run_path(str(REPOSITORY / "tests" / "tiny_models.py"))
    (tmp_path / "m.onnx").write_bytes(tiny["box_model"]())
    for arguments, extra in {
        ("denoise", "a.tif", "b.tif", "--model", "m.onnx"): "quietframe[cpu]",
        ("train", "n2v", "a.tif", "--out", "run"): "quietframe[train]",
        ("judge", "a.tif", "a.tif", "--out", "r.html"): "quietframe[report]",
        ("fiji", "doctor"): "quietframe[fiji]",
    }.items():
        done = run(*arguments)
        assert extra in done.stderr + done.stdout, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    # Every module without a heavy dependency of its own imports in the base install.
    modules = [
        name[:-3].replace("/", ".") for name in sorted(sources()) if name.endswith(".py") and "__main__" not in name
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    try: importlib.import_module(name.removesuffix('.__init__'))\n"
        "    except ModuleNotFoundError as error:\n"
        f"        assert error.name.split('.')[0] in {EXTRAS!r}, (name, error)\n"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_version_stands_in_one_place_and_the_changelog_begins_with_it() -> None:
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == declared == version("quietframe")


def test_constraints_hold_versions_and_no_addresses() -> None:
    for line in (REPOSITORY / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.\-]+==[A-Za-z0-9_.+!]+", line), line
