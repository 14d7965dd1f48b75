// RUN: webdnn-opt %s -p wgsl-compose-vectors,wgsl-erase-unused | filecheck %s

// CHECK-LABEL: kernel.func @gather(
// CHECK:         [[a:%.+]] = memref.load
// CHECK:         [[b:%.+]] = memref.load
// CHECK-NEXT:    [[v:%.+]] = wgsl.compose [[a]], [[b]], [[a]], [[b]]
// CHECK-NEXT:    vector.store [[v]]
kernel.func @gather(%x: memref<4xf32>, %y: memref<4xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [1 : i64, 1 : i64, 1 : i64]} {
  %zero = arith.constant 0 : index
  %two = arith.constant 2 : index
  %a = memref.load %x[%zero] : memref<4xf32>
  %b = memref.load %x[%two] : memref<4xf32>
  %s = vector.broadcast %a : f32 to vector<4xf32>
  %t = vector.insert %b, %s [1] : f32 into vector<4xf32>
  %u = vector.insert %b, %t [3] : f32 into vector<4xf32>
  vector.store %u, %y[%zero] : memref<4xf32>, vector<4xf32>
  kernel.return
}
