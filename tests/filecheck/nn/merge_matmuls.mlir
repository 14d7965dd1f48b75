// RUN: webdnn-opt %s -p merge-matmuls --split-input-file | filecheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x6x8xf32>) -> (tensor<1x2x6x4xf32>, tensor<1x2x4x6xf32>) {
  %wq = nn.weight "wq" : tensor<8x8xf32>
  %wk = nn.weight "wk" : tensor<8x8xf32>
  %bq = nn.weight "bq" : tensor<8xf32>
  %bk = nn.weight "bk" : tensor<8xf32>
  %q0 = nn.matmul %x, %wq : tensor<1x6x8xf32>, tensor<8x8xf32> -> tensor<1x6x8xf32>
  %q1 = nn.add %q0, %bq : tensor<1x6x8xf32>, tensor<8xf32> -> tensor<1x6x8xf32>
  %q2 = nn.reshape %q1 : tensor<1x6x8xf32> -> tensor<1x6x2x4xf32>
  %q = nn.transpose %q2 [0 : i64, 2 : i64, 1 : i64, 3 : i64] : tensor<1x6x2x4xf32> -> tensor<1x2x6x4xf32>
  %k0 = nn.matmul %x, %wk : tensor<1x6x8xf32>, tensor<8x8xf32> -> tensor<1x6x8xf32>
  %k1 = nn.add %bk, %k0 : tensor<8xf32>, tensor<1x6x8xf32> -> tensor<1x6x8xf32>
  %k2 = nn.reshape %k1 : tensor<1x6x8xf32> -> tensor<1x6x2x4xf32>
  %k = nn.transpose %k2 [0 : i64, 2 : i64, 3 : i64, 1 : i64] : tensor<1x6x2x4xf32> -> tensor<1x2x4x6xf32>
  func.return %q, %k : tensor<1x2x6x4xf32>, tensor<1x2x4x6xf32>
}
// The key's bias comes before the first result is used, and its product is not needed yet.
// CHECK: %[[W:.*]] = nn.concat 1 : i64, %wq, %wk
// CHECK-NEXT: %[[Y:.*]] = nn.matmul %x, %[[W]] : {{.*}} -> tensor<1x6x16xf32>
// CHECK-NEXT: %[[B:.*]] = nn.concat 0 : i64, %bq, %bk
// CHECK-NEXT: %[[Z:.*]] = nn.add %[[Y]], %[[B]]
// CHECK-NEXT: %[[H:.*]] = nn.reshape %[[Z]] : tensor<1x6x16xf32> -> tensor<1x6x4x4xf32>
// CHECK-NEXT: %[[Q:.*]] = nn.slice %[[H]] starts [0 : i64, 0 : i64, 0 : i64, 0 : i64]
// CHECK-NEXT: %[[K:.*]] = nn.slice %[[H]] starts [0 : i64, 0 : i64, 2 : i64, 0 : i64]
// CHECK-NEXT: nn.transpose %[[Q]] [0 : i64, 2 : i64, 1 : i64, 3 : i64]
// CHECK-NEXT: nn.transpose %[[K]] [0 : i64, 2 : i64, 3 : i64, 1 : i64]
// CHECK-NEXT: func.return

// -----

// Products of different activations, and one whose result is used as it is, stay.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<6x8xf32>, %z: tensor<6x8xf32>) -> (tensor<2x6x4xf32>, tensor<2x6x4xf32>, tensor<6x8xf32>) {
  %w = nn.weight "w" : tensor<8x8xf32>
  %a0 = nn.matmul %x, %w : tensor<6x8xf32>, tensor<8x8xf32> -> tensor<6x8xf32>
  %a1 = nn.reshape %a0 : tensor<6x8xf32> -> tensor<6x2x4xf32>
  %a = nn.transpose %a1 [1 : i64, 0 : i64, 2 : i64] : tensor<6x2x4xf32> -> tensor<2x6x4xf32>
  %b0 = nn.matmul %z, %w : tensor<6x8xf32>, tensor<8x8xf32> -> tensor<6x8xf32>
  %b1 = nn.reshape %b0 : tensor<6x8xf32> -> tensor<6x2x4xf32>
  %b = nn.transpose %b1 [1 : i64, 0 : i64, 2 : i64] : tensor<6x2x4xf32> -> tensor<2x6x4xf32>
  %c = nn.matmul %x, %w : tensor<6x8xf32>, tensor<8x8xf32> -> tensor<6x8xf32>
  func.return %a, %b, %c : tensor<2x6x4xf32>, tensor<2x6x4xf32>, tensor<6x8xf32>
}
// CHECK-NOT: nn.concat
// CHECK: func.return

// -----

// The heads of the second product are read first: the merged one comes before them.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<6x8xf32>) -> (tensor<2x6x4xf32>, tensor<2x4x6xf32>) {
  %wq = nn.weight "wq" : tensor<8x8xf32>
  %wk = nn.weight "wk" : tensor<8x8xf32>
  %q0 = nn.matmul %x, %wq : tensor<6x8xf32>, tensor<8x8xf32> -> tensor<6x8xf32>
  %k0 = nn.matmul %x, %wk : tensor<6x8xf32>, tensor<8x8xf32> -> tensor<6x8xf32>
  %k1 = nn.reshape %k0 : tensor<6x8xf32> -> tensor<6x2x4xf32>
  %k = nn.transpose %k1 [1 : i64, 2 : i64, 0 : i64] : tensor<6x2x4xf32> -> tensor<2x4x6xf32>
  %q1 = nn.reshape %q0 : tensor<6x8xf32> -> tensor<6x2x4xf32>
  %q = nn.transpose %q1 [1 : i64, 0 : i64, 2 : i64] : tensor<6x2x4xf32> -> tensor<2x6x4xf32>
  func.return %q, %k : tensor<2x6x4xf32>, tensor<2x4x6xf32>
}
// CHECK: nn.concat 1 : i64, %wq, %wk
// CHECK: %[[H:.*]] = nn.reshape
// CHECK-NEXT: %[[Q:.*]] = nn.slice %[[H]] starts [0 : i64, 0 : i64, 0 : i64]
// CHECK-NEXT: %[[K:.*]] = nn.slice %[[H]] starts [0 : i64, 2 : i64, 0 : i64]
// CHECK-NEXT: nn.transpose %[[K]]
// CHECK-NEXT: nn.transpose %[[Q]]
