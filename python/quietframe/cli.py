"""The command line: registers the verbs, renders progress and errors, sets the exit code.

Exit codes: 0 done; 1 an error of ours (a bug, shown with its traceback); 2 the user's input or options (one line);
130 interrupted, 143 terminated, both with nothing half-written.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import QuietframeError
from .filters import filter_names, filter_summary
from .methods import method_names, method_summary
from .progress import Progress, silent

if TYPE_CHECKING:
    from cyclopts import App

COMMANDS = {
    "demo": "demo:demo",
    "info": "info:info",
    "ndr simulate": "ndr:simulate",
    "ndr subtract": "ndr:subtract",
    "ndr fit": "ndr:fit",
    "ndr calibrate": "ndr:calibrate",
    "ndr split": "ndr_split:split",
    "ndr measure": "ndr:measure",
    "ndr montage": "ndr_figures:montage",
    "ndr profile": "ndr_figures:profile",
    "filter list": "filter:listing",
    "filter tune": "filter_tune:tune",
    "train compare": "train_compare:compare",
    "denoise": "denoise:denoise",
    "export": "export:export",
    "model info": "model:info",
    "model check": "model:check",
    "model run": "model:run",
    "score": "score:score",
    "judge": "judge:judge",
    "reproduce siegen": "reproduce:siegen",
    "fiji install": "fiji:install",
    "fiji uninstall": "fiji:uninstall",
    "fiji doctor": "fiji:doctor",
    "fiji run": "fiji:run",
    "doctor": "doctor:doctor",
}
"""What is typed -> ``file:function`` in `quietframe.verbs`; ``train`` and ``filter`` take more from their folders."""

ABOUT = (
    "Take the noise out of microscopy images, above all out of non-destructive-readout exposures. Every command takes "
    "--help, and --json (one object on stdout). Sub-frames count from 1."
)

GROUPS = {
    "ndr": "Non-destructive-readout exposures: simulate, subtract, fit, split, measure, draw.",
    "filter": "Classical filters: one over a file, the list of them, and the choice without a truth.",
    "train": "Train a denoiser; ends in a model package.",
    "model": "Model packages, ours and others': look into, check, run.",
    "reproduce": "Published tables: their recipe run here, their numbers beside ours.",
    "fiji": "Install into Fiji, diagnose it, run scripts in ImageJ.",
}


def build_app(words: Sequence[str]) -> App:
    """Register every verb; a verb's file is imported only when the verb is among the words that were typed."""
    from cyclopts import App, Parameter

    app = App(
        name="quietframe",
        version=lambda: version("quietframe"),
        help_format="markdown",
        default_parameter=Parameter(negative=()),
        result_action="return_value",
    )
    groups = {name: App(name=name, help=text) for name, text in GROUPS.items()}
    for group in groups.values():
        app.command(group)
    for command, place in COMMANDS.items():
        *group_name, name = command.split()
        owner = groups[group_name[0]] if group_name else app
        # The whole docstring for the verb that is asked about, one line of it in the lists.
        asked = list(words[: len(group_name) + 1]) == [*group_name, name]
        owner.command(f"quietframe.verbs.{place}", name=name, help=None if asked else first_line(place))
    folders: dict[str, tuple[Callable[[], Sequence[str]], Callable[[str], str]]] = {
        "train": (method_names, method_summary),
        "filter": (filter_names, filter_summary),
    }
    for group_of, (names, summary_of) in folders.items():
        if list(words[:1]) != [group_of]:
            continue  # dozens of files that nobody asks about
        for entry in names():
            name = entry.replace("_", "-")
            summary = None if list(words[:2]) == [group_of, name] else summary_of(entry)
            groups[group_of].command(f"quietframe.verbs.{group_of}:{entry}", name=name, help=summary)
    return app


def overview() -> str:
    """Return the list of all commands, which is what a bare ``quietframe`` or ``quietframe --help`` shows.

    Written out here and not left to cyclopts, whose import alone takes longer than this list.
    """
    lists: dict[str, str] = {}
    for command, place in COMMANDS.items():
        if command == "denoise":
            lists |= {f"train {name.replace('_', '-')}": method_summary(name) for name in method_names()}
        if command == "filter list":
            names = ", ".join(name.replace("_", "-") for name in filter_names())
            lists["filter NAME"] = f"Filter a picture or stack: {names}."
        lists[command] = first_line(place)
    wide = max(len(command) for command in lists) + 4
    columns = min(shutil.get_terminal_size().columns, 100)
    rows = [
        textwrap.fill(text, columns, initial_indent=f"  {command:<{wide - 2}}", subsequent_indent=" " * wide)
        for command, text in lists.items()
    ]
    return "\n".join(["Usage: quietframe COMMAND ...", "", *textwrap.wrap(ABOUT, columns), "", *rows])


def first_line(place: str) -> str:
    """Return the first line of a verb's docstring without importing its file, for the lists of commands."""
    file, _, name = place.partition(":")
    source = (Path(__file__).parent / "verbs" / f"{file}.py").read_text(encoding="utf-8")
    after = source.partition(f"\ndef {name}(")[2].partition('"""')[2]
    return " ".join(after.partition("\n\n")[0].partition('"""')[0].split())


@contextmanager
def terminal_progress() -> Iterator[Progress]:
    """Give a progress bar with the time left on stderr, or silence when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(
        *columns, TextColumn("left"), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bars:
        tasks: dict[str, Any] = {}

        def show(message: str, done: int, total: int) -> None:
            # What stands before the first colon names the work; the rest (a loss, a file) changes as it goes on.
            name = message.partition(":")[0]
            if name not in tasks:
                tasks[name] = bars.add_task(message, total=total)
            bars.update(tasks[name], description=message, completed=done, total=total)
            if done >= total:
                bars.update(tasks[name], visible=False)

        yield show


def plain(value: Any) -> Any:
    """Turn a verb's result into what JSON can hold: paths to text, numpy numbers to numbers, NaN to null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def render(result: Any, *, as_json: bool) -> str:
    """Render a verb's result for stdout: its ``summary`` lines, or everything else as one JSON object."""
    if not isinstance(result, dict):
        return "" if result is None else str(result)
    values = {key: value for key, value in result.items() if key != "summary"}
    if as_json:
        return json.dumps(plain(values), indent=2, allow_nan=False)
    if "summary" in result:
        return "\n".join(result["summary"])
    return "\n".join(f"{key}: {value}" for key, value in plain(values).items())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    words = [word for word in arguments if word != "--json"]
    if words in ([], ["--help"], ["-h"]):
        print(overview())
        return 0
    try:
        return execute(words, as_json="--json" in arguments)
    except QuietframeError as error:
        return complain(str(error))
    except MemoryError:
        return complain("not enough memory for this input; use a smaller picture, tile or batch")
    except KeyboardInterrupt:
        print("quietframe: interrupted; nothing half-written", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (``| head``): nothing is left to say to it.
        sys.stdout = None
        return 0


def execute(words: Sequence[str], *, as_json: bool) -> int:
    """Call the verb that the words name and print what it returns."""
    from cyclopts import CycloptsError

    try:
        command, bound, ignored = build_app(words).parse_args(list(words), print_error=False, exit_on_error=False)
    except CycloptsError as error:
        return complain(str(error), hint=f"see: quietframe {command_of(words)}--help")
    with terminal_progress() as progress:
        if "progress" in ignored:
            bound.arguments["progress"] = progress
        result = command(*bound.args, **bound.kwargs)
    text = render(result, as_json=as_json)
    if text:
        print(text)
    return int(result.get("exit_code", 0)) if isinstance(result, dict) else 0


def command_of(words: Sequence[str]) -> str:
    """Return the leading words that name a command, with a space behind, for ``quietframe COMMAND --help``."""
    known = {word for name in COMMANDS for word in name.split()} | set(GROUPS)
    if not words or words[0] not in known:
        return ""
    return f"{words[0]} {words[1]} " if len(words) > 1 and f"{words[0]} {words[1]}" in COMMANDS else f"{words[0]} "


def complain(message: str, hint: str = "") -> int:
    """Print one line to stderr, whatever a file name holds, and return the exit code of a user's error."""
    print(f"quietframe: {' '.join(message.split())}" + (f" ({hint})" if hint else ""), file=sys.stderr)
    return 2


def _terminated(signum: int, frame: object) -> NoReturn:
    # As an exception, so that every temporary file is removed on the way out.
    raise SystemExit(128 + signum)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    # Threads that spin while they wait for each other take the processor from whatever they wait for: on a machine
    # with other work a training step took up to five times longer. OpenMP reads this when torch is loaded, not later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, _terminated)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
