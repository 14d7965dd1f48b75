// RUN: webdnn-opt %s -p assign-cpu-schedules,lower-kernels-to-cpu-loops | filecheck %s

// Four rows are loaded, transposed by shuffles and stored as four columns.
kernel.func @transposed(%x: tensor<8x4xf32>) -> tensor<4x8xf32> {
  %e = tensor.empty() : tensor<4x8xf32>
  %y = linalg.generic {
    indexing_maps = [affine_map<(d0, d1) -> (d1, d0)>, affine_map<(d0, d1) -> (d0, d1)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%x : tensor<8x4xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  } -> tensor<4x8xf32>
  kernel.return %y : tensor<4x8xf32>
}
// CHECK: schedule = #kernel.schedule<strategy = "tiles", tile = [4, 8], vector = 1, order = [1, 0]>
// CHECK-COUNT-4: vector.load {{.*}} vector<4xf32>
// CHECK-COUNT-8: vector.shuffle
// CHECK-COUNT-4: vector.store
// CHECK-NOT: memref.load
