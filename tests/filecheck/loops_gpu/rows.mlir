// RUN: webdnn-opt %s -p lower-kernels-to-gpu-loops | filecheck %s

#row = affine_map<(i, j) -> (i)>
#all = affine_map<(i, j) -> (i, j)>

// Two invocations share a row: each sums a half, the halves meet in workgroup memory, and then both scale the row.
kernel.func @scale_by_sum(%x: tensor<5x16xf32>) -> tensor<5x16xf32> attributes {schedule = #kernel.schedule<strategy = "rows", threads = 2, rows = 1, along = "reduced", vector = 4>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<5xf32>) -> tensor<5xf32>
  %s = linalg.generic {indexing_maps = [#all, #row], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<5x16xf32>) outs(%i : tensor<5xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %t = arith.addf %a, %acc : f32
    linalg.yield %t : f32
  } -> tensor<5xf32>
  %o = tensor.empty() : tensor<5x16xf32>
  %r = linalg.generic {indexing_maps = [#all, #row, #all], iterator_types = ["parallel", "parallel"]} ins(%x, %s : tensor<5x16xf32>, tensor<5xf32>) outs(%o : tensor<5x16xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %t = arith.divf %a, %b : f32
    linalg.yield %t : f32
  } -> tensor<5x16xf32>
  kernel.return %r : tensor<5x16xf32>
}

// CHECK-LABEL: kernel.func @scale_by_sum(
// CHECK-SAME:  grid = [5 : i64, 1 : i64, 1 : i64], workgroup = [2 : i64, 1 : i64, 1 : i64]
// CHECK:         scf.for {{.*}} -> (vector<4xf32>) {
// CHECK:           vector.load {{%.+}} : memref<80xf32>, vector<4xf32>
// CHECK-NEXT:      arith.addf {{%.+}} : vector<4xf32>
// CHECK:         }
// CHECK:         [[memory:%.+]] = memref.alloca() : memref<2xf32, "workgroup">
// CHECK-NEXT:    memref.store {{%.+}}, [[memory]]
// CHECK-NEXT:    "gpu.barrier"()
// CHECK:         scf.if
// CHECK-NEXT:      memref.load [[memory]]
// CHECK-NEXT:      memref.load [[memory]]
// CHECK-NEXT:      arith.addf
// CHECK-NEXT:      memref.store {{%.+}}, [[memory]]
// CHECK-NEXT:    }
// CHECK-NEXT:    "gpu.barrier"()
// CHECK-NEXT:    [[sum:%.+]] = memref.load [[memory]]
// CHECK:         [[sums:%.+]] = vector.broadcast [[sum]] : f32 to vector<4xf32>
// CHECK:         scf.for
// CHECK:           arith.divf {{%.+}}, [[sums]] : vector<4xf32>
// CHECK-NEXT:      vector.store
