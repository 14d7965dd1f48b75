// RUN: webdnn-opt %s -p wgsl-narrow-i64 | filecheck %s

// 64 * 3 fits 32 bits.
kernel.func @k(%out: memref<64xi32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %wide = arith.index_cast %i : index to i64
  %three = arith.constant 3 : i64
  %p = arith.muli %wide, %three : i64
  %n = arith.trunci %p : i64 to i32
  memref.store %n, %out[%i] : memref<64xi32>
  kernel.return
}
// CHECK:      %wide = arith.index_cast %i : index to i32
// CHECK-NEXT: %three = arith.constant 3 : i32
// CHECK-NEXT: %p = arith.muli %wide, %three : i32
// CHECK-NEXT: memref.store %p, %out[%i] : memref<64xi32>
