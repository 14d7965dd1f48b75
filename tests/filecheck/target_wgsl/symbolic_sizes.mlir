// RUN: webdnn-opt %s -p lower-to-wgsl -t webdnn-wgsl | filecheck %s

// Sizes are members of a uniform behind the memory, whose arrays have the length of what is bound. A length that is a
// multiple of four makes vectors.
kernel.func @twice(%rows: index, %x: memref<?xf32>, %out: memref<?xf32>) attributes {sizes = #nn.sizes<rows[1 to 512]>, lengths = #nn.sizes<rows[1 to 512] * 8, rows[1 to 512] * 8>, num_outputs = 1 : i64, grid = #nn.sizes<(rows[1 to 512] * 2 + 63) floordiv 64, 1, 1>, workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %b = "gpu.block_id"() {dimension = #gpu<dim x>} : () -> index
  %t = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %c64 = arith.constant 64 : index
  %c2 = arith.constant 2 : index
  %c4 = arith.constant 4 : index
  %start = arith.muli %b, %c64 : index
  %i = arith.addi %start, %t : index
  %end = arith.muli %rows, %c2 : index
  %inside = arith.cmpi ult, %i, %end : index
  scf.if %inside {
    %at = arith.muli %i, %c4 : index
    %v = vector.load %x[%at] : memref<?xf32>, vector<4xf32>
    %r = arith.addf %v, %v : vector<4xf32>
    vector.store %r, %out[%at] : memref<?xf32>, vector<4xf32>
  }
  kernel.return
}
// CHECK:      @group(0) @binding(0) var<storage, read> x: array<vec4f>;
// CHECK-NEXT: @group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
// CHECK-NEXT: struct Sizes { rows: i32 }
// CHECK-NEXT: @group(0) @binding(2) var<uniform> sizes: Sizes;
// CHECK:      fn twice(
// CHECK:        if (u32(i) < u32(sizes.rows * 2)) {
// CHECK-NEXT:     let v = x[i];

// More workgroups than a dimension holds are numbered.
kernel.func @long(%n: index, %m: index, %x: memref<?xf32>, %out: memref<?xf32>) attributes {sizes = #nn.sizes<n[0 to 4096], m[0 to 400000 by 4]>, lengths = #nn.sizes<n[0 to 4096] * m[0 to 400000 by 4], n[0 to 4096] * m[0 to 400000 by 4]>, num_outputs = 1 : i64, grid = #nn.sizes<m[0 to 400000 by 4] floordiv 4, n[0 to 4096], 1>, workgroup = [1 : i64, 1 : i64, 1 : i64]} {
  %bx = "gpu.block_id"() {dimension = #gpu<dim x>} : () -> index
  %by = "gpu.block_id"() {dimension = #gpu<dim y>} : () -> index
  %c4 = arith.constant 4 : index
  %row = arith.muli %by, %m : index
  %column = arith.muli %bx, %c4 : index
  %at = arith.addi %row, %column : index
  %v = vector.load %x[%at] : memref<?xf32>, vector<4xf32>
  vector.store %v, %out[%at] : memref<?xf32>, vector<4xf32>
  kernel.return
}
// CHECK:      @group(0) @binding(0) var<storage, read> x{{.*}}: array<vec4f>;
// CHECK:      struct Sizes_1 { n: i32, m: i32 }
// CHECK-NEXT: @group(0) @binding(2) var<uniform> sizes_1: Sizes_1;
// CHECK:      fn long(
// CHECK:        let workgroup_1 = i32(workgroup_id.x) + i32(workgroup_id.y) * i32(num_workgroups.x);
// CHECK-NEXT:   let [[columns:.+]] = sizes_1.m / 4;
// CHECK-NEXT:   let bx = workgroup_1 % [[columns]];
// CHECK-NEXT:   let by = workgroup_1 / [[columns]];
// CHECK-NEXT:   if (workgroup_1 < sizes_1.m / 4 * sizes_1.n) {
