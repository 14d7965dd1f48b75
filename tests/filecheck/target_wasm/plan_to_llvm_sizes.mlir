// RUN: webdnn-opt %s --disable-verify -p 'lower-plan-to-llvm{stack=4096},lower-kernels-to-llvm' | filecheck %s
// RUN: webdnn-opt %s --disable-verify -p 'lower-plan-to-llvm{stack=4096 threads=true},lower-kernels-to-llvm' | filecheck %s --check-prefix THREADS

// What depends on sizes is read from a table behind the control words (at 8192 + 4352): the size, the address of y, the
// work. The stacks of 63 more threads lie before the arena (at 270656).
plan.program "main" attributes {arena_buffers = #nn.sizes<s[1 to 100] * 128>, arena_bound = 12800 : i64, weight_offsets = [], weight_bytes = 0 : i64} {
  %x = plan.slice "arena" 0 : i64[0 : i64] bytes #nn.sizes<s[1 to 100] * 64> : memref<?xf32>
  plan.bind "input" "x" "float32" #nn.sizes<s[1 to 100], 16> = %x : memref<?xf32>
  %y = plan.slice "arena" 0 : i64[#nn.sizes<s[1 to 100] * 64>] bytes #nn.sizes<s[1 to 100] * 64> : memref<?xf32>
  plan.launch_into @k(%x, %y) {sizes = #nn.sizes<s[1 to 100] + 1>} : memref<?xf32>, memref<?xf32>
}
kernel.func @k(%n: index, %a: memref<?xf32>, %b: memref<?xf32>) attributes {sizes = #nn.sizes<n0[2 to 101]>, num_outputs = 1 : i64, work = #nn.sizes<n0[2 to 101] * 1000>, grain = 1000 : i64} {
  %begin, %end = kernel.work_range
  kernel.return
}
// CHECK:      llvm.func @run_range
// CHECK-DAG:    %[[WORK:.*]] = llvm.mlir.constant(12552 : i32)
// CHECK-DAG:    %[[SIZE:.*]] = llvm.mlir.constant(12544 : i32)
// CHECK-DAG:    %[[X:.*]] = llvm.mlir.constant(270656 : i32)
// CHECK-DAG:    %[[Y:.*]] = llvm.mlir.constant(12548 : i32)
// CHECK:        llvm.inttoptr %[[WORK]]
// CHECK-NEXT:   %[[W:.*]] = llvm.load
// CHECK-NEXT:   llvm.inttoptr %[[SIZE]]
// CHECK-NEXT:   %[[N:.*]] = llvm.load
// CHECK-NEXT:   %[[A:.*]] = llvm.inttoptr %[[X]]
// CHECK-NEXT:   llvm.inttoptr %[[Y]]
// CHECK-NEXT:   %[[L:.*]] = llvm.load
// CHECK-NEXT:   %[[B:.*]] = llvm.inttoptr %[[L]]
// CHECK-NEXT:   llvm.call @k(%[[N]], %[[A]], %[[B]], %{{.*}}, %[[W]])

// A step has as many chunks at any size: those of the likely one.
// THREADS:      llvm.func internal @run_share
// THREADS:        %[[CHUNKS:.*]] = llvm.mlir.constant(64 : i32)
// THREADS:        llvm.call @claim(%{{.*}}, %{{.*}}, %[[CHUNKS]])
// THREADS:        %[[WORK:.*]] = llvm.load
// THREADS-NEXT:   llvm.udiv %[[WORK]], %[[CHUNKS]]
