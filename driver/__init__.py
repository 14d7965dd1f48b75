"""WebDNN: compile a trained model into a package that any browser runs by itself.

>>> package = webdnn.compile("model.onnx", shapes={"x": [1, 3, 224, 224]})
>>> package.save("dist/model")
>>> package.run({"x": image})
"""

from importlib.metadata import version

__version__ = version("webdnn")

from webdnn.compiler import compile
from webdnn.conversion import convert
from webdnn.custom_operators import CustomOperator
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.time_limit import time_limit
from webdnn.kernel_cache import KernelCache
from webdnn.lowering.interface.image_input import ImageInput
from webdnn.lowering.kernels.schedule_table import ScheduleEntry, ScheduleTable
from webdnn.package import Package
from webdnn.stages import STAGES

__all__ = [
    "STAGES",
    "CustomOperator",
    "ImageInput",
    "KernelCache",
    "Package",
    "ScheduleEntry",
    "ScheduleTable",
    "WebDNNError",
    "__version__",
    "compile",
    "convert",
    "time_limit",
]
