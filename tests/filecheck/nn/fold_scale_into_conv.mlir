// RUN: webdnn-opt %s -p fold-scale-into-conv --split-input-file | filecheck %s

// Bias, scale and shift of a batch normalisation become one filter and one bias, both computed from weights.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x8x8x3xf32>) -> tensor<1x6x6x4xf32> {
  %w = nn.weight "w" : tensor<3x3x3x4xf32>
  %b = nn.weight "b" : tensor<4xf32>
  %s = nn.weight "s" : tensor<1x1x1x4xf32>
  %t = nn.weight "t" : tensor<4xf32>
  %0 = nn.conv %x, %w strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x8x8x3xf32>, tensor<3x3x3x4xf32> -> tensor<1x6x6x4xf32>
  %1 = nn.add %0, %b : tensor<1x6x6x4xf32>, tensor<4xf32> -> tensor<1x6x6x4xf32>
  %2 = nn.mul %s, %1 : tensor<1x1x1x4xf32>, tensor<1x6x6x4xf32> -> tensor<1x6x6x4xf32>
  %3 = nn.sub %2, %t : tensor<1x6x6x4xf32>, tensor<4xf32> -> tensor<1x6x6x4xf32>
  %4 = nn.relu %3 : tensor<1x6x6x4xf32> -> tensor<1x6x6x4xf32>
  func.return %4 : tensor<1x6x6x4xf32>
}
// CHECK:      %[[S:.*]] = nn.reshape %s : tensor<1x1x1x4xf32> -> tensor<4xf32>
// CHECK-NEXT: %[[B:.*]] = nn.mul %b, %[[S]]
// CHECK-NEXT: %[[T:.*]] = nn.sub %[[B]], %t
// CHECK-NEXT: %[[W:.*]] = nn.mul %w, %[[S]] : tensor<3x3x3x4xf32>, tensor<4xf32>
// CHECK-NEXT: %[[C:.*]] = nn.conv %x, %[[W]]
// CHECK-NEXT: %[[A:.*]] = nn.add %[[C]], %[[T]]
// CHECK-NEXT: %[[R:.*]] = nn.relu %[[A]]
// CHECK-NEXT: func.return %[[R]]

// -----

// A lone bias, a factor that is not per channel, and a value that is read twice stay as they are.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x3xf32>) -> (tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>) {
  %w = nn.weight "w" : tensor<3x4xf32>
  %b = nn.weight "b" : tensor<4xf32>
  %r = nn.weight "r" : tensor<2x1xf32>
  %0 = nn.matmul %x, %w : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
  %1 = nn.add %0, %b : tensor<2x4xf32>, tensor<4xf32> -> tensor<2x4xf32>
  %2 = nn.matmul %x, %w : tensor<2x3xf32>, tensor<3x4xf32> -> tensor<2x4xf32>
  %3 = nn.mul %2, %r : tensor<2x4xf32>, tensor<2x1xf32> -> tensor<2x4xf32>
  %4 = nn.mul %1, %b : tensor<2x4xf32>, tensor<4xf32> -> tensor<2x4xf32>
  func.return %1, %3, %4 : tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32>
}
// CHECK:      %[[M:.*]] = nn.matmul %x, %w
// CHECK-NEXT: %[[A:.*]] = nn.add %[[M]], %b
// CHECK-NEXT: %[[N:.*]] = nn.matmul %x, %w
// CHECK-NEXT: nn.mul %[[N]], %r
// CHECK-NEXT: nn.mul %[[A]], %b
