// RUN: webdnn-opt %s -p 'hoist-weights,convert-nn-to-linalg,fuse-kernel-regions,split-reductions{parts=4 least=100 worth=2}' --split-input-file | filecheck %s

// Four parts of 112 elements, the last 2 of 450, and what is made of the sum.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<450xf32>) -> tensor<1xf32> {
  %s = nn.reduce "sum" %x axes [0 : i64] keep 1 : i64 : tensor<450xf32> -> tensor<1xf32>
  %y = nn.sqrt %s : tensor<1xf32> -> tensor<1xf32>
  func.return %y : tensor<1xf32>
}
// CHECK: %[[PARTS:.*]] = kernel.region ins(%x : tensor<450xf32>) -> tensor<1x4xf32> attributes {hint = "part_reduce_sqrt"}
// CHECK: linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (((d1 * 112) + d0))>, affine_map<(d0, d1) -> (d0)>, affine_map<(d0, d1) -> (0, d1)>], iterator_types = ["reduction", "parallel"]}
// CHECK: kernel.region ins(%[[PARTS]], %x : tensor<1x4xf32>, tensor<450xf32>) -> tensor<1xf32> attributes {hint = "join_reduce_sqrt"}
// CHECK: iterator_types = ["parallel", "reduction"]
// CHECK: indexing_maps = [affine_map<(d0) -> ((d0 + 448))>
// CHECK: arith.addf
// CHECK: math.sqrt

// -----

// The greatest element is known before its index is looked for; the index counts from the beginning of the row.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<400xf32>) -> tensor<1xi64> {
  %i = nn.arg_reduce "max" %x axis 0 : i64 last 0 : i64 : tensor<400xf32> -> tensor<1xi64>
  func.return %i : tensor<1xi64>
}
// CHECK: %[[PARTS:.*]] = kernel.region ins(%x : tensor<400xf32>) -> tensor<4xf32>
// CHECK: %[[MOST:.*]] = kernel.region ins({{.*}}) -> tensor<f32>
// CHECK: %[[AT:.*]] = kernel.region ins({{.*}}) -> tensor<4xi32>
// CHECK: %[[D1:.*]] = linalg.index 1 : index
// CHECK: arith.muli %[[D1]], %{{.*}} : index
// CHECK: arith.minsi
// CHECK: kernel.region ins({{.*}}) -> tensor<1xi64>

// -----

// Many rows fill the machine; products are cut by their own schedules; sums of 16 bits would be rounded once more.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<8x400xf32>, %a: tensor<1x400xf32>, %b: tensor<400x1xf32>, %h: tensor<400xf16>) -> (tensor<8xf32>, tensor<1x1xf32>, tensor<f16>) {
  %m = nn.reduce "max" %x axes [1 : i64] keep 0 : i64 : tensor<8x400xf32> -> tensor<8xf32>
  %p = nn.matmul %a, %b : tensor<1x400xf32>, tensor<400x1xf32> -> tensor<1x1xf32>
  %s = nn.reduce "sum" %h axes [0 : i64] keep 0 : i64 : tensor<400xf16> -> tensor<f16>
  func.return %m, %p, %s : tensor<8xf32>, tensor<1x1xf32>, tensor<f16>
}
// CHECK-NOT: hint = "part
