"""What all Keras models have in common: their layers as a graph.

``architecture`` finds the layers of a configuration and their order; an importer turns each into
``steps``; ``flow`` connects them, ``lower`` makes the graph. ``affine`` is the exact per-channel
arithmetic between accumulator and quantizer, ``functions`` are activations as step functions.
"""
