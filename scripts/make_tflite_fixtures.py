#!/usr/bin/env python3
"""Makes the TensorFlow Lite test models: small int8 networks by TensorFlow's own converter.

Runs in the QKeras environment of scripts/train (TensorFlow 2.15): ``scripts/train
--tflite-fixtures``. What the runtimes compute with them is frozen by freeze_tflite.py, which needs
the extra ``oracle``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

layers = tf.keras.layers
SEED = 30
FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "importers" / "fixtures"


def residual() -> Any:
    """A residual block, a depthwise one, global average, softmax."""
    x = start = tf.keras.Input((9, 8, 3), batch_size=1)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(6, 3, padding="same")(x)
    x = layers.ReLU()(layers.Add()([x, y]))
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.Conv2D(8, 1, strides=2, padding="same")(y)
    x = layers.AveragePooling2D((5, 4))(x)
    x = layers.Dense(5)(layers.Flatten()(x))
    return tf.keras.Model(start, layers.Softmax()(x))


def depthwise() -> Any:
    """Depth multiplier, dilation, valid padding, uneven strides, clipped activations."""
    x = start = tf.keras.Input((11, 10, 4), batch_size=1)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu6")(x)
    x = layers.Conv2D(5, 3, dilation_rate=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(6, (4, 2), strides=(2, 1))(x)
    x = layers.MaxPooling2D((2, 3), strides=(1, 2))(x)
    x = layers.AveragePooling2D(2, strides=1, padding="same")(x)
    return tf.keras.Model(start, x)


def curves() -> Any:
    """Sigmoid, tanh, products, differences, a mean over space."""
    x = start = tf.keras.Input((6, 7, 4), batch_size=1)
    a = layers.Conv2D(4, 1)(x)
    gate = tf.keras.activations.sigmoid(layers.Conv2D(4, 1)(x))
    x = layers.Multiply()([a, gate])
    x = layers.Subtract()([x, tf.keras.activations.tanh(a)])
    return tf.keras.Model(start, tf.reduce_mean(x, axis=[1, 2]))


def squeeze() -> Any:
    """Squeeze and excitation: a mean with its axes kept, and a product with a single pixel."""
    x = start = tf.keras.Input((5, 6, 8), batch_size=1)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    s = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
    s = layers.Conv2D(4, 1, activation="relu")(s)
    s = tf.keras.activations.sigmoid(layers.Conv2D(8, 1)(s))
    return tf.keras.Model(start, layers.Multiply()([x, s]))


def shapes() -> Any:
    """Padding, doubling, concatenation, slices, a vector turned into an image."""
    start = tf.keras.Input((48,), batch_size=1)
    x = layers.Reshape((4, 4, 3))(start)
    x = tf.pad(x, [[0, 0], [1, 0], [0, 2], [0, 0]])
    x = layers.Conv2D(4, 2, activation="relu")(x)
    y = layers.UpSampling2D((2, 1))(x)
    w = layers.Conv2D(3, 1, activation="relu")(y)
    x = layers.Concatenate()([y, w])
    x = x[:, 1:7:2, :, :]
    return tf.keras.Model(start, layers.Dense(4)(layers.Flatten()(x)))


def sequence() -> Any:
    """One-dimensional convolutions, which the file holds as two-dimensional ones."""
    x = start = tf.keras.Input((20, 3), batch_size=1)
    x = layers.Conv1D(6, 5, padding="same", activation="relu")(x)
    x = layers.MaxPooling1D(2)(x)
    x = layers.Conv1D(4, 3, strides=2, activation="relu")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return tf.keras.Model(start, layers.Dense(3)(x))


def adds() -> Any:
    """A residual block that can be built as it is: no softmax at its end."""
    x = start = tf.keras.Input((6, 5, 2), batch_size=1)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.AveragePooling2D((3, 5))(x)
    return tf.keras.Model(start, layers.Dense(3)(layers.Flatten()(x)))


def two_heads() -> Any:
    """Two inputs and two outputs."""
    a, b = tf.keras.Input((5, 5, 2), batch_size=1), tf.keras.Input((5, 5, 2), batch_size=1)
    x = layers.Add()([layers.Conv2D(3, 3)(a), layers.Conv2D(3, 3)(b)])
    return tf.keras.Model([a, b], [layers.Flatten()(x), layers.Dense(2)(layers.Flatten()(x))])


MODELS: dict[str, Callable[[], Any]] = {
    f.__name__: f for f in (residual, depthwise, curves, squeeze, shapes, sequence, two_heads, adds)
}


def samples(model: Any, rng: np.random.Generator) -> Iterator[list[Any]]:
    """Inputs that show the converter the ranges."""
    for _ in range(40):
        yield [rng.normal(0.3, 1.0, (1, *t.shape[1:])).astype(np.float32) for t in model.inputs]


REFUSED = ("float", "float16", "dynamic", "weights")
"""Kinds of files that are refused: numbers that are not quantized, and rows of any number."""


def small(kind: str) -> bytes:
    """A small file that can not be imported; one of int16 can."""
    start = tf.keras.Input((None if kind == "dynamic" else 6, 6, 2), batch_size=1)
    x = layers.Conv2D(3, 3, activation="relu")(start)
    model = tf.keras.Model(start, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in ("int16", "dynamic"):
        data = np.random.default_rng(SEED).normal(size=(10, 1, 6, 6, 2)).astype(np.float32)
        converter.representative_dataset = lambda: ([x] for x in data)
    if kind == "int16":
        ops = tf.lite.OpsSet
        wide = ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [wide]
    return converter.convert()


def converted(model: Any, rng: np.random.Generator, integer: Any, per_tensor: bool) -> bytes:
    """The model as an int8 or uint8 file whose borders are integers (or floats: None)."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: samples(model, rng)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if per_tensor:
        converter._experimental_disable_per_channel = True
    if integer is not None:
        converter.inference_input_type = converter.inference_output_type = integer
    return converter.convert()


def start_anew() -> None:
    """Names of layers and random numbers as in a new process: a file does not depend on others."""
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(SEED)


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=FIXTURES)
    arguments = parser.parse_args()
    variants = [(name, tf.int8, False) for name in MODELS]
    variants += [("residual_floats", None, False), ("residual_uint8", tf.uint8, True)]
    for name, integer, per_tensor in variants:
        start_anew()
        rng = np.random.default_rng(SEED)
        model = MODELS[name.split("_floats")[0].split("_uint8")[0]]()
        for weight in model.trainable_weights:
            if "bias" in weight.name:
                weight.assign(rng.normal(0.0, 0.2, weight.shape))
        (arguments.out / f"tflite_{name}.tflite").write_bytes(
            converted(model, rng, integer, per_tensor)
        )
        print(name, flush=True)
    for kind in REFUSED:
        start_anew()
        (arguments.out / f"refused_{kind}.tflite").write_bytes(small(kind))
    start_anew()
    (arguments.out / "int16.tflite").write_bytes(small("int16"))


if __name__ == "__main__":
    main()
