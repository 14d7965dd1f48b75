// RUN: webdnn-opt %s -p lower-kernels-to-cpu-loops | filecheck %s

#row = affine_map<(i, j) -> (i)>
#all = affine_map<(i, j) -> (i, j)>

// One loop over the rows: the sum of a row is computed in the lanes of a vector, kept beside the loop, and divides the row.
kernel.func @scale_by_sum(%x: tensor<5x16xf32>) -> tensor<5x16xf32> attributes {schedule = #kernel.schedule<strategy = "tiles", shared_0 = [1], tile = [1, 4], vector = 1, order = [0], tile_0_1 = [1, 8], vector_0_1 = 1, order_0_1 = [0, 1]>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<5xf32>) -> tensor<5xf32>
  %s = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<5x16xf32>) outs(%i : tensor<5xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %t = arith.addf %acc, %a : f32
    linalg.yield %t : f32
  } -> tensor<5xf32>
  %o = tensor.empty() : tensor<5x16xf32>
  %r = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]} ins(%x, %s : tensor<5x16xf32>, tensor<5xf32>) outs(%o : tensor<5x16xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %d = arith.divf %a, %b : f32
    linalg.yield %d : f32
  } -> tensor<5x16xf32>
  kernel.return %r : tensor<5x16xf32>
}

// CHECK-LABEL: kernel.func @scale_by_sum
// CHECK:       "scf.parallel"
// CHECK:         %[[SUM:.*]] = memref.alloca() : memref<1xf32>
// CHECK:         scf.for {{.*}} -> (vector<4xf32>)
// CHECK:           arith.addf %{{.*}} : vector<4xf32>
// CHECK:         vector.reduction <add>
// CHECK:         memref.store %{{.*}}, %[[SUM]]
// CHECK:         memref.load %[[SUM]]
// CHECK-NEXT:    vector.broadcast
// CHECK:         "scf.parallel"
// CHECK-NOT:       memref.load
// CHECK:           arith.divf %{{.*}} : vector<4xf32>
// CHECK:           arith.divf %{{.*}} : vector<4xf32>
