// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,fuse-kernel-regions,fuse-pads --split-input-file | filecheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x5x5x8xf32>) -> tensor<1x5x5x4xf32> {
  %f = nn.weight "f" : tensor<3x3x8x4xf32>
  %p = nn.pad %x low [0 : i64, 1 : i64, 1 : i64, 0 : i64] high [0 : i64, 1 : i64, 1 : i64, 0 : i64] interior [0 : i64, 0 : i64, 0 : i64, 0 : i64] "constant" 0.0 : f64 : tensor<1x5x5x8xf32> -> tensor<1x7x7x8xf32>
  %c = nn.conv %p, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x7x7x8xf32>, tensor<3x3x8x4xf32> -> tensor<1x5x5x4xf32>
  %r = nn.relu %c : tensor<1x5x5x4xf32> -> tensor<1x5x5x4xf32>
  func.return %r : tensor<1x5x5x4xf32>
}
// CHECK: kernel.region ins(%x, %{{.*}} : {{.*}}) -> tensor<1x5x5x4xf32> attributes {hint = "pad_conv_relu"}
// CHECK: %[[P:.*]] = linalg.generic {{.*}}outs(%{{.*}} : tensor<1x7x7x8xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[P]], %{{.*}} :
// CHECK-NOT: kernel.region

// -----

// What somebody else reads too is padded once.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<5xf32>) -> (tensor<5xf32>, tensor<7xf32>) {
  %p = nn.pad %x low [1 : i64] high [1 : i64] interior [0 : i64] "constant" 0.0 : f64 : tensor<5xf32> -> tensor<7xf32>
  %m = nn.reduce_window "max" %p window [3 : i64] strides [1 : i64] dilations [1 : i64] : tensor<7xf32> -> tensor<5xf32>
  func.return %m, %p : tensor<5xf32>, tensor<7xf32>
}
// CHECK: attributes {hint = "pad"}
// CHECK: attributes {hint = "reduce_window"}
