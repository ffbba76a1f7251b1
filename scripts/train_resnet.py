#!/usr/bin/env python3
"""Trains the shipped small residual network on MNIST and converts it to int8 TensorFlow Lite.

Runs in the environment made by scripts/train: ``scripts/train --resnet``. Trained in float, then
quantized by TensorFlow's converter with training digits that show it the ranges. What the runtimes
compute with the file is frozen by freeze_tflite.py ``--digits``, which needs the extra ``oracle``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from train_mnist import ROOT, Array, Mnist, default_data, load_data, train

layers = tf.keras.layers
CALIBRATION = 500
"""Training digits that the converter sees."""


def convolved(x: Any, channels: int, kernel: int, stride: int) -> Any:
    """A convolution and its batch norm."""
    x = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def block(x: Any, channels: int, stride: int) -> Any:
    """Two convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""
    y = layers.ReLU()(convolved(x, channels, 3, stride))
    y = convolved(y, channels, 3, 1)
    if stride > 1:
        x = convolved(x, channels, 1, stride)
    return layers.ReLU()(layers.Add()([x, y]))


def build_model() -> Any:
    """ResNet in small: three blocks, 8, 16 and 16 channels, a global average, logits."""
    x = start = tf.keras.Input((28, 28, 1))
    x = layers.ReLU()(convolved(x, 8, 3, 2))
    for channels, stride in ((8, 1), (16, 2), (16, 1)):
        x = block(x, channels, stride)
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(start, layers.Dense(10)(x), name="resnet_tiny")


def with_softmax(model: Any) -> Any:
    """The model as ``train`` wants it: its loss takes probabilities."""
    return tf.keras.Model(model.input, layers.Softmax()(model.output))


def converted(model: Any, images: Array) -> bytes:
    """The int8 file: pixels are integers from -128, one frame a call."""
    fixed = tf.keras.Input((28, 28, 1), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(fixed, model(fixed)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]

    def samples() -> Iterator[list[Array]]:
        for image in images:
            yield [(image.astype(np.float32) / 256)[None, ..., None]]

    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def accuracy(content: bytes, data: Mnist) -> float:
    """Of the file itself on all test digits."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = source["quantization"]
    values = np.round(data.x_test / 256 / scale) + zero
    right = 0
    for image, label in zip(np.clip(values, -128, 127).astype(np.int8), data.y_test, strict=True):
        interpreter.set_tensor(source["index"], image.reshape(source["shape"]))
        interpreter.invoke()
        right += int(interpreter.get_tensor(sink["index"]).argmax() == label)
    return right / len(data.y_test)


def main() -> None:
    """Trains, converts, tells the accuracy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = ROOT / "hwgen" / "models" / "resnet_tiny_int8.tflite"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--data", type=Path, default=default_data(), help="as train_mnist.py")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    if not arguments.data.exists():
        sys.exit(f"{arguments.data}: no such file; train_mnist.py --help says what it may be")
    tf.keras.utils.set_random_seed(arguments.seed)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(arguments.seed)
    data, model = load_data(arguments.data), build_model()
    train(with_softmax(model), data, arguments.epochs, 3e-3, rng)
    content = converted(model, data.x_train[:CALIBRATION])
    print(f"test accuracy {accuracy(content, data):.4f} of {len(data.y_test)} digits")
    arguments.out.write_bytes(content)
    print(f"wrote {arguments.out}, {len(content)} bytes")


if __name__ == "__main__":
    main()
