// RUN: webdnn-opt %s -p convert-nn-to-linalg --split-input-file | filecheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>) -> tensor<2x4xf32> {
  %y = nn.matmul %x, %w : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
  func.return %y : tensor<2x4xf32>
}
// CHECK: kernel.region ins({{.*}}) -> tensor<2x4xf32> attributes {hint = "matmul"}
// CHECK: %[[INIT:.*]] = linalg.fill
// CHECK: linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d2, d1)>, affine_map<(d0, d1, d2) -> (d0, d1)>], iterator_types = ["parallel", "parallel", "reduction"]}
// CHECK: %[[P:.*]] = arith.mulf
// CHECK-NEXT: arith.addf %[[P]]
// CHECK: kernel.yield

// -----

// Unsigned integers become signless, and the operation says how they are read.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4xui8>, %y: tensor<4xui8>) -> tensor<4xui8> {
  %z = nn.div %x, %y : tensor<4xui8>, tensor<4xui8> -> tensor<4xui8>
  func.return %z : tensor<4xui8>
}
// CHECK-SAME: (%{{.*}}: tensor<4xi8>, %{{.*}}: tensor<4xi8>) -> tensor<4xi8>
// CHECK: arith.divui

// -----

// Groups become a dimension by views that cost nothing.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x5x5x8xf32>, %f: tensor<3x3x4x6xf32>) -> tensor<1x3x3x6xf32> {
  %y = nn.conv %x, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 2 : i64 : tensor<1x5x5x8xf32>, tensor<3x3x4x6xf32> -> tensor<1x3x3x6xf32>
  func.return %y : tensor<1x3x3x6xf32>
}
// CHECK-DAG: plan.view %{{.*}} : tensor<1x5x5x8xf32> to tensor<1x5x5x2x4xf32>
// CHECK-DAG: plan.view %{{.*}} : tensor<3x3x4x6xf32> to tensor<3x3x4x2x3xf32>
// CHECK: kernel.region {{.*}} -> tensor<1x3x3x2x3xf32>
// CHECK: plan.view %{{.*}} : tensor<1x3x3x2x3xf32> to tensor<1x3x3x6xf32>

// -----

// A model that gives back its input copies it: every output has memory of its own.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  func.return %x : tensor<4xf32>
}
// CHECK: %[[C:.*]] = kernel.region {{.*}} attributes {hint = "copy"}
// CHECK: func.return %[[C]]
