// RUN: webdnn-opt %s -p convert-nn-to-linalg --split-input-file | filecheck %s

// The bits of a float without its sign, negated where it is set; NaN above all; turned over where the greatest comes first.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x3x100xf32>) -> tensor<2x3x7xi64> {
  %i = nn.top_k %x k 7 : i64 largest 1 : i64 : tensor<2x3x100xf32> -> tensor<2x3x7xi64>
  func.return %i : tensor<2x3x7xi64>
}
// CHECK: %[[ROWS:.*]] = plan.view %x : tensor<2x3x100xf32> to tensor<6x100xf32>
// CHECK: %[[KEYS:.*]] = kernel.region ins(%[[ROWS]] : tensor<6x100xf32>) -> tensor<6x100xi32>
// CHECK: %[[BITS:.*]] = arith.bitcast %{{.*}} : f32 to i32
// CHECK: %[[MOST:.*]] = arith.constant 2147483647 : i32
// CHECK: %[[SIZE:.*]] = arith.andi %[[BITS]], %[[MOST]] : i32
// CHECK: %[[ZERO:.*]] = arith.constant 0 : i32
// CHECK: %[[NEGATED:.*]] = arith.subi %[[ZERO]], %[[SIZE]] : i32
// CHECK: %[[NEGATIVE:.*]] = arith.cmpi slt, %[[BITS]], %[[ZERO]] : i32
// CHECK: %[[ORDERED:.*]] = arith.select %[[NEGATIVE]], %[[NEGATED]], %[[SIZE]] : i32
// CHECK: %[[INFINITY:.*]] = arith.constant 2139095040 : i32
// CHECK: %[[NAN:.*]] = arith.cmpi sgt, %[[SIZE]], %[[INFINITY]] : i32
// CHECK: %[[KEY:.*]] = arith.select %[[NAN]], %{{.*}}, %[[ORDERED]] : i32
// CHECK: arith.xori %[[KEY]], %{{.*}} : i32
// CHECK: %[[FIRST:.*]] = kernel.region ins(%[[KEYS]] : tensor<6x100xi32>) -> tensor<6x7xi32>
// CHECK: linalg_ext.top_k %{{.*}} : tensor<6x100xi32> -> tensor<6x7xi32>
// CHECK: kernel.region ins(%[[FIRST]] : tensor<6x7xi32>) -> tensor<6x7xi64>
// CHECK: arith.extsi
// CHECK: plan.view %{{.*}} : tensor<6x7xi64> to tensor<2x3x7xi64>

// -----

// Unsigned numbers of 64 bits have keys of 64 bits, with their highest bit turned over.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<100xui64>) -> tensor<2xi64> {
  %i = nn.top_k %x k 2 : i64 largest 0 : i64 : tensor<100xui64> -> tensor<2xi64>
  func.return %i : tensor<2xi64>
}
// CHECK: %[[SIGN:.*]] = arith.constant -9223372036854775808 : i64
// CHECK: arith.xori %{{.*}}, %[[SIGN]] : i64
// CHECK: linalg_ext.top_k %{{.*}} : tensor<1x100xi64> -> tensor<1x2xi32>

// -----

// One element is a reduction of keys, as that of nn.arg_reduce.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<4x100xi8>) -> tensor<4x1xi64> {
  %i = nn.top_k %x k 1 : i64 largest 0 : i64 : tensor<4x100xi8> -> tensor<4x1xi64>
  func.return %i : tensor<4x1xi64>
}
// CHECK-NOT: linalg_ext
// CHECK: arith.extsi %{{.*}} : i8 to i32
// CHECK: arith.minsi
// CHECK: arith.minsi
// CHECK-NOT: linalg_ext
