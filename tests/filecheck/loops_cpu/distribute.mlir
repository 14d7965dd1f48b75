// RUN: webdnn-opt %s -p 'distribute-parallel-loops{grain=10 shortest=1000}' | filecheck %s --check-prefixes=CHECK,OUTER
// RUN: webdnn-opt %s -p 'distribute-parallel-loops{grain=10 shortest=10}' | filecheck %s --check-prefixes=CHECK,INNER

// Five rows of seven elements, then one element: a line of 36 tasks. Rows are cut inside only where they are long enough.
kernel.func @negate(%x: memref<36xf32>, %y: memref<36xf32>) attributes {num_outputs = 1 : i64} {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %rows = arith.constant 5 : index
  %columns = arith.constant 7 : index
  %last = arith.constant 35 : index
  "scf.parallel"(%zero, %rows, %one) <{operandSegmentSizes = array<i32: 1, 1, 1, 0>}> ({
  ^bb0(%row: index):
    %start = arith.muli %row, %columns : index
    "scf.parallel"(%zero, %columns, %one) <{operandSegmentSizes = array<i32: 1, 1, 1, 0>}> ({
    ^bb1(%column: index):
      %at = arith.addi %start, %column : index
      %a = memref.load %x[%at] : memref<36xf32>
      %n = arith.negf %a : f32
      memref.store %n, %y[%at] : memref<36xf32>
      scf.reduce
    }) : (index, index, index) -> ()
    scf.reduce
  }) : (index, index, index) -> ()
  %a = memref.load %x[%last] : memref<36xf32>
  %n = arith.negf %a : f32
  memref.store %n, %y[%last] : memref<36xf32>
  kernel.return
}

// CHECK-LABEL: kernel.func @negate
// OUTER-SAME:    work = 218 : i64, grain = 10 : i64
// INNER-SAME:    work = 143 : i64, grain = 10 : i64
// CHECK:         %[[BEGIN:.*]], %[[END:.*]] = kernel.work_range
// OUTER:         arith.ceildivui %[[BEGIN]], %[[EACH:.*]] : index
// OUTER:         arith.ceildivui %[[END]], %[[EACH]] : index
// INNER:         arith.divui %[[BEGIN]], %[[EACH:.*]] : index
// INNER:         arith.ceildivui %[[END]], %[[EACH]] : index
// CHECK:         "scf.parallel"(%{{.*}}, %{{.*}}, %{{.*}})
// CHECK-NEXT:    ^bb0(%[[ROW:.*]]: index):
// OUTER-NEXT:      arith.muli %[[ROW]], %{{.*}}
// OUTER-NEXT:      "scf.parallel"
// INNER-NEXT:      %[[START:.*]] = arith.muli %[[ROW]], %[[EACH]] : index
// INNER:           arith.subi %[[BEGIN]], %[[START]] : index
// INNER:           arith.subi %[[END]], %[[START]] : index
// INNER:           "scf.parallel"
// CHECK:         arith.cmpi sle, %[[BEGIN]], %[[AT:.*]] : index
// CHECK-NEXT:    arith.cmpi slt, %[[AT]], %[[END]] : index
// CHECK-NEXT:    %[[MINE:.*]] = arith.andi
// CHECK-NEXT:    scf.if %[[MINE]] {
// CHECK-NEXT:      memref.load
// CHECK-NEXT:      arith.negf
// CHECK-NEXT:      memref.store
// CHECK-NEXT:    }
