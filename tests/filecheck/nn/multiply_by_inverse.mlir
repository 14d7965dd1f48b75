// RUN: webdnn-opt %s -p multiply-by-inverse --split-input-file | filecheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<3xf32>) -> tensor<3xf32> {
  %c = nn.constant dense<4.0> : tensor<f32> : tensor<f32>
  %d = nn.div %x, %c : tensor<3xf32>, tensor<f32> -> tensor<3xf32>
  %e = nn.erf %d : tensor<3xf32> -> tensor<3xf32>
  %s = nn.softmax %e axis 0 : i64 log 0 : i64 : tensor<3xf32> -> tensor<3xf32>
  func.return %s : tensor<3xf32>
}
// CHECK: %[[C:.*]] = nn.constant dense<2.500000e-01>
// CHECK-NEXT: %[[D:.*]] = nn.mul %x, %[[C]]
// CHECK-NEXT: nn.erf %[[D]]

// -----

// A quotient that is rounded, and one that is a result, stay.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<3xf32>) -> (tensor<3xf32>, tensor<3xf32>) {
  %c = nn.constant dense<3.0> : tensor<f32> : tensor<f32>
  %d = nn.div %x, %c : tensor<3xf32>, tensor<f32> -> tensor<3xf32>
  %n = nn.neg %d : tensor<3xf32> -> tensor<3xf32>
  %r = nn.round %n : tensor<3xf32> -> tensor<3xf32>
  %e = nn.div %x, %c : tensor<3xf32>, tensor<f32> -> tensor<3xf32>
  func.return %r, %e : tensor<3xf32>, tensor<3xf32>
}
// CHECK: nn.div
// CHECK: nn.div
// CHECK-NOT: nn.mul
