// RUN: webdnn-opt %s -p wgsl-vectorize-memory,wgsl-scalarize-accesses | filecheck %s

// %x and %out are only accessed four aligned elements at a time; %y is not.
kernel.func @k(%x: memref<512xf32>, %y: memref<512xf32>, %out: memref<512xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %c8 = arith.constant 8 : index
  %c4 = arith.constant 4 : index
  %c1 = arith.constant 1 : index
  %row = arith.muli %i, %c8 : index
  %at = arith.addi %row, %c4 : index
  %odd = arith.addi %at, %c1 : index
  %a = vector.load %x[%at] : memref<512xf32>, vector<4xf32>
  %b = vector.load %y[%odd] : memref<512xf32>, vector<4xf32>
  %s = arith.addf %a, %b : vector<4xf32>
  vector.store %s, %out[%row] : memref<512xf32>, vector<4xf32>
  kernel.return
}
// CHECK: kernel.func @k(%x: memref<128xvector<4xf32>>, %y: memref<512xf32>, %out: memref<128xvector<4xf32>>)
// CHECK: %row_div4 = arith.muli %i, %{{.*}} : index
// CHECK: %at_div4 = arith.addi %row_div4, %{{.*}} : index
// CHECK: %a = memref.load %x[%at_div4] : memref<128xvector<4xf32>>
// CHECK: memref.load %y[%odd] : memref<512xf32>
// CHECK: %b = wgsl.compose
// CHECK: memref.store %s, %out[%row_div4] : memref<128xvector<4xf32>>
