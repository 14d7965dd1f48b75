// RUN: webdnn-opt %s -p wgsl-expand-math | filecheck %s

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
