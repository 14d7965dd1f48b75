// RUN: webdnn-opt %s -p lower-kernels-to-gpu-loops | filecheck %s

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(m, n) -> (m, n)>
#bias = affine_map<(m, n) -> (n)>

// Blocks of 4 x 8 results: both matrices go through workgroup memory, the bias is added to the register tile.
kernel.func @staged(%x: tensor<8x16xf32>, %w: tensor<16x8xf32>, %bias: tensor<8xf32>) -> tensor<8x8xf32> attributes {schedule = #kernel.schedule<strategy = "contraction", workgroup = [2, 2], tile = [2, 4], k = 8>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x8xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<8x8xf32>) -> tensor<8x8xf32>
  %p = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<8x16xf32>, tensor<16x8xf32>) outs(%i : tensor<8x8xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %t = arith.mulf %a, %b : f32
    %s = arith.addf %t, %acc : f32
    linalg.yield %s : f32
  } -> tensor<8x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #bias, #id], iterator_types = ["parallel", "parallel"]} ins(%p, %bias : tensor<8x8xf32>, tensor<8xf32>) outs(%e : tensor<8x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<8x8xf32>
  kernel.return %r : tensor<8x8xf32>
}

// CHECK-LABEL: kernel.func @staged(
// CHECK-SAME:  grid = [1 : i64, 2 : i64, 1 : i64], workgroup = [2 : i64, 2 : i64, 1 : i64]
// CHECK-DAG:     [[tile_a:%.+]] = memref.alloca() : memref<32xf32, "workgroup">
// CHECK-DAG:     [[tile_b:%.+]] = memref.alloca() : memref<64xf32, "workgroup">
// CHECK:         scf.for {{.*}} -> (vector<4xf32>, vector<4xf32>) {
// CHECK-COUNT-6:   vector.load {{.*}}xf32>, vector<4xf32>
// CHECK:           "gpu.barrier"()
// CHECK-COUNT-6:   vector.store {{.*}}, "workgroup">, vector<4xf32>
// CHECK:           "gpu.barrier"()
// CHECK-NEXT:      scf.for {{.*}} -> (vector<4xf32>, vector<4xf32>) {
// CHECK-COUNT-6:     vector.load {{.*}}, "workgroup">, vector<4xf32>
// CHECK-COUNT-8:     arith.mulf
// CHECK:           }
// CHECK:         }
// CHECK:         vector.load {{%.+}} : memref<8xf32>, vector<4xf32>
// CHECK-COUNT-2: vector.store {{.*}} : memref<64xf32>, vector<4xf32>
// CHECK:         kernel.return

// Without workgroup memory there are neither tiles nor barriers. Five rows do not fill their tiles: stores are guarded.
kernel.func @direct(%x: tensor<5x16xf32>, %w: tensor<16x8xf32>) -> tensor<5x8xf32> attributes {schedule = #kernel.schedule<strategy = "contraction", workgroup = [2, 2], tile = [2, 4], memory = "none">} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5x8xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<5x8xf32>) -> tensor<5x8xf32>
  %p = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<5x16xf32>, tensor<16x8xf32>) outs(%i : tensor<5x8xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %t = arith.mulf %a, %b : f32
    %s = arith.addf %t, %acc : f32
    linalg.yield %s : f32
  } -> tensor<5x8xf32>
  kernel.return %p : tensor<5x8xf32>
}

// CHECK-LABEL: kernel.func @direct(
// CHECK-NOT:     memref.alloca
// CHECK-NOT:     gpu.barrier
// CHECK:         scf.for
// CHECK-COUNT-6:   vector.load
// CHECK:         }
// CHECK:         scf.if
// CHECK-NEXT:      vector.store
// CHECK:         scf.if
// CHECK-NEXT:      vector.store
