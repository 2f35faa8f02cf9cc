"""The model card: what the author of a model says of it. What nobody said is left out of the package."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from quietframe.errors import InputError, OptionError, unknown

TEMPLATE = Path(__file__).with_name("card.yaml")
"""A card to fill in, with every key explained."""

_NAME = re.compile(r"[A-Za-z0-9_+\- ()]{5,128}")
_PERSON_KEYS = {
    "authors": {"name", "affiliation", "orcid", "email", "github_user"},
    "maintainers": {"name", "affiliation", "orcid", "email", "github_user"},
    "cite": {"text", "doi", "url"},
}
_REQUIRED = {"authors": "name", "maintainers": "github_user", "cite": "text"}


@dataclass(frozen=True)
class Card:
    """What the author of a model says of it; empty = not said.

    Parameters
    ----------
    name
        Letters, digits, blanks and ``_+-()``, 5 to 128 characters.
    id
        Identifier in a model zoo; made from the weights when empty.
    description
        One paragraph, at most 1024 characters.
    version
        Of the model, e.g. ``"1.0.0"``.
    authors, maintainers
        Mappings with ``name, affiliation, orcid, email, github_user``; a maintainer needs ``github_user``.
    license
        SPDX name of the licence of the weights.
    cite
        Mappings with ``text`` and ``doi`` or ``url``.
    tags
        More tags.
    training_data, intended_use, limitations, validation
        Texts for the README of the package.
    """

    name: str = ""
    id: str = ""
    description: str = ""
    version: str = "0.1.0"
    authors: tuple[Mapping[str, str], ...] = ()
    maintainers: tuple[Mapping[str, str], ...] = ()
    license: str = ""
    cite: tuple[Mapping[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    training_data: str = ""
    intended_use: str = ""
    limitations: str = ""
    validation: str = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, str) and not isinstance(value, str):
                raise OptionError(f"card: {field.name} must be a text; got {value!r}; put it in quotes")
        if self.name and not _NAME.fullmatch(self.name):
            raise OptionError(
                f"card: name {self.name!r} must have 5 to 128 characters out of letters, digits, blanks and _+-()"
            )
        if len(self.description) > 1024:
            raise OptionError(f"card: description has {len(self.description)} characters; at most 1024 are allowed")
        for key, allowed in _PERSON_KEYS.items():
            for entry in getattr(self, key):
                _check_entry(key, entry, allowed)
        if not all(isinstance(tag, str) and tag for tag in self.tags):
            raise OptionError(f"card: tags must be texts; got {list(self.tags)!r}")


def read_card(path: str | os.PathLike[str]) -> Card:
    """Read a card from YAML; `TEMPLATE` explains its keys.

    Raises
    ------
    InputError
        When the file is missing or no YAML.
    OptionError
        When it has a key or value that a card cannot have.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a model card (YAML)") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from error
    if values is None:
        return Card()
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold keys and values, e.g. 'name: My denoiser'; it holds {values!r:.60}")
    fields = {field.name: field for field in dataclasses.fields(Card)}
    known: dict[str, Any] = {}
    for key, value in values.items():
        if key not in fields:
            raise unknown("key of a card", key, fields)
        if value is None:
            continue
        if fields[key].default == ():
            if not isinstance(value, list):
                raise OptionError(f"{path}: {key} must be a list; got {value!r:.60}")
            value = tuple(value)
        known[key] = value
    return Card(**known)


def _check_entry(key: str, entry: object, allowed: set[str]) -> None:
    if not isinstance(entry, Mapping):
        raise OptionError(f"card: an entry of {key} has the keys {', '.join(sorted(allowed))}; got {entry!r:.60}")
    for name, value in entry.items():
        if name not in allowed:
            raise unknown(f"key in {key} of a card", name, allowed)
        if not isinstance(value, str) or not value:
            raise OptionError(f"card: {name} in {key} must be a text; got {value!r}; put it in quotes")
    if _REQUIRED[key] not in entry:
        raise OptionError(f"card: every entry of {key} needs {_REQUIRED[key]}; got {dict(entry)!r:.80}")
    if key == "cite" and not ({"doi", "url"} & set(entry)):
        raise OptionError(f"card: every entry of cite needs doi or url; got {dict(entry)!r:.80}")
