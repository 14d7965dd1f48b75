"""Kernels to workgroups and invocations for a GPU.

`read_kernel` turns a kernel into the expression of each output element. `schedules` picks a `strategy`, which
`lower` obeys: `pointwise`, `rows` or `contraction` (with `tiles`). They build the body with `kernel_builder` and
`emitter`, and let `evaluate` compute the expressions.
"""
