// RUN: webdnn-opt %s -p narrow-integers --split-input-file | filecheck %s

// Quantised to 8 bits, then less the zero point: bounds move by it, and 16 bits hold it. The weight fits 8 bits.
// CHECK-LABEL: func.func @main
func.func @main(%r: tensor<2x8xf32>) -> tensor<2x4xi32> {
  %x = nn.round %r : tensor<2x8xf32> -> tensor<2x8xf32>
  %z = nn.constant dense<1.000000e+01> : tensor<f32> : tensor<f32>
  %low = nn.constant dense<0.000000e+00> : tensor<f32> : tensor<f32>
  %high = nn.constant dense<2.550000e+02> : tensor<f32> : tensor<f32>
  %zero = nn.constant dense<10> : tensor<i32> : tensor<i32>
  %w = nn.weight "w" : tensor<8x4xi8>
  %0 = nn.add %x, %z : tensor<2x8xf32>, tensor<f32> -> tensor<2x8xf32>
  %1 = nn.max %0, %low : tensor<2x8xf32>, tensor<f32> -> tensor<2x8xf32>
  %2 = nn.min %1, %high : tensor<2x8xf32>, tensor<f32> -> tensor<2x8xf32>
  %3 = nn.cast %2 : tensor<2x8xf32> -> tensor<2x8xui8>
  %4 = nn.cast %3 : tensor<2x8xui8> -> tensor<2x8xi32>
  %5 = nn.sub %4, %zero : tensor<2x8xi32>, tensor<i32> -> tensor<2x8xi32>
  %6 = nn.cast %w : tensor<8x4xi8> -> tensor<8x4xi32>
  %7 = nn.matmul %5, %6 : tensor<2x8xi32>, tensor<8x4xi32> -> tensor<2x4xi32>
  func.return %7 : tensor<2x4xi32>
}
// CHECK-NOT:  ui8
// CHECK:      %[[X:.*]] = nn.round %r
// CHECK:      %[[I:.*]] = nn.cast %[[X]] : tensor<2x8xf32> -> tensor<2x8xi32>
// CHECK-NEXT: %[[L:.*]] = nn.constant dense<-10> : tensor<i32>
// CHECK-NEXT: %[[A:.*]] = nn.max %[[I]], %[[L]]
// CHECK-NEXT: %[[H:.*]] = nn.constant dense<245> : tensor<i32>
// CHECK-NEXT: %[[B:.*]] = nn.min %[[A]], %[[H]]
// CHECK-NEXT: %[[N:.*]] = nn.cast %[[B]] : tensor<2x8xi32> -> tensor<2x8xi16>
// CHECK:      nn.matmul %[[N]], %{{.*}} : tensor<2x8xi16>, tensor<8x4xi8> -> tensor<2x4xi32>

// -----

// An input of the model; weights without a sign, whose zero point takes them out of 8 bits. A reader of floats takes the
// same 16 bits.
// CHECK-LABEL: func.func @main
func.func @main(%q: tensor<2x8xui8>, %z: tensor<ui8>) -> (tensor<2x4xi32>, tensor<2x8xf32>) {
  %w = nn.weight "w" : tensor<8x4xui8>
  %zw = nn.constant dense<3> : tensor<i32> : tensor<i32>
  %0 = nn.cast %q : tensor<2x8xui8> -> tensor<2x8xi32>
  %1 = nn.cast %z : tensor<ui8> -> tensor<i32>
  %2 = nn.sub %0, %1 : tensor<2x8xi32>, tensor<i32> -> tensor<2x8xi32>
  %3 = nn.cast %w : tensor<8x4xui8> -> tensor<8x4xi32>
  %4 = nn.sub %3, %zw : tensor<8x4xi32>, tensor<i32> -> tensor<8x4xi32>
  %5 = nn.matmul %2, %4 : tensor<2x8xi32>, tensor<8x4xi32> -> tensor<2x4xi32>
  %6 = nn.cast %2 : tensor<2x8xi32> -> tensor<2x8xf32>
  func.return %5, %6 : tensor<2x4xi32>, tensor<2x8xf32>
}
// CHECK:     %[[S:.*]] = nn.sub
// CHECK:     %[[N:.*]] = nn.cast %[[S]] : tensor<2x8xi32> -> tensor<2x8xi16>
// CHECK:     nn.matmul %[[N]], %{{.*}} : tensor<2x8xi16>, tensor<8x4xi16> -> tensor<2x4xi32>
// CHECK:     nn.cast %[[N]] : tensor<2x8xi16> -> tensor<2x8xf32>

// -----

// Products of integers that may need more bits stay as they are.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x8xi32>, %y: tensor<8x4xi32>) -> tensor<2x4xi32> {
  %0 = nn.matmul %x, %y : tensor<2x8xi32>, tensor<8x4xi32> -> tensor<2x4xi32>
  func.return %0 : tensor<2x4xi32>
}
// CHECK: nn.matmul %x, %y : tensor<2x8xi32>, tensor<8x4xi32> -> tensor<2x4xi32>
