"""What the lowerings of kernels to loops share, whatever the target.

From a kernel to loops, in the order in which it is used:

1. `groups.read_groups(func)` reads a `kernel.func` on tensors as `stages.Group`s of `stages.Stage`s. A
   stage is an iteration space (parallel dimensions first, reduced ones last) with an expression
   (`stages.Node`) for each accumulator and each output; elementwise producers and epilogues have been
   inlined into it (`elements` finds expressions, `reader` cuts the kernel into stages). Stages of a group hand
   tensors on in scratch buffers and share their `outer` dimensions.
2. `flatten.flatten(stage)` makes each access one address, a `affine.Flat`: coefficients of the dimensions, and
   divisions where there are any. Loops that no address tells apart become one. `FlatStage.merge(d)` merges
   two more at the cost of divisions.
3. `function.begin_function(func, groups)` makes the lowered function's shell and an `emitter.Emitter`,
   which appends ops to the open blocks (`begin_parallel`/`end_parallel`, `begin_for`/`end_for`,
   `open`/`close`), hoists pure ops, and shares equal ones. Induction variables and addresses are `linear.Lin`s.
4. `values.PointEvaluator(scope, point, width).vector(node)` emits the value of an expression at
   a point, `point` being a `Lin` for each dimension; with `width` > 1, the `Lin` of the vectorised
   dimension has `lane=1`. Loads become vector loads, splats, or single loads by the address's stride; what
   two points share is emitted once.
5. `tile.TileEmitter(emitter, stage, tiling, origin).emit(base, sizes)` emits a whole register tile, cut as a
   `tiling.Tiling` says, with the loops of `reduction.ReductionEmitter` around it.

The rest is a target's own: which loops run around the tiles and how they are mapped (`loops_cpu`, `loops_gpu`).
"""
