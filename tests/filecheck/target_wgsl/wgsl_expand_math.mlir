// RUN: webdnn-opt %s -p wgsl-expand-math --split-input-file | filecheck %s

// One helper function for each function and type; sqrt is built in.
kernel.func @k(%x: memref<64xf32>, %out: memref<64xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %v = memref.load %x[%i] : memref<64xf32>
  %a = math.erf %v : f32
  %b = math.erf %a : f32
  %c = math.sqrt %b : f32
  %nan = arith.cmpf uno, %c, %c : f32
  %r = arith.select %nan, %a, %c : f32
  memref.store %r, %out[%i] : memref<64xf32>
  kernel.return
}
// CHECK:      func.func private @accurate_erf(%x: f32) -> f32
// CHECK-NOT:  func.func
// CHECK:      kernel.func @k
// CHECK:      %a = func.call @accurate_erf(%v) : (f32) -> f32
// CHECK-NEXT: %b = func.call @accurate_erf(%a) : (f32) -> f32
// CHECK-NEXT: %c = math.sqrt %b : f32
// CHECK-NEXT: %{{.*}} = arith.bitcast %c : f32 to i32

// -----

// A remainder of floats is long division of integers, in a function of its own. Of integers it is 0 where the divisor is
// 0, which need not be asked of a constant.
kernel.func @remainders(%x: memref<64xf32>, %n: memref<64xi32>, %out: memref<64xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %v = memref.load %x[%i] : memref<64xf32>
  %m = memref.load %n[%i] : memref<64xi32>
  %seven = arith.constant 7 : i32
  %p = arith.remsi %m, %seven : i32
  %q = arith.remsi %seven, %p : i32
  %w = arith.sitofp %q : i32 to f32
  %r = arith_ext.remf %v, %w : f32
  memref.store %r, %out[%i] : memref<64xf32>
  kernel.return
}
// CHECK:      func.func private @accurate_remf(%x: f32, %y: f32) -> f32
// CHECK:        scf.for
// CHECK:      kernel.func @remainders
// CHECK:      %p = arith.remsi %m, %seven : i32
// CHECK-NEXT: %[[ZERO:.*]] = arith.constant 0 : i32
// CHECK-NEXT: %[[BY_ZERO:.*]] = arith.cmpi eq, %p, %[[ZERO]] : i32
// CHECK:      %[[REST:.*]] = arith.remsi %seven, %p : i32
// CHECK-NEXT: %q = arith.select %[[BY_ZERO]], %{{.*}}, %[[REST]] : i32
// CHECK:      func.call @accurate_remf
