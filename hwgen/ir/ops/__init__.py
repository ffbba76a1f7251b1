"""The operations, one file a family. Importing this package registers them all."""

from .argmax import ArgMax
from .batch_norm import BatchNorm
from .border import Pad, Upsample
from .cast import Cast
from .conv2d import Conv2D
from .dense import Dense
from .join import Add, Concat, Mul
from .multi_threshold import MultiThreshold
from .pool import AvgPool, MaxPool, Pool, SumPool
from .requantize import Relu, Requantize
from .rescale import Rescale
from .reshape import Flatten, Reshape
from .slice import Slice
from .softmax import Softmax, SoftmaxTable

__all__ = [
    "Add",
    "ArgMax",
    "AvgPool",
    "BatchNorm",
    "Cast",
    "Concat",
    "Conv2D",
    "Dense",
    "Flatten",
    "MaxPool",
    "Mul",
    "MultiThreshold",
    "Pad",
    "Pool",
    "Relu",
    "Requantize",
    "Rescale",
    "Reshape",
    "Slice",
    "Softmax",
    "SoftmaxTable",
    "SumPool",
    "Upsample",
]
