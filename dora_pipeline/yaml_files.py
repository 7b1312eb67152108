"""YAML files that people write: reading them, and what is wrong in them in words."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from dora_pipeline.errors import ConfigError
from dora_pipeline.files import regular_file
from dora_pipeline.identifiers import suggestion, without_credentials

# What a validation says in Python's words, in those of YAML.
_REASONS = {
    "bool_type": "must be true or false",
    "dict_type": "must hold keys (key: value)",
    "extra_forbidden": "unknown key",
    "missing": "is missing",
    "model_type": "must hold keys (key: value)",
    "string_too_short": "must not be blank",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets the last of two equal keys win; here that is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key if isinstance(key, str) else None)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> list[Any]:
    """Every document of a YAML file. Raises ConfigError for a file that is unreadable or not YAML."""
    try:
        with regular_file(path) as file:
            text = file.read().decode("utf-8-sig")
        return list(yaml.load_all(text, Loader=_UniqueKeyLoader))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the file's owner and mode") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        hint = "; put text that begins with * in quotes" if error.context == "while scanning an alias" else ""
        raise ConfigError(without_credentials(f"{path}{line}: not valid YAML: {error.problem}{hint}")) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Impossible dates and endless numbers are ValueErrors of Python, deep nesting is a RecursionError.
        raise ConfigError(without_credentials(f"{path}: not valid YAML: {error}")) from error


def mistakes(where: str, error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """All mistakes of a validation in one message: place, key, reason. Values are shown only in reasons of ours.

    An unknown key is compared with those of `model`.
    """
    return mistakes_text(mistake_lines(where, error, model))


def mistake_lines(where: str, error: ValidationError, model: type[BaseModel] | None = None) -> list[str]:
    """The mistakes of a validation, a line each: place, key, reason."""
    lines = []
    for item in error.errors(include_url=False, include_input=False):
        *above, last = item["loc"] or ("",)
        key = ".".join(str(part) for part in item["loc"])
        reason = _REASONS.get(item["type"]) or item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden" and model is not None:
            reason += suggestion(str(last), _keys(model, above))
        lines.append(f"{where}: {key}: {reason}" if key else f"{where}: {reason}")
    return lines


def _keys(model: type[BaseModel], place: Sequence[int | str]) -> Collection[str]:
    """The keys of the model that stands at a place of another."""
    for key in place:
        if isinstance(key, str) and key in model.model_fields:
            annotation = model.model_fields[key].annotation
            held = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type)]
            model = next((one for one in held if issubclass(one, BaseModel)), model)
    return model.model_fields


def mistakes_text(lines: Sequence[str]) -> str:
    """One message out of the lines of several mistakes, counted where there are more than one, without credentials."""
    head = [] if len(lines) == 1 else [f"{len(lines)} mistakes:"]
    return without_credentials("\n".join([*head, *lines]))
