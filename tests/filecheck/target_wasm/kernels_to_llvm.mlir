// RUN: webdnn-opt %s -p lower-kernels-to-llvm | filecheck %s
// RUN: webdnn-opt %s -p "lower-kernels-to-llvm{relaxed=true}" | filecheck %s --check-prefix=RELAXED

// A sum of products: loops that surely run have their test at the end; indices do not wrap; the
// constant part of an address comes last.
kernel.func @dot(%x: memref<64xf32>, %y: memref<64xf32>, %out: memref<8xf32>) attributes {num_outputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %c4 = arith.constant 4 : index
  %c8 = arith.constant 8 : index
  %zero = arith.constant dense<0.0> : vector<4xf32>
  scf.for %i = %c0 to %c8 step %c2 {
    %row = arith.muli %i, %c8 : index
    %sum = scf.for %j = %c0 to %c8 step %c4 iter_args(%acc = %zero) -> (vector<4xf32>) {
      %at = arith.addi %row, %j : index
      %next = arith.addi %at, %c4 : index
      %a = vector.load %x[%at] : memref<64xf32>, vector<4xf32>
      %b = vector.load %y[%next] : memref<64xf32>, vector<4xf32>
      %r = vector.fma %a, %b, %acc : vector<4xf32>
      scf.yield %r : vector<4xf32>
    }
    %first = vector.extract %sum[0] : f32 from vector<4xf32>
    memref.store %first, %out[%i] : memref<8xf32>
  }
  kernel.return
}

// CHECK:      llvm.func @dot(%{{.*}}: !llvm.ptr {llvm.noalias, llvm.nocapture}, %{{.*}}: !llvm.ptr {llvm.noalias, llvm.nocapture}, %{{.*}}: !llvm.ptr {llvm.noalias, llvm.nocapture})
// CHECK:        llvm.br ^[[OUTER:bb[0-9]+]](%{{.*}} : i32)
// CHECK-NEXT: ^[[OUTER]](%[[I:.*]]: i32):
// CHECK-NEXT:   %[[ROW:.*]] = llvm.mul %[[I]], %{{.*}} overflow<nsw,nuw> : i32
// CHECK-NEXT:   llvm.br ^[[INNER:bb[0-9]+]](%{{.*}}, %{{.*}} : i32, vector<4xf32>)
// CHECK-NEXT: ^[[INNER]](%[[J:.*]]: i32, %[[ACC:.*]]: vector<4xf32>):
// CHECK-NEXT:   %[[AT:.*]] = llvm.add %[[ROW]], %[[J]] overflow<nsw,nuw> : i32
// CHECK-NEXT:   %{{.*}} = llvm.add %[[AT]], %{{.*}} overflow<nsw,nuw> : i32
// CHECK-NEXT:   %[[PX:.*]] = llvm.getelementptr inbounds %{{.*}}[%[[AT]]] : (!llvm.ptr, i32) -> !llvm.ptr, f32
// CHECK-NEXT:   %[[A:.*]] = llvm.load %[[PX]] {alignment = 4 : i64} : !llvm.ptr -> vector<4xf32>
// CHECK-NEXT:   %[[PY:.*]] = llvm.getelementptr inbounds %{{.*}}[%[[AT]]] : (!llvm.ptr, i32) -> !llvm.ptr, f32
// CHECK-NEXT:   %[[PY4:.*]] = llvm.getelementptr inbounds %[[PY]][4] : (!llvm.ptr) -> !llvm.ptr, f32
// CHECK-NEXT:   %[[B:.*]] = llvm.load %[[PY4]] {alignment = 4 : i64} : !llvm.ptr -> vector<4xf32>
// CHECK-NEXT:   %[[P:.*]] = llvm.fmul %[[A]], %[[B]] : vector<4xf32>
// CHECK-NEXT:   %[[R:.*]] = llvm.fadd %[[P]], %[[ACC]] : vector<4xf32>
// CHECK-NEXT:   %[[NEXT:.*]] = llvm.add %[[J]], %{{.*}} overflow<nsw,nuw> : i32
// CHECK-NEXT:   %[[MORE:.*]] = llvm.icmp "slt" %[[NEXT]], %{{.*}} : i32
// CHECK-NEXT:   llvm.cond_br %[[MORE]], ^[[INNER]](%[[NEXT]], %[[R]] : i32, vector<4xf32>), ^{{.*}}(%[[R]] : vector<4xf32>)
// CHECK:        llvm_ext.extractelement
// CHECK:        llvm.store %{{.*}}, %{{.*}} {alignment = 4 : i64} : f32, !llvm.ptr

// RELAXED: llvm.call_intrinsic "llvm.wasm.relaxed.madd.v4f32"(%{{.*}}, %{{.*}}, %{{.*}})

// A truth value is a byte in memory; a branch becomes blocks, its result a block argument; the
// operands may overlap.
kernel.func @choose(%p: memref<4xi1>, %x: memref<4xf64>, %out: memref<4xf64>) attributes {num_outputs = 1 : i64, may_alias = array<i64: 0, 1, 2>} {
  %c1 = arith.constant 1 : index
  %t = memref.load %p[%c1] : memref<4xi1>
  %r = scf.if %t -> (f64) {
    %v = memref.load %x[%c1] : memref<4xf64>
    scf.yield %v : f64
  } else {
    %one = arith.constant 1.0 : f64
    scf.yield %one : f64
  }
  memref.store %r, %out[%c1] : memref<4xf64>
  kernel.return
}

// CHECK:      llvm.func @choose(%{{.*}}: !llvm.ptr {llvm.nocapture}, %{{.*}}: !llvm.ptr {llvm.nocapture}, %{{.*}}: !llvm.ptr {llvm.nocapture})
// CHECK:        %[[BYTE:.*]] = llvm.load %{{.*}} {alignment = 1 : i64} : !llvm.ptr -> i8
// CHECK-NEXT:   %[[T:.*]] = llvm.icmp "ne" %[[BYTE]], %{{.*}} : i8
// CHECK-NEXT:   llvm.cond_br %[[T]], ^[[THEN:.*]], ^[[ELSE:.*]]
// CHECK-NEXT: ^[[THEN]]:
// CHECK:        llvm.br ^[[AFTER:bb[0-9]+]](%{{.*}} : f64)
// CHECK-NEXT: ^[[ELSE]]:
// CHECK-NEXT:   llvm.br ^[[AFTER]](%{{.*}} : f64)
// CHECK-NEXT: ^[[AFTER]](%[[R:.*]]: f64):
// CHECK:        llvm.store %[[R]]

// The greater of a vector and a known number is one instruction, in which a NaN wins; any two vectors take more.
kernel.func @clip(%x: memref<4xf32>, %out: memref<4xf32>) attributes {num_outputs = 1 : i64} {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %zeros = vector.broadcast %zero : f32 to vector<4xf32>
  %v = vector.load %x[%c0] : memref<4xf32>, vector<4xf32>
  %a = arith.maximumf %zeros, %v fastmath<nsz> : vector<4xf32>
  %b = arith.minimumf %a, %v fastmath<nsz> : vector<4xf32>
  vector.store %b, %out[%c0] : memref<4xf32>, vector<4xf32>
  kernel.return
}

// CHECK:      llvm.func @clip
// CHECK:        %[[V:.*]] = llvm.load %{{.*}} -> vector<4xf32>
// CHECK:        %[[A:.*]] = llvm.call_intrinsic "llvm.wasm.pmax.v4f32"(%[[V]], %{{.*}})
// CHECK:        llvm.call_intrinsic "llvm.minimum.v4f32"(%[[A]], %[[V]])

// What is no kernel of level `loops` stays.
func.func @untouched() {
  func.return
}

// CHECK: func.func @untouched
