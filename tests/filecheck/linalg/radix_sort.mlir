// RUN: webdnn-opt %s -p 'radix-sort{insertions=100}' --split-input-file | filecheck %s

// Three of a hundred keys are selected, then sorted by one byte after the other.
// CHECK-LABEL: func.func @main
func.func @main(%keys: tensor<2x100xi32>) -> tensor<2x3xi32> {
  %r = kernel.region ins(%keys : tensor<2x100xi32>) -> tensor<2x3xi32> attributes {hint = "top_k"} {
  ^bb0(%k: tensor<2x100xi32>):
    %i = linalg_ext.top_k %k : tensor<2x100xi32> -> tensor<2x3xi32>
    kernel.yield %i : tensor<2x3xi32>
  }
  func.return %r : tensor<2x3xi32>
}
// CHECK: %[[S:.*]] = kernel.region ins(%keys : tensor<2x100xi32>) -> tensor<2x3xi32> attributes {hint = "select"}
// CHECK: linalg_ext.select %{{.*}} : tensor<2x100xi32> -> tensor<2x3xi32>
// CHECK: %[[A:.*]] = kernel.region ins(%keys, %[[S]] :
// CHECK: linalg_ext.counting_sort %{{.*}} order %{{.*}} shift 0 : i64 : tensor<2x100xi32>, tensor<2x3xi32> -> tensor<2x3xi32>
// CHECK: %[[B:.*]] = kernel.region ins(%keys, %[[A]] :
// CHECK: shift 8 : i64
// CHECK: %[[C:.*]] = kernel.region ins(%keys, %[[B]] :
// CHECK: shift 16 : i64
// CHECK: %[[D:.*]] = kernel.region ins(%keys, %[[C]] :
// CHECK: shift 24 : i64
// CHECK: func.return %[[D]]

// -----

// All keys need no selection; those of 64 bits have eight bytes.
// CHECK-LABEL: func.func @main
func.func @main(%keys: tensor<2x100xi64>) -> tensor<2x100xi32> {
  %r = kernel.region ins(%keys : tensor<2x100xi64>) -> tensor<2x100xi32> attributes {hint = "top_k"} {
  ^bb0(%k: tensor<2x100xi64>):
    %i = linalg_ext.top_k %k : tensor<2x100xi64> -> tensor<2x100xi32>
    kernel.yield %i : tensor<2x100xi32>
  }
  func.return %r : tensor<2x100xi32>
}
// CHECK-NOT: linalg_ext.select
// CHECK: linalg_ext.counting_sort %{{.*}} shift 0 : i64 : tensor<2x100xi64> -> tensor<2x100xi32>
// CHECK: linalg_ext.counting_sort %{{.*}} order %{{.*}} shift 8 : i64
// CHECK: shift 56 : i64

// -----

// Few of few keys stay together.
// CHECK-LABEL: func.func @main
func.func @main(%keys: tensor<2x10xi32>) -> tensor<2x10xi32> {
  %r = kernel.region ins(%keys : tensor<2x10xi32>) -> tensor<2x10xi32> attributes {hint = "top_k"} {
  ^bb0(%k: tensor<2x10xi32>):
    %i = linalg_ext.top_k %k : tensor<2x10xi32> -> tensor<2x10xi32>
    kernel.yield %i : tensor<2x10xi32>
  }
  func.return %r : tensor<2x10xi32>
}
// CHECK: linalg_ext.top_k
// CHECK-NOT: linalg_ext.counting_sort
