// RUN: webdnn-opt %s -p wgsl-expand-math | filecheck %s

// Beside a constant only the other operand may be a NaN; where NaNs need not be kept, nothing changes.
kernel.func @k(%x: memref<64xf32>, %out: memref<64xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %v = memref.load %x[%i] : memref<64xf32>
  %zero = arith.constant 0.0 : f32
  %a = arith.maximumf %v, %zero : f32
  %b = arith.maximumf %v, %a fastmath<nnan> : f32
  %c = arith.minimumf %a, %b : f32
  %d = arith.subf %c, %c : f32
  memref.store %d, %out[%i] : memref<64xf32>
  kernel.return
}
// CHECK:      %[[M:.*]] = arith.maxnumf %v, %zero : f32
// CHECK-NEXT: %[[B:.*]] = arith.bitcast %v : f32 to i32
// CHECK:      %[[NAN:.*]] = arith.cmpi sgt, %{{.*}}, %{{.*}} : i32
// CHECK-NEXT: %a = arith.select %[[NAN]], %v, %[[M]] : f32
// CHECK-NEXT: %b = arith.maximumf %v, %a fastmath<nnan> : f32
// CHECK-NEXT: %{{.*}} = arith.minnumf %a, %b : f32
// CHECK:      %[[SUM:.*]] = arith.addf %a, %b : f32
// CHECK:      %c = arith.select %{{.*}}, %[[SUM]], %{{.*}} : f32
// CHECK:      arith.cmpi slt
// CHECK:      %d = arith.select
