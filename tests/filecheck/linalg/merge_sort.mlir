// RUN: webdnn-opt %s -p 'merge-sort{comparisons=0}' | filecheck %s

// A hundred keys are two blocks of 64; of each the first seven keys are kept, and the blocks are merged.
// CHECK-LABEL: func.func @main
func.func @main(%keys: tensor<2x100xi32>) -> tensor<2x7xi32> {
  %r = kernel.region ins(%keys : tensor<2x100xi32>) -> tensor<2x7xi32> attributes {hint = "top_k"} {
  ^bb0(%k: tensor<2x100xi32>):
    %i = linalg_ext.top_k %k : tensor<2x100xi32> -> tensor<2x7xi32>
    kernel.yield %i : tensor<2x7xi32>
  }
  func.return %r : tensor<2x7xi32>
}
// How many keys of a block come before each: those that are less, and equal ones before it.
// CHECK: %[[RANKS:.*]] = kernel.region ins(%keys : tensor<2x100xi32>) -> tensor<2x2x64xi32> attributes {hint = "rank"}
// CHECK: iterator_types = ["parallel", "parallel", "parallel", "reduction"]
// CHECK: %[[OTHER:.*]] = linalg.index 3 : index
// What the second block is filled up with is greater than any key.
// CHECK: arith.minsi %{{.*}}, %[[LAST:.*]] : i32
// CHECK: %[[MOST:.*]] = arith.constant 2147483647 : i32
// CHECK: arith.select %{{.*}}, %{{.*}}, %[[MOST]] : i32
// CHECK: arith.cmpi slt
// CHECK: arith.cmpi eq
// CHECK: arith.addi
// CHECK-NEXT: linalg.yield
// At each place the key that has so many before it.
// CHECK: %[[P:.*]], %[[K:.*]] = kernel.region ins(%keys, %[[RANKS]] : {{.*}}) -> tensor<2x2x7xi32>, tensor<2x2x7xi32> attributes {hint = "sort"}
// Where a merged block comes from is found in three steps, one after the other: up to seven from the left one.
// CHECK: %[[R:.*]] = kernel.region ins(%[[P]], %[[K]] : {{.*}}) -> tensor<2x1x7xi32> attributes {hint = "merge"}
// CHECK: tensor.empty() : tensor<3xi32>
// CHECK: iterator_types = ["parallel", "parallel", "parallel", "reduction"]
// CHECK: arith.shrsi
// CHECK: arith.select
// CHECK-NEXT: linalg.yield
// CHECK: %[[V:.*]] = plan.view %[[R]] : tensor<2x1x7xi32> to tensor<2x7xi32>
// CHECK-NEXT: func.return %[[V]]
// CHECK-NOT: linalg_ext
