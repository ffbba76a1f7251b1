"""A planned design as files: Verilog, memory images, vectors, benches, the package."""
