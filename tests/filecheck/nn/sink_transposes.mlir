// RUN: webdnn-opt %s -p sink-transposes --split-input-file | filecheck %s

// Two transposes around an elementwise chain vanish.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x4x5x8xf32>) -> tensor<1x4x5x8xf32> {
  %0 = nn.transpose %x [0 : i64, 3 : i64, 1 : i64, 2 : i64] : tensor<1x4x5x8xf32> -> tensor<1x8x4x5xf32>
  %1 = nn.relu %0 : tensor<1x8x4x5xf32> -> tensor<1x8x4x5xf32>
  %2 = nn.sigmoid %1 : tensor<1x8x4x5xf32> -> tensor<1x8x4x5xf32>
  %3 = nn.transpose %2 [0 : i64, 2 : i64, 3 : i64, 1 : i64] : tensor<1x8x4x5xf32> -> tensor<1x4x5x8xf32>
  func.return %3 : tensor<1x4x5x8xf32>
}
// CHECK-NOT: nn.transpose
// CHECK: %[[R:.*]] = nn.relu %{{.*}} : tensor<1x4x5x8xf32>
// CHECK-NEXT: %[[S:.*]] = nn.sigmoid %[[R]]
// CHECK-NEXT: func.return %[[S]]

// -----

// A broadcast weight is permuted instead, where it costs nothing.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x4x5x8xf32>) -> tensor<1x8x4x5xf32> {
  %b = nn.weight "b" : tensor<8x1x1xf32>
  %0 = nn.transpose %x [0 : i64, 3 : i64, 1 : i64, 2 : i64] : tensor<1x4x5x8xf32> -> tensor<1x8x4x5xf32>
  %1 = nn.add %0, %b : tensor<1x8x4x5xf32>, tensor<8x1x1xf32> -> tensor<1x8x4x5xf32>
  func.return %1 : tensor<1x8x4x5xf32>
}
// CHECK: %[[W:.*]] = nn.weight "b"
// CHECK-NEXT: %[[W1:.*]] = nn.reshape %[[W]] : tensor<8x1x1xf32> -> tensor<1x8x1x1xf32>
// CHECK-NEXT: %[[W2:.*]] = nn.transpose %[[W1]]{{.*}} -> tensor<1x1x1x8xf32>
// CHECK-NEXT: %[[A:.*]] = nn.add %{{.*}}, %[[W2]] : tensor<1x4x5x8xf32>, tensor<1x1x1x8xf32>
// CHECK-NEXT: nn.transpose %[[A]] [0 : i64, 3 : i64, 1 : i64, 2 : i64]

// -----

// Pads, windows, reductions and concatenations work on permuted dimensions.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x4x5x8xf32>, %y: tensor<1x4x5x8xf32>) -> tensor<1x16xf32> {
  %0 = nn.transpose %x [0 : i64, 3 : i64, 1 : i64, 2 : i64] : tensor<1x4x5x8xf32> -> tensor<1x8x4x5xf32>
  %1 = nn.transpose %y [0 : i64, 3 : i64, 1 : i64, 2 : i64] : tensor<1x4x5x8xf32> -> tensor<1x8x4x5xf32>
  %2 = nn.concat 1 : i64, %0, %1 : tensor<1x8x4x5xf32>, tensor<1x8x4x5xf32> -> tensor<1x16x4x5xf32>
  %3 = nn.reduce "max" %2 axes [2 : i64, 3 : i64] keep 0 : i64 : tensor<1x16x4x5xf32> -> tensor<1x16xf32>
  func.return %3 : tensor<1x16xf32>
}
// CHECK: %[[C:.*]] = nn.concat 3 : i64, %{{.*}}, %{{.*}} : tensor<1x4x5x8xf32>, tensor<1x4x5x8xf32> -> tensor<1x4x5x16xf32>
// CHECK-NEXT: %[[M:.*]] = nn.reduce "max" %[[C]] axes [1 : i64, 2 : i64] keep 0 : i64
// CHECK-NEXT: func.return %[[M]]

// -----

// A reshape that splits channels (channel shuffle) lets a transpose through.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x4x5x8xf32>) -> tensor<1x2x4x4x5xf32> {
  %0 = nn.transpose %x [0 : i64, 3 : i64, 1 : i64, 2 : i64] : tensor<1x4x5x8xf32> -> tensor<1x8x4x5xf32>
  %1 = nn.reshape %0 : tensor<1x8x4x5xf32> -> tensor<1x2x4x4x5xf32>
  func.return %1 : tensor<1x2x4x4x5xf32>
}
// CHECK: %[[R:.*]] = nn.reshape %{{.*}} : tensor<1x4x5x8xf32> -> tensor<1x4x5x2x4xf32>
// CHECK-NEXT: nn.transpose %[[R]] [0 : i64, 3 : i64, 4 : i64, 1 : i64, 2 : i64]

// -----

// A transpose that only moves dimensions of size 1 is a reshape.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x1x1x8xf32>) -> tensor<1x8x1x1xf32> {
  %0 = nn.transpose %x [0 : i64, 3 : i64, 1 : i64, 2 : i64] : tensor<1x1x1x8xf32> -> tensor<1x8x1x1xf32>
  func.return %0 : tensor<1x8x1x1xf32>
}
// CHECK-NOT: nn.transpose
// CHECK: nn.reshape
