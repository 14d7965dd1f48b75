// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,fuse-kernel-regions,absorb-transposes --split-input-file | filecheck %s

// Rows that are moved whole: by a slice, and behind the product.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<6x4x8xf32>, %w: tensor<2x8x5xf32>) -> tensor<6x2x5xf32> {
  %s = nn.slice %x starts [0 : i64, 0 : i64, 0 : i64] steps [1 : i64, 1 : i64, 1 : i64] : tensor<6x4x8xf32> -> tensor<6x2x8xf32>
  %t = nn.transpose %s [1 : i64, 0 : i64, 2 : i64] : tensor<6x2x8xf32> -> tensor<2x6x8xf32>
  %a = nn.matmul %t, %w : tensor<2x6x8xf32>, tensor<2x8x5xf32> -> tensor<2x6x5xf32>
  %y = nn.transpose %a [1 : i64, 0 : i64, 2 : i64] : tensor<2x6x5xf32> -> tensor<6x2x5xf32>
  func.return %y : tensor<6x2x5xf32>
}
// CHECK: kernel.region ins(%x, %w : {{.*hint}} = "slice_transpose_matmul_transpose"
// CHECK-NOT: kernel.region

// -----

// Rows that become columns are copied.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<6x8xf32>, %w: tensor<6x5xf32>) -> tensor<8x5xf32> {
  %t = nn.transpose %x [1 : i64, 0 : i64] : tensor<6x8xf32> -> tensor<8x6xf32>
  %a = nn.matmul %t, %w : tensor<8x6xf32>, tensor<6x5xf32> -> tensor<8x5xf32>
  func.return %a : tensor<8x5xf32>
}
// CHECK: kernel.region {{.*hint}} = "transpose"
// CHECK: kernel.region {{.*hint}} = "matmul"
