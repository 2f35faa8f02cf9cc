"""Run all tests, the real ImageJ's in a process of its own (one JVM per process), and end in one line of counts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
RUNS = {
    "python": ["tests", "--ignore=tests/fiji", "-n", "auto", "--dist", "loadgroup"],
    "imagej": ["tests/fiji"],
}


def counts(report: Path) -> tuple[int, int, int]:
    """Return passed, failed and skipped out of a JUnit report; a run that wrote none counts as one failure."""
    if not report.is_file():
        return 0, 1, 0
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    total = failed = skipped = 0
    for suite in suites:
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return total - failed - skipped, failed, skipped


def main() -> int:
    """Run both, print the sum, return the exit code."""
    # One thread per worker: the workers already fill the cores.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    passed = failed = skipped = 0
    broken = False
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in RUNS.items():
            print(f"== {name}", flush=True)
            report = Path(folder) / f"{name}.xml"
            command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", "--durations=10", *arguments]
            code = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
            run = counts(report)
            broken |= code != 0
            # A process that died without a failed test is a failure all the same.
            passed, failed, skipped = passed + run[0], failed + max(run[1], int(code != 0)), skipped + run[2]
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return int(broken or failed > 0)


if __name__ == "__main__":
    sys.exit(main())
