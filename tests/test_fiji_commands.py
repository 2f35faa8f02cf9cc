"""The headers of all menu commands against the rules of macros, and the page of options that is made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quietframe.fiji.commands import Command, Parameter, main, page, read_commands
from quietframe.fiji.jvm import FijiError

REPOSITORY = Path(__file__).resolve().parent.parent
COMMANDS = read_commands()
OPTIONS = [(command, option) for command in COMMANDS for option in command.options]
KNOWN = {"label", "description", "value", "choices", "min", "max", "persist", "style", "required", "stepSize"}
TYPES = {"Integer": int, "Double": float, "String": str, "Boolean": str}

each_option = pytest.mark.parametrize(
    ("command", "option"), OPTIONS, ids=[f"{command.label}: {option.name}" for command, option in OPTIONS]
)


def test_every_script_is_a_command_under_the_products_menu_with_its_own_label() -> None:
    scripts = [path for path in (REPOSITORY / "fiji_scripts" / "menu").rglob("*") if path.is_file()]
    assert len(COMMANDS) == len(scripts)
    assert len({command.label.lower() for command in COMMANDS}) == len(COMMANDS)  # a macro calls the label alone
    for command in COMMANDS:
        assert command.menu == ("Plugins", "Quietframe")
        assert command.label.startswith("Quietframe ")
        assert command.summary.endswith(".")
        assert any(item.output for item in command.parameters), f"{command.label} gives nothing back"


@each_option
def test_an_option_can_be_given_by_a_macro_and_has_a_default_that_is_allowed(
    command: Command, option: Parameter
) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", option.name)
    assert set(option.attributes) <= KNOWN
    assert option.text("label"), "a label"
    assert not option.text("label").endswith((".", ":"))
    assert not option.text("description").endswith(".")
    assert "value" in option.attributes, "a default: without, a headless macro stands still"
    assert option.text("persist") == "false", "it must not depend on the last call"
    value = TYPES[option.type](option.text("value"))
    if option.type == "Boolean":
        assert value in {"true", "false"}
    if option.choices:
        assert value in option.choices
        assert all(re.fullmatch(r"[a-z0-9][a-z0-9_-]*", choice) for choice in option.choices), "no spaces, no capitals"
    for key, allowed in (("min", lambda low: low <= value), ("max", lambda high: value <= high)):
        if option.text(key):
            assert allowed(TYPES[option.type](option.text(key))), f"the default is beyond {key}"


def hidden_by(name: str, other: str) -> bool:
    """Tell whether ImageJ, looking for `other`, would find it at the end of `name`: only a letter before stops it."""
    return name != other and name.endswith(other) and not name[-len(other) - 1].isalpha()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.label)
def test_no_option_ends_in_the_name_of_another(command: Command) -> None:
    names = [item.name for item in command.parameters]
    assert len(set(names)) == len(names)
    inputs = [item.name for item in command.parameters if not item.output]
    assert not [(name, other) for name in inputs for other in inputs if hidden_by(name, other)]


def test_the_rule_of_suffixes_is_that_of_imagej() -> None:
    assert hidden_by("denoise_sigma", "sigma")
    assert hidden_by("x2sigma", "sigma")
    assert not hidden_by("xsigma", "sigma")
    assert not hidden_by("sigma", "sigma")


def test_the_page_of_options_is_current() -> None:
    written = (REPOSITORY / "docs" / "fiji-commands.md").read_text(encoding="utf-8")
    assert written == page(COMMANDS), "a header changed: run `make fiji-commands` and commit docs/fiji-commands.md"


def test_the_page_has_a_row_per_option_and_a_line_per_command(tmp_path: Path) -> None:
    assert main([str(tmp_path / "page.md")]) == 0
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        section = text.split(f"\n## {command.label}\n")[1].split("\n## ")[0]
        assert command.recorded() in section
        for option in command.options:
            assert f"| `{option.name}` |" in section
    assert main([]) == 2


@pytest.mark.parametrize("line", ["#@ Integer (value=1 number", "#@ Integer (value=, min=) number", "#@ String"])
def test_a_header_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    script = tmp_path / "menu" / "Plugins" / "Quietframe" / "Quietframe_Wrong.groovy"
    script.parent.mkdir(parents=True)
    script.write_text(f"// Wrong.\n{line}\n")
    with pytest.raises(FijiError, match=r"Quietframe_Wrong\.groovy: .* (is no parameter|cannot be read)"):
        read_commands(tmp_path)
