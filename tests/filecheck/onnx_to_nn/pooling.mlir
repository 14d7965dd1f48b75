// RUN: webdnn-opt %s -p convert-onnx-to-nn | filecheck %s

// A maximum is padded with -inf; an average that leaves padding out is multiplied by one over the number of its elements.
func.func @main(%x: tensor<1x2x4xf32>) -> (tensor<1x2x2xf32>, tensor<1x2x2xf32>) {
  %y = onnx.MaxPool(%x) {kernel_shape = array<i64: 3>, strides = array<i64: 2>, pads = array<i64: 1, 0>} : (tensor<1x2x4xf32>) -> tensor<1x2x2xf32>
  %z = onnx.AveragePool(%x) {kernel_shape = array<i64: 3>, strides = array<i64: 2>, pads = array<i64: 1, 0>} : (tensor<1x2x4xf32>) -> tensor<1x2x2xf32>
  func.return %y, %z : tensor<1x2x2xf32>, tensor<1x2x2xf32>
}

// CHECK:         %[[X:.*]] = nn.transpose %x [0 : i64, 2 : i64, 1 : i64] : tensor<1x2x4xf32> -> tensor<1x4x2xf32>
// CHECK-NEXT:    %[[P:.*]] = nn.pad %[[X]] low [0 : i64, 1 : i64, 0 : i64] {{.*}} "constant" 0xfff0000000000000 : f64
// CHECK-NEXT:    %[[M:.*]] = nn.reduce_window "max" %[[P]] window [1 : i64, 3 : i64, 1 : i64] strides [1 : i64, 2 : i64, 1 : i64]
// CHECK:         %[[S:.*]] = nn.reduce_window "sum"
// CHECK-NEXT:    %[[C:.*]] = nn.constant dense<[[5.000000e-01], [0.333333343]]> : tensor<2x1xf32>
// CHECK-NEXT:    nn.mul %[[S]], %[[C]] : tensor<1x2x2xf32>, tensor<2x1xf32> -> tensor<1x2x2xf32>
