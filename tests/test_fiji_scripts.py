"""What can be said of the Fiji scripts without Java: headers, menu paths, Python 2.7 and 3, shared arithmetic."""

from __future__ import annotations

import ast
import importlib.util
import re
import statistics
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from quietframe.fiji import jar

FOLDER = jar.scripts_folder()
SCRIPTS = sorted(path for path in (FOLDER / "menu").rglob("*") if path.suffix in {".groovy", ".py"})
HEADER = re.compile(r"#@(?P<output>output)?\s*(?P<type>\w+)\s*(?:\((?P<attributes>.*)\))?\s*(?P<name>\w+)\s*$")
TYPES = {"ImagePlus", "Integer", "Double", "String", "Boolean", "File"}


def parameters(path: Path) -> list[re.Match[str]]:
    lines = [line for line in path.read_text().splitlines() if line.lstrip("/ ").startswith("#@")]
    found = [HEADER.fullmatch(line.strip()) for line in lines]
    assert all(found), f"{path.name}: a header line cannot be read"
    return [match for match in found if match]


def test_there_are_scripts_under_the_products_menu() -> None:
    assert len(SCRIPTS) >= 3
    for path in SCRIPTS:
        assert path.relative_to(FOLDER / "menu").parts[:2] == ("Plugins", "Quietframe")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_header_can_be_called_from_a_macro(path: Path) -> None:
    found = parameters(path)
    inputs = [match for match in found if not match["output"]]
    names = [match["name"] for match in found]
    assert any(match["output"] for match in found), "a command gives something back"
    assert len(set(names)) == len(names)
    for match in found:
        assert match["type"] in TYPES, match.group()
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", match["name"]), match.group()
    for match in inputs:
        attributes = match["attributes"] or ""
        assert "label=" in attributes, match.group()
        if match["type"] == "ImagePlus":
            continue
        assert "value=" in attributes, f"{match['name']} needs a default: without, a headless macro stands still"
        assert "persist=false" in attributes, f"{match['name']} must not depend on the last call"
        for other in names:
            # ImageJ finds the key `x` inside `a_x=1`: only a letter before it stops the match.
            assert not match["name"].endswith("_" + other), f"{match['name']} hides {other}"
        choices = re.search(r"choices=\{(.*?)\}", attributes)
        default = re.search(r'value="?([^",)]*)', attributes)
        if choices:
            assert default is not None
            assert default[1] in re.findall(r'"([^"]+)"', choices[1])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_label_carries_the_products_name_and_the_script_only_calls(path: Path) -> None:
    label = path.stem.replace("_", " ")
    text = path.read_text()
    assert label.startswith("Quietframe ")
    assert f"Command.run('{label}')" in text or f'Command.run("{label}"' in text
    assert not re.search(r"\b(for|while)\b.*[:({]", re.sub(r"^.*#@.*$", "", text, flags=re.MULTILINE)), (
        "no loops in menus"
    )
    assert len(text.splitlines()) <= 40
    assert label in (FOLDER / "README.md").read_text(), "a row of the menu table"


def test_every_class_of_the_library_is_compiled_statically() -> None:
    for path in (FOLDER / "library").rglob("*.groovy"):
        text = path.read_text()
        assert re.search(r"^@CompileStatic\nclass \w+", text, re.MULTILINE), path.name
        assert len(text.splitlines()) <= 500
        assert "imp.stack" not in text  # isStack(), a truth value


@pytest.mark.parametrize("path", sorted((FOLDER / "jython").rglob("*.py")), ids=lambda path: path.name)
def test_shared_jython_is_python_2_and_3(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 7))
    wrong = (ast.JoinedStr, ast.AnnAssign, ast.AsyncFunctionDef, ast.NamedExpr, ast.Nonlocal, ast.YieldFrom)
    assert not [node for node in ast.walk(tree) if isinstance(node, wrong)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None
            assert not node.args.kwonlyargs
    # Python 2 divides integers without a rest unless told otherwise.
    divides = any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) for node in ast.walk(tree))
    assert not divides or "from __future__ import division" in path.read_text()


@pytest.fixture(scope="module")
def snr() -> ModuleType:
    spec = importlib.util.spec_from_file_location("snr", FOLDER / "jython" / "quietframe_fiji" / "snr.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def region(image: list[list[float]], rectangle: list[int]) -> SimpleNamespace:
    x, y, width, height = rectangle
    values = [float(value) for row in image[y : y + height] for value in row[x : x + width]]
    return SimpleNamespace(mean=statistics.mean(values), std=statistics.stdev(values), pixels=len(values))


def test_shared_snr_gives_the_vectors_numbers_in_python_3(snr: ModuleType, vectors: Any) -> None:
    for case in vectors("roi_statistics.json")["cases"]:
        maximum = max(float(value) for row in case["image"] for value in row)
        row = snr.measure(region(case["image"], case["bright"]), region(case["image"], case["dark"]), maximum)
        assert set(row) == set(snr.COLUMNS)
        for name in snr.COLUMNS:
            assert row[name] == pytest.approx(case["expected"][name], rel=1e-6), (case["name"], name)


def test_shared_snr_refuses_a_dark_region_without_noise(snr: ModuleType) -> None:
    flat = SimpleNamespace(mean=7.0, std=0.0, pixels=289)
    with pytest.raises(ValueError, match="all 289 pixels are 7, std 0"):
        snr.measure(flat, flat, 7.0)
