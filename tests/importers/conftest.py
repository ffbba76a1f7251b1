"""Writes small Keras files in the layout of Keras 2.15, without TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

Layer = dict[str, Any]
Weights = dict[str, dict[str, Any]]


class KerasFiles:
    """Makes layer configurations, model configurations and files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def layer(class_name: str, name: str, **config: Any) -> Layer:
        """Any layer."""
        return {"class_name": class_name, "config": {"name": name, **config}}

    @staticmethod
    def bits(bits: int = 4, integer: int = 0, **more: Any) -> Layer:
        """A quantized_bits object with all the fields that QKeras writes."""
        config = {"bits": bits, "integer": integer, "symmetric": 0, "alpha": 1.0}
        config |= {"keep_negative": True, "use_stochastic_rounding": False, "qnoise_factor": 1.0}
        return {"class_name": "quantized_bits", "config": config | more}

    @staticmethod
    def relu(bits: int = 4, integer: int = 1, **more: Any) -> Layer:
        """A quantized_relu object with all the fields that QKeras writes."""
        config = {"bits": bits, "integer": integer, "use_sigmoid": 0, "negative_slope": 0.0}
        config |= {"use_stochastic_rounding": False, "relu_upper_bound": None, "qnoise_factor": 1.0}
        return {"class_name": "quantized_relu", "config": config | more}

    def input(self, *shape: int, name: str = "data") -> Layer:
        """An input layer."""
        return self.layer("InputLayer", name, batch_input_shape=[None, *shape])

    def act(self, name: str, quantizer: Any) -> Layer:
        """A QActivation."""
        return self.layer("QActivation", name, activation=quantizer)

    def dense(self, name: str, units: int, kernel: Any = None, **more: Any) -> Layer:
        """A QDense."""
        config = {"units": units, "use_bias": True, "activation": "linear"}
        config |= {"kernel_quantizer": kernel or self.bits(), "bias_quantizer": self.bits(8, 1)}
        return self.layer("QDense", name, **(config | more))

    def conv(self, name: str, filters: int, kernel: Any = None, **more: Any) -> Layer:
        """A QConv2D with a kernel of 3x3."""
        config = {"filters": filters, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same"}
        config |= {"data_format": "channels_last", "dilation_rate": [1, 1], "groups": 1}
        return self.dense(name, 1, kernel, **(config | more)) | {"class_name": "QConv2D"}

    def pool(self, kind: str, name: str, size: int = 2, **more: Any) -> Layer:
        """A MaxPooling2D or AveragePooling2D."""
        config = {"pool_size": [size, size], "strides": [size, size], "padding": "valid"}
        return self.layer(kind, name, data_format="channels_last", **(config | more))

    @staticmethod
    def sequential(*layers: Layer) -> Layer:
        """A Sequential model."""
        config = {"name": "sequential", "layers": list(layers)}
        return {"class_name": "Sequential", "config": config}

    @staticmethod
    def functional(*layers: Layer, sources: dict[str, list[str]] | None = None) -> Layer:
        """A functional model: a chain, but for layers whose sources are given."""
        entries, before = [], []
        for layer in layers:
            name = layer["config"]["name"]
            reads = (sources or {}).get(name, before[-1:])
            nodes = [[[source, 0, 0, {}] for source in reads]] if reads else []
            entries.append({**layer, "name": name, "inbound_nodes": nodes})
            before.append(name)
        config = {"name": "model", "layers": entries}
        config |= {"input_layers": [[before[0], 0, 0]], "output_layers": [[before[-1], 0, 0]]}
        return {"class_name": "Functional", "config": config}

    @staticmethod
    def random_weights(model: Layer, rng: np.random.Generator) -> Weights:
        """Weights of a chain with the shapes that its layers need."""
        out: Weights = {}
        shape: list[Any] = []
        for layer in model["config"]["layers"]:
            config, kind = layer["config"], layer["class_name"]
            if kind == "InputLayer":
                shape = config["batch_input_shape"][1:]
            if kind in ("QConv2D", "Conv2D"):
                k = (*config["kernel_size"], shape[-1], config["filters"])
                out[config["name"]] = {"kernel": rng.normal(0, 0.5, k)}
                step, pad = config["strides"][0], 0 if config["padding"] == "same" else k[0] - 1
                shape = [-(-(n - pad) // step) for n in shape[:2]] + [k[-1]]
            elif kind in ("QDense", "Dense"):
                out[config["name"]] = {"kernel": rng.normal(0, 0.5, (shape[0], config["units"]))}
                shape = [config["units"]]
            elif kind == "BatchNormalization":
                n = shape[-1]
                out[config["name"]] = {
                    "gamma": rng.normal(0, 1, n),
                    "beta": rng.normal(0, 0.3, n),
                    "moving_mean": rng.normal(0, 0.3, n),
                    "moving_variance": rng.uniform(0.3, 2, n),
                }
            elif "Pooling2D" in kind:
                size, step = config["pool_size"][0], config["strides"][0]
                pad = 0 if config["padding"] == "same" else size - 1
                shape = [-(-(n - pad) // step) for n in shape[:2]] + shape[2:]
            elif kind == "Flatten":
                shape = [int(np.prod(shape))]
            elif kind == "Reshape":
                shape = config["target_shape"]
            if "kernel" in out.get(config["name"], {}) and config["use_bias"]:
                out[config["name"]]["bias"] = rng.normal(0, 0.5, shape[-1])
        return {n: {k: np.float32(v) for k, v in w.items()} for n, w in out.items()}

    def write(
        self, model: Any, weights: Weights, name: str = "model.h5", weights_only: bool = False
    ) -> Path:
        """A whole model, or only its weights (then at the root of the file)."""
        path = self.folder / name
        with h5py.File(path, "w") as file:
            root: Any = file
            if not weights_only:
                text = model if isinstance(model, str) else json.dumps(model)
                file.attrs["model_config"] = text
                root = file.create_group("model_weights")
            for where in (file, root):
                where.attrs["backend"] = "tensorflow"
                where.attrs["keras_version"] = "2.15.0"
            root.attrs["layer_names"] = [n.encode() for n in weights]
            for layer, arrays in weights.items():
                group = root.create_group(layer)
                names = [f"{layer}/{key}:0" for key in arrays]
                group.attrs["weight_names"] = [n.encode() for n in names]
                for key, array in zip(names, arrays.values(), strict=True):
                    group.create_dataset(key, data=np.asarray(array))
        return path

    def save(self, model: Layer, seed: int = 0) -> Path:
        """A whole model with random weights."""
        return self.write(model, self.random_weights(model, np.random.default_rng(seed)))


@pytest.fixture
def keras(tmp_path: Path) -> KerasFiles:
    """A writer of Keras files in a folder of the test's own."""
    return KerasFiles(tmp_path)
