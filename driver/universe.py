"""What WebDNN adds to xDSL: dialects and passes by name, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from xdsl.ir import Dialect
from xdsl.passes import ModulePass
from xdsl.universe import Universe
from xdsl.utils.target import Target

_DIALECTS: dict[str, str] = {
    "onnx": "webdnn.dialects.onnx:Onnx",
    "arith_ext": "webdnn.dialects.arith_ext:ArithExt",
    "llvm_ext": "webdnn.dialects.llvm_ext:LLVMExt",
    "linalg_ext": "webdnn.dialects.linalg_ext:LinalgExt",
    "vector_ext": "webdnn.dialects.vector_ext:VectorExt",
    "nn": "webdnn.dialects.nn:NN",
    "kernel": "webdnn.dialects.kernel:Kernel",
    "plan": "webdnn.dialects.plan:Plan",
    "wgsl": "webdnn.dialects.wgsl:WGSL",
}

_PASSES: dict[str, str] = {
    # in the order of the levels that they leave
    "convert-onnx-to-nn": "webdnn.lowering.onnx_to_nn.convert:ConvertOnnxToNN",
    "read-image": "webdnn.lowering.interface.read_image:ReadImage",
    "append-softmax": "webdnn.lowering.interface.classes:AppendSoftmax",
    "append-top-k": "webdnn.lowering.interface.classes:AppendTopK",
    "keep-states": "webdnn.lowering.interface.states:KeepStates",
    "rename-interface": "webdnn.lowering.interface.names:RenameInterface",
    "sink-transposes": "webdnn.lowering.nn.sink_transposes:SinkTransposes",
    "join-slices": "webdnn.lowering.nn.join_slices:JoinSlices",
    "integer-products": "webdnn.lowering.nn.integer_products:IntegerProducts",
    "narrow-integers": "webdnn.lowering.nn.narrow_integers:NarrowIntegers",
    "fold-scale-into-conv": "webdnn.lowering.nn.fold_channel_affine:FoldScaleIntoConv",
    "decompose-transposed-conv": "webdnn.lowering.nn.decompose_transposed_conv:DecomposeTransposedConv",
    "recognize-normalize": "webdnn.lowering.nn.recognize_normalize:RecognizeNormalize",
    "decompose-rows": "webdnn.lowering.nn.decompose_rows:DecomposeRows",
    "multiply-by-inverse": "webdnn.lowering.nn.multiply_by_inverse:MultiplyByInverse",
    "merge-matmuls": "webdnn.lowering.nn.merge_matmuls:MergeMatmuls",
    "split-large-weights": "webdnn.lowering.nn.split_large_weights:SplitLargeWeights",
    "split-concats": "webdnn.lowering.nn.split_concats:SplitConcats",
    "hoist-weights": "webdnn.lowering.nn.hoist_weights:HoistWeights",
    "convert-nn-to-linalg": "webdnn.lowering.nn_to_linalg.convert:ConvertNNToLinalg",
    "fuse-kernel-regions": "webdnn.lowering.linalg.fuse_regions:FuseKernelRegions",
    "radix-sort": "webdnn.lowering.linalg.radix_sort:RadixSort",
    "merge-sort": "webdnn.lowering.linalg.merge_sort:MergeSort",
    "fuse-attention": "webdnn.lowering.linalg.fuse_attention:FuseAttention",
    "absorb-transposes": "webdnn.lowering.linalg.absorb_transposes:AbsorbTransposes",
    "split-reductions": "webdnn.lowering.linalg.split_reductions:SplitReductions",
    "separate-nans": "webdnn.lowering.linalg.separate_nans:SeparateNans",
    "pack-tables": "webdnn.lowering.linalg.pack_tables:PackTables",
    "fuse-pads": "webdnn.lowering.linalg.fuse_pads:FusePads",
    "winograd-convolutions": "webdnn.lowering.linalg.winograd:WinogradConvolutions",
    "outline-kernels": "webdnn.lowering.kernels.outline:OutlineKernels",
    "apply-schedules": "webdnn.lowering.kernels.apply_schedules:ApplySchedules",
    "pack-weights": "webdnn.lowering.kernels.pack_weights:PackWeights",
    "place-parts": "webdnn.lowering.kernels.place_parts:PlaceParts",
    "overwrite-operands": "webdnn.lowering.kernels.overwrite_operands:OverwriteOperands",
    "assign-cpu-schedules": "webdnn.lowering.loops_cpu.lower:AssignCPUSchedulesPass",
    "assign-gpu-schedules": "webdnn.lowering.loops_gpu.schedules:AssignGPUSchedulesPass",
    "lower-kernels-to-cpu-loops": "webdnn.lowering.loops_cpu.lower:LowerKernelsToCPULoopsPass",
    "distribute-parallel-loops": "webdnn.lowering.loops_cpu.distribute:DistributeParallelLoops",
    "lower-kernels-to-gpu-loops": "webdnn.lowering.loops_gpu.lower:LowerKernelsToGPULoopsPass",
    "launch-at-load": "webdnn.lowering.kernels.launch_at_load:LaunchAtLoad",
    "plan-memory": "webdnn.lowering.kernels.plan_memory:PlanMemory",
    "defer-launches-at-load": "webdnn.lowering.kernels.defer_launches_at_load:DeferLaunchesAtLoad",
    "lower-plan-to-llvm": "webdnn.lowering.target_wasm.plan_to_llvm:LowerPlanToLLVM",
    "lower-kernels-to-llvm": "webdnn.lowering.target_wasm.kernels_to_llvm:LowerKernelsToLLVM",
    "expand-half": "webdnn.lowering.target_wasm.expand_half:ExpandHalf",
    "expand-math": "webdnn.lowering.target_wasm.expand_math:ExpandMath",
    "lower-to-wgsl": "webdnn.lowering.target_wgsl.pipeline:LowerToWGSLPass",
    "wgsl-narrow-i64": "webdnn.lowering.target_wgsl.narrow_i64:WGSLNarrowI64Pass",
    "wgsl-emulate-i64": "webdnn.lowering.target_wgsl.emulate_i64:WGSLEmulateI64Pass",
    "wgsl-widen-types": "webdnn.lowering.target_wgsl.widen_types:WGSLWidenTypesPass",
    "wgsl-split-vectors": "webdnn.lowering.target_wgsl.split_vectors:WGSLSplitVectorsPass",
    "wgsl-vectorize-memory": "webdnn.lowering.target_wgsl.vectorize_memory:WGSLVectorizeMemoryPass",
    "wgsl-scalarize-accesses": "webdnn.lowering.target_wgsl.scalarize_accesses:WGSLScalarizeAccessesPass",
    "wgsl-expand-math": "webdnn.lowering.target_wgsl.expand_math:WGSLExpandMathPass",
    "wgsl-compose-vectors": "webdnn.lowering.target_wgsl.compose_vectors:WGSLComposeVectorsPass",
    "wgsl-fold-grid": "webdnn.lowering.target_wgsl.fold_grid:WGSLFoldGridPass",
    "wgsl-erase-unused": "webdnn.lowering.target_wgsl.erase_unused:WGSLEraseUnusedPass",
    "wgsl-split-bindings": "webdnn.lowering.target_wgsl.split_bindings:WGSLSplitBindingsPass",
    "wgsl-bind-operands": "webdnn.lowering.target_wgsl.bind_operands:WGSLBindOperandsPass",
    "verify-wgsl-limits": "webdnn.lowering.target_wgsl.verify_limits:VerifyWGSLLimitsPass",
}

_TARGETS: dict[str, str] = {
    "webdnn-wgsl": "webdnn.codegen.wgsl.target:WGSLTarget",
}


def _lazily(path: str) -> Callable[[], object]:
    module, _, name = path.partition(":")
    return lambda: getattr(import_module(module), name)


WEBDNN_UNIVERSE = Universe(
    all_dialects={k: cast("Callable[[], Dialect]", _lazily(p)) for k, p in _DIALECTS.items()},
    all_passes={k: cast("Callable[[], type[ModulePass]]", _lazily(p)) for k, p in _PASSES.items()},
    all_targets={k: cast("Callable[[], type[Target]]", _lazily(p)) for k, p in _TARGETS.items()},
)
"""The entry point `xdsl.universe` of this distribution, so that `xdsl-opt` knows our dialects and passes too."""
