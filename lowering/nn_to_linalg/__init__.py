"""`nn` to `linalg` on tensors: one rewrite per `nn` op."""
