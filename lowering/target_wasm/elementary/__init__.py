"""Elementary functions as `arith` and `vector` ops: no branches but for rare arguments, no tables, no library.

All coefficients are minimax fits of ours (Remez's exchange in 500 bits); the error beside each is that of the
polynomial, relative to the function. What each function's error is with all roundings, `tests/unit/test_math_*` says.
"""
