// RUN: webdnn-opt %s -p assign-gpu-schedules,lower-kernels-to-gpu-loops | filecheck %s

#id = affine_map<(a, b, c) -> (a, b, c)>

// Every access walks all three loops as one, four elements at a time.
kernel.func @add(%x: tensor<2x3x8xf32>, %y: tensor<2x3x8xf32>) -> tensor<2x3x8xf32> {
  %e = tensor.empty() : tensor<2x3x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel", "parallel"]} ins(%x, %y : tensor<2x3x8xf32>, tensor<2x3x8xf32>) outs(%e : tensor<2x3x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<2x3x8xf32>
  kernel.return %r : tensor<2x3x8xf32>
}

// A schedule that is there stays, and is obeyed.
kernel.func @scalar(%x: tensor<6xf32>, %y: tensor<6xf32>) -> tensor<6xf32> attributes {schedule = #kernel.schedule<strategy = "pointwise", workgroup = 2>} {
  %e = tensor.empty() : tensor<6xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(a) -> (a)>, affine_map<(a) -> (a)>, affine_map<(a) -> (a)>], iterator_types = ["parallel"]} ins(%x, %y : tensor<6xf32>, tensor<6xf32>) outs(%e : tensor<6xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %s = arith.mulf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<6xf32>
  kernel.return %r : tensor<6xf32>
}

// CHECK-LABEL: kernel.func @add(
// CHECK-SAME:  schedule = #kernel.schedule<strategy = "pointwise", workgroup = 64, vector = 4, tile = 1>
// CHECK-SAME:  grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]
// CHECK-NEXT:    [[thread:%.+]] = "gpu.thread_id"() <{dimension = #gpu<dim<x>>}> : () -> index
// CHECK-NEXT:    [[count:%.+]] = arith.constant 12 : index
// CHECK-NEXT:    [[inside:%.+]] = arith.cmpi ult, [[thread]], [[count]] : index
// CHECK-NEXT:    [[width:%.+]] = arith.constant 4 : index
// CHECK-NEXT:    [[at:%.+]] = arith.muli [[thread]], [[width]] : index
// CHECK-NEXT:    scf.if [[inside]] {
// CHECK-NEXT:      {{%.+}} = vector.load {{%.+}}[[[at]]] : memref<48xf32>, vector<4xf32>
// CHECK-NEXT:      {{%.+}} = vector.load {{%.+}}[[[at]]] : memref<48xf32>, vector<4xf32>
// CHECK-NEXT:      {{%.+}} = arith.addf {{%.+}}, {{%.+}} : vector<4xf32>
// CHECK-NEXT:      vector.store {{%.+}}, {{%.+}}[[[at]]] : memref<48xf32>, vector<4xf32>
// CHECK-NEXT:    }
// CHECK-NEXT:    kernel.return

// CHECK-LABEL: kernel.func @scalar(
// CHECK-SAME:  grid = [3 : i64, 1 : i64, 1 : i64], workgroup = [2 : i64, 1 : i64, 1 : i64]
// CHECK-NOT:     scf.if
// CHECK:         memref.store {{%.+}}, {{%.+}} : memref<6xf32>
