"""Reading a package back: its graph, plan, manifest and results."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ..emit.package import SCHEMA
from ..emit.place import MANIFEST, inside, write_files
from ..emit.seals import sealed, unsealed
from ..errors import UserError
from ..ir import Graph, legal, load_json
from ..plan.plan_file import COUNT, package_plan_schema
from ..validation import Schema, fields, read_json

RESULT_SCHEMA = 1
SIMULATED = ("rtl/", "mem/")
"""Where the files are that a simulation takes as they are, changed or not."""

AGAIN = "hwgen build again"
"""What to do where a file of a package is damaged."""

_TEXT = {"type": "string"}
_HASH = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_VERSION = {"schema": {"type": "integer"}}
_ANY_MANIFEST = Schema({"type": "object", "required": ["schema"], "properties": _VERSION})
_MANIFEST = Schema(
    {
        "type": "object",
        "required": ["name", "design", "model", "options", "tools", "files"],
        "properties": {
            "name": _TEXT,
            "design": _HASH,
            "model": {"type": "object", "required": ["file"], "properties": {"file": _TEXT}},
            "options": {
                "type": "object",
                "properties": {"input_type": {"type": ["string", "null"]}},
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
            "tools": {"type": "object", "additionalProperties": _TEXT},
            "files": {
                "type": "object",
                "$comment": "paths of files inside of the package",
                "additionalProperties": False,
                "patternProperties": {r"^(?!/)(?!(.*/)?\.\.(/|$))": _HASH},
            },
        },
    }
)
_PLAN = package_plan_schema()
_FORMS = fields(dict.fromkeys(("shift", "multiply", "staircase", "proven"), COUNT))
_CERTIFICATE = Schema(
    {
        "type": "object",
        "required": ["requantizations"],
        "properties": {"requantizations": _FORMS},
    }
)


def _read(file: Path, schema: Schema) -> Any:
    """The value in one of hwgen's own files. Raises UserError where it is damaged."""
    try:
        value = read_json(file)
        schema.check(value)
    except UserError as error:
        raise UserError(f"is damaged ({error.reason})", file=file, hint=AGAIN) from None
    return value


@dataclass(frozen=True, repr=False)
class PackageFiles:
    """A package directory that has been checked to be one.

    Other files than those in ``SIMULATED`` are read only as build made them: golden must be that
    of the design.
    """

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises UserError when ``path`` is not a package or of another schema."""
        try:
            found, there = path.is_dir(), path.exists()
        except OSError as error:
            raise UserError(f"can not be read ({error.strerror})", file=path) from None
        if not found:
            reason = "is a file, not a package" if there else "no such directory"
            raise UserError(reason, file=path, hint="make a package with hwgen build")
        file = path / MANIFEST
        if not file.exists():
            raise UserError(
                f"is not a package of hwgen (no {MANIFEST})", file=path, hint="make it: hwgen build"
            )
        manifest = _read(file, _ANY_MANIFEST)
        if manifest["schema"] != SCHEMA:
            raise UserError(
                f"has schema {manifest['schema']}, this version reads {SCHEMA}",
                file=file,
                hint=AGAIN,
            )
        results = path / "results"
        if results.exists() and not results.is_dir():
            raise UserError("is a file, a directory is needed", file=results, hint="move it away")
        return cls(path, _read(file, _MANIFEST))

    def __repr__(self) -> str:
        name, file = self.manifest["name"], self.manifest["model"]["file"]
        return f"<{type(self).__name__} {name!r}: of {file}, in {self.path}>"

    @cached_property
    def graph(self) -> Graph:
        """The legal graph that the RTL was made from.

        Raises UserError where it can not be read or is not legal, as when another version made it.
        """
        file = self.file("graph.json")
        graph = load_json(file)
        if found := legal.illegal(graph):
            reason = f"breaks a rule of this version's legal graphs ({found[0].reason})"
            raise UserError(reason, file=file, layer=found[0].layer, hint=AGAIN)
        return graph

    @cached_property
    def plan_json(self) -> dict[str, Any]:
        """The plan file."""
        return _read(self.file("plan.json"), _PLAN)

    @cached_property
    def certificate(self) -> dict[str, Any]:
        """What check.py checks."""
        return _read(self.file("certificate.json"), _CERTIFICATE)

    @property
    def arch(self) -> str:
        """The name of the architecture."""
        return self.plan_json["arch"]

    @property
    def design(self) -> str:
        """Hash of the design."""
        return self.manifest["design"]

    def file(self, name: str) -> Path:
        """The path of a file that is as build made it. Raises UserError where it is not."""
        path = self.path / name
        if self._changed(name):
            raise UserError("has been changed or damaged since the build", file=path, hint=AGAIN)
        return path

    def changed(self) -> list[str]:
        """List the files in ``SIMULATED`` that are not as build made them.

        Raises UserError where one is missing.
        """
        files = [name for name in self.manifest["files"] if name.startswith(SIMULATED)]
        return [name for name in files if self._changed(name)]

    def _changed(self, name: str) -> bool:
        path = self.path / name
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            raise UserError("is missing from the package", file=path, hint=AGAIN) from None
        except OSError as error:
            raise UserError(f"can not be read ({error.strerror})", file=path) from None
        return digest != self.manifest["files"].get(name)

    def result(self, name: str) -> dict[str, Any] | None:
        """results/NAME.json, None when absent, damaged or of another design."""
        path = self.path / "results" / f"{name}.json"
        try:
            value = unsealed(read_json(path))
        except UserError:
            return None
        current = {"design": self.design, "schema": RESULT_SCHEMA}
        return value if value is not None and current.items() <= value.items() else None

    def write_result(self, name: str, value: dict[str, Any]) -> None:
        """Write results/NAME.json, keyed by the design."""
        keyed = {"schema": RESULT_SCHEMA, "design": self.design} | value
        # A result that was damaged since is none, whatever it then seems to say.
        self.write({f"results/{name}.json": sealed(keyed)})

    def write(self, texts: dict[str, str]) -> None:
        """Write files of the package, each whole or not at all. Raises UserError."""
        contents = {inside(self.path, name): text.encode() for name, text in texts.items()}
        for file in contents:
            try:
                file.parent.mkdir(exist_ok=True)
            except OSError as error:
                raise UserError(
                    f"can not be written ({error.strerror})", file=file.parent
                ) from None
        write_files(contents)
