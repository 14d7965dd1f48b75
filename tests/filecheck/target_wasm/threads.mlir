// RUN: webdnn-opt %s --disable-verify -p 'lower-plan-to-llvm{threads=true},lower-kernels-to-llvm' | filecheck %s

// The two @small are one chunk, @large is cut into three; threads take chunks, and wait for each other once a step.
kernel.func @small(%x: memref<16xf32>) attributes {num_outputs = 1 : i64} {
  kernel.return
}
kernel.func @large(%x: memref<16xf32>) attributes {num_outputs = 1 : i64, work = 4000000 : i64, grain = 1200000 : i64} {
  %begin, %end = kernel.work_range
  kernel.return
}
plan.program "main" {
  %x = plan.slice "arena" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  plan.launch_into @small(%x) : memref<16xf32>
  plan.launch_into @small(%x) : memref<16xf32>
  plan.launch_into @large(%x) : memref<16xf32>
}

// @small takes no part of its work, so it cannot be called for nothing.
// CHECK:      llvm.func @warm_up() attributes {no_inline} {
// CHECK-DAG:    %[[NONE:.*]] = llvm.mlir.constant(0 : i32) : i32
// CHECK-DAG:    %[[TIMES:.*]] = llvm.mlir.constant(10000 : i32) : i32
// CHECK-NOT:    llvm.call @small
// CHECK:      ^[[CALL:.*]](%[[NUMBER:.*]]: i32):
// CHECK:        llvm.call @large(%{{.*}}, %[[NONE]], %[[NONE]]) : (!llvm.ptr, i32, i32) -> ()
// CHECK:        %[[NEXT:.*]] = llvm.add %[[NUMBER]], %{{.*}} : i32
// CHECK-NEXT:   %[[MORE:.*]] = llvm.icmp "ult" %[[NEXT]], %[[TIMES]] : i32
// CHECK-NEXT:   llvm.cond_br %[[MORE]], ^[[CALL]](%[[NEXT]] : i32), ^{{.*}}
// CHECK:        llvm.return
// CHECK:      llvm.func @run_range(%[[FROM:.*]]: i32, %[[TO:.*]]: i32)
// CHECK:        %[[DONE:.*]] = llvm_ext.atomic_load
// CHECK:        "llvm.wasm.memory.atomic.notify"
// CHECK:        llvm.call @run_share(%{{.*}}, %[[FROM]], %[[TO]], %[[DONE]]) : (i32, i32, i32, i32) -> ()
// CHECK-NEXT:   llvm.return
// CHECK:      llvm.func @start(
// CHECK:      llvm.func @help(%[[HELPER:.*]]: i32)
// CHECK:        "llvm.wasm.memory.atomic.wait32"
// CHECK:        llvm.call @run_share(%[[HELPER]], %{{.*}}, %{{.*}}, %{{.*}}) : (i32, i32, i32, i32) -> ()
// CHECK-NEXT:   llvm.br
// CHECK:      llvm.func internal @run_share(%[[THREAD:.*]]: i32, %{{.*}}: i32, %{{.*}}: i32, %[[FIRST:.*]]: i32)
// CHECK-DAG:    %[[ONE:.*]] = llvm.mlir.constant(1 : i32) : i32
// CHECK-DAG:    %[[TWO:.*]] = llvm.mlir.constant(2 : i32) : i32
// CHECK-DAG:    %[[THREE:.*]] = llvm.mlir.constant(3 : i32) : i32
// CHECK-DAG:    %[[EACH:.*]] = llvm.mlir.constant(1333333 : i32) : i32
// CHECK-DAG:    %[[ALL:.*]] = llvm.mlir.constant(4000000 : i32) : i32
// CHECK:        llvm.call @claim(%[[THREAD]], %[[FIRST]], %[[ONE]]) : (i32, i32, i32) -> i32
// CHECK:        llvm.call @finish(%{{.*}}, %{{.*}}) : (i32, i32) -> ()
// CHECK:        llvm.call @small(
// CHECK-NOT:    llvm.call @finish
// CHECK:        llvm.call @small(
// CHECK:        %[[CHUNK:.*]] = llvm.call @claim(%[[THREAD]], %{{.*}}, %[[THREE]]) : (i32, i32, i32) -> i32
// CHECK-NOT:    llvm.call @small
// CHECK:        %[[BEGIN:.*]] = llvm.mul %[[CHUNK]], %[[EACH]] : i32
// CHECK-NEXT:   %[[LAST:.*]] = llvm.icmp "eq" %[[CHUNK]], %[[TWO]] : i32
// CHECK-NEXT:   %[[NEXT:.*]] = llvm.add %[[BEGIN]], %[[EACH]] : i32
// CHECK-NEXT:   %[[END:.*]] = llvm.select %[[LAST]], %[[ALL]], %[[NEXT]]
// CHECK:        llvm.call @large(%{{.*}}, %[[BEGIN]], %[[END]]) : (!llvm.ptr, i32, i32) -> ()
// CHECK:        llvm.call @finish(%{{.*}}, %{{.*}}) : (i32, i32) -> ()
// CHECK:      llvm.func internal @claim(
// CHECK:        llvm_ext.atomic_compare_exchange
// CHECK:      llvm.func internal @finish(
// CHECK:        llvm_ext.atomic_add
// CHECK:        llvm_ext.atomic_load
// CHECK:        "llvm.wasm.memory.atomic.wait32"
