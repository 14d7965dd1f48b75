"""ONNX files to the `onnx` dialect."""

from webdnn.frontends.onnx.load import ImportedModel, load

__all__ = ["ImportedModel", "load"]
