"""cocotb benches: shared stream drivers and monitors, and one bench a family of components.

Installed as hwgen_sim. The same benches run under Icarus Verilog and under Verilator.
"""
