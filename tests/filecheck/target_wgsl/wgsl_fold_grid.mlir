// RUN: webdnn-opt %s -p wgsl-fold-grid{most=100} | filecheck %s

kernel.func @k(%out: memref<300xf32>) attributes {num_outputs = 1 : i64, grid = [150 : i64, 2 : i64, 1 : i64], workgroup = [1 : i64, 1 : i64, 1 : i64]} {
  %x = "gpu.block_id"() {dimension = #gpu<dim x>} : () -> index
  %y = "gpu.block_id"() {dimension = #gpu<dim y>} : () -> index
  %c150 = arith.constant 150 : index
  %v = arith.constant 1.0 : f32
  %0 = arith.muli %y, %c150 : index
  %i = arith.addi %0, %x : index
  memref.store %v, %out[%i] : memref<300xf32>
  kernel.return
}
// CHECK:      grid = [100 : i64, 3 : i64, 1 : i64]
// CHECK:      %workgroup = arith.addi
// CHECK:      %{{.*}} = arith.remsi %workgroup
// CHECK:      %{{.*}} = arith.divsi %workgroup
// CHECK-NOT:  scf.if
