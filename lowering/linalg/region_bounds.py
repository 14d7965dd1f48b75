"""How much fusion may put into one `kernel.region`: where its registers end, so that long chains are cut.

An operand costs a register for its address, and a stream that the processor must follow. What is made inside has one
reader, for only then is a region fused: so the values that are alive at any point are no more than the operands, and a
few beside them. Of 48 sums and products with a tensor each (391 KB), four kernels take 0.6 ms and one takes 1.1 ms;
where the sizes are multiples of a page, 0.9 and 3.4 ms (WebAssembly, one thread).
"""

from __future__ import annotations

from webdnn.dialects import kernel
from webdnn.lowering.linalg.structure import generics
from webdnn.lowering.op_weight import op_weight

MAX_OPERANDS = 16
"""Operands and results of a region that was fused: the integer registers of x86-64."""
MAX_INSTRUCTIONS = 512
"""Instructions for one element of a region that was fused; a normal random number with what reads it has some 300. A
cut costs one store and one load beside so many, and a kernel takes longer to compile the longer it is."""


def instructions(region: kernel.RegionOp) -> int:
    """The instructions, loads among them, for one element of each generic of a region."""
    return sum(
        len(generic.inputs) + sum(map(op_weight, generic.body.block.ops))
        for generic in generics(region)
    )


def fits_one_region(producer: kernel.RegionOp, consumer: kernel.RegionOp) -> bool:
    """Whether two regions, the first of which makes one operand of the second, may become one."""
    operands = {*producer.ins, *consumer.ins}
    if len(operands) - 1 + len(consumer.outs) > MAX_OPERANDS:
        return False
    return instructions(producer) + instructions(consumer) <= MAX_INSTRUCTIONS
