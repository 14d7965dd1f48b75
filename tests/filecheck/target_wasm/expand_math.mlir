// RUN: webdnn-opt %s -p expand-math | filecheck %s

// exp by arithmetic on vectors; its argument is clamped by selects that are one instruction each (pmax, pmin), and there
// is no branch. sqrt is an instruction and stays.
kernel.func @vectors(%x: memref<4xf32>, %out: memref<4xf32>) attributes {num_outputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %a = vector.load %x[%c0] : memref<4xf32>, vector<4xf32>
  %s = math.sqrt %a : vector<4xf32>
  %e = math.exp %s : vector<4xf32>
  vector.store %e, %out[%c0] : memref<4xf32>, vector<4xf32>
  kernel.return
}

// CHECK:      kernel.func @vectors
// CHECK:        %[[S:.*]] = math.sqrt
// CHECK-NEXT:   %[[BELOW:.*]] = vector_ext.cmpf "olt" %[[S]], %[[LEAST:.*]] : vector<4xf32>
// CHECK-NEXT:   %[[LOW:.*]] = vector_ext.select %[[BELOW]], %[[LEAST]], %[[S]]
// CHECK-NEXT:   %[[ABOVE:.*]] = vector_ext.cmpf "olt" %[[MOST:.*]], %[[LOW]] : vector<4xf32>
// CHECK-NEXT:   %[[X:.*]] = vector_ext.select %[[ABOVE]], %[[MOST]], %[[LOW]]
// CHECK-NEXT:   %[[SHIFTED:.*]] = vector.fma %[[X]], %{{.*}}, %{{.*}} : vector<4xf32>
// CHECK-NEXT:   arith.subf %[[SHIFTED]]
// CHECK:        arith.bitcast %[[SHIFTED]] : vector<4xf32> to vector<4xi32>
// CHECK-NOT:    select
// CHECK-NOT:    math.exp
// CHECK:        vector.store

// The angle of a sine is reduced in double precision; huge ones take a branch.
kernel.func @scalars(%x: memref<1xf32>, %out: memref<1xf32>) attributes {num_outputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %a = memref.load %x[%c0] : memref<1xf32>
  %s = math.sin %a : f32
  memref.store %s, %out[%c0] : memref<1xf32>
  kernel.return
}

// CHECK:      kernel.func @scalars
// CHECK:        arith.extf %{{.*}} : f32 to f64
// CHECK:        scf.if
// CHECK:        arith.truncf %{{.*}} : f64 to f32
// CHECK-NOT:    math.sin

// Tensors (level `kernels`) are not touched.
kernel.func @tensors(%x: tensor<4xf32>) -> tensor<4xf32> {
  kernel.return %x : tensor<4xf32>
}

// CHECK: kernel.func @tensors

// A remainder is taken in double precision where the quotient is small, else by long division of integers, 40 bits at a
// time.
kernel.func @remainder(%x: memref<2xf32>, %out: memref<1xf32>) attributes {num_outputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %a = memref.load %x[%c0] : memref<2xf32>
  %b = memref.load %x[%c1] : memref<2xf32>
  %r = arith_ext.remf %a, %b : f32
  memref.store %r, %out[%c0] : memref<1xf32>
  kernel.return
}

// CHECK:      kernel.func @remainder
// CHECK:        arith.divf %{{.*}}, %{{.*}} : f64
// CHECK:        scf.if
// CHECK:        %[[FIRST:.*]] = arith.remui %{{.*}}, %[[DIVISOR:.*]] : i64
// CHECK:        %[[REST:.*]] = scf.for %{{.*}} iter_args(%[[SO_FAR:.*]] = %[[FIRST]]) -> (i64) {
// CHECK-NEXT:     %[[SHIFTED:.*]] = arith.shli %[[SO_FAR]], %{{.*}} : i64
// CHECK-NEXT:     %[[NEXT:.*]] = arith.remui %[[SHIFTED]], %[[DIVISOR]] : i64
// CHECK-NEXT:     scf.yield %[[NEXT]] : i64
// CHECK:        math.ctlz %[[REST]] : i64
// CHECK-NOT:    arith_ext.remf
// CHECK:        memref.store
