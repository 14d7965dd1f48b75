"""Kernels to loops of one CPU thread.

From a kernel to loops, in the order in which it is used:

1. `groups.read_groups(func)` reads a kernel as groups of `stages.Stage`s: iteration spaces with an expression
   for each accumulator and each store; `reader` cuts the kernel so. Stages of a group hand tensors on in scratch memory
   and share their outer dimensions.
2. `flatten.flatten(stage)` makes each access one address, and loops that no address tells apart one;
   `FlatStage.merge(d)` merges two more at the cost of divisions.
3. `schedule` says how groups and stages are cut. `heuristics` chooses it: the cheapest (`cost`) of some candidates
   (`tilings`).
4. `loops` emits the loops over tiles, and `tile.TileEmitter` one register tile, with the loops of
   `reduction.ReductionEmitter` around it and points that `evaluate.PointEvaluator` computes. Weights in panels
   (`packed`), products of small integers (`dot`), known factors (`coefficients`) and squares that lie across in memory
   (`transposed`) have code of their own, and so have the ops of `linalg_ext` (`ordering`).

`pack` lays weights out in panels before, `distribute` cuts the loops into tasks for threads afterwards.
"""
