"""`onnx` to `nn`: one rewrite per ONNX operator."""
