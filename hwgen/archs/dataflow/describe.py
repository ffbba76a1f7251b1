"""A dataflow plan as a person reads it."""

from __future__ import annotations

from ...plan.dataflow.plan import DataflowPlan
from ..protocol import Description, Table


def describe(plan: DataflowPlan) -> Description:
    """A plan for ``hwgen inspect --plan``."""
    timing = plan.timing()
    line = (
        f"dataflow plan: {plan.multipliers} multipliers, a frame every {timing.interval} cycles "
        f"(bound {plan.interval_bound}), latency {timing.latency}"
    )
    rows = []
    for unit in plan.units:
        fold = f"{unit.pe}x{unit.simd}" if unit.pe else ""
        capacities = ", ".join(f"{f} {unit.capacity(f)}" for f in unit.capacities)
        starved, blocked = (d.get(unit.name, 0) for d in (timing.starved, timing.blocked))
        bound = max(unit.bounds.values())
        rows.append([unit.name, unit.kind, fold, bound, capacities, starved, blocked])
    columns = ["unit", "kind", "PE x SIMD", "bound", "buffers", "starved", "blocked"]
    value = plan.to_json() | {
        "multipliers": plan.multipliers,
        "interval_bound": plan.interval_bound,
        "interval_estimate": timing.interval,
        "latency_estimate": timing.latency,
        "starved": timing.starved,
        "blocked": timing.blocked,
    }
    return Description([line], [Table("units", columns, rows)], value)
