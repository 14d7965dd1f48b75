// RUN: webdnn-opt %s -p wgsl-erase-unused | filecheck %s

kernel.func @k(%x: memref<64xf32>, %out: memref<64xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %j = "gpu.thread_id"() {dimension = #gpu<dim y>} : () -> index
  %unused = memref.load %x[%j] : memref<64xf32>
  %also = arith.negf %unused : f32
  %v = memref.load %x[%i] : memref<64xf32>
  memref.store %v, %out[%i] : memref<64xf32>
  kernel.return
}
// CHECK:      kernel.func
// CHECK-NEXT: %i = "gpu.thread_id"
// CHECK-NEXT: %v = memref.load %x[%i]
// CHECK-NEXT: memref.store %v
