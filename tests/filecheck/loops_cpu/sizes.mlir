// RUN: webdnn-opt %s -p lower-kernels-to-cpu-loops | filecheck %s
// RUN: webdnn-opt %s -p lower-kernels-to-cpu-loops,"distribute-parallel-loops{grain=1 shortest=1}" | filecheck %s --check-prefix=SHARED
// RUN: webdnn-opt %s -p lower-kernels-to-cpu-loops,lower-kernels-to-llvm | filecheck %s --check-prefix=LLVM
// RUN: webdnn-opt %s -p lower-kernels-to-cpu-loops,"distribute-parallel-loops{grain=1 shortest=1}",lower-kernels-to-llvm | filecheck %s --check-prefix=FOLDED

#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

// Whole tiles of two rows; then what may be left over: a tile of one row, with the columns of two tiles.
kernel.func @product(%x: tensor<?x16xf32, #nn.sizes<n0[1 to 512], 16>>, %w: tensor<16x32xf32>) -> tensor<?x32xf32, #nn.sizes<n0[1 to 512], 32>> attributes {sizes = #nn.sizes<n0[1 to 512]>, schedule = #kernel.schedule<strategy = "tiles", tile = [2, 16, 1], vector = 1, order = [0, 1]>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<?x32xf32, #nn.sizes<n0[1 to 512], 32>>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<?x32xf32, #nn.sizes<n0[1 to 512], 32>>) -> tensor<?x32xf32, #nn.sizes<n0[1 to 512], 32>>
  %p = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<?x16xf32, #nn.sizes<n0[1 to 512], 16>>, tensor<16x32xf32>) outs(%i : tensor<?x32xf32, #nn.sizes<n0[1 to 512], 32>>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<?x32xf32, #nn.sizes<n0[1 to 512], 32>>
  kernel.return %p : tensor<?x32xf32, #nn.sizes<n0[1 to 512], 32>>
}

// CHECK-LABEL: kernel.func @product(%{{.*}}: index, %{{.*}}: memref<?xf32>, %{{.*}}: memref<512xf32>, %{{.*}}: memref<?xf32>)
// CHECK-SAME:  sizes = #nn.sizes<n0[1 to 512]>
// CHECK:       %[[TWO:.*]] = arith.constant 2 : index
// CHECK:       %[[PAIRS:.*]] = arith.divui %{{.*}}, %[[TWO]] : index
// CHECK:       "scf.parallel"(%{{.*}}, %[[PAIRS]], %{{.*}})
// CHECK:         scf.for {{.*}} -> (vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>) {
// CHECK:       %[[REST:.*]] = arith.subi
// CHECK:       "scf.parallel"(%{{.*}}, %[[REST]], %{{.*}})
// CHECK:         scf.for {{.*}} -> (vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>, vector<4xf32>) {

// SHARED: kernel.func @product({{.*}} work = #nn.sizes<{{.*}}n0[1 to 512]{{.*}}>, grain = 1 : i64

// LLVM: llvm.func @product(%{{.*}}: i32, %{{.*}}: !llvm.ptr {llvm.noalias, llvm.nocapture}, %{{.*}}: !llvm.ptr

// A sum over a symbol: whole vectors, then one element after the other.
kernel.func @sum(%x: tensor<3x?xf32, #nn.sizes<3, n0[0 to 100]>>) -> tensor<3xf32> attributes {sizes = #nn.sizes<n0[0 to 100]>, schedule = #kernel.schedule<strategy = "tiles", tile = [1, 4], vector = 1, order = [0]>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<3xf32>) -> tensor<3xf32>
  %p = linalg.generic {indexing_maps = [affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (m)>], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<3x?xf32, #nn.sizes<3, n0[0 to 100]>>) outs(%i : tensor<3xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %acc, %a : f32
    linalg.yield %s : f32
  } -> tensor<3xf32>
  kernel.return %p : tensor<3xf32>
}

// CHECK-LABEL: kernel.func @sum(%{{.*}}: index, %{{.*}}: memref<?xf32>, %{{.*}}: memref<3xf32>)
// CHECK:       "scf.parallel"
// CHECK:         scf.for {{.*}} -> (vector<4xf32>) {
// CHECK:         scf.for {{.*}} -> (f32) {
// CHECK:         vector.reduction

// A batch whose work is an expression: threads begin in the midst of it, and still constant offsets stay in addresses.
kernel.func @batch(%x: tensor<36x?x16xf32, #nn.sizes<36, n0[1 to 512], 16>>, %w: tensor<36x16x16xf32>) -> tensor<36x?x16xf32, #nn.sizes<36, n0[1 to 512], 16>> attributes {sizes = #nn.sizes<n0[1 to 512]>, schedule = #kernel.schedule<strategy = "tiles", tile = [1, 6, 8, 2], vector = 2, order = [0, 1, 2]>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<36x?x16xf32, #nn.sizes<36, n0[1 to 512], 16>>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<36x?x16xf32, #nn.sizes<36, n0[1 to 512], 16>>) -> tensor<36x?x16xf32, #nn.sizes<36, n0[1 to 512], 16>>
  %p = linalg.generic {indexing_maps = [affine_map<(b, m, n, k) -> (b, m, k)>, affine_map<(b, m, n, k) -> (b, k, n)>, affine_map<(b, m, n, k) -> (b, m, n)>], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%x, %w : tensor<36x?x16xf32, #nn.sizes<36, n0[1 to 512], 16>>, tensor<36x16x16xf32>) outs(%i : tensor<36x?x16xf32, #nn.sizes<36, n0[1 to 512], 16>>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<36x?x16xf32, #nn.sizes<36, n0[1 to 512], 16>>
  kernel.return %p : tensor<36x?x16xf32, #nn.sizes<36, n0[1 to 512], 16>>
}

// FOLDED-LABEL: llvm.func @batch(
// FOLDED:       llvm.getelementptr inbounds %{{.*}}[4] : (!llvm.ptr) -> !llvm.ptr, f32
// FOLDED:       llvm.getelementptr inbounds %{{.*}}[16] : (!llvm.ptr) -> !llvm.ptr, f32
// FOLDED:       llvm.getelementptr inbounds %{{.*}}[32] : (!llvm.ptr) -> !llvm.ptr, f32
// FOLDED:       llvm.getelementptr inbounds %{{.*}}[80] : (!llvm.ptr) -> !llvm.ptr, f32
