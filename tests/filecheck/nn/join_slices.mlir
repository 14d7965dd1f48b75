// RUN: webdnn-opt %s -p join-slices --split-input-file | filecheck %s

// Both halves of a tensor are the tensor; other readers of a half still read it.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x5x7x8xf32>, %y: tensor<1x5x7x4xf32>) -> (tensor<1x5x7x12xf32>, tensor<1x5x7x4xf32>) {
  %0 = nn.slice %x starts [0 : i64, 0 : i64, 0 : i64, 0 : i64] steps [1 : i64, 1 : i64, 1 : i64, 1 : i64] : tensor<1x5x7x8xf32> -> tensor<1x5x7x4xf32>
  %1 = nn.slice %x starts [0 : i64, 0 : i64, 0 : i64, 4 : i64] steps [1 : i64, 1 : i64, 1 : i64, 1 : i64] : tensor<1x5x7x8xf32> -> tensor<1x5x7x4xf32>
  %2 = nn.concat 3 : i64, %0, %1, %y : tensor<1x5x7x4xf32>, tensor<1x5x7x4xf32>, tensor<1x5x7x4xf32> -> tensor<1x5x7x12xf32>
  func.return %2, %1 : tensor<1x5x7x12xf32>, tensor<1x5x7x4xf32>
}
// CHECK-NEXT: %[[H:.*]] = nn.slice %x starts [0 : i64, 0 : i64, 0 : i64, 4 : i64]
// CHECK-NEXT: %[[C:.*]] = nn.concat 3 : i64, %x, %y
// CHECK-NEXT: func.return %[[C]], %[[H]]

// -----

// Parts of a tensor backwards, with a step; a gap or another order is left alone.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<9xf32>) -> (tensor<4xf32>, tensor<6xf32>) {
  %0 = nn.slice %x starts [8 : i64] steps [-2 : i64] : tensor<9xf32> -> tensor<3xf32>
  %1 = nn.slice %x starts [2 : i64] steps [-2 : i64] : tensor<9xf32> -> tensor<1xf32>
  %2 = nn.concat 0 : i64, %0, %1 : tensor<3xf32>, tensor<1xf32> -> tensor<4xf32>
  %3 = nn.slice %x starts [0 : i64] steps [1 : i64] : tensor<9xf32> -> tensor<3xf32>
  %4 = nn.slice %x starts [4 : i64] steps [1 : i64] : tensor<9xf32> -> tensor<3xf32>
  %5 = nn.concat 0 : i64, %3, %4 : tensor<3xf32>, tensor<3xf32> -> tensor<6xf32>
  func.return %2, %5 : tensor<4xf32>, tensor<6xf32>
}
// CHECK: %[[J:.*]] = nn.slice %x starts [8 : i64] steps [-2 : i64] : tensor<9xf32> -> tensor<4xf32>
// CHECK: %[[C:.*]] = nn.concat 0 : i64, %{{.*}}, %{{.*}} : tensor<3xf32>, tensor<3xf32>
// CHECK-NEXT: func.return %[[J]], %[[C]]
