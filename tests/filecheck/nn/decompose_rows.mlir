// RUN: webdnn-opt %s -p 'decompose-rows{max_row=16}' --split-input-file | filecheck %s

// A short row in memory order stays one op.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x10xf32>) -> tensor<2x10xf32> {
  %y = nn.softmax %x axis 1 : i64 log 0 : i64 : tensor<2x10xf32> -> tensor<2x10xf32>
  func.return %y : tensor<2x10xf32>
}
// CHECK: nn.softmax

// -----

// So do many long ones.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<32x100xf32>) -> tensor<32x100xf32> {
  %y = nn.softmax %x axis 1 : i64 log 0 : i64 : tensor<32x100xf32> -> tensor<32x100xf32>
  func.return %y : tensor<32x100xf32>
}
// CHECK: nn.softmax

// -----

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x100xf32>) -> tensor<2x100xf32> {
  %y = nn.softmax %x axis 1 : i64 log 0 : i64 : tensor<2x100xf32> -> tensor<2x100xf32>
  func.return %y : tensor<2x100xf32>
}
// CHECK: %[[M:.*]] = nn.reduce "max"
// CHECK-NEXT: %[[S:.*]] = nn.sub %{{.*}}, %[[M]]
// CHECK-NEXT: %[[E:.*]] = nn.exp %[[S]]
// CHECK-NEXT: %[[T:.*]] = nn.reduce "sum" %[[E]]
// CHECK-NEXT: nn.div %[[E]], %[[T]]

// -----

// Instance normalisation, channels last: rows are not contiguous. The centred values are said twice, so that none are stored.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x2x3x8xf32>) -> tensor<1x2x3x8xf32> {
  %y = nn.normalize %x axes [1 : i64, 2 : i64] epsilon 1.000000e-05 : f64 centered 1 : i64 : tensor<1x2x3x8xf32> -> tensor<1x2x3x8xf32>
  func.return %y : tensor<1x2x3x8xf32>
}
// CHECK: %[[N:.*]] = nn.constant dense<6.000000e+00>
// CHECK: %[[T:.*]] = nn.reduce "sum" %{{.*}} axes [1 : i64, 2 : i64] keep 1 : i64
// CHECK-NEXT: %[[M:.*]] = nn.div %[[T]], %[[N]]
// CHECK-NEXT: %[[C:.*]] = nn.sub %{{.*}}, %[[M]]
// CHECK-NEXT: nn.mul %[[C]], %[[C]]
// CHECK: %[[D:.*]] = nn.sqrt
// CHECK-NEXT: %[[C2:.*]] = nn.sub %{{.*}}, %[[M]]
// CHECK-NEXT: nn.div %[[C2]], %[[D]]
