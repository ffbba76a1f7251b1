"""What the benches of all packages share: ports, waivers of lint, constant files."""

from __future__ import annotations

from importlib import resources

from amaranth.hdl import Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In

WAIVERS = """\
`verilator_config
// Wires that Yosys names while it writes Verilog, and the benches' probes, are read by nobody.
lint_off -rule UNUSEDSIGNAL
// A state machine without a default branch keeps its state.
lint_off -rule CASEINCOMPLETE
// Amaranth computes in the widths that values need; Yosys writes some of them without a cast.
lint_off -rule WIDTHEXPAND
lint_off -rule WIDTHTRUNC
// Yosys declares registers with an initial value and resets them as well.
lint_off -rule PROCASSINIT
// One file holds a whole design; the memory's file is found by its own name.
lint_off -rule DECLFILENAME
"""


def template(package: str, name: str) -> str:
    """A file of a package that is the same for every design.

    Parameters: ``package`` is the Python package in whose folder ``templates`` it lies.
    """
    return (resources.files(package) / "templates" / name).read_text(encoding="utf-8")


def top_ports(top: wiring.Component) -> dict[str, tuple[str, int]]:
    """Direction and bits of a component's flat ports."""
    return {
        name: ("input" if member.flow == In else "output", Shape.cast(member.shape).width)
        for name, member in top.signature.members.items()
    }


def port_list(ports: dict[str, tuple[str, int]]) -> list[str]:
    """Their declarations in the head of a module."""
    return [f"    {way} {vector(bits)}{name}," for name, (way, bits) in ports.items()]


def vector(bits: int) -> str:
    """The range of a declaration: always a vector, so that single bits need no special case."""
    return f"[{bits - 1}:0] "
