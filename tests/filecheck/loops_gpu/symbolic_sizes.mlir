// RUN: webdnn-opt %s -p lower-kernels-to-gpu-loops | filecheck %s

#id = affine_map<(a, b) -> (a, b)>
#row = affine_map<(a, b) -> (a)>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>

// Sizes are operands before all memory. Rows of eight are vectors however many rows there are; what is beyond the last
// one is left out by a comparison with the size.
kernel.func @add(%x: tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>, %y: tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>) -> tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>> attributes {sizes = #nn.sizes<n0[1 to 512 likely 128]>, schedule = #kernel.schedule<strategy = "pointwise">} {
  %e = tensor.empty() : tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %y : tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>, tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>) outs(%e : tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>
  kernel.return %r : tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>
}

// CHECK-LABEL: kernel.func @add(
// CHECK-SAME:  [[n:%[0-9]+]]: index, {{%[0-9]+}}: memref<?xf32>, {{%[0-9]+}}: memref<?xf32>, {{%[0-9]+}}: memref<?xf32>
// CHECK-SAME:  lengths = #nn.sizes<n0[1 to 512 likely 128] * 8, n0[1 to 512 likely 128] * 8, n0[1 to 512 likely 128] * 8>
// CHECK-SAME:  grid = #nn.sizes<(n0[1 to 512 likely 128] + 31) floordiv 32, 1, 1>
// CHECK:         [[end:%.+]] = arith.muli [[n]], {{%.+}} : index
// CHECK-NEXT:    arith.cmpi ult, {{%.+}}, [[end]] : index
// CHECK:         scf.if
// CHECK-COUNT-2:   vector.load {{.*}} : memref<?xf32>, vector<4xf32>
// CHECK:           vector.store {{.*}} : memref<?xf32>, vector<4xf32>

// The invocations of a workgroup share rows whose length is a size: a multiple of four, so that they read vectors.
kernel.func @sums(%x: tensor<?x?xf32, #nn.sizes<n0[1 to 512 likely 128], p[0 to 400000 by 4 likely 64]>>) -> tensor<?xf32, #nn.sizes<n0[1 to 512 likely 128]>> attributes {sizes = #nn.sizes<n0[1 to 512 likely 128], p[0 to 400000 by 4 likely 64]>, schedule = #kernel.schedule<strategy = "rows", threads = 16, rows = 4>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<?xf32, #nn.sizes<n0[1 to 512 likely 128]>>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<?xf32, #nn.sizes<n0[1 to 512 likely 128]>>) -> tensor<?xf32, #nn.sizes<n0[1 to 512 likely 128]>>
  %r = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<?x?xf32, #nn.sizes<n0[1 to 512 likely 128], p[0 to 400000 by 4 likely 64]>>) outs(%i : tensor<?xf32, #nn.sizes<n0[1 to 512 likely 128]>>) {
  ^bb0(%a: f32, %acc: f32):
    %s = arith.addf %a, %acc : f32
    linalg.yield %s : f32
  } -> tensor<?xf32, #nn.sizes<n0[1 to 512 likely 128]>>
  kernel.return %r : tensor<?xf32, #nn.sizes<n0[1 to 512 likely 128]>>
}

// CHECK-LABEL: kernel.func @sums(
// CHECK-SAME:  [[rows:%[0-9]+]]: index, [[length:%[0-9]+]]: index,
// CHECK-SAME:  grid = #nn.sizes<(n0[1 to 512 likely 128] + 3) floordiv 4, 1, 1>
// CHECK:         [[last:%.+]] = arith.addi [[rows]], {{%.+}} : index
// CHECK-NEXT:    arith.minui {{%.+}}, [[last]] : index
// CHECK:         [[vectors:%.+]] = arith.divui [[length]], {{%.+}} : index
// CHECK:         scf.for {{%.+}} = {{%.+}} to [[vectors]] step
// CHECK:           vector.load {{.*}} : memref<?xf32>, vector<4xf32>
// CHECK:         "gpu.barrier"()

// A product of any number of rows: they are clamped where they are read, and left out where they are stored.
kernel.func @product(%x: tensor<?x16xf32, #nn.sizes<n0[1 to 512 likely 128], 16>>, %w: tensor<16x8xf32>) -> tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>> attributes {sizes = #nn.sizes<n0[1 to 512 likely 128]>, schedule = #kernel.schedule<strategy = "contraction", workgroup = [2, 2], tile = [2, 4], k = 8>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>) -> tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>
  %p = linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction"]} ins(%x, %w : tensor<?x16xf32, #nn.sizes<n0[1 to 512 likely 128], 16>>, tensor<16x8xf32>) outs(%i : tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %t = arith.mulf %a, %b : f32
    %s = arith.addf %t, %acc : f32
    linalg.yield %s : f32
  } -> tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>
  kernel.return %p : tensor<?x8xf32, #nn.sizes<n0[1 to 512 likely 128], 8>>
}

// CHECK-LABEL: kernel.func @product(
// CHECK-SAME:  [[m:%[0-9]+]]: index, {{%[0-9]+}}: memref<?xf32>, {{%[0-9]+}}: memref<128xf32>, {{%[0-9]+}}: memref<?xf32>
// CHECK-SAME:  grid = #nn.sizes<1, (n0[1 to 512 likely 128] + 3) floordiv 4, 1>
// CHECK:         [[end:%.+]] = arith.addi [[m]], {{%.+}} : index
// CHECK-NEXT:    arith.minui {{%.+}}, [[end]] : index
// CHECK:         arith.cmpi ult, {{%.+}}, [[m]] : index
// CHECK:         scf.if
// CHECK-NEXT:      vector.store {{.*}} : memref<?xf32>, vector<4xf32>
