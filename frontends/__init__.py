"""A model file in, the `onnx` dialect out."""
