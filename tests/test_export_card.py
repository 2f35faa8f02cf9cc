"""The model card: what it may hold, and that nothing is claimed where nothing was said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from quietframe.errors import InputError, OptionError, QuietframeError
from quietframe_export.card import TEMPLATE, Card, read_card


def test_the_template_claims_nothing_and_explains_every_key() -> None:
    assert read_card(TEMPLATE) == Card()
    keys = set(re.findall(r"^# (\w+):", TEMPLATE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert keys == {name for name in Card.__dataclass_fields__ if name != "id"}


def test_the_template_is_a_valid_card_when_its_marks_are_removed(tmp_path: Path) -> None:
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    keys = [re.sub(r"^# ", "", line) for line in lines if re.match(r"# (\w+:|  )", line)]
    (tmp_path / "card.yaml").write_text("\n".join(keys), encoding="utf-8")
    card = read_card(tmp_path / "card.yaml")
    assert card.authors[0]["orcid"] == "0000-0002-1825-0097"
    assert card.license == "CC-BY-4.0"
    assert card.tags == ("nuclei", "fluorescence-light-microscopy")


BAD: list[tuple[dict[str, Any] | str, str]] = [
    ({"nmae": "My denoiser"}, "unknown key of a card 'nmae': did you mean name"),
    ({"name": "abc"}, "name 'abc' must have 5 to 128 characters"),
    ({"name": "Schärfe"}, "must have 5 to 128 characters out of letters"),
    ({"name": 12345}, "name must be a text; got 12345"),
    ({"version": 1.0}, r"version must be a text; got 1\.0; put it in quotes"),
    ({"description": "x" * 1025}, "description has 1025 characters; at most 1024"),
    ({"authors": "Ada"}, "authors must be a list; got 'Ada'"),
    ({"authors": ["Ada"]}, "an entry of authors has the keys"),
    ({"authors": [{"nam": "Ada"}]}, "unknown key in authors of a card 'nam': did you mean name"),
    ({"authors": [{"affiliation": "Institute"}]}, "every entry of authors needs name"),
    ({"authors": [{"name": 7}]}, "name in authors must be a text; got 7"),
    ({"maintainers": [{"name": "Ada"}]}, "every entry of maintainers needs github_user"),
    ({"cite": [{"text": "Ada 2026"}]}, "every entry of cite needs doi or url"),
    ({"tags": [1]}, r"tags must be texts; got \[1\]"),
    ("name: [", "is not YAML"),
    ("- name", "must hold keys and values"),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_cards_that_cannot_be_are_named(tmp_path: Path, content: dict[str, Any] | str, message: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(QuietframeError, match=message):
        read_card(path)


def test_a_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_card(tmp_path / "card.yaml")


def test_empty_values_are_not_said(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("license:\nname: My denoiser\n", encoding="utf-8")
    assert read_card(tmp_path / "card.yaml") == Card(name="My denoiser")


def test_a_card_made_in_python_is_checked_too() -> None:
    with pytest.raises(OptionError, match="every entry of cite needs text"):
        Card(cite=({"doi": "10.1000/example"},))
