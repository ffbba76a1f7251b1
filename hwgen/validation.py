"""Values from JSON files: read as JSON, and checked against a schema, before anything uses them.

Schemas are those of JSON Schema, in its draft 04, whose integers are written without a fraction or
an exponent: ``1.0`` is none. They stand beside what they describe; the library ``fastjsonschema``
compiles them. Where a schema has a ``description``, refusals say it as what was expected.

Large arrays are no matter of a schema, which looks at each element by itself: schemas say that
there is a list, and NumPy looks inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from .errors import UserError, shown

Definition = dict[str, Any]
"""A JSON Schema."""
_DRAFT = {"$schema": "http://json-schema.org/draft-04/schema#"}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def integer(minimum: int, maximum: int) -> dict[str, Any]:
    """The schema of an integer within bounds, both included."""
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def list_of(items: Definition, **bounds: int) -> dict[str, Any]:
    """The schema of a list of such items. bounds : ``minItems`` and ``maxItems``."""
    return {"type": "array", **bounds, "items": items}


def fields(
    properties: Mapping[str, Definition], required: Sequence[str] | None = None
) -> dict[str, Any]:
    """The schema of an object with these keys and no others.

    required : those that must be there; None: all of them.
    """
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties if required is None else required),
        "properties": dict(properties),
    }


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises UserError, naming the file, for what can not be read, is not JSON in UTF-8, or states a
    key twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"can not be read ({error.strerror})", file=path) from None
    except UnicodeDecodeError:
        raise UserError("not JSON (not text in UTF-8)", file=path) from None
    try:
        value = json.loads(text, object_pairs_hook=_object)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UserError as error:
        raise error.within(path) from None
    except RecursionError:
        raise UserError("not JSON for hwgen (nested too deeply)", file=path) from None
    except UnicodeEncodeError:
        raise UserError("not JSON (half of a surrogate pair)", file=path) from None
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON ({error})", file=path) from None
    except ValueError:  # of int(), for numbers of thousands of digits
        raise UserError("not JSON for hwgen (a number has too many digits)", file=path) from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise UserError(f"the key {shown(twice)} is stated twice in one object")
    return value


class Schema:
    """A schema and the function that it compiles to, when it is first used."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition

    def check(self, value: Any, at: str = "") -> None:
        """Raise UserError, naming the path in the file, for the first fault of a value.

        at : the path of the value itself, as ``layers[3]``; "" for a whole file.
        """
        fault = self._fault(value)
        if fault is not None:
            path, reason = _told(fault, at)
            raise UserError(f"{path or '$'}: {reason}")

    def _fault(self, value: Any) -> Any:
        """The exception of the library, None where there is nothing to say."""
        from fastjsonschema import JsonSchemaValueException

        try:
            self._compiled(value)
        except JsonSchemaValueException as fault:
            return fault
        return None

    @cached_property
    def _compiled(self) -> Callable[[Any], Any]:
        # Only those who read JSON pay for the library.
        from fastjsonschema import compile

        return compile(_DRAFT | self.definition, use_default=False, use_formats=False)


def constant(value: int | str, described: str | None = None) -> Definition:
    """The schema of one value. described : what refusals say."""
    kind = {"type": "integer"} if isinstance(value, int) else {}
    return kind | {"enum": [value]} | ({} if described is None else {"description": described})


def inside(at: str, key: str | int) -> str:
    """The path of an element of the value at a path: ``units[3].pe``."""
    if isinstance(key, int):
        return f"{at}[{key}]"
    if not _IDENTIFIER.fullmatch(key):
        return f"{at}[{shown(key)}]"
    return f"{at}.{key}" if at else key


def difference(stated: Any, right: Any, at: str, whole: bool = False) -> str | None:
    """Where a value states something else than what follows from the rest of a file.

    whole : keys must not be missing. Returns a sentence with the path, None where nothing differs.
    """
    if isinstance(right, dict) and isinstance(stated, dict):
        for key, value in stated.items():
            if key not in right:
                return f"{inside(at, key)}: unknown key; there is {', '.join(right)}"
            if found := difference(value, right[key], inside(at, key), whole):
                return found
        missing = [key for key in right if whole and key not in stated]
        return f"{inside(at, missing[0])}: is missing" if missing else None
    if isinstance(right, (list, tuple)) and isinstance(stated, list):
        if len(stated) != len(right):
            return f"{at}: has {len(stated)} entries, {len(right)} are right"
        for n, pair in enumerate(zip(stated, right, strict=True)):
            if found := difference(*pair, inside(at, n), whole):
                return found
        return None
    # True is no 1 and 1.0 is no 1.
    if type(stated) is type(right) and stated == right:
        return None
    return f"{at}: {shown(stated)} is stated, {shown(right)} is right"


_KINDS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _told(fault: Any, at: str) -> tuple[str, str]:
    """The path and the reason of a fault of a value that itself is at a path."""
    rule, limit, value, schema = fault.rule, fault.rule_definition, fault.value, fault.definition
    path = (at + fault.name.removeprefix("data")).removeprefix(".")
    if rule == "required":
        missing = next(key for key in limit if key not in value)
        return inside(path, missing), "is missing"
    if rule == "additionalProperties":
        # Patterns are not for people: a schema that has them says in $comment what keys they mean.
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        unknown = next(
            key for key in value
            if key not in known and not any(re.search(pattern, key) for pattern in patterns)
        )  # fmt: skip
        there = [*known, *([schema["$comment"]] if patterns else [])]
        return inside(path, unknown), f"unknown key; there is {', '.join(there)}"
    if rule == "anyOf":
        # The fault inside the only alternative whose type is that of the value, if there is one.
        faults = [Schema(alternative)._fault(value) for alternative in limit]
        meant = [f for f in faults if f.rule != "type" or f.name != "data"]
        if len(meant) == 1 and (meant[0].rule != "enum" or meant[0].name != "data"):
            return _told(meant[0], path)
    if "description" in schema:
        return path, f"expected {schema['description']}, got {shown(value)}"
    if rule == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        return path, f"expected {' or '.join(_KINDS[kind] for kind in kinds)}, got {shown(value)}"
    return path, _REASONS[rule](value, limit)


_REASONS = {
    "minimum": lambda value, limit: f"{shown(value)} is less than the minimum of {limit}",
    "maximum": lambda value, limit: f"{shown(value)} is more than the maximum of {limit}",
    "minItems": lambda value, limit: f"has {len(value)} entries, {limit} are needed",
    "maxItems": lambda value, limit: f"has {len(value)} entries, at most {limit} are possible",
    "minLength": lambda value, limit: "is empty",
    "maxLength": lambda value, limit: f"has {len(value)} characters, at most {limit} are possible",
    "enum": lambda value, limit: f"{shown(value)} is not one of {', '.join(map(str, limit))}",
    "pattern": lambda value, limit: f"{shown(value)} does not have the form {limit}",
}
