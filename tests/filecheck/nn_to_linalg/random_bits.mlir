// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg | filecheck %s
// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,fuse-kernel-regions | filecheck %s --check-prefix FUSED

// The number of the element is the counter; the words of the seed and the stream are operands, so that nodes share a kernel.
func.func @main(%p: tensor<3x5xf32>, %seed: tensor<2xui32>) -> tensor<3x5xi1> attributes {webdnn.seed} {
  %stream = nn.constant dense<7> : tensor<ui32> : tensor<ui32>
  %bits = nn.random_bits %seed, %stream word 1 : i64 : tensor<2xui32>, tensor<ui32> -> tensor<3x5xui32>
  %f = nn.cast %bits : tensor<3x5xui32> -> tensor<3x5xf32>
  %y = nn.less %f, %p : tensor<3x5xf32>, tensor<3x5xf32> -> tensor<3x5xi1>
  func.return %y : tensor<3x5xi1>
}
// CHECK:      func.func @main(%p: tensor<3x5xf32>, %seed: tensor<2xi32>) -> tensor<3x5xi1>
// CHECK:      kernel.region ins(%seed, %{{.*}} : tensor<2xi32>, tensor<i32>) -> tensor<3x5xi32>
// CHECK:      linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (0)>, affine_map<(d0, d1) -> (1)>, affine_map<(d0, d1) -> ()>, affine_map<(d0, d1) -> (d0, d1)>]
// CHECK:      ^{{.*}}(%[[LOW:.*]]: i32, %[[HIGH:.*]]: i32, %[[STREAM:.*]]: i32, %{{.*}}: i32):
// CHECK-NEXT:   %[[I:.*]] = linalg.index 0 : index
// CHECK-NEXT:   %[[J:.*]] = linalg.index 1 : index
// CHECK-NEXT:   %[[FIVE:.*]] = arith.constant 5 : index
// CHECK-NEXT:   %[[ROW:.*]] = arith.muli %[[I]], %[[FIVE]] : index
// CHECK-NEXT:   %[[AT:.*]] = arith.addi %[[ROW]], %[[J]] : index
// CHECK-NEXT:   %[[COUNTER:.*]] = arith.index_cast %[[AT]] : index to i32
// CHECK-NEXT:   %[[PARITY:.*]] = arith.constant 466688986 : i32
// CHECK-NEXT:   %[[BOTH:.*]] = arith.xori %[[LOW]], %[[HIGH]] : i32
// CHECK-NEXT:   %[[THIRD:.*]] = arith.xori %[[PARITY]], %[[BOTH]] : i32
// CHECK-NEXT:   %[[X:.*]] = arith.addi %[[COUNTER]], %[[LOW]] : i32
// CHECK-NEXT:   %[[Y:.*]] = arith.addi %[[STREAM]], %[[HIGH]] : i32
// CHECK-NEXT:   %[[X1:.*]] = arith.addi %[[X]], %[[Y]] : i32
// CHECK-NEXT:   arith.constant 13 : i32
// CHECK-NEXT:   %[[L:.*]] = arith.shli %[[Y]]
// CHECK-NEXT:   arith.constant 19 : i32
// CHECK-NEXT:   %[[R:.*]] = arith.shrui %[[Y]]
// CHECK-NEXT:   %[[TURNED:.*]] = arith.ori %[[L]], %[[R]] : i32
// CHECK-NEXT:   arith.xori %[[TURNED]], %[[X1]] : i32

// All of it is one body.
// FUSED:      kernel.region
// FUSED:      linalg.generic
// FUSED:      arith.uitofp
// FUSED:      arith.cmpf
// FUSED-NOT:  linalg.generic
// FUSED:      func.return
