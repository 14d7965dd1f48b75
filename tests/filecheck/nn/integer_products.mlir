// RUN: webdnn-opt %s -p integer-products --split-input-file | filecheck %s

// A padded convolution of dequantised floats, with a scale for each filter.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x4x4x8xi8>) -> tensor<1x6x6x4xf32> {
  %s = nn.constant dense<5.000000e-01> : tensor<f32> : tensor<f32>
  %q = nn.weight "w" : tensor<1x1x8x4xi8>
  %t = nn.weight "t" : tensor<1x1x1x4xf32>
  %0 = nn.cast %x : tensor<1x4x4x8xi8> -> tensor<1x4x4x8xf32>
  %1 = nn.mul %0, %s : tensor<1x4x4x8xf32>, tensor<f32> -> tensor<1x4x4x8xf32>
  %2 = nn.pad %1 low [0 : i64, 1 : i64, 1 : i64, 0 : i64] high [0 : i64, 1 : i64, 1 : i64, 0 : i64] interior [0 : i64, 0 : i64, 0 : i64, 0 : i64] "constant" 0.0 : f64 : tensor<1x4x4x8xf32> -> tensor<1x6x6x8xf32>
  %3 = nn.cast %q : tensor<1x1x8x4xi8> -> tensor<1x1x8x4xf32>
  %4 = nn.mul %3, %t : tensor<1x1x8x4xf32>, tensor<1x1x1x4xf32> -> tensor<1x1x8x4xf32>
  %5 = nn.conv %2, %4 strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x6x6x8xf32>, tensor<1x1x8x4xf32> -> tensor<1x6x6x4xf32>
  func.return %5 : tensor<1x6x6x4xf32>
}
// CHECK:      %[[X:.*]] = nn.pad %x
// CHECK-SAME: tensor<1x6x6x8xi8>
// CHECK:      %[[XI:.*]] = nn.cast %[[X]] : tensor<1x6x6x8xi8> -> tensor<1x6x6x8xi32>
// CHECK-NEXT: %[[WI:.*]] = nn.cast %q : tensor<1x1x8x4xi8> -> tensor<1x1x8x4xi32>
// CHECK-NEXT: %[[C:.*]] = nn.conv %[[XI]], %[[WI]]
// CHECK-NEXT: %[[T:.*]] = nn.reshape %t
// CHECK-NEXT: %[[S:.*]] = nn.mul %s, %[[T]] : tensor<f32>, tensor<4xf32>
// CHECK-NEXT: %[[F:.*]] = nn.cast %[[C]]
// CHECK-NEXT: %[[Y:.*]] = nn.mul %[[F]], %[[S]]
// CHECK-NEXT: func.return %[[Y]]

// -----

// The maximum over a window is one of integers, and dequantisation and quantisation with one scale cancel.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4x4xui8>) -> tensor<2x2xui8> {
  %s = nn.constant dense<5.000000e-01> : tensor<f32> : tensor<f32>
  %0 = nn.cast %x : tensor<4x4xui8> -> tensor<4x4xf32>
  %1 = nn.mul %0, %s : tensor<4x4xf32>, tensor<f32> -> tensor<4x4xf32>
  %2 = nn.reduce_window "max" %1 window [2 : i64, 2 : i64] strides [2 : i64, 2 : i64] dilations [1 : i64, 1 : i64] : tensor<4x4xf32> -> tensor<2x2xf32>
  %3 = nn.div %2, %s : tensor<2x2xf32>, tensor<f32> -> tensor<2x2xf32>
  %4 = nn.round %3 : tensor<2x2xf32> -> tensor<2x2xf32>
  %5 = nn.cast %4 : tensor<2x2xf32> -> tensor<2x2xui8>
  func.return %5 : tensor<2x2xui8>
}
// CHECK:      %[[M:.*]] = nn.reduce_window "max" %x
// CHECK-NEXT: %[[F:.*]] = nn.cast %[[M]] : tensor<2x2xui8> -> tensor<2x2xf32>
// CHECK-NEXT: %[[Q:.*]] = nn.cast %[[F]] : tensor<2x2xf32> -> tensor<2x2xui8>
// CHECK-NEXT: func.return %[[Q]]

// -----

// A filter that is not known, and one with a scale for each input channel, stay floats.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x8xi8>, %y: tensor<8x4xi8>) -> (tensor<2x4xf32>, tensor<2x4xf32>) {
  %s = nn.constant dense<5.000000e-01> : tensor<f32> : tensor<f32>
  %q = nn.weight "w" : tensor<8x4xi8>
  %t = nn.weight "t" : tensor<8x1xf32>
  %0 = nn.cast %x : tensor<2x8xi8> -> tensor<2x8xf32>
  %1 = nn.mul %0, %s : tensor<2x8xf32>, tensor<f32> -> tensor<2x8xf32>
  %2 = nn.cast %y : tensor<8x4xi8> -> tensor<8x4xf32>
  %3 = nn.mul %2, %s : tensor<8x4xf32>, tensor<f32> -> tensor<8x4xf32>
  %4 = nn.cast %q : tensor<8x4xi8> -> tensor<8x4xf32>
  %5 = nn.mul %4, %t : tensor<8x4xf32>, tensor<8x1xf32> -> tensor<8x4xf32>
  %6 = nn.matmul %1, %3 : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
  %7 = nn.matmul %1, %5 : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
  func.return %6, %7 : tensor<2x4xf32>, tensor<2x4xf32>
}
// CHECK: nn.matmul %{{.*}}, %{{.*}} : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
// CHECK: nn.matmul %{{.*}}, %{{.*}} : tensor<2x8xf32>, tensor<8x4xf32> -> tensor<2x4xf32>
