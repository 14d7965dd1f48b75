// RUN: webdnn-opt %s -p wgsl-split-vectors | filecheck %s

// Six elements are a vector of four and one of two, also where a loop carries them.
kernel.func @k(%x: memref<384xf32>, %out: memref<384xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %c0 = arith.constant 0 : index
  %c6 = arith.constant 6 : index
  %c384 = arith.constant 384 : index
  %zero = arith.constant dense<0.0> : vector<6xf32>
  %s = scf.for %i = %c0 to %c384 step %c6 iter_args(%acc = %zero) -> (vector<6xf32>) {
    %v = vector.load %x[%i] : memref<384xf32>, vector<6xf32>
    %n = arith.addf %acc, %v : vector<6xf32>
    scf.yield %n : vector<6xf32>
  }
  vector.store %s, %out[%c0] : memref<384xf32>, vector<6xf32>
  kernel.return
}
// CHECK:      %s, %s_1 = scf.for %i = %c0 to %c384 step %c6 iter_args(%acc = %zero, %acc_1 = %zero_1) -> (vector<4xf32>, vector<2xf32>)
// CHECK:        %v = vector.load %x[%i] : memref<384xf32>, vector<4xf32>
// CHECK-NEXT:   %v_1 = vector.load %x[%{{.*}}] : memref<384xf32>, vector<2xf32>
// CHECK-NEXT:   %n = arith.addf %acc, %v : vector<4xf32>
// CHECK-NEXT:   %n_1 = arith.addf %acc_1, %v_1 : vector<2xf32>
// CHECK-NEXT:   scf.yield %n, %n_1
// CHECK:      vector.store %s, %out[%c0] : memref<384xf32>, vector<4xf32>
// CHECK-NEXT: vector.store %s_1, %out[%{{.*}}] : memref<384xf32>, vector<2xf32>
