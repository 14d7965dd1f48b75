// RUN: webdnn-opt %s -p convert-onnx-to-nn | filecheck %s

// Convolutions are channels-last inside; padding is explicit; a bias is an addition; all shapes become static.
func.func @main(%x: tensor<1x3x8x8xf32>) -> tensor<*xf32> {
  %w = onnx.weight "w" : tensor<4x3x3x3xf32>
  %b = onnx.weight "b" : tensor<4xf32>
  %y = onnx.Conv(%x, %w, %b) {pads = array<i64: 1, 1, 1, 1>, strides = array<i64: 2, 2>} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>) -> tensor<1x4x?x?xf32>
  %z = onnx.Relu(%y) : (tensor<1x4x?x?xf32>) -> tensor<*xf32>
  func.return %z : tensor<*xf32>
}

// CHECK:       func.func @main(%x: tensor<1x3x8x8xf32>) -> tensor<1x4x4x4xf32> {
// CHECK-NEXT:    %w = nn.weight "w" : tensor<4x3x3x3xf32>
// CHECK-NEXT:    %b = nn.weight "b" : tensor<4xf32>
// CHECK-NEXT:    %[[F:.*]] = nn.transpose %w [2 : i64, 3 : i64, 1 : i64, 0 : i64] : tensor<4x3x3x3xf32> -> tensor<3x3x3x4xf32>
// CHECK-NEXT:    %[[X:.*]] = nn.transpose %x [0 : i64, 2 : i64, 3 : i64, 1 : i64] : tensor<1x3x8x8xf32> -> tensor<1x8x8x3xf32>
// CHECK-NEXT:    %[[P:.*]] = nn.pad %[[X]] low [0 : i64, 1 : i64, 1 : i64, 0 : i64] high [0 : i64, 0 : i64, 0 : i64, 0 : i64]
// CHECK-SAME:      tensor<1x8x8x3xf32> -> tensor<1x9x9x3xf32>
// CHECK-NEXT:    %[[C:.*]] = nn.conv %[[P]], %[[F]] strides [2 : i64, 2 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64
// CHECK-NEXT:    %[[A:.*]] = nn.add %[[C]], %b : tensor<1x4x4x4xf32>, tensor<4xf32> -> tensor<1x4x4x4xf32>
// CHECK-NEXT:    %[[Y:.*]] = nn.transpose %[[A]] [0 : i64, 3 : i64, 1 : i64, 2 : i64]
// CHECK-NEXT:    %[[Z:.*]] = nn.relu %[[Y]]
// CHECK-NEXT:    func.return %[[Z]] : tensor<1x4x4x4xf32>
