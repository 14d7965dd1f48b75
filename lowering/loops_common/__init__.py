"""The core of the lowerings of kernels to loops: expressions, index arithmetic, and the ops that they become.

In the order in which it is used:

1. `elements.ElementReader` finds the expression of an element of any tensor of a kernel, as `expression.Node`s. Which
   tensors have a place in memory and what becomes of a reduction is decided by its subclasses: the CPU cuts the tree
   into stages, the GPU keeps it whole.
2. Indices and addresses are `linear.Lin`s: over loop dimensions in an expression, over SSA values in what is emitted.
   `expression.Rewriter` puts other forms in the place of dimensions; over flat memory (`Flattener`) each access has one
   address.
3. `combining` knows which reductions may be cut into partial results.
4. `function` makes the shell of a lowered kernel, and `emitter.Emitter` builds its body: it nests blocks, hoists pure
   ops and shares equal ones (`placing`), and turns linear forms into values.
5. `evaluate.Evaluator` emits the value of an expression where the loops stand, for one element or for neighbours
   as a vector, as far as the target's `vectors.VectorUnit` goes; `indices` is arithmetic on what differs between lanes.

Which loops run around the expressions, and how they are mapped, is a target's own: `loops_cpu`, `loops_gpu`.
"""
