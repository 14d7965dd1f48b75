// RUN: webdnn-opt %s -p place-parts | filecheck %s
// RUN: webdnn-opt %s -p place-parts | webdnn-opt | filecheck %s
// RUN: webdnn-opt %s -p place-parts,'plan-memory{target=wasm}' | filecheck %s --check-prefix PLAN
// RUN: webdnn-opt %s -p place-parts,lower-kernels-to-cpu-loops | filecheck %s --check-prefix LOOPS

func.func @main(%x: tensor<3x4xf32>) -> tensor<3x20xf32> attributes {webdnn.input_names = ["x"], webdnn.output_names = ["y"], webdnn.input_dtypes = ["float32"], webdnn.output_dtypes = ["float32"]} {
  %a = plan.launch @exp(%x) : (tensor<3x4xf32>) -> tensor<3x4xf32>
  %b = plan.launch @exp(%a) : (tensor<3x4xf32>) -> tensor<3x4xf32>
  %c = plan.launch @concat_0(%a, %b) : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x8xf32>
  %v = plan.view %b : tensor<3x4xf32> to tensor<1x3x4xf32>
  %w = plan.view %v : tensor<1x3x4xf32> to tensor<3x4xf32>
  %d = plan.launch @exp(%w) : (tensor<3x4xf32>) -> tensor<3x4xf32>
  %e = plan.launch @concat_1(%c, %d, %c) : (tensor<3x8xf32>, tensor<3x4xf32>, tensor<3x8xf32>) -> tensor<3x20xf32>
  func.return %e : tensor<3x20xf32>
}
kernel.func @exp(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
  %e = tensor.empty() : tensor<3x4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<3x4xf32>) outs(%e : tensor<3x4xf32>) {
  ^bb0(%i: f32, %o: f32):
    %s = math.exp %i : f32
    linalg.yield %s : f32
  } -> tensor<3x4xf32>
  kernel.return %r : tensor<3x4xf32>
}
kernel.func @concat_0(%a: tensor<3x4xf32>, %b: tensor<3x4xf32>) -> tensor<3x8xf32> {
  %r = tensor.concat dim(1) %a, %b : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x8xf32>
  kernel.return %r : tensor<3x8xf32>
}
kernel.func @concat_1(%a: tensor<3x8xf32>, %b: tensor<3x4xf32>, %c: tensor<3x8xf32>) -> tensor<3x20xf32> {
  %r = tensor.concat dim(1) %a, %b, %c : (tensor<3x8xf32>, tensor<3x4xf32>, tensor<3x8xf32>) -> tensor<3x20xf32>
  kernel.return %r : tensor<3x20xf32>
}

// Both concatenations are one tensor; what comes a second time is copied.
// CHECK:      %[[A:.*]] = plan.launch @exp_part_0(%{{.*}}) : (tensor<3x4xf32>)
// CHECK-NEXT: %[[B:.*]] = plan.launch @exp_part_1(%[[A]])
// CHECK-NEXT: %[[C:.*]] = plan.concat %[[A]], %[[B]] {axis = 1 : i64} : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x8xf32>
// CHECK:      %[[D:.*]] = plan.launch @exp_part_1(
// CHECK-NEXT: %[[E:.*]] = plan.launch @copy_0_part_0(%[[C]])
// CHECK-NEXT: %[[R:.*]] = plan.concat %[[C]], %[[D]], %[[E]] {axis = 1 : i64}
// CHECK-NEXT: func.return %[[R]]
// CHECK-NOT:  @concat
// CHECK:      kernel.func @exp_part_0{{.*}} attributes {strides = [array<i64>, array<i64: 20, 1>]}
// CHECK:      kernel.func @exp_part_1{{.*}} attributes {strides = [array<i64: 20, 1>, array<i64: 20, 1>]}
// CHECK-NOT:  @concat

// Parts overlap in memory, and reach from their first to their last element.
// PLAN-DAG: %[[Y:.*]] = plan.slice "arena" 0 : i64[0 : i64] bytes 240
// PLAN-DAG: %[[P:.*]] = plan.slice "arena" 0 : i64[0 : i64] bytes 176
// PLAN-DAG: %[[Q:.*]] = plan.slice "arena" 0 : i64[16 : i64] bytes 176
// PLAN-DAG: %[[S:.*]] = plan.slice "arena" 0 : i64[32 : i64] bytes 176
// PLAN-DAG: plan.launch_into @exp_part_1(%[[P]], %[[Q]])
// PLAN-DAG: plan.launch_into @exp_part_1(%[[Q]], %[[S]])

// LOOPS: kernel.func @exp_part_1(%{{.*}}: memref<44xf32>, %{{.*}}: memref<44xf32>)
