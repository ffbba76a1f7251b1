"""Plan files of the tiled architecture: what they may state, and the plan that they give."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

from ...aliases import Progress
from ...contract.engine import MAX_FEATURE_BYTES, MEM_WIDTHS, MOST_BITS, TILES, EngineShape
from ...contract.features import Feature
from ...errors import UserError, naming
from ...ir import Graph
from ...validation import difference, fields, integer, list_of
from ..plan_file import COUNT, plan_schema
from .mapping.stationarity import Stationarity
from .network.lower import task_graph_of
from .network.parts import LeftOut
from .network.widths import OtherWidths
from .options import AUTO, LARGEST_BUFFERS, LARGEST_WORDS, MOST_RESIDENT, ORDERS, buffer_bytes
from .plan import SCHEMA, TiledPlan, plan_tiled

_LIMITS = {
    "feature_bytes": integer(1, MAX_FEATURE_BYTES),
    "mem_width": {"type": "integer", "enum": list(MEM_WIDTHS)},
    "tiles": {"type": "integer", "enum": list(TILES)},
    "ifmap_bits": integer(1, MOST_BITS),
    "weight_bits": integer(1, MOST_BITS),
    "without": list_of({"enum": [str(feature) for feature in Feature]}),
}
_ENGINE = fields(
    {f.name: _LIMITS.get(f.name, integer(1, LARGEST_WORDS)) for f in dataclass_fields(EngineShape)},
    required=(),
)
_LAYER = {
    "type": "object",
    "properties": {"interval_bound": COUNT, "interval_estimate": COUNT},
}
_PLAN = plan_schema(
    TiledPlan.arch,
    SCHEMA,
    {"engine": _ENGINE, "resident": integer(1, MOST_RESIDENT)},
    {
        "order": {"enum": list(ORDERS)},
        # What follows from them: it is planned again, and must be the same.
        "units": {"type": "integer", "enum": list(TILES)},
        "stays": list_of({"type": "string"}),
        "layers": list_of(_LAYER),
    },
)
_FOLLOW = ("units", "stays", "layers")


def tiled_from_json(
    graph: Graph,
    choices: dict[str, Any],
    progress: Progress | None = None,
    file: Path | None = None,
) -> TiledPlan:
    """The plan of the engine that a plan file states, for a legal graph.

    Its layers are planned again, and must be those that it states. file : what errors name where
    the plan is at fault, not the network. Raises UserError, naming the path in the file, where
    layers differ, or the engine can not be or not carry out this network.
    """
    with naming(file):
        _PLAN.check(choices)
        shape = _engine(choices["engine"])
    asked = choices.get("order", AUTO)
    preferred = None if asked == AUTO else Stationarity(asked)
    try:
        task_graph_of(graph, shape)  # what no engine can carry out is no fault of this one
    except OtherWidths as error:
        hint = f"state ifmap_bits {error.ifmap} and weight_bits {error.weight}"
        raise _of_engine(error, file, hint) from None
    except LeftOut as error:
        names = ", ".join(error.features)
        hint = f"take {names} out of 'without': the engine is another then"
        raise _of_engine(error, file, hint) from None
    try:
        plan = plan_tiled(graph, shape, choices["resident"], progress, preferred)
    except UserError as error:
        hint = "state larger memories, or fewer tiles to be resident"
        raise _of_engine(error, file, hint) from None
    again = plan.to_json()
    for name in _FOLLOW:
        if name in choices and (
            wrong := difference(_decided(choices[name]), _decided(again[name]), name, whole=True)
        ):
            raise UserError(
                wrong,
                file=file,
                hint="leave it out, or change engine, resident or order: the rest follows from "
                "them",
            )
    return plan


def _of_engine(error: UserError, file: Path | None, hint: str) -> UserError:
    """The refusal of a network as the fault of the engine that a file states."""
    return UserError(f"engine: {error.reason}", file=file, layer=error.layer, hint=hint)


def _engine(stated: dict[str, Any]) -> EngineShape:
    try:
        shape = EngineShape(**stated)
    except ValueError as error:
        raise UserError(f"engine: {error}") from None
    if shape.tiles * buffer_bytes(shape) > LARGEST_BUFFERS << 10:
        raise UserError(
            f"engine: buffers of more than {LARGEST_BUFFERS} KiB", hint="state smaller ones"
        )
    return shape


def _decided(value: Any) -> Any:
    """What is decided of layers: without the cycles that are expected of them."""
    if not isinstance(value, list):
        return value
    return [_without_cycles(item) if isinstance(item, dict) else item for item in value]


def _without_cycles(layer: dict[str, Any]) -> dict[str, Any]:
    figures = ("interval", "bounds", "binds")
    return {key: value for key, value in layer.items() if not key.startswith(figures)}
