// RUN: webdnn-opt %s -p lower-kernels-to-cpu-loops | filecheck %s

// The last key that is wanted, digit by digit: keys that begin as it does are counted by their next digit.
kernel.func @select(%keys: tensor<2x100xi32>) -> tensor<2x3xi32> {
  %r = linalg_ext.select %keys : tensor<2x100xi32> -> tensor<2x3xi32>
  kernel.return %r : tensor<2x3xi32>
}
// CHECK-LABEL: kernel.func @select
// CHECK-SAME: (%[[KEYS:.*]]: memref<200xi32>, %[[OUT:.*]]: memref<6xi32>)
// CHECK: "scf.parallel"
// CHECK: %[[COUNTS:.*]] = memref.alloca() : memref<256xi32>
// CHECK: %[[LAST:.*]], %{{.*}}, %[[TIES:.*]] = scf.for {{.*}} -> (i32, i32, i32)
// CHECK: memref.store %{{.*}}, %[[COUNTS]]
// CHECK: scf.for
// CHECK: memref.load %[[KEYS]]
// CHECK: scf.if
// CHECK: memref.store %{{.*}}, %[[COUNTS]]
// CHECK: scf.for {{.*}} -> (i32, i32, i32)
// CHECK: memref.load %[[COUNTS]]
// Then what is less is kept, and as many equal ones as there is room for.
// CHECK: scf.for {{.*}} iter_args(%{{.*}} = %{{.*}}, %{{.*}} = %[[TIES]]) -> (i32, i32)
// CHECK: arith.cmpi sle
// CHECK: arith.cmpi eq
// CHECK: memref.store %{{.*}}, %[[OUT]]

// The keys of each digit are counted, so that each knows where it begins; and each position goes to its place.
kernel.func @counting_sort(%keys: tensor<2x100xi64>, %order: tensor<2x3xi32>) -> tensor<2x3xi32> {
  %r = linalg_ext.counting_sort %keys order %order shift 16 : i64 : tensor<2x100xi64>, tensor<2x3xi32> -> tensor<2x3xi32>
  kernel.return %r : tensor<2x3xi32>
}
// CHECK-LABEL: kernel.func @counting_sort
// CHECK-SAME: (%[[KEYS:.*]]: memref<200xi64>, %[[ORDER:.*]]: memref<6xi32>, %[[OUT:.*]]: memref<6xi32>)
// CHECK: %[[PLACES:.*]] = memref.alloca() : memref<256xi32>
// CHECK: memref.load %[[ORDER]]
// CHECK: memref.load %[[KEYS]]
// CHECK: arith.shrui
// CHECK: memref.store %{{.*}}, %[[PLACES]]
// CHECK: scf.for {{.*}} -> (i32)
// CHECK: memref.store %{{.*}}, %[[OUT]]
// CHECK: memref.store %{{.*}}, %[[PLACES]]

// The first three keys so far, in order: a key that comes before the last of them moves those after it.
kernel.func @top_k(%keys: tensor<2x100xi32>) -> tensor<2x3xi32> {
  %r = linalg_ext.top_k %keys : tensor<2x100xi32> -> tensor<2x3xi32>
  kernel.return %r : tensor<2x3xi32>
}
// CHECK-LABEL: kernel.func @top_k
// CHECK-SAME: (%[[KEYS:.*]]: memref<200xi32>, %[[OUT:.*]]: memref<6xi32>)
// CHECK: %[[KEPT:.*]] = memref.alloca() : memref<3xi32>
// CHECK: %[[POSITIONS:.*]] = memref.alloca() : memref<3xi32>
// CHECK: %[[KEY:.*]] = memref.load %[[KEYS]]
// CHECK: %[[OLD:.*]] = memref.load %[[KEPT]]
// CHECK: arith.cmpi slt, %[[KEY]], %[[OLD]] : i32
// CHECK: scf.if
// CHECK: scf.for
// CHECK: memref.store %{{.*}}, %[[KEPT]]
// CHECK: memref.store %{{.*}}, %[[POSITIONS]]
// CHECK: memref.store %{{.*}}, %[[OUT]]
