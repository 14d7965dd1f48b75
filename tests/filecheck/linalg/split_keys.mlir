// RUN: webdnn-opt %s -p 'hoist-weights,convert-nn-to-linalg,fuse-kernel-regions,fuse-attention{max_keys=8 block=8}' | filecheck %s

// 20 keys: two blocks of 8, one of 4, and what they make together.
// CHECK-LABEL: func.func @main
func.func @main(%q: tensor<2x6x8xf32>, %k: tensor<2x8x20xf32>, %v: tensor<2x20x8xf32>) -> tensor<2x6x8xf32> {
  %a = nn.matmul %q, %k : tensor<2x6x8xf32>, tensor<2x8x20xf32> -> tensor<2x6x20xf32>
  %p = nn.softmax %a axis 2 : i64 log 0 : i64 : tensor<2x6x20xf32> -> tensor<2x6x20xf32>
  %y = nn.matmul %p, %v : tensor<2x6x20xf32>, tensor<2x20x8xf32> -> tensor<2x6x8xf32>
  func.return %y : tensor<2x6x8xf32>
}
// CHECK: %[[M:.*]], %[[L:.*]], %[[O:.*]] = kernel.region {{.*}} -> tensor<2x2x6xf32>, tensor<2x2x6xf32>, tensor<2x2x6x8xf32>
// CHECK: affine_map<(d0, d1, d2, d3, d4) -> (d1, d4, ((d0 * 8) + d3))>
// CHECK-COUNT-1: outs(%{{.*}} : tensor<2x2x6x8xf32>)
// The maximum is finite, so that keys that are all masked weigh nothing.
// CHECK: arith.constant -3.40282347e+38
// CHECK: math.exp
// CHECK: affine_map<(d0, d1, d2, d3, d4) -> (d1, ((d0 * 8) + d4), d3)>
// CHECK: kernel.yield
// CHECK: %[[M2:.*]], %[[L2:.*]], %[[O2:.*]] = kernel.region {{.*}} -> tensor<1x2x6xf32>, tensor<1x2x6xf32>, tensor<1x2x6x8xf32>
// CHECK: affine_map<(d0, d1, d2, d3, d4) -> (d1, d4, (((d0 * 4) + d3) + 16))>
// CHECK: kernel.region ins(%[[M]], %[[L]], %[[O]], %[[M2]], %[[L2]], %[[O2]] :
// CHECK: arith.maximumf
// CHECK: math.exp
// CHECK: arith.divf
