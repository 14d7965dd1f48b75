// RUN: webdnn-opt %s -p hoist-weights | filecheck %s

// What depends on weights alone moves; a number that an elementwise op reads stays.
func.func @main(%x: tensor<2x3xf32>) -> tensor<2x4xf32> {
  %w = nn.weight "w" : tensor<4x3xf32>
  %t = nn.transpose %w [1 : i64, 0 : i64] : tensor<4x3xf32> -> tensor<3x4xf32>
  %two = nn.constant dense<2.000000e+00> : tensor<f32> : tensor<f32>
  %y = nn.matmul %x, %t : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
  %z = nn.mul %y, %two : tensor<2x4xf32>, tensor<f32> -> tensor<2x4xf32>
  func.return %z : tensor<2x4xf32>
}
// CHECK:      func.func @main
// CHECK-NEXT:   %[[W:.*]] = plan.weight 0 : i64 : tensor<3x4xf32>
// CHECK-NEXT:   %[[TWO:.*]] = nn.constant
// CHECK-NEXT:   %[[Y:.*]] = nn.matmul %{{.*}}, %[[W]]
// CHECK-NEXT:   nn.mul %[[Y]], %[[TWO]]
// CHECK:      func.func private @weights() -> tensor<3x4xf32>
// CHECK-NEXT:   %[[S:.*]] = nn.weight "w"
// CHECK-NEXT:   %[[T:.*]] = nn.transpose %[[S]]
// CHECK-NEXT:   func.return %[[T]]
