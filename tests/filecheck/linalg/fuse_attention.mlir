// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,fuse-kernel-regions,fuse-attention,absorb-transposes --split-input-file | filecheck %s

// CHECK-LABEL: func.func @main
func.func @main(%q: tensor<6x2x8xf32>, %k: tensor<2x8x6xf32>, %v: tensor<6x2x8xf32>, %m: tensor<6xf32>) -> tensor<6x2x8xf32> {
  %q0 = nn.transpose %q [1 : i64, 0 : i64, 2 : i64] : tensor<6x2x8xf32> -> tensor<2x6x8xf32>
  %v0 = nn.transpose %v [1 : i64, 0 : i64, 2 : i64] : tensor<6x2x8xf32> -> tensor<2x6x8xf32>
  %a = nn.matmul %q0, %k : tensor<2x6x8xf32>, tensor<2x8x6xf32> -> tensor<2x6x6xf32>
  %b = nn.add %a, %m : tensor<2x6x6xf32>, tensor<6xf32> -> tensor<2x6x6xf32>
  %p = nn.softmax %b axis 2 : i64 log 0 : i64 : tensor<2x6x6xf32> -> tensor<2x6x6xf32>
  %c = nn.matmul %p, %v0 : tensor<2x6x6xf32>, tensor<2x6x8xf32> -> tensor<2x6x8xf32>
  %y = nn.transpose %c [1 : i64, 0 : i64, 2 : i64] : tensor<2x6x8xf32> -> tensor<6x2x8xf32>
  func.return %y : tensor<6x2x8xf32>
}
// One region: scores, their maximum, exponentials, sum, and the product with the values, which the sum divides.
// CHECK-COUNT-1: kernel.region
// CHECK: arith.mulf
// CHECK: arith.maximumf
// CHECK: %[[E:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<2x6x6xf32>)
// CHECK: math.exp
// CHECK: %[[S:.*]] = linalg.generic {{.*}} ins(%[[E]] :
// CHECK: %[[C:.*]] = linalg.generic {{.*}} ins(%[[E]], %{{.*}} :
// CHECK: linalg.generic {{.*}}affine_map<(d0, d1, d2) -> (d1, d0, d2)>{{.*}} ins(%[[C]], %[[S]] :
// CHECK: arith.divf
// CHECK-NOT: kernel.region

// -----

// Weights of attention that are a result too stay.
// CHECK-LABEL: func.func @main
func.func @main(%q: tensor<6x8xf32>, %k: tensor<8x6xf32>, %v: tensor<6x8xf32>) -> (tensor<6x8xf32>, tensor<6x6xf32>) {
  %a = nn.matmul %q, %k : tensor<6x8xf32>, tensor<8x6xf32> -> tensor<6x6xf32>
  %p = nn.softmax %a axis 1 : i64 log 0 : i64 : tensor<6x6xf32> -> tensor<6x6xf32>
  %c = nn.matmul %p, %v : tensor<6x6xf32>, tensor<6x8xf32> -> tensor<6x8xf32>
  func.return %c, %p : tensor<6x8xf32>, tensor<6x6xf32>
}
// CHECK: kernel.region {{.*hint}} = "matmul"
// CHECK: kernel.region {{.*hint}} = "softmax"
// CHECK: kernel.region {{.*hint}} = "matmul"
