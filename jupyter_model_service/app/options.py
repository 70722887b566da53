"""What is wrong with options, said by their names and in one sentence. traitlets only warns about an option that it
does not know, and what it says about a value names its own parts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from traitlets import Bool, Enum, Float, HasTraits, Int, TraitError, TraitType
from traitlets.config import Config, Configurable

from ..errors import InvalidRequest

__all__ = ["check_names", "in_file", "refused_value", "where_only"]

_Classes = Sequence[type[Configurable]]
_OTHERS = ("ModelServiceExtension",)  # the Jupyter server's side; jupyter_config.py may hold options of both


def where_only(config: Config) -> Config:
    """Of the options in files those that say where the gateway is."""
    here = config.get("ModelService", {})
    return Config({"ModelService": {"data_dir": here["data_dir"]}}) if "data_dir" in here else Config()


def in_file(sentence: str, files: Sequence[str], command_line: Config) -> str:
    """``sentence`` (of :func:`check_names` or :func:`refused_value`) with the file that it is about before it: of the
    ``files`` that were read the one that has its option. None where that stands on the command line."""
    option = re.search(r"\b([A-Z]\w*[a-z]\w*)\.(\w+)", sentence) or re.search(r" of ()(\w+)\.", sentence)
    section, name = (option[1], option[2]) if option is not None else ("", "")
    if name in command_line.get(section, {}):
        return sentence
    having = [file for file in files if name in Path(file).read_text("utf-8", "replace")]
    return f"{' or '.join(having or files)}: {sentence}" if files else sentence


def check_names(config: Config, classes: _Classes, *, strict: bool) -> None:
    """Raises ``InvalidRequest`` for an option that none of ``classes`` has. A section of somebody else is refused if
    ``strict``, else only where it looks like one of ours: ``jupyter_config.py`` is read by every Jupyter program."""
    known = {parent.__name__: parent for each in classes for parent in each.mro() if issubclass(parent, Configurable)}
    own = {each.__name__ for each in classes}
    for section, content in config.items():
        if not isinstance(content, Config):
            raise InvalidRequest(f"There is no option {section}; --help-all lists them.")
        if section in known:
            _check_section(section, content, known[section], classes, strict)
        elif section not in _OTHERS:
            hint = _near(section, own)
            if hint or strict:
                raise InvalidRequest(f"There are no options of {section}.{hint or ' --help-all lists them.'}")


def _check_section(section: str, content: Config, cls: type[Configurable], classes: _Classes, strict: bool) -> None:
    # c.Application.x is for all programs: what one of ours inherits, or has by itself, may be set there.
    names = {name for each in classes if issubclass(each, cls) for name in each.class_trait_names(config=True)}
    for name, value in content.items():
        if isinstance(value, Config) and name[:1].isupper():  # c.GatewayApp.ModelService.port
            check_names(Config({name: value}), classes, strict=strict)
        elif name not in names:
            hint = _near(name, names, f"{section}.") or " --help-all lists them."
            raise InvalidRequest(f"There is no option {section}.{name}.{hint}")


def _near(word: str, known: Iterable[str], before: str = "") -> str:
    names = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=0.6)
    return f" Did you mean {before}{names[found[0]]}?" if found else ""


def refused_value(error: TraitError, cls: type[HasTraits], config: Config) -> InvalidRequest:
    """traitlets' message as ``ModelService.port = 70000 is refused: it must be a whole number from 0 to 65535.``"""
    match = re.search(r"'(\w+)' trait\b", str(error))
    name = match[1] if match else ""
    trait = cls.class_traits().get(name)
    if trait is None:
        return InvalidRequest(f"An option of {cls.__name__} cannot be used: {error}")
    sections = [each.__name__ for each in cls.mro() if name in config.get(each.__name__, {})]
    value = f" = {str(config[sections[0]][name])[:60]}" if sections else ""
    return InvalidRequest(f"{cls.__name__}.{name}{value} is refused: it must be {_expected(trait)}.")


def _expected(trait: TraitType[object, object]) -> str:
    if isinstance(trait, Bool):
        return "True or False"
    if isinstance(trait, Enum):
        return "one of " + ", ".join(str(each) for each in trait.values or ())
    if isinstance(trait, (Int, Float)):
        low, high = trait.min, trait.max
        kind = "a whole number" if isinstance(trait, Int) else "a number"
        if low is not None and high is not None and high != float("inf"):
            return f"{kind} from {low:g} to {high:g}"
        return kind if low is None or low == -float("inf") else f"{kind}, {low:g} or more"
    return str(trait.info())
