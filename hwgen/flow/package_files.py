"""Reading a package back: its graph, plan, manifest and results."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ..emit.package import SCHEMA, dump_json
from ..emit.place import MANIFEST, inside, write_files
from ..errors import UserError
from ..ir import Graph, legal, load_json

RESULT_SCHEMA = 1
SIMULATED = ("rtl/", "mem/")
"""Where the files are that a simulation takes as they are, changed or not."""

_AGAIN = "hwgen build again"


@dataclass(frozen=True)
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
        if not path.is_dir():
            reason = "is a file, not a package" if path.exists() else "no such directory"
            raise UserError(reason, file=path, hint="make a package with hwgen build")
        file = path / MANIFEST
        if not file.exists():
            raise UserError(
                f"is not a package of hwgen (no {MANIFEST})", file=path, hint="make it: hwgen build"
            )
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            schema = manifest["schema"]
            if schema == SCHEMA:
                texts = manifest["design"], manifest["name"], manifest["model"]["file"]
                for text in (*texts, *manifest["files"].values()):
                    text.encode()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UserError("is damaged", file=file, hint=_AGAIN) from None
        if schema != SCHEMA:
            raise UserError(
                f"has schema {schema!r}, this version reads {SCHEMA}", file=file, hint=_AGAIN
            )
        return cls(path, manifest)

    @cached_property
    def graph(self) -> Graph:
        """The legal graph that the RTL was made from.

        Raises UserError where it can not be read or is not legal, as when another version made it.
        """
        file = self.file("graph.json")
        graph = load_json(file)
        if found := legal.illegal(graph):
            reason = f"breaks a rule of this version's legal graphs ({found[0].reason})"
            raise UserError(reason, file=file, layer=found[0].layer, hint=_AGAIN)
        return graph

    @cached_property
    def plan_json(self) -> dict[str, Any]:
        """The plan file."""
        return json.loads(self.file("plan.json").read_text(encoding="utf-8"))

    @cached_property
    def certificate(self) -> dict[str, Any]:
        """What check.py checks."""
        return json.loads(self.file("certificate.json").read_text(encoding="utf-8"))

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
            raise UserError("has been changed or damaged since the build", file=path, hint=_AGAIN)
        return path

    def changed(self) -> list[str]:
        """Those of the files in ``SIMULATED`` that are not as build made them.

        Raises UserError where one is missing.
        """
        files = [name for name in self.manifest["files"] if name.startswith(SIMULATED)]
        return [name for name in files if self._changed(name)]

    def _changed(self, name: str) -> bool:
        path = self.path / name
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            raise UserError("is missing from the package", file=path, hint=_AGAIN) from None
        except OSError as error:
            raise UserError(f"can not be read ({error.strerror})", file=path) from None
        return digest != self.manifest["files"].get(name)

    def result(self, name: str) -> dict[str, Any] | None:
        """results/NAME.json, None when absent, damaged or of another design."""
        path = self.path / "results" / f"{name}.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            current = value["design"] == self.design and value["schema"] == RESULT_SCHEMA
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return value if current else None

    def write_result(self, name: str, value: dict[str, Any]) -> None:
        """Write results/NAME.json, keyed by the design."""
        keyed = {"schema": RESULT_SCHEMA, "design": self.design} | value
        self.write({f"results/{name}.json": dump_json(keyed)})

    def write(self, texts: dict[str, str]) -> None:
        """Write files of the package, each whole or not at all. Raises UserError."""
        contents = {inside(self.path, name): text.encode() for name, text in texts.items()}
        try:
            for file in contents:
                file.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"can not be written ({error.strerror})", file=self.path) from None
        write_files(contents)
