// RUN: webdnn-opt %s -p lower-to-wgsl -t webdnn-wgsl | filecheck %s

kernel.func @scaled_tanh(%x: memref<256xf32>, %out: memref<256xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %c4 = arith.constant 4 : index
  %two = arith.constant dense<2.0> : vector<4xf32>
  %at = arith.muli %i, %c4 : index
  %v = vector.load %x[%at] : memref<256xf32>, vector<4xf32>
  %t = math.tanh %v : vector<4xf32>
  %r = arith.mulf %t, %two : vector<4xf32>
  vector.store %r, %out[%at] : memref<256xf32>, vector<4xf32>
  kernel.return
} loc(fused["Tanh_1", "Mul_2"])
// CHECK:      fn accurate_tanh_vec4(x: vec4f) -> vec4f {
// CHECK:      // Tanh_1, Mul_2
// CHECK-NEXT: @group(0) @binding(0) var<storage, read> x: array<vec4f, 64>;
// CHECK-NEXT: @group(0) @binding(1) var<storage, read_write> out: array<vec4f, 64>;
// CHECK-EMPTY:
// CHECK-NEXT: @compute @workgroup_size(64, 1, 1)
// CHECK-NEXT: fn scaled_tanh(@builtin(local_invocation_id) local_id: vec3u) {
// CHECK-NEXT:   let i = i32(local_id.x);
// CHECK-NEXT:   out[i] = accurate_tanh_vec4(x[i]) * 2.0;
// CHECK-NEXT: }
