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

// -----

// A channel shuffle of channels that are the last dimension is a permutation of them.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x5x7x6xf32>) -> tensor<1x5x7x6xf32> {
  %0 = nn.transpose %x [0 : i64, 3 : i64, 1 : i64, 2 : i64] : tensor<1x5x7x6xf32> -> tensor<1x6x5x7xf32>
  %1 = nn.reshape %0 : tensor<1x6x5x7xf32> -> tensor<1x2x3x5x7xf32>
  %2 = nn.transpose %1 [0 : i64, 2 : i64, 1 : i64, 3 : i64, 4 : i64] : tensor<1x2x3x5x7xf32> -> tensor<1x3x2x5x7xf32>
  %3 = nn.reshape %2 : tensor<1x3x2x5x7xf32> -> tensor<1x6x5x7xf32>
  %4 = nn.transpose %3 [0 : i64, 2 : i64, 3 : i64, 1 : i64] : tensor<1x6x5x7xf32> -> tensor<1x5x7x6xf32>
  func.return %4 : tensor<1x5x7x6xf32>
}
// CHECK: %[[S:.*]] = nn.reshape %{{.*}} : tensor<1x5x7x6xf32> -> tensor<1x5x7x2x3xf32>
// CHECK-NEXT: %[[T:.*]] = nn.transpose %[[S]] [0 : i64, 1 : i64, 2 : i64, 4 : i64, 3 : i64]
// CHECK-NEXT: %[[R:.*]] = nn.reshape %[[T]] : tensor<1x5x7x3x2xf32> -> tensor<1x5x7x6xf32>
// CHECK-NEXT: func.return %[[R]]

// -----

// Depth to space stays channels-last, but where the result is wanted as it was it remains one transpose.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x5x7x12xf32>) -> (tensor<1x10x14x3xf32>, tensor<1x3x10x14xf32>) {
  %0 = nn.transpose %x [0 : i64, 3 : i64, 1 : i64, 2 : i64] : tensor<1x5x7x12xf32> -> tensor<1x12x5x7xf32>
  %1 = nn.reshape %0 : tensor<1x12x5x7xf32> -> tensor<1x3x2x2x5x7xf32>
  %2 = nn.transpose %1 [0 : i64, 1 : i64, 4 : i64, 2 : i64, 5 : i64, 3 : i64] : tensor<1x3x2x2x5x7xf32> -> tensor<1x3x5x2x7x2xf32>
  %3 = nn.reshape %2 : tensor<1x3x5x2x7x2xf32> -> tensor<1x3x10x14xf32>
  %4 = nn.transpose %3 [0 : i64, 2 : i64, 3 : i64, 1 : i64] : tensor<1x3x10x14xf32> -> tensor<1x10x14x3xf32>
  %5 = nn.relu %4 : tensor<1x10x14x3xf32> -> tensor<1x10x14x3xf32>
  %6 = nn.relu %0 : tensor<1x12x5x7xf32> -> tensor<1x12x5x7xf32>
  %7 = nn.reshape %6 : tensor<1x12x5x7xf32> -> tensor<1x3x2x2x5x7xf32>
  %8 = nn.transpose %7 [0 : i64, 1 : i64, 4 : i64, 2 : i64, 5 : i64, 3 : i64] : tensor<1x3x2x2x5x7xf32> -> tensor<1x3x5x2x7x2xf32>
  %9 = nn.reshape %8 : tensor<1x3x5x2x7x2xf32> -> tensor<1x3x10x14xf32>
  func.return %5, %9 : tensor<1x10x14x3xf32>, tensor<1x3x10x14xf32>
}
// CHECK: nn.transpose %{{.*}} : tensor<1x5x7x3x2x2xf32> -> tensor<1x5x2x7x2x3xf32>
// CHECK-NEXT: nn.reshape %{{.*}} : tensor<1x5x2x7x2x3xf32> -> tensor<1x10x14x3xf32>
// CHECK-NEXT: nn.relu %{{.*}} : tensor<1x10x14x3xf32>
// CHECK: %[[T:.*]] = nn.transpose %{{.*}} : tensor<1x5x7x3x2x2xf32> -> tensor<1x3x5x2x7x2xf32>
// CHECK-NEXT: %[[R:.*]] = nn.reshape %[[T]] : tensor<1x3x5x2x7x2xf32> -> tensor<1x3x10x14xf32>
// CHECK-NEXT: func.return %{{.*}}, %[[R]]

// -----

// Elements are repeated where they lie: nearest-neighbour upsampling.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x5x7x4xf32>) -> tensor<1x10x21x4xf32> {
  %0 = nn.transpose %x [0 : i64, 3 : i64, 1 : i64, 2 : i64] : tensor<1x5x7x4xf32> -> tensor<1x4x5x7xf32>
  %1 = nn.reshape %0 : tensor<1x4x5x7xf32> -> tensor<1x4x5x1x7x1xf32>
  %2 = nn.broadcast %1 : tensor<1x4x5x1x7x1xf32> -> tensor<1x4x5x2x7x3xf32>
  %3 = nn.reshape %2 : tensor<1x4x5x2x7x3xf32> -> tensor<1x4x10x21xf32>
  %4 = nn.transpose %3 [0 : i64, 2 : i64, 3 : i64, 1 : i64] : tensor<1x4x10x21xf32> -> tensor<1x10x21x4xf32>
  func.return %4 : tensor<1x10x21x4xf32>
}
// CHECK: %[[A:.*]] = nn.reshape %{{.*}} : tensor<1x5x7x4xf32> -> tensor<1x5x1x7x1x4xf32>
// CHECK-NEXT: %[[B:.*]] = nn.broadcast %[[A]] : tensor<1x5x1x7x1x4xf32> -> tensor<1x5x2x7x3x4xf32>
// CHECK-NEXT: %[[R:.*]] = nn.reshape %[[B]] : tensor<1x5x2x7x3x4xf32> -> tensor<1x10x21x4xf32>
// CHECK-NEXT: func.return %[[R]]
