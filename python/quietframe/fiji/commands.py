"""What the menu commands take and give, out of the `#@` headers of their scripts; the page docs/fiji-commands.md.

``python -m quietframe.fiji.commands docs/fiji-commands.md`` (or ``make fiji-commands``) writes the page anew.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import jar
from .jvm import FijiError

_HEADER = re.compile(
    r"#@(?P<output>output)?\s*(?P<type>\w+)\s*(?:\((?P<attributes>.*)\))?\s+(?P<name>\w+)\s*$", re.ASCII
)
_ATTRIBUTE = re.compile(r"(?P<key>\w+)\s*=\s*(?P<value>\{[^}]*\}|\"[^\"]*\"|[^,\s]+)\s*(?:,\s*|$)")


@dataclass(frozen=True)
class Parameter:
    """One `#@` line.

    Parameters
    ----------
    name, type
        Its variable, which is its key in a macro, and its type, e.g. ``Integer``.
    output
        Whether the command gives it; else it takes it.
    attributes
        label, description, value, choices (a tuple), min, max, persist, as text.
    """

    name: str
    type: str
    output: bool
    attributes: dict[str, str | tuple[str, ...]]

    def text(self, key: str) -> str:
        """Return an attribute, ``""`` when it is not there."""
        found = self.attributes.get(key, "")
        return found if isinstance(found, str) else ", ".join(found)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that are allowed; empty when any is."""
        found = self.attributes.get("choices", ())
        return found if isinstance(found, tuple) else (found,)


@dataclass(frozen=True)
class Command:
    """A menu command.

    Parameters
    ----------
    label
        What the menu shows and ``run`` takes.
    menu
        Its menus, outermost first.
    summary
        The sentence above its parameters.
    parameters
        In their order.
    """

    label: str
    menu: tuple[str, ...]
    summary: str
    parameters: tuple[Parameter, ...]

    @property
    def options(self) -> tuple[Parameter, ...]:
        """What a macro gives: all inputs but images."""
        return tuple(item for item in self.parameters if not item.output and item.type != "ImagePlus")

    def recorded(self) -> str:
        """Return the line that ImageJ's recorder writes for the default of every option."""
        words = [f"{option.name}={_written(option)}" for option in self.options]
        return f'run("{self.label}", "{" ".join(words)}");' if words else f'run("{self.label}");'


def _written(option: Parameter) -> str:
    value = option.text("value")
    if option.type in {"Double", "Float"}:
        return str(float(value))  # as Java writes it: 5.0
    return f"[{value}]" if " " in value else value


def read_commands(folder: Path | None = None) -> list[Command]:
    """Read the headers of all menu scripts.

    Parameters
    ----------
    folder
        With ``menu`` in it; None = `jar.scripts_folder`.

    Returns
    -------
    list of Command
        By label.

    Raises
    ------
    FijiError
        When a header line cannot be read.
    """
    menu = (folder or jar.scripts_folder()) / "menu"
    paths = [path for path in menu.rglob("*") if path.suffix in {".groovy", ".py"}]
    return sorted((_read(path, path.relative_to(menu).parts[:-1]) for path in paths), key=lambda item: item.label)


def _read(path: Path, menu: tuple[str, ...]) -> Command:
    lines = path.read_text(encoding="utf-8").splitlines()
    parameters = [_parameter(line.strip(), path) for line in lines if line.lstrip("/ ").startswith("#@")]
    first = next((number for number, line in enumerate(lines) if line.lstrip("/ ").startswith("#@")), 0)
    summary = " ".join(line.lstrip("/# ").strip() for line in lines[:first])
    return Command(path.stem.replace("_", " "), menu, summary, tuple(parameters))


def _parameter(line: str, path: Path) -> Parameter:
    found = _HEADER.fullmatch(line)
    if found is None:
        raise FijiError(
            f"{path.name}: {line!r} is no parameter; write #@ Type (label=..., value=..., persist=false) name"
        )
    return Parameter(
        found["name"], found["type"], bool(found["output"]), _attributes(found["attributes"] or "", path, line)
    )


def _attributes(text: str, path: Path, line: str) -> dict[str, str | tuple[str, ...]]:
    attributes: dict[str, str | tuple[str, ...]] = {}
    at = 0
    while at < len(text):
        found = _ATTRIBUTE.match(text, at)
        if found is None:
            raise FijiError(f"{path.name}: {line!r}: attributes cannot be read from {text[at:]!r} on")
        value = found["value"]
        attributes[found["key"]] = tuple(re.findall(r'"([^"]*)"', value)) if value.startswith("{") else value.strip('"')
        at = found.end()
    return attributes


def page(commands: Sequence[Command]) -> str:
    """Write the page of all commands as Markdown."""
    parts = [
        "# Commands of Quietframe in Fiji",
        "Written by `make fiji-commands` out of the headers of the menu scripts; how to install and use them stands in "
        "[fiji.md](fiji.md). Every option has a default; the line below each command is what ImageJ's recorder writes "
        "for all of them; a recorder may add the image by its title (`image=[cells.tif]`), which can be left out. "
        "Values with spaces stand in brackets, `model=[my cells.zip]`; a wrong value stops the macro with one line.",
    ]
    return "\n\n".join([*parts, *map(_section, commands)]) + "\n"


def _section(command: Command) -> str:
    images = [item.text("label") for item in command.parameters if not item.output and item.type == "ImagePlus"]
    takes = f"Takes: {', '.join(images).lower()} (the active image)." if images else "Takes no image."
    lines = [f"## {command.label}", "", f"{' › '.join([*command.menu, command.label])}. {command.summary} {takes}", ""]
    if command.options:
        lines += ["| option | default | allowed | what |", "|---|---|---|---|"]
        lines += [_row(option) for option in command.options]
        lines.append("")
    gives = ", ".join(f"`{item.name}` ({item.type})" for item in command.parameters if item.output)
    lines += [f"Gives: {gives}.", "", "```", command.recorded(), "```"]
    return "\n".join(lines)


def _row(option: Parameter) -> str:
    low, high = option.text("min"), option.text("max")
    allowed = option.type.lower()
    if option.choices:
        allowed = ", ".join(f"`{choice}`" for choice in option.choices)
    elif low and high:
        allowed += f", {low} to {high}"
    elif low:
        allowed += f", {low} or more"
    elif option.type == "Boolean":
        allowed = "`true`, `false`"
    what = ". ".join(filter(None, (option.text("label"), option.text("description"))))
    default = f"`{option.text('value')}`" if option.text("value") else "empty"
    return f"| `{option.name}` | {default} | {allowed} | {what} |"


def main(arguments: list[str]) -> int:
    """Write the page: ``python -m quietframe.fiji.commands FILE``."""
    if len(arguments) != 1:
        print("usage: python -m quietframe.fiji.commands FILE", file=sys.stderr)
        return 2
    Path(arguments[0]).write_text(page(read_commands()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
