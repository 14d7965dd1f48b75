// RUN: webdnn-opt %s -p 'wgsl-split-bindings{binding_bytes=128}' | filecheck %s

// 200 bytes are two bindings, and so is each access. What fits stays as it is.
kernel.func @k(%x: memref<50xf32>, %small: memref<32xf32>, %out: memref<50xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %v = memref.load %x[%i] : memref<50xf32>
  memref.store %v, %out[%i] : memref<50xf32>
  kernel.return
}
// CHECK: kernel.func @k(%[[X0:.*]]: memref<32xf32>, %[[X1:.*]]: memref<18xf32>, %{{.*}}: memref<32xf32>, %[[Y0:.*]]: memref<32xf32>, %[[Y1:.*]]: memref<18xf32>)
// CHECK-SAME: wgsl.part_bytes = 128 : i64, num_outputs = 2
// CHECK: %[[N:.*]] = arith.constant 32 : index
// CHECK-NEXT: %[[IN:.*]] = arith.cmpi ult, %[[I:.*]], %[[N]] : index
// CHECK-NEXT: %[[V:.*]] = scf.if %[[IN]] -> (f32) {
// CHECK-NEXT:   %[[A:.*]] = memref.load %[[X0]][%[[I]]]
// CHECK-NEXT:   scf.yield %[[A]] : f32
// CHECK-NEXT: } else {
// CHECK:        %[[J:.*]] = arith.subi %[[I]], %{{.*}} : index
// CHECK-NEXT:   %[[B:.*]] = memref.load %[[X1]][%[[J]]]
// CHECK-NEXT:   scf.yield %[[B]] : f32
// CHECK-NEXT: }
// CHECK: scf.if
// CHECK-NEXT: memref.store %[[V]], %[[Y0]][%[[I]]]
// CHECK: else
// CHECK: memref.store %[[V]], %[[Y1]]
