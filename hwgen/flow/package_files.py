"""Reading a package back: its graph, plan, manifest and results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..emit.package import MANIFEST, SCHEMA, dump_json
from ..errors import UserError
from ..ir import Graph, load_json
from ..plan.dataflow import DataflowPlan, plan_dataflow


@dataclass(frozen=True)
class Package:
    """A package directory that has been checked to be one."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Package:
        """Raises UserError when ``path`` is not a package or of another schema."""
        file = path / MANIFEST
        if not path.is_dir():
            raise UserError("no such directory", file=path, hint="make it with hwgen build")
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            schema = manifest["schema"]
            _ = manifest["design"], manifest["name"], manifest["files"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError("is not a package of hwgen", file=path, hint="hwgen build") from None
        if schema != SCHEMA:
            raise UserError(f"has schema {schema}, this version reads {SCHEMA}", file=file)
        return cls(path, manifest)

    @cached_property
    def graph(self) -> Graph:
        """The legalized graph that the RTL was made from."""
        return load_json(self._file("graph.json"))

    @cached_property
    def plan_json(self) -> dict[str, Any]:
        """The plan file."""
        return self._json("plan.json")

    @cached_property
    def plan(self) -> DataflowPlan:
        """The plan that the RTL was made from."""
        try:
            return plan_dataflow(self.graph, choices=self.plan_json)
        except UserError as error:
            raise error.within(self.path / "plan.json") from None

    @property
    def design(self) -> str:
        """Hash of the design."""
        return self.manifest["design"]

    def _file(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise UserError("is missing from the package", file=path, hint="hwgen build again")
        return path

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads(self._file(name).read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"not JSON ({error})", file=self.path / name) from None

    def result(self, name: str) -> dict[str, Any] | None:
        """results/NAME.json, None when absent or of another design."""
        path = self.path / "results" / f"{name}.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if value.get("design") == self.design else None

    def write_result(self, name: str, value: dict[str, Any]) -> None:
        """Write results/NAME.json, keyed by the design."""
        self.write(f"results/{name}.json", dump_json({"design": self.design} | value))

    def write(self, name: str, text: str) -> None:
        """Write a file of the package beside its place and rename it."""
        place = self.path / name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            beside = place.with_name(f".{place.name}.new")
            beside.write_text(text, encoding="utf-8")
            beside.replace(place)
        except OSError as error:
            raise UserError(f"can not be written ({error.strerror})", file=place) from None
