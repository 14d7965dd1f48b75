// RUN: webdnn-opt %s -p decompose-transposed-conv --split-input-file | filecheck %s

// Stride 2, 4 taps: each result sees two taps, and the four kinds of results become four times the channels.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x5x6x8xf32>, %f: tensor<4x4x8x3xf32>) -> tensor<1x10x12x3xf32> {
  %p = nn.pad %x low [0 : i64, 2 : i64, 2 : i64, 0 : i64] high [0 : i64, 2 : i64, 2 : i64, 0 : i64] interior [0 : i64, 1 : i64, 1 : i64, 0 : i64] "constant" 0.0 : f64 : tensor<1x5x6x8xf32> -> tensor<1x13x15x8xf32>
  %c = nn.conv %p, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x13x15x8xf32>, tensor<4x4x8x3xf32> -> tensor<1x10x12x3xf32>
  func.return %c : tensor<1x10x12x3xf32>
}
// CHECK: nn.pad %x low [0 : i64, 1 : i64, 1 : i64, 0 : i64] {{.*}} -> tensor<1x7x8x8xf32>
// CHECK: nn.slice %f starts [1 : i64, 1 : i64, 0 : i64, 0 : i64] steps [2 : i64, 2 : i64, 1 : i64, 1 : i64] {{.*}} -> tensor<2x2x8x3xf32>
// CHECK: nn.slice %f starts [1 : i64, 0 : i64, 0 : i64, 0 : i64]
// CHECK: nn.slice %f starts [0 : i64, 1 : i64, 0 : i64, 0 : i64]
// CHECK: nn.slice %f starts [0 : i64, 0 : i64, 0 : i64, 0 : i64]
// CHECK: nn.concat
// CHECK: nn.conv {{.*}} -> tensor<1x6x7x12xf32>
// CHECK: nn.reshape {{.*}} -> tensor<1x6x7x2x2x3xf32>
// CHECK: nn.transpose {{.*}} [0 : i64, 1 : i64, 3 : i64, 2 : i64, 4 : i64, 5 : i64]
// CHECK: nn.slice {{.*}} starts [0 : i64, 1 : i64, 1 : i64, 0 : i64] {{.*}} -> tensor<1x10x12x3xf32>
// CHECK-NOT: interior [0 : i64, 1 : i64

// -----

// Groups and dilations stay, and so does a pad with something else than zeros.
// CHECK-LABEL: func.func @main
// CHECK-NOT: nn.slice
func.func @main(%x: tensor<1x5x4xf32>, %f: tensor<3x2x4xf32>, %g: tensor<3x4x2xf32>) -> (tensor<1x7x4xf32>, tensor<1x7x2xf32>) {
  %p = nn.pad %x low [0 : i64, 0 : i64, 0 : i64] high [0 : i64, 0 : i64, 0 : i64] interior [0 : i64, 1 : i64, 0 : i64] "constant" 0.0 : f64 : tensor<1x5x4xf32> -> tensor<1x9x4xf32>
  %a = nn.conv %p, %f strides [1 : i64] dilations [1 : i64] groups 2 : i64 : tensor<1x9x4xf32>, tensor<3x2x4xf32> -> tensor<1x7x4xf32>
  %q = nn.pad %x low [0 : i64, 0 : i64, 0 : i64] high [0 : i64, 0 : i64, 0 : i64] interior [0 : i64, 1 : i64, 0 : i64] "constant" 1.0 : f64 : tensor<1x5x4xf32> -> tensor<1x9x4xf32>
  %b = nn.conv %q, %g strides [1 : i64] dilations [1 : i64] groups 1 : i64 : tensor<1x9x4xf32>, tensor<3x4x2xf32> -> tensor<1x7x2xf32>
  func.return %a, %b : tensor<1x7x4xf32>, tensor<1x7x2xf32>
}
