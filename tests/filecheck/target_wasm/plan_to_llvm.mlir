// RUN: webdnn-opt %s -p lower-plan-to-llvm | filecheck %s

// Stack and room for constants take the first 36864 bytes, the words by which threads tell each other what to do 256 more;
// the weights (64 bytes) come next, then the arena.
plan.program "main" {
  %x = plan.slice "arena" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  %w = plan.slice "weights" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  %y = plan.slice "arena" 0 : i64 [64 : i64] bytes 64 : i64 : memref<16xf32>
  plan.launch_into @add(%x, %w, %y) : memref<16xf32>, memref<16xf32>, memref<16xf32>
  plan.launch_into @exp(%y, %x) : memref<16xf32>, memref<16xf32>
}

// CHECK:      llvm.func @add(!llvm.ptr, !llvm.ptr, !llvm.ptr)
// CHECK-NEXT: llvm.func @exp(!llvm.ptr, !llvm.ptr)
// CHECK-NEXT: llvm.func @run() {
// CHECK:        llvm.call @run_range(%{{.*}}, %{{.*}}) : (i32, i32) -> ()
// CHECK:      llvm.func @run_range(%[[BEGIN:.*]]: i32, %[[END:.*]]: i32) attributes {no_inline} {
// CHECK-DAG:    %[[X:.*]] = llvm.mlir.constant(41280 : i32) : i32
// CHECK-DAG:    %[[W:.*]] = llvm.mlir.constant(41216 : i32) : i32
// CHECK-DAG:    %[[Y:.*]] = llvm.mlir.constant(41344 : i32) : i32
// CHECK:        %[[LENGTH:.*]] = llvm.sub %[[END]], %[[BEGIN]] : i32
// CHECK-NEXT:   %[[FIRST:.*]] = llvm.sub %{{.*}}, %[[BEGIN]] : i32
// CHECK-NEXT:   %[[INSIDE:.*]] = llvm.icmp "ult" %[[FIRST]], %[[LENGTH]] : i32
// CHECK-NEXT:   llvm.cond_br %[[INSIDE]], ^[[CALL:.*]], ^[[AFTER:.*]]
// CHECK-NEXT: ^[[CALL]]:
// CHECK-NEXT:   %[[PX:.*]] = llvm.inttoptr %[[X]] : i32 to !llvm.ptr
// CHECK-NEXT:   %[[PW:.*]] = llvm.inttoptr %[[W]] : i32 to !llvm.ptr
// CHECK-NEXT:   %[[PY:.*]] = llvm.inttoptr %[[Y]] : i32 to !llvm.ptr
// CHECK-NEXT:   llvm.call @add(%[[PX]], %[[PW]], %[[PY]]) : (!llvm.ptr, !llvm.ptr, !llvm.ptr) -> ()
// CHECK-NEXT:   llvm.br ^[[AFTER]]
// CHECK-NEXT: ^[[AFTER]]:
// CHECK:        llvm.call @exp(%{{.*}}, %{{.*}}) : (!llvm.ptr, !llvm.ptr) -> ()
// CHECK:        llvm.return
