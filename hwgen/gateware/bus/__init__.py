"""Ports to the outside: AXI4 masters, AXI4-Lite registers, AXI4-Stream."""
