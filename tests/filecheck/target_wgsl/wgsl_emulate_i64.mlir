// RUN: webdnn-opt %s -p wgsl-emulate-i64 | filecheck %s

// A 64-bit integer is two words, the low one first; the carry of a sum is found by comparing.
kernel.func @k(%x: memref<64xi64>, %out: memref<64xi64>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %v = memref.load %x[%i] : memref<64xi64>
  %s = arith.addi %v, %v : i64
  memref.store %s, %out[%i] : memref<64xi64>
  kernel.return
}
// CHECK:      kernel.func @k(%x: memref<128xi32>, %out: memref<128xi32>)
// CHECK:      %v = memref.load %x[%{{.*}}] : memref<128xi32>
// CHECK-NEXT: %v_1 = memref.load %x[%{{.*}}] : memref<128xi32>
// CHECK-NEXT: %s = arith.addi %v, %v : i32
// CHECK-NEXT: %[[CARRY:.*]] = arith.cmpi ult, %s, %v : i32
// CHECK-NEXT: %[[ONE:.*]] = arith.extui %[[CARRY]] : i1 to i32
// CHECK-NEXT: %[[HIGH:.*]] = arith.addi %v_1, %v_1 : i32
// CHECK-NEXT: %s_1 = arith.addi %[[HIGH]], %[[ONE]] : i32
// CHECK:      memref.store %s, %out
// CHECK:      memref.store %s_1, %out
