// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,fuse-kernel-regions,winograd-convolutions{window=4} --split-input-file | filecheck %s

// 14 x 14 results are 4 x 4 windows: the pad reaches as far as the last window reads.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x14x14x16xf32>, %r: tensor<1x14x14x8xf32>) -> tensor<1x14x14x8xf32> {
  %f = nn.weight "f" : tensor<3x3x16x8xf32>
  %p = nn.pad %x low [0 : i64, 1 : i64, 1 : i64, 0 : i64] high [0 : i64, 1 : i64, 1 : i64, 0 : i64] interior [0 : i64, 0 : i64, 0 : i64, 0 : i64] "constant" 0.0 : f64 : tensor<1x14x14x16xf32> -> tensor<1x16x16x16xf32>
  %c = nn.conv %p, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x16x16x16xf32>, tensor<3x3x16x8xf32> -> tensor<1x14x14x8xf32>
  %a = nn.add %c, %r : tensor<1x14x14x8xf32>, tensor<1x14x14x8xf32> -> tensor<1x14x14x8xf32>
  func.return %a : tensor<1x14x14x8xf32>
}
// CHECK: %[[W:.*]] = plan.weight 0
// CHECK: %[[P:.*]] = kernel.region ins(%x : {{.*}}) -> tensor<1x18x18x16xf32> attributes {hint = "pad"}
// CHECK: %[[V:.*]] = kernel.region ins(%[[P]] : {{.*}}) -> tensor<6x6x1x4x4x16xf32> attributes {hint = "winograd_input"}
// CHECK: arith.constant dense<{{\[\[}}4.000000e+00, 0.000000e+00, -5.000000e+00, 0.000000e+00, 1.000000e+00, 0.000000e+00]
// CHECK: arith.mulf %{{.*}} fastmath<nnan,ninf,nsz>
// CHECK: %[[U:.*]] = kernel.region ins(%[[W]] : {{.*}}) -> tensor<6x6x1x16x8xf32> attributes {hint = "winograd_filter"}
// CHECK: %[[M:.*]] = kernel.region ins(%[[V]], %[[U]] : {{.*}}) -> tensor<6x6x1x4x4x8xf32> attributes {hint = "winograd_product"}
// CHECK: %[[Y:.*]] = kernel.region ins(%[[M]], %r : {{.*}}) -> tensor<1x14x14x8xf32> attributes {hint = "winograd_output_add"}
// CHECK: affine_map<(d0, d1, d2, d3, d4) -> ((d1 mod 4), d4, d0, (d1 floordiv 4), (d2 floordiv 4), d3)>
// CHECK: func.return %[[Y]]

// -----

// A row of taps: windows of one row.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x5x10x16xf32>) -> tensor<1x5x8x8xf32> {
  %f = nn.weight "f" : tensor<1x3x16x8xf32>
  %c = nn.conv %x, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x5x10x16xf32>, tensor<1x3x16x8xf32> -> tensor<1x5x8x8xf32>
  func.return %c : tensor<1x5x8x8xf32>
}
// CHECK: kernel.region ins(%x : {{.*}}) -> tensor<1x6x1x5x2x16xf32> attributes {hint = "winograd_input"}

// -----

// Strides, dilations, filters that are not weights and single taps stay as they are.
// CHECK-LABEL: func.func @main
// CHECK-NOT: winograd
func.func @main(%x: tensor<1x9x9x16xf32>, %g: tensor<3x3x16x8xf32>) -> (tensor<1x4x4x8xf32>, tensor<1x5x5x8xf32>, tensor<1x7x7x8xf32>, tensor<1x9x9x8xf32>) {
  %f = nn.weight "f" : tensor<3x3x16x8xf32>
  %h = nn.weight "h" : tensor<1x1x16x8xf32>
  %a = nn.conv %x, %f strides [2 : i64, 2 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x9x9x16xf32>, tensor<3x3x16x8xf32> -> tensor<1x4x4x8xf32>
  %b = nn.conv %x, %f strides [1 : i64, 1 : i64] dilations [2 : i64, 2 : i64] groups 1 : i64 : tensor<1x9x9x16xf32>, tensor<3x3x16x8xf32> -> tensor<1x5x5x8xf32>
  %c = nn.conv %x, %g strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x9x9x16xf32>, tensor<3x3x16x8xf32> -> tensor<1x7x7x8xf32>
  %d = nn.conv %x, %h strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x9x9x16xf32>, tensor<1x1x16x8xf32> -> tensor<1x9x9x8xf32>
  func.return %a, %b, %c, %d : tensor<1x4x4x8xf32>, tensor<1x5x5x8xf32>, tensor<1x7x7x8xf32>, tensor<1x9x9x8xf32>
}

// -----

// Quantised factors: transformed to 16 bits, in pairs of channels; the sums of 32 bits are 900 times the result.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x6x6x16xi8>) -> tensor<1x4x4x8xi32> {
  %f = nn.weight "f" : tensor<3x3x16x8xi8>
  %w = nn.cast %x : tensor<1x6x6x16xi8> -> tensor<1x6x6x16xi16>
  %c = nn.conv %w, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x6x6x16xi16>, tensor<3x3x16x8xi8> -> tensor<1x4x4x8xi32>
  func.return %c : tensor<1x4x4x8xi32>
}
// CHECK: hint = "winograd_input"
// CHECK: arith.constant dense<{{\[\[}}2, 3, -4, -3, 2, 0]
// CHECK: hint = "winograd_filter"
// CHECK: -> tensor<6x6x1x1x1x8xi32> attributes {hint = "winograd_product"}
// CHECK: ins(%{{.*}} : {{.*}}tensor<6x6x1x8x8x2xi16>) outs
// CHECK: hint = "winograd_output"
// CHECK: arith.constant -2023406815 : i32
// CHECK: arith.constant 2 : i32
// CHECK-NEXT: arith.shrsi

// -----

// Integers of 16 bits of which nothing is known might not fit once they are transformed.
// CHECK-LABEL: func.func @main
// CHECK-NOT: winograd
func.func @main(%x: tensor<1x6x6x16xi16>) -> tensor<1x4x4x8xi32> {
  %f = nn.weight "f" : tensor<3x3x16x8xi8>
  %c = nn.conv %x, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x6x6x16xi16>, tensor<3x3x16x8xi8> -> tensor<1x4x4x8xi32>
  func.return %c : tensor<1x4x4x8xi32>
}

// -----

// Height and width are symbols: the windows are counted by sizes, and so is the pad up to the last window.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x?x?x16xf32, #nn.sizes<1, h[1 to 64 likely 56], w[4 to 64 by 4 likely 56], 16>>) -> tensor<1x?x?x8xf32, #nn.sizes<1, h[1 to 64 likely 56], w[4 to 64 by 4 likely 56], 8>> {
  %f = nn.weight "f" : tensor<3x3x16x8xf32>
  %p = nn.pad %x low [0 : i64, 1 : i64, 1 : i64, 0 : i64] high [0 : i64, 1 : i64, 1 : i64, 0 : i64] interior [0 : i64, 0 : i64, 0 : i64, 0 : i64] "constant" 0.0 : f64 : tensor<1x?x?x16xf32, #nn.sizes<1, h[1 to 64 likely 56], w[4 to 64 by 4 likely 56], 16>> -> tensor<1x?x?x16xf32, #nn.sizes<1, h[1 to 64 likely 56] + 2, w[4 to 64 by 4 likely 56] + 2, 16>>
  %c = nn.conv %p, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x?x?x16xf32, #nn.sizes<1, h[1 to 64 likely 56] + 2, w[4 to 64 by 4 likely 56] + 2, 16>>, tensor<3x3x16x8xf32> -> tensor<1x?x?x8xf32, #nn.sizes<1, h[1 to 64 likely 56], w[4 to 64 by 4 likely 56], 8>>
  func.return %c : tensor<1x?x?x8xf32, #nn.sizes<1, h[1 to 64 likely 56], w[4 to 64 by 4 likely 56], 8>>
}
// CHECK: kernel.region ins(%x : {{.*}}) -> tensor<1x?x?x16xf32, #nn.sizes<1, 0 - ((0 - h[1 to 64 likely 56]) floordiv 4) * 4 + 2, w[4 to 64 by 4 likely 56] + 2, 16>> attributes {hint = "pad"}
// CHECK: -> tensor<6x6x1x?x?x16xf32, #nn.sizes<6, 6, 1, 0 - (0 - h[1 to 64 likely 56]) floordiv 4, w[4 to 64 by 4 likely 56] floordiv 4, 16>> attributes {hint = "winograd_input"}
// CHECK: hint = "winograd_filter"
// CHECK: hint = "winograd_product"
// CHECK: -> tensor<1x?x?x8xf32, {{.*}}> attributes {hint = "winograd_output"}

// -----

// So many results that what is transformed could not be held at the greatest sizes.
// CHECK-LABEL: func.func @main
// CHECK-NOT: winograd
func.func @main(%x: tensor<1x?x?x64xf32, #nn.sizes<1, h[3 to 2048 likely 58], w[3 to 2048 likely 58], 64>>) -> tensor<1x?x?x64xf32, #nn.sizes<1, h[3 to 2048 likely 58] - 2, w[3 to 2048 likely 58] - 2, 64>> {
  %f = nn.weight "f" : tensor<3x3x64x64xf32>
  %c = nn.conv %x, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 1 : i64 : tensor<1x?x?x64xf32, #nn.sizes<1, h[3 to 2048 likely 58], w[3 to 2048 likely 58], 64>>, tensor<3x3x64x64xf32> -> tensor<1x?x?x64xf32, #nn.sizes<1, h[3 to 2048 likely 58] - 2, w[3 to 2048 likely 58] - 2, 64>>
  func.return %c : tensor<1x?x?x64xf32, #nn.sizes<1, h[3 to 2048 likely 58] - 2, w[3 to 2048 likely 58] - 2, 64>>
}
