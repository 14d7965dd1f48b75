// RUN: webdnn-opt %s --disable-verify -p 'lower-plan-to-llvm{threads=true},lower-kernels-to-llvm' | filecheck %s

// Thread 0 runs @small alone, twice, without a barrier between the two; @large is shared by up to three threads.
kernel.func @small(%x: memref<16xf32>) attributes {num_outputs = 1 : i64} {
  kernel.return
}
kernel.func @large(%x: memref<16xf32>) attributes {num_outputs = 1 : i64, work = 100 : i64, grain = 30 : i64} {
  %begin, %end = kernel.work_range
  kernel.return
}
plan.program "main" {
  %x = plan.slice "arena" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  plan.launch_into @small(%x) : memref<16xf32>
  plan.launch_into @small(%x) : memref<16xf32>
  plan.launch_into @large(%x) : memref<16xf32>
}

// CHECK:      llvm.func @run_range
// CHECK:        llvm.call @barrier() : () -> ()
// CHECK-NEXT:   llvm.call @run_share(%{{.*}}, %{{.*}}, %{{.*}}) : (i32, i32, i32) -> ()
// CHECK-NEXT:   llvm.call @barrier() : () -> ()
// CHECK-NEXT:   llvm.return
// CHECK:      llvm.func @start(
// CHECK:      llvm.func @help(%[[HELPER:.*]]: i32)
// CHECK:        llvm.br ^[[AGAIN:.*]]
// CHECK-NEXT: ^[[AGAIN]]:
// CHECK-NEXT:   llvm.call @barrier() : () -> ()
// CHECK:        llvm.call @run_share(%[[HELPER]], %{{.*}}, %{{.*}}) : (i32, i32, i32) -> ()
// CHECK-NEXT:   llvm.call @barrier() : () -> ()
// CHECK-NEXT:   llvm.br ^[[AGAIN]]
// CHECK:      llvm.func internal @run_share(%[[THREAD:.*]]: i32, %{{.*}}: i32, %{{.*}}: i32)
// CHECK-DAG:    %[[THREE:.*]] = llvm.mlir.constant(3 : i32) : i32
// CHECK-DAG:    %[[ALL:.*]] = llvm.mlir.constant(100 : i32) : i32
// CHECK-NOT:    llvm.call @barrier
// CHECK:        llvm.call @small(
// CHECK-NOT:    llvm.call @barrier
// CHECK:        llvm.call @small(
// CHECK:        llvm.call @barrier() : () -> ()
// CHECK:        %[[FEW:.*]] = llvm.icmp "ult" %[[THREADS:.*]], %[[THREE]] : i32
// CHECK-NEXT:   %[[PARTS:.*]] = llvm.select %[[FEW]], %[[THREADS]], %[[THREE]]
// CHECK-NEXT:   llvm.icmp "ult" %[[THREAD]], %[[PARTS]] : i32
// CHECK:        %[[EACH:.*]] = llvm.udiv %[[ALL]], %[[PARTS]] : i32
// CHECK-NEXT:   %[[BEGIN:.*]] = llvm.mul %[[EACH]], %[[THREAD]] : i32
// CHECK:        %[[LAST:.*]] = llvm.icmp "eq" %{{.*}}, %[[PARTS]] : i32
// CHECK-NEXT:   %[[NEXT:.*]] = llvm.add %[[BEGIN]], %[[EACH]] : i32
// CHECK-NEXT:   %[[END:.*]] = llvm.select %[[LAST]], %[[ALL]], %[[NEXT]]
// CHECK:        llvm.call @large(%{{.*}}, %[[BEGIN]], %[[END]]) : (!llvm.ptr, i32, i32) -> ()
// CHECK:      llvm.func internal @barrier()
// CHECK:        llvm_ext.atomic_load
// CHECK:        llvm_ext.atomic_add
// CHECK:        llvm_ext.atomic_store
// CHECK:        "llvm.wasm.memory.atomic.notify"
// CHECK:        "llvm.wasm.memory.atomic.wait32"
