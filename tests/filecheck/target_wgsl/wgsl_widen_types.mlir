// RUN: webdnn-opt %s -p wgsl-widen-types | filecheck %s

// Only the low bits of a sum count, so it is not wrapped until its sign matters.
kernel.func @bytes(%x: memref<64xi8>, %out: memref<64xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %v = memref.load %x[%i] : memref<64xi8>
  %s = arith.addi %v, %v : i8
  %f = arith.sitofp %s : i8 to f32
  memref.store %f, %out[%i] : memref<64xf32>
  kernel.return
}
// CHECK-LABEL: kernel.func @bytes(%x: memref<64xi32>
// CHECK:      %v = memref.load %x[%i] : memref<64xi32>
// CHECK-NEXT: %s = arith.addi %v, %v : i32
// CHECK-NEXT: %{{.*}} = arith.constant 24 : i32
// CHECK-NEXT: %{{.*}} = arith.shli %s
// CHECK-NEXT: %{{.*}} = arith.shrsi
// CHECK-NEXT: %f = arith.sitofp %{{.*}} : i32 to f32

// A truth value is a word in memory.
kernel.func @truth(%x: memref<64xi1>, %out: memref<64xi1>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %true = arith.constant true
  %v = memref.load %x[%i] : memref<64xi1>
  %n = arith.xori %v, %true : i1
  memref.store %n, %out[%i] : memref<64xi1>
  kernel.return
}
// CHECK-LABEL: kernel.func @truth(%x: memref<64xi32>
// CHECK:      %[[WORD:.*]] = memref.load %x[%i] : memref<64xi32>
// CHECK:      %v = arith.cmpi ne, %[[WORD]], %{{.*}} : i32
// CHECK-NEXT: %n = arith.xori %v, %true : i1
// CHECK-NEXT: %[[OUT:.*]] = arith.extui %n : i1 to i32
// CHECK-NEXT: memref.store %[[OUT]], %out[%i] : memref<64xi32>

// A product of halves is rounded, their maximum is not.
kernel.func @halves(%x: memref<64xf16>, %out: memref<64xf16>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %v = memref.load %x[%i] : memref<64xf16>
  %p = arith.mulf %v, %v : f16
  %m = arith.maximumf %p, %v : f16
  memref.store %m, %out[%i] : memref<64xf16>
  kernel.return
}
// CHECK-LABEL: kernel.func @halves(%x: memref<64xf32>
// CHECK:      %[[P:.*]] = arith.mulf %v, %v : f32
// CHECK-NEXT: %p = func.call @round_to_f16(%[[P]]) : (f32) -> f32
// CHECK-NEXT: %m = arith.maximumf %p, %v : f32
