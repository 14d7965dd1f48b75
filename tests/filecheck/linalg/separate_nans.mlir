// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,fuse-kernel-regions,separate-nans --split-input-file | filecheck %s

// What follows is computed on the number or the NaN.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4x100xf32>) -> tensor<4xf32> {
  %m = nn.reduce "max" %x axes [1 : i64] keep 0 : i64 : tensor<4x100xf32> -> tensor<4xf32>
  %y = nn.exp %m : tensor<4xf32> -> tensor<4xf32>
  func.return %y : tensor<4xf32>
}
// CHECK-DAG: %[[ONE:.*]] = arith.constant 1.000000e+00 : f32
// CHECK-DAG: %[[ONES:.*]] = linalg.fill ins(%[[ONE]] :
// CHECK: %[[M:.*]], %[[S:.*]] = linalg.generic
// CHECK: ^{{.*}}(%[[X:.*]]: f32, %[[A:.*]]: f32, %[[B:.*]]: f32):
// CHECK-NEXT: %[[MAX:.*]] = arith.maximumf %[[X]], %[[A]] fastmath<nnan> : f32
// CHECK-NEXT: %[[SQUARE:.*]] = arith.mulf %[[X]], %[[X]] : f32
// CHECK-NEXT: %[[SUM:.*]] = arith.addf %[[SQUARE]], %[[B]] : f32
// CHECK-NEXT: linalg.yield %[[MAX]], %[[SUM]]
// CHECK: linalg.generic {{.*}} ins(%[[M]], %[[S]] :
// CHECK: %[[NAN:.*]] = arith.cmpf uno, %[[T:.*]], %[[T]] : f32
// CHECK-NEXT: %[[R:.*]] = arith.select %[[NAN]], %[[T]], %{{.*}} : f32
// CHECK-NEXT: math.exp %[[R]]

// -----

// Nothing is done where a NaN need not win, or to what is no float of a vector register.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4x100xf32>, %i: tensor<4x100xi32>, %h: tensor<4x100xf16>) -> (tensor<4x100xf32>, tensor<4xi32>, tensor<4xf16>) {
  %y = nn.softmax %x axis 1 : i64 log 0 : i64 : tensor<4x100xf32> -> tensor<4x100xf32>
  %m = nn.reduce "max" %i axes [1 : i64] keep 0 : i64 : tensor<4x100xi32> -> tensor<4xi32>
  %n = nn.reduce "max" %h axes [1 : i64] keep 0 : i64 : tensor<4x100xf16> -> tensor<4xf16>
  func.return %y, %m, %n : tensor<4x100xf32>, tensor<4xi32>, tensor<4xf16>
}
// CHECK-NOT: arith.mulf %[[X:.*]], %[[X]]
// CHECK: arith.maximumf %{{.*}}, %{{.*}} : f16
// CHECK-NOT: arith.cmpf
