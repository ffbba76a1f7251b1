"""From a planned design to files: Verilog, memory images, vectors, benches, the package."""
