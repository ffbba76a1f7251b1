"""Carry chains end where Yosys uses them no more.

nextpnr leads the last carry of a chain out into the fabric where it has a net: one more cell of the
chain, two tables. Yosys gives it one though nothing reads it.
"""

from __future__ import annotations

from .block_ram import Netlist

NONE = "x"
"""What stands for no net, at an output."""


def cut_carries(netlist: Netlist, top: str) -> int:
    """Take away the nets of carries (COUT of a CCU2C) that nothing reads; returns how many."""
    module = netlist["modules"][top]
    read = {bit for port in module["ports"].values() for bit in port["bits"]}
    for cell in module["cells"].values():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] == "input":
                read.update(bits)
    cut = 0
    for cell in module["cells"].values():
        if cell["type"] == "CCU2C" and not read.intersection(cell["connections"]["COUT"]):
            cell["connections"]["COUT"] = [NONE]
            cut += 1
    return cut
