// RUN: webdnn-opt %s -p wgsl-bind-operands | filecheck %s

// Operands that are stored to are bound for writing, all others (used or not) for reading.
kernel.func @k(%x: memref<64xf32>, %unused: memref<64xf32>, %out: memref<64xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %v = memref.load %x[%i] : memref<64xf32>
  memref.store %v, %out[%i] : memref<64xf32>
  kernel.return
}
// CHECK: wgsl.bindings = [#wgsl<access read>, #wgsl<access read>, #wgsl<access read_write>]
