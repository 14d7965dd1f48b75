// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,fuse-kernel-regions --split-input-file | filecheck %s

// Bias, activation and residual become the epilogue of a product: one region, one elementwise generic behind the reduction.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<8x16xf32>, %r: tensor<8x4xf32>) -> tensor<8x4xf32> {
  %w = nn.weight "w" : tensor<16x4xf32>
  %b = nn.weight "b" : tensor<4xf32>
  %0 = nn.matmul %x, %w : tensor<8x16xf32>, tensor<16x4xf32> -> tensor<8x4xf32>
  %1 = nn.add %0, %b : tensor<8x4xf32>, tensor<4xf32> -> tensor<8x4xf32>
  %2 = nn.add %1, %r : tensor<8x4xf32>, tensor<8x4xf32> -> tensor<8x4xf32>
  %3 = nn.relu %2 : tensor<8x4xf32> -> tensor<8x4xf32>
  func.return %3 : tensor<8x4xf32>
}
// CHECK: kernel.region {{.*}} attributes {hint = "matmul_add_add_relu"}
// CHECK: %[[P:.*]] = linalg.generic {{.*}}"reduction"
// CHECK: linalg.generic {{.*}} ins(%[[P]], %{{.*}}, %{{.*}} :
// CHECK: arith.addf
// CHECK: arith.addf
// CHECK: arith.maximumf
// CHECK-NOT: linalg.generic
// CHECK: func.return

// -----

// A producer is taken into a reduction that reads each element once ...
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<8x16xf32>) -> tensor<8xf32> {
  %0 = nn.mul %x, %x : tensor<8x16xf32>, tensor<8x16xf32> -> tensor<8x16xf32>
  %1 = nn.reduce "sum" %0 axes [1 : i64] keep 0 : i64 : tensor<8x16xf32> -> tensor<8xf32>
  func.return %1 : tensor<8xf32>
}
// CHECK: kernel.region {{.*}} attributes {hint = "mul_reduce"}
// CHECK: linalg.generic {{.*}}"reduction"
// CHECK: arith.mulf
// CHECK-NEXT: arith.addf

// -----

// ... and not into a product, which would compute it many times.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<8x16xf32>, %y: tensor<16x4xf32>) -> tensor<8x4xf32> {
  %0 = nn.sigmoid %x : tensor<8x16xf32> -> tensor<8x16xf32>
  %1 = nn.matmul %0, %y : tensor<8x16xf32>, tensor<16x4xf32> -> tensor<8x4xf32>
  func.return %1 : tensor<8x4xf32>
}
// CHECK: attributes {hint = "sigmoid"}
// CHECK: attributes {hint = "matmul"}

// -----

// What two ops read stays.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>) {
  %0 = nn.exp %x : tensor<8xf32> -> tensor<8xf32>
  %1 = nn.sin %0 : tensor<8xf32> -> tensor<8xf32>
  %2 = nn.cos %0 : tensor<8xf32> -> tensor<8xf32>
  func.return %1, %2 : tensor<8xf32>, tensor<8xf32>
}
// CHECK: attributes {hint = "exp"}
// CHECK: attributes {hint = "sin"}
// CHECK: attributes {hint = "cos"}

// -----

// A view between a grouped convolution and its epilogue moves behind the epilogue.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x5x5x8xf32>) -> tensor<1x3x3x6xf32> {
  %f = nn.weight "f" : tensor<3x3x4x6xf32>
  %b = nn.weight "b" : tensor<6xf32>
  %0 = nn.conv %x, %f strides [1 : i64, 1 : i64] dilations [1 : i64, 1 : i64] groups 2 : i64 : tensor<1x5x5x8xf32>, tensor<3x3x4x6xf32> -> tensor<1x3x3x6xf32>
  %1 = nn.add %0, %b : tensor<1x3x3x6xf32>, tensor<6xf32> -> tensor<1x3x3x6xf32>
  func.return %1 : tensor<1x3x3x6xf32>
}
// CHECK: plan.view %{{.*}} : tensor<6xf32> to tensor<2x3xf32>
// CHECK: %[[R:.*]] = kernel.region {{.*}} -> tensor<1x3x3x2x3xf32> attributes {hint = "conv_add"}
// CHECK: plan.view %[[R]] : tensor<1x3x3x2x3xf32> to tensor<1x3x3x6xf32>

// -----

// A gather taken into a reduction leaves no operand that says how long the loops are: a tensor without values says it.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<5x6xf32>, %i: tensor<3xi64>) -> tensor<6xf32> {
  %g = nn.gather %x, %i axis 0 : i64 : tensor<5x6xf32>, tensor<3xi64> -> tensor<3x6xf32>
  %r = nn.reduce "max" %g axes [0 : i64] keep 0 : i64 : tensor<3x6xf32> -> tensor<6xf32>
  func.return %r : tensor<6xf32>
}
// CHECK: attributes {hint = "gather_reduce"}
// CHECK: linalg.generic {{.*}}"reduction"
// CHECK: tensor.extract

// -----

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<5x6xf32>) -> tensor<5x1xf32> {
  %g = nn.pad %x low [0 : i64, 1 : i64] high [0 : i64, 1 : i64] interior [0 : i64, 0 : i64] "constant" 0.0 : f64 : tensor<5x6xf32> -> tensor<5x8xf32>
  %r = nn.reduce "max" %g axes [1 : i64] keep 1 : i64 : tensor<5x8xf32> -> tensor<5x1xf32>
  func.return %r : tensor<5x1xf32>
}
// CHECK: %[[LOOPS:.*]] = tensor.empty() : tensor<8xf32>
// CHECK: linalg.generic {{.*}} ins(%[[LOOPS]] : tensor<8xf32>)

// -----

// A pad reads what a slice takes where it lies.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<5x8xf32>) -> tensor<7x4xf32> {
  %0 = nn.slice %x starts [0 : i64, 3 : i64] steps [1 : i64, 1 : i64] : tensor<5x8xf32> -> tensor<5x4xf32>
  %1 = nn.pad %0 low [0 : i64, 0 : i64] high [2 : i64, 0 : i64] interior [0 : i64, 0 : i64] "constant" 0.000000e+00 : f64 : tensor<5x4xf32> -> tensor<7x4xf32>
  func.return %1 : tensor<7x4xf32>
}
// CHECK: kernel.region ins(%x : tensor<5x8xf32>) -> tensor<7x4xf32>
// CHECK-SAME: hint = "slice_pad"
// CHECK: %[[J:.*]] = linalg.index 1
// CHECK: %[[C:.*]] = arith.constant 3 : index
// CHECK-NEXT: %[[P:.*]] = arith.addi %[[J]], %[[C]] : index
// CHECK-NEXT: tensor.extract %{{.*}}[%{{.*}}, %[[P]]] : tensor<5x8xf32>
// CHECK-NOT: kernel.region

// -----

// A region ends where its registers do: 15 tensors and the result, then a second one.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<8xf32>, %y0: tensor<8xf32>, %y1: tensor<8xf32>, %y2: tensor<8xf32>, %y3: tensor<8xf32>, %y4: tensor<8xf32>, %y5: tensor<8xf32>, %y6: tensor<8xf32>, %y7: tensor<8xf32>, %y8: tensor<8xf32>, %y9: tensor<8xf32>, %y10: tensor<8xf32>, %y11: tensor<8xf32>, %y12: tensor<8xf32>, %y13: tensor<8xf32>, %y14: tensor<8xf32>, %y15: tensor<8xf32>) -> tensor<8xf32> {
  %0 = nn.add %x, %y0 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %1 = nn.add %0, %y1 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %2 = nn.add %1, %y2 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %3 = nn.add %2, %y3 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %4 = nn.add %3, %y4 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %5 = nn.add %4, %y5 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %6 = nn.add %5, %y6 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %7 = nn.add %6, %y7 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %8 = nn.add %7, %y8 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %9 = nn.add %8, %y9 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %10 = nn.add %9, %y10 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %11 = nn.add %10, %y11 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %12 = nn.add %11, %y12 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %13 = nn.add %12, %y13 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %14 = nn.add %13, %y14 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  %15 = nn.add %14, %y15 : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
  func.return %15 : tensor<8xf32>
}
// CHECK: kernel.region
// CHECK-COUNT-14: arith.addf
// CHECK: kernel.region
// CHECK-COUNT-2: arith.addf
// CHECK-NOT: arith.addf
// CHECK: func.return

// -----

// What is read at two places would be computed twice: it stays on its own ...
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<16x16xf32>) -> tensor<16x16xf32> {
  %0 = nn.sin %x : tensor<16x16xf32> -> tensor<16x16xf32>
  %1 = nn.transpose %0 [1 : i64, 0 : i64] : tensor<16x16xf32> -> tensor<16x16xf32>
  %2 = nn.add %0, %1 : tensor<16x16xf32>, tensor<16x16xf32> -> tensor<16x16xf32>
  func.return %2 : tensor<16x16xf32>
}
// CHECK: attributes {hint = "sin"}
// CHECK: attributes {hint = "transpose_add"}

// -----

// ... but not where the places are parts of it, and no more elements are read than there are.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<9xf32>) -> tensor<4xf32> {
  %0 = nn.sin %x : tensor<9xf32> -> tensor<9xf32>
  %1 = nn.slice %0 starts [1 : i64] steps [1 : i64] : tensor<9xf32> -> tensor<4xf32>
  %2 = nn.slice %0 starts [5 : i64] steps [1 : i64] : tensor<9xf32> -> tensor<4xf32>
  %3 = nn.add %1, %2 : tensor<4xf32>, tensor<4xf32> -> tensor<4xf32>
  func.return %3 : tensor<4xf32>
}
// CHECK: attributes {hint = "sin_slice_slice_add"}
// CHECK-NOT: kernel.region
