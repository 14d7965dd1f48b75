"""Models of other frameworks become ONNX: each converter is a module of its own, run in a process of its own."""
