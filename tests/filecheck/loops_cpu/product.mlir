// RUN: webdnn-opt %s -p lower-kernels-to-cpu-loops | filecheck %s

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#bias = affine_map<(m, n) -> (n)>

// A register tile of 2 x 8: two splats meet two vectors, and bias and relu are done before the tile is stored.
kernel.func @product(%x: tensor<4x16xf32>, %w: tensor<16x8xf32>, %bias: tensor<8xf32>) -> tensor<4x8xf32> attributes {schedule = #kernel.schedule<strategy = "tiles", tile = [2, 8, 1], vector = 1, order = [0, 1]>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x8xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<4x8xf32>) -> tensor<4x8xf32>
  %p = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<4x16xf32>, tensor<16x8xf32>) outs(%i : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<4x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #bias, #id], iterator_types = ["parallel", "parallel"]} ins(%p, %bias : tensor<4x8xf32>, tensor<8xf32>) outs(%e : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %z = arith.constant 0.0 : f32
    %s = arith.addf %a, %b : f32
    %m = arith.maximumf %s, %z : f32
    linalg.yield %m : f32
  } -> tensor<4x8xf32>
  kernel.return %r : tensor<4x8xf32>
}

// CHECK-LABEL: kernel.func @product(%{{.*}}: memref<64xf32>, %{{.*}}: memref<128xf32>, %{{.*}}: memref<8xf32>, %{{.*}}: memref<32xf32>)
// CHECK:       vector.load %{{.*}} : memref<8xf32>, vector<4xf32>
// CHECK:       "scf.parallel"
// CHECK:         scf.for {{.*}} -> (vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>)
// CHECK:           memref.load
// CHECK-NEXT:      vector.broadcast
// CHECK:           vector.load
// CHECK-NEXT:      vector.fma
// CHECK:           vector.load
// CHECK-NEXT:      vector.fma
// CHECK:           memref.load
// CHECK-NEXT:      vector.broadcast
// CHECK-NEXT:      vector.fma
// CHECK-NEXT:      vector.fma
// CHECK-NEXT:      scf.yield
// CHECK:         arith.addf %{{.*}} : vector<4xf32>
// CHECK-NEXT:    arith.maximumf %{{.*}} : vector<4xf32>
// CHECK:         vector.store
// CHECK:         vector.store
// CHECK:         vector.store
// CHECK:         vector.store
// CHECK-NOT:     vector.store
// CHECK:       kernel.return
