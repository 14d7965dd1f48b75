"""The limits of an engine on this machine: multiply-adds in registers, and reading memory.

A small module, generated here, measures them: a loop of independent relaxed multiply-adds that never touch memory, and
a loop that sums up a block of memory, which shows the bandwidth of the cache that holds a block of this size.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm

from webdnn.codegen.wasm.compile import TRIPLE
from webdnn.codegen.wasm.link import link
from webdnn.engines.scripted import scripted_engine
from webdnn.package import KernelEngine

ACCUMULATORS = 12  # enough to hide the latency, few enough for the registers
LANES = 4
READS = 8  # vectors of 16 bytes a step
BLOCKS = tuple(1 << bits for bits in (16, 18, 20, 22, 24, 26, 28))
PAGES = (BLOCKS[-1] >> 16) + 4


@dataclass(frozen=True)
class Peaks:
    """Billions of operations a second, and billions of bytes a second by the size of the block that is read."""

    gflops: float
    bandwidth: Mapping[int, float]

    def milliseconds(self, operations: int, moved: int) -> float:
        """The roofline: no kernel with this work can be faster."""
        sizes = sorted(self.bandwidth)
        size = sizes[min(bisect_left(sizes, moved), len(sizes) - 1)]
        return max(operations / self.gflops, moved / self.bandwidth[size]) / 1e6

    def __str__(self) -> str:
        def size(count: int) -> str:
            return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"

        rates = ", ".join(f"{rate:.0f} up to {size(n)}" for n, rate in self.bandwidth.items())
        return f"{self.gflops:.1f} GFLOP/s; reading memory, GB/s: {rates}"


def measure_peaks(engine: KernelEngine = "chromium", timeout: float = 120) -> Peaks:
    """Measure them in an engine; the best of several samples each.

    Args:
        timeout: seconds after which a browser is given up.
    """
    if engine == "wasmtime":
        return _peaks_of_wasmtime()
    job = {
        "kind": "peaks",
        "module": "peaks.wasm",
        "pages": PAGES,
        "blocks": list(BLOCKS),
        "flopsPerStep": ACCUMULATORS * LANES * 2,
        "bytesPerStep": READS * 16,
    }
    result = scripted_engine(engine).run(job, {"peaks.wasm": peak_module()}, timeout=timeout)
    return Peaks(result["gflops"], dict(zip(BLOCKS, result["gigabytes"], strict=True)))


def _peaks_of_wasmtime() -> Peaks:
    from webdnn.engines.wasmtime import instantiate

    exports: Any = instantiate(peak_module(), PAGES)
    begin, steps = 2 * 65536, 1000
    gflops = _best(
        lambda n: exports("multiply_add", n * steps, 0.5, 0.25), steps * ACCUMULATORS * LANES * 2
    )
    rates = {
        block: _best(lambda n, end=begin + block: exports("read", begin, end, n), block)
        for block in BLOCKS
    }
    return Peaks(gflops, rates)


def _best(work: Callable[[int], object], amount: int) -> float:
    """The best rate of several samples of `work(repeats)`, in units of `amount` a nanosecond."""

    def spent(repeats: int) -> float:
        start = time.perf_counter()
        work(repeats)
        return time.perf_counter() - start

    repeats = 1
    while spent(repeats) < 0.005:
        repeats *= 4
    return max(repeats * amount / spent(repeats) / 1e9 for _ in range(20))


def peak_module() -> bytes:
    """A wasm module that exports `multiply_add(steps) -> f32` and `read(begin, end, repeats) -> f32`."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    features = "+simd128,+relaxed-simd,+bulk-memory,+nontrapping-fptoint,+sign-ext"
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu="generic", features=features, opt=3, reloc="static", codemodel="default"
    )
    module = llvm.parse_assembly(_multiply_add() + _read())
    module.verify()
    return link([machine.emit_object(module)], exports=("multiply_add", "read"))


def _multiply_add() -> str:
    vector = "<4 x float>"
    phis: list[str] = []
    steps: list[str] = []
    for k in range(ACCUMULATORS):
        start = ", ".join(f"float {k + lane + 1}.0" for lane in range(LANES))
        phis.append(f"  %a{k} = phi {vector} [ <{start}>, %entry ], [ %b{k}, %loop ]")
        call = "call <4 x float> @llvm.wasm.relaxed.madd.v4f32"
        steps.append(f"  %b{k} = {call}({vector} %a{k}, {vector} %s, {vector} %t)")
    sums = [f"  %r{k} = fadd {vector} %r{k - 1}, %b{k}" for k in range(1, ACCUMULATORS)]
    return "\n".join(
        [
            f"declare {vector} @llvm.wasm.relaxed.madd.v4f32({vector}, {vector}, {vector})",
            "define float @multiply_add(i32 %steps, float %x, float %y) {",
            "entry:",
            f"  %s0 = insertelement {vector} poison, float %x, i32 0",
            f"  %s = shufflevector {vector} %s0, {vector} poison, <4 x i32> zeroinitializer",
            f"  %t0 = insertelement {vector} poison, float %y, i32 0",
            f"  %t = shufflevector {vector} %t0, {vector} poison, <4 x i32> zeroinitializer",
            "  br label %loop",
            "loop:",
            "  %i = phi i32 [ 0, %entry ], [ %n, %loop ]",
            *phis,
            *steps,
            "  %n = add i32 %i, 1",
            "  %go = icmp ult i32 %n, %steps",
            "  br i1 %go, label %loop, label %end",
            "end:",
            f"  %r0 = fadd {vector} %b0, zeroinitializer",
            *sums,
            f"  %r = extractelement {vector} %r{ACCUMULATORS - 1}, i32 0",
            "  ret float %r",
            "}\n",
        ]
    )


def _read() -> str:
    vector = "<4 x float>"
    body: list[str] = []
    for k in range(READS):
        body += [
            f"  %p{k} = getelementptr inbounds nuw i8, ptr %p, i32 {16 * k}",
            f"  %v{k} = load {vector}, ptr %p{k}, align 16",
            f"  %b{k} = fadd {vector} %a{k}, %v{k}",
        ]
    inner = [f"  %a{k} = phi {vector} [ %c{k}, %outer ], [ %b{k}, %loop ]" for k in range(READS)]
    outer = [
        f"  %c{k} = phi {vector} [ zeroinitializer, %entry ], [ %b{k}, %next ]"
        for k in range(READS)
    ]
    sums = [f"  %r{k} = fadd {vector} %r{k - 1}, %b{k}" for k in range(1, READS)]
    return "\n".join(
        [
            "define float @read(i32 %begin, i32 %end, i32 %repeats) {",
            "entry:",
            "  br label %outer",
            "outer:",
            "  %j = phi i32 [ 0, %entry ], [ %m, %next ]",
            *outer,
            "  br label %loop",
            "loop:",
            "  %i = phi i32 [ %begin, %outer ], [ %n, %loop ]",
            *inner,
            "  %p = inttoptr i32 %i to ptr",
            *body,
            f"  %n = add i32 %i, {16 * READS}",
            "  %go = icmp ult i32 %n, %end",
            "  br i1 %go, label %loop, label %next",
            "next:",
            "  %m = add i32 %j, 1",
            "  %again = icmp ult i32 %m, %repeats",
            "  br i1 %again, label %outer, label %done",
            "done:",
            f"  %r0 = fadd {vector} %b0, zeroinitializer",
            *sums,
            f"  %r = extractelement {vector} %r{READS - 1}, i32 0",
            "  ret float %r",
            "}\n",
        ]
    )
