// RUN: webdnn-opt %s -p expand-half | filecheck %s

// Halves are moved as they are, and computed with in single precision.
kernel.func @add(%x: memref<8xf16>, %out: memref<8xf16>) attributes {num_outputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %a = vector.load %x[%c0] : memref<8xf16>, vector<8xf16>
  %r = arith.addf %a, %a : vector<8xf16>
  vector.store %r, %out[%c0] : memref<8xf16>, vector<8xf16>
  kernel.return
}

// CHECK:      kernel.func @add
// CHECK:        %[[A:.*]] = vector.load
// CHECK-NEXT:   %[[BITS:.*]] = arith.bitcast %[[A]] : vector<8xf16> to vector<8xi16>
// CHECK-NEXT:   vector_ext.extui %[[BITS]] : vector<8xi16> to vector<8xi32>
// CHECK:        arith.addf %{{.*}}, %{{.*}} : vector<8xf32>
// CHECK:        vector_ext.trunci %{{.*}} : vector<8xi32> to vector<8xi16>
// CHECK-NEXT:   %[[R:.*]] = arith.bitcast %{{.*}} : vector<8xi16> to vector<8xf16>
// CHECK-NEXT:   vector.store %[[R]]
