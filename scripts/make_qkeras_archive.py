#!/usr/bin/env python3
"""Makes qkeras_v3.keras and .npz of tests/importers: a QKeras model on Keras 3, and its outputs.

Needs an environment of its own: tensorflow-cpu 2.21, keras 3.15 and qkeras-v3 1.2.
"""

from __future__ import annotations

import os
from pathlib import Path

# Set before Keras starts: oneDNN may choose convolutions whose float sums differ.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import numpy as np
from keras.layers import BatchNormalization, Flatten, Input, MaxPooling2D
from qkeras.qconvolutional import QConv2D, QDepthwiseConv2D
from qkeras.qlayers import QActivation, QDense
from qkeras.quantizers import quantized_bits, quantized_relu, ternary

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "importers" / "fixtures"
SEED, FROZEN = 1, 100


def model() -> keras.Model:
    """Every layer that is read from archives but the one-dimensional convolution."""
    wide = quantized_bits(8, 2, alpha=1.0)
    x = data = Input((6, 6, 2), name="data")
    x = QActivation(wide, name="first")(x)
    kernel = quantized_bits(5, 1, alpha=1.0)
    x = QConv2D(4, 3, padding="same", kernel_quantizer=kernel, bias_quantizer=wide, name="conv")(x)
    x = QActivation(quantized_relu(6, 2), name="act")(x)
    kernel = quantized_bits(4, 0, alpha="auto_po2")
    bias = quantized_bits(6, 1, alpha=1.0)
    x = QDepthwiseConv2D(3, depthwise_quantizer=kernel, bias_quantizer=bias, name="depthwise")(x)
    x = BatchNormalization(name="norm")(x)
    x = QActivation("quantized_relu(5,1)", name="bounded")(x)
    x = Flatten(name="flat")(MaxPooling2D(2, name="pool")(x))
    kernel = ternary(alpha=1.0)
    x = QDense(5, kernel_quantizer=kernel, bias_quantizer=wide, name="dense")(x)
    return keras.Model(data, x, name="archive")


def main() -> None:
    """Draw weights, save the model and what it computes."""
    made, rng = model(), np.random.default_rng(SEED)
    for layer in made.layers:
        for variable in layer.weights:
            name = variable.path.split("/")[-1]
            if name in ("gamma", "moving_variance"):
                variable.assign(rng.uniform(0.4, 1.6, variable.shape))
            else:
                variable.assign(rng.normal(0, 0.5, variable.shape))
    made.save(FIXTURES / "qkeras_v3.keras")
    x = (rng.integers(-512, 512, (FROZEN, 6, 6, 2)) / 64).astype(np.float32)
    np.savez_compressed(FIXTURES / "qkeras_v3.npz", x=x, y=made.predict(x, verbose=0))


if __name__ == "__main__":
    main()
