"""Which of a component's outputs follow which of its inputs without a register between."""

from __future__ import annotations

from amaranth.hdl import Fragment, Value
from amaranth.hdl._ir import build_netlist
from amaranth.hdl._nir import FlipFlop, Net, Netlist
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def combinational_paths(component: wiring.Component) -> dict[str, set[str]]:
    """For each output, by its name, the inputs from which a path leads to it without a register.

    Clock and reset are none. It walks the netlist that Amaranth makes Verilog from, bit by bit.
    """
    flows, signals = {}, {}
    for path, member, value in component.signature.flatten(component):
        name = "__".join(map(str, path))
        flows[name], signals[name] = member.flow, Value.cast(value)
    netlist = build_netlist(
        Fragment.get(component, None), ports=[(n, s, None) for n, s in signals.items()]
    )
    ports = {name: netlist.signals[signal] for name, signal in signals.items()}
    inputs = {net: name for name, nets in ports.items() if flows[name] == In for net in nets}
    return {
        name: {inputs[net] for net in _sources(netlist, nets) if net in inputs}
        for name, nets in ports.items()
        if flows[name] == Out
    }


def _sources(netlist: Netlist, nets: tuple[Net, ...]) -> set[Net]:
    """All nets on the paths to these, back to registers and to the inputs."""
    seen: set[Net] = set()
    todo = list(nets)
    while todo:
        net = todo.pop()
        if net in seen or net.is_const:
            continue
        seen.add(net)
        cell = netlist.cells[net.cell]
        if not isinstance(cell, FlipFlop):
            todo += [source for source, _ in cell.comb_edges_to(net.bit)]
    return seen
