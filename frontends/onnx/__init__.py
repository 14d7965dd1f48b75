"""ONNX files to the `onnx` dialect."""

from webdnn.frontends.onnx.importer import ImportedModel, load

__all__ = ["ImportedModel", "load"]
