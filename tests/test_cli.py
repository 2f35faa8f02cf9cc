"""The command line: exit codes, one-line errors, JSON, what an import costs."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from quietframe import cli

HEAVY = ("torch", "onnxruntime", "skimage", "dask", "jpype", "scyjava", "matplotlib", "scipy", "numpy")


def cpu_seconds(*command: str) -> float:
    """CPU time of one finished process, its children included; the least of three, since others share the machine."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(5))


def test_import_costs_at_most_fifteen_hundredths_of_a_second() -> None:
    assert cpu_seconds(sys.executable, "-c", "import quietframe") <= 0.15


def test_help_costs_at_most_four_tenths_of_a_second() -> None:
    assert cpu_seconds(sys.executable, "-m", "quietframe", "--help") <= 0.4


@pytest.mark.parametrize("statement", ["import quietframe", "from quietframe import cli; cli.run(['--help'])"])
def test_import_and_help_load_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.rstrip().endswith("LOADED []")


def test_help_names_every_command_with_a_line_about_it(
    quietframe: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    lines = quietframe("--help").stdout.splitlines()
    for command in [*cli.COMMANDS, "train n2v", "train care"]:
        (line,) = [line for line in lines if line.startswith(f"  {command} ")]
        assert len(line.removeprefix(f"  {command} ").split()) >= 3, line


@pytest.mark.parametrize("words", sorted({*cli.COMMANDS, "train n2v", "train care"}))
def test_every_command_explains_itself_and_each_option(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*words.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: quietframe" in shown
    for line in shown.splitlines():
        # An option without a word of help shows only its default or nothing behind its type.
        assert not line.strip("│ *").startswith("--") or len(line.strip("│ *").split("  ")) > 1, line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], 'Did you mean "train"'),
        (["ndr", "subtrakt", "a", "b"], 'Did you mean "subtract"'),
        (["train", "n2w", "a.tif", "--out", "r"], 'Did you mean "n2v"'),
        (["train", "n2v", "a.tif", "--out", "r", "--stepz", "3"], "Did you mean --steps"),
        (["info"], "requires an argument"),
        (["info", "missing.tif"], "missing.tif"),
        (["info", "two\nlines.tif"], "two lines.tif"),
        (["denoise", "missing.tif", "o.tif", "--model", "m.zip"], "m.zip does not exist"),
    ],
)
def test_a_mistake_is_one_line_with_what_to_do_and_exit_2(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(words) == 2
    shown = capfd.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("quietframe: ")
    assert shown.out == ""


def test_json_is_one_object_without_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.arange(64, dtype=np.uint16).reshape(8, 8))
    assert cli.run(["info", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["axes"] == "YX"
    assert "summary" not in result


def test_not_a_number_becomes_null_in_json() -> None:
    result = {"snr": float("nan"), "frames": np.array([1.0, np.inf]), "out": Path("a")}
    assert json.loads(cli.render(result, as_json=True)) == {"snr": None, "frames": [1.0, None], "out": "a"}


def test_a_bug_of_ours_is_exit_1_with_its_traceback(tmp_path: Path) -> None:
    code = (
        "from quietframe import cli\n"
        "import quietframe.verbs.info as verb\n"
        "def broken(source: str) -> None:\n"
        "    '''Break.'''\n"
        "    raise ZeroDivisionError('ours')\n"
        "verb.info = broken\n"
        "cli.main(['info', 'x'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "ZeroDivisionError: ours" in done.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_leaves_nothing_half_written(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, time\n"
        "from quietframe import cli\n"
        "from quietframe.outputs import atomic_output\n"
        "import quietframe.verbs.info as verb\n"
        "def slow(source: str) -> None:\n"
        "    '''Write slowly.'''\n"
        "    with atomic_output(source) as partial:\n"
        "        partial.write_bytes(b'half')\n"
        "        print('started', flush=True)\n"
        "        time.sleep(60)\n"
        "verb.info = slow\n"
        f"cli.main(['info', {str(tmp_path / 'out.tif')!r}])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.kill(process.pid, sent)
    assert process.wait(timeout=30) == code
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
