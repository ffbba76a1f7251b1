"""Registers behind block RAMs move into them: Yosys leaves them in the fabric.

The output register of an ECP5 block RAM (DP16KD, REGMODE "OUTREG") answers in a fraction of the
time that the memory itself takes (Lattice FPGA-TN-02204, ECP5 Memory Usage Guide).

A memory that is 36 bits wide has one port to write, of clock A, and one to read, of clock B. What
it reads comes out at both sides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

Netlist = dict[str, Any]
"""What Yosys writes with write_json."""
WIDEST = 36
"""Bits of the widest words."""


def absorb_output_registers(netlist: Netlist, top: str) -> int:
    """Change each read port of each DP16KD whose outputs go to registers alone; returns how many.

    The registers must be clocked as that port is, always enabled and never reset. They vanish;
    the memory drives what they drove.
    """
    module = netlist["modules"][top]
    cells = module["cells"]
    readers: dict[Any, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for bit in bits:
                    readers[bit].append((name, port))
    exported = {bit for port in module["ports"].values() for bit in port["bits"]}
    changed = 0
    for cell in [cell for cell in cells.values() if cell["type"] == "DP16KD"]:
        for sides in _read_ports(cell):
            registers = dict(_registers(cells, cell, sides, readers, exported) or ())
            if not registers:
                continue
            for port, register in registers.items():
                cell["connections"][port] = cells[register]["connections"]["Q"]
                del cells[register]
            for side in sides:
                cell["parameters"][f"REGMODE_{side}"] = "OUTREG"
                cell["connections"][f"OCE{side}"] = ["1"]
            changed += 1
    return changed


def _read_ports(ram: dict[str, Any]) -> tuple[str, ...]:
    """The sides at which the words of each port come out, the last of them that of its clock."""
    return ("AB",) if int(ram["parameters"].get("DATA_WIDTH_B", "0"), 2) == WIDEST else ("A", "B")


def _registers(
    cells: dict[str, Any],
    ram: dict[str, Any],
    sides: str,
    readers: dict[Any, list[tuple[str, str]]],
    exported: set[Any],
) -> list[tuple[str, str]] | None:
    """(output, register) of a port; None unless each used output has one register to itself."""
    connections, own = ram["connections"], sides[-1]
    registered = any(ram["parameters"][f"REGMODE_{side}"] != "NOREG" for side in sides)
    if registered or connections[f"OCE{own}"] != ["1"]:
        return None
    found = []
    for port, bit in [output for side in sides for output in _outputs(ram, side)]:
        if bit in exported:
            return None
        if not readers[bit]:
            continue
        if len(readers[bit]) != 1:
            return None
        name, pin = readers[bit][0]
        register = cells.get(name)
        if register is None or not _plain(register, pin, connections[f"CLK{own}"]):
            return None
        found.append((port, name))
    return found


def _outputs(ram: dict[str, Any], side: str) -> Iterator[tuple[str, Any]]:
    for port, bits in ram["connections"].items():
        if port.startswith(f"DO{side}"):
            yield port, bits[0]


def _plain(cell: dict[str, Any], pin: str, clock: list[Any]) -> bool:
    """A register of this clock that takes a value every cycle."""
    if cell["type"] != "TRELLIS_FF" or pin != "DI":
        return False
    parameters, connections = cell["parameters"], cell["connections"]
    return (
        connections["CLK"] == clock
        and parameters.get("CLKMUX", "CLK") == "CLK"
        and parameters.get("CEMUX", "1").strip() == "1"
        and parameters.get("REGSET", "RESET") == "RESET"  # as the memory's registers begin
        and connections.get("LSR", ["0"]) == ["0"]
    )
