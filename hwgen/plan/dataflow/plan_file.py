"""Plan files of the dataflow architecture: what they may state, and the plan that they give."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import UserError, naming
from ...ir import Graph
from ...validation import Schema, difference, fields, inside
from ..plan_file import plan_schema
from .assembly import assemble
from .events.simulation import Deadlock
from .plan import SCHEMA, DataflowPlan
from .rules import Folding, MacRule, Stage
from .rules.conv2d import RingConvUnit
from .stages import stages_of
from .units import MacUnit, Unit
from .units.base import CAPACITY

Json = dict[str, Any]

_HINT = "change a plan.json that hwgen build wrote for this network"


@cache
def _plan_schema(inputs: tuple[str, ...]) -> Schema:
    """The schema of plan files for a network with these inputs."""
    lanes = CAPACITY if len(inputs) == 1 else fields(dict.fromkeys(inputs, CAPACITY))
    return plan_schema(
        DataflowPlan.arch, SCHEMA, {"input_lanes": lanes, "units": {"type": "array"}}
    )


def dataflow_from_json(graph: Graph, choices: Json, file: Path | None = None) -> DataflowPlan:
    """The plan that a plan file states for a legal graph.

    file : what errors name where the plan is at fault, not the network. Raises UserError that names
    the path in the file: first for what no plan may state, then for what does not fit this network.
    """
    with naming(file):
        _plan_schema(tuple(x.name for x in graph.inputs)).check(choices)
        for n, unit in enumerate(choices["units"]):
            _any_unit().check(unit, f"units[{n}]")
            _unit_schema(unit["kind"]).check(unit, f"units[{n}]")
    stages = stages_of(graph)
    with naming(file):
        return _fitted(graph, stages, choices)


def _fitted(graph: Graph, stages: list[Stage[Any]], choices: Json) -> DataflowPlan:
    """The plan that a file of the right form states. Raises UserError where it does not fit."""
    stated = _by_name(choices["units"])
    chosen = {
        stage.name: _folding(stage, stage.rule, stated)
        for stage in stages
        if isinstance(stage.rule, MacRule)
    }
    plan = assemble(graph, stages, chosen, _input_lanes(graph, choices["input_lanes"]))
    units = tuple(_stated(unit, *_find(stated, unit.name)) for unit in plan.units)
    names = {unit.name for unit in units}
    for at, unit in stated.values():
        if unit["name"] not in names:
            raise UserError(
                f"{at}.name: this network has no unit {unit['name']!r}",
                hint=f"leave it out, or {_HINT}",
            )
    plan = replace(plan, units=units)
    try:
        plan.timing()
    except Deadlock:
        raise UserError(
            "units: with these buffers the network does not come to the end of a frame",
            hint="state more rows, or larger FIFOs behind forks",
        ) from None
    return plan


def _input_lanes(graph: Graph, stated: int | dict[str, int]) -> dict[str, int]:
    """Lanes by the inputs' names. Raises UserError for more than an input has channels."""
    lanes = stated if isinstance(stated, dict) else {graph.inputs[0].name: stated}
    for x in graph.inputs:
        channels = x.hwc[2]
        if lanes[x.name] > channels:
            path = inside("input_lanes", x.name) if isinstance(stated, dict) else "input_lanes"
            raise UserError(
                f"{path}: {lanes[x.name]} is more than the {channels} channels of the input",
                hint=f"state 1 to {channels}",
            )
    return lanes


def kinds_of_units(base: type[Unit] = Unit) -> list[type[Unit]]:
    """The classes of units, below ``base`` and itself, that have a kind of their own."""
    own = [base] if "kind" in base.__dict__ else []
    return own + [unit for each in base.__subclasses__() for unit in kinds_of_units(each)]


@cache
def _units() -> dict[str, type[Unit]]:
    """All units by their kind."""
    return {unit.kind: unit for unit in kinds_of_units()}


@cache
def _any_unit() -> Schema:
    properties = {"name": {"type": "string"}, "kind": {"enum": sorted(_units())}}
    return Schema({"type": "object", "required": list(properties), "properties": properties})


@cache
def _unit_schema(kind: str) -> Schema:
    return Schema(_units()[kind].choice_schema())


def _by_name(units: list[Json]) -> dict[str, tuple[str, Json]]:
    """Units and their paths by their names."""
    stated: dict[str, tuple[str, Json]] = {}
    for n, unit in enumerate(units):
        if unit["name"] in stated:
            raise UserError(
                f"units[{n}].name: {unit['name']!r} is the name of {stated[unit['name']][0]} too",
                hint="leave out one of them",
            )
        stated[unit["name"]] = f"units[{n}]", unit
    return stated


def _find(stated: dict[str, tuple[str, Json]], name: str) -> tuple[str, Json]:
    if name not in stated:
        raise UserError("units: none is for this layer", layer=name, hint=_HINT)
    return stated[name]


def _folding(stage: Stage[Any], rule: MacRule[Any], stated: dict[str, tuple[str, Json]]) -> Folding:
    at, unit = _find(stated, stage.name)
    if not issubclass(_units()[unit["kind"]], MacUnit):
        raise UserError(
            f"{at}.kind: a {unit['kind']} unit does not carry out this layer",
            layer=stage.name, hint=_HINT,
        )  # fmt: skip
    fold = unit["pe"], unit["simd"], unit["pixels"]
    ring = unit["kind"] == RingConvUnit.kind
    try:
        return rule.stated_folding(stage, *fold, ring=ring)
    except UserError as error:
        raise UserError(f"{at}.{error.reason}", layer=stage.name, hint=error.hint) from None


def _stated(unit: Unit, at: str, stated: Json) -> Unit:
    """A planned unit with the stated buffers. Raises UserError for what does not fit it."""
    if stated["kind"] != unit.kind:
        raise UserError(
            f"{at}.kind: {stated['kind']!r} is stated, {unit.kind!r} is right", layer=unit.name
        )
    for field in unit.capacities:
        path = inside(at, field)
        if field not in stated:
            raise UserError(f"{path}: is missing", layer=unit.name, hint=_HINT)
        least = unit.smallest(field)
        if stated[field] < least:
            raise UserError(
                f"{path}: {stated[field]} is less than the {least} that are needed",
                layer=unit.name, hint=f"state {least} or more",
            )  # fmt: skip
        unit = unit.with_capacity(field, stated[field])
    if wrong := difference(stated, unit.choices(), at):
        raise UserError(
            wrong, layer=unit.name, hint="leave it out: it follows from pe, simd, pixels and lanes"
        )
    return unit
