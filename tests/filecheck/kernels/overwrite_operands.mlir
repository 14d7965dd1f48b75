// RUN: webdnn-opt %s -p overwrite-operands | filecheck %s
// RUN: webdnn-opt %s -p overwrite-operands,'plan-memory{target=wasm}' | filecheck %s --check-prefix PLAN

func.func @main(%x: tensor<4x4xf32>) -> tensor<4x4xf32> attributes {webdnn.input_names = ["x"], webdnn.output_names = ["y"], webdnn.input_dtypes = ["float32"], webdnn.output_dtypes = ["float32"]} {
  %a = plan.launch @add(%x, %x) : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %b = plan.launch @add(%a, %x) : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %c = plan.launch @add(%a, %b) : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %d = plan.launch @turn(%c) : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %e = plan.launch @add(%d, %d) : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  func.return %e : tensor<4x4xf32>
}
kernel.func @add(%x: tensor<4x4xf32>, %y: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %e = tensor.empty() : tensor<4x4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%x, %y : tensor<4x4xf32>, tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%i: f32, %j: f32, %o: f32):
    %s = arith.addf %i, %j : f32
    linalg.yield %s : f32
  } -> tensor<4x4xf32>
  kernel.return %r : tensor<4x4xf32>
}
kernel.func @turn(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %e = tensor.empty() : tensor<4x4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d1, d0)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) {
  ^bb0(%i: f32, %o: f32):
    linalg.yield %i : f32
  } -> tensor<4x4xf32>
  kernel.return %r : tensor<4x4xf32>
}

// %a is read again after the second launch; an input of the model is never written; @turn reads other elements than
// those that it writes; the last launch reads %d twice.
// CHECK:      plan.launch @add(%{{.*}}, %{{.*}}) : (
// CHECK-NEXT: plan.launch @add(%{{.*}}, %{{.*}}) : (
// CHECK-NEXT: plan.launch @add(%{{.*}}, %{{.*}}) {over = 0 : i64} : (
// CHECK-NEXT: plan.launch @turn(%{{.*}}) : (
// CHECK-NEXT: plan.launch @add(%{{.*}}, %{{.*}}) : (
// CHECK:      kernel.func @add{{.*}} attributes {may_alias = array<i64: 0, 2>}
// CHECK:      kernel.func @turn(%{{[a-z0-9]*}}: tensor<4x4xf32>) -> tensor<4x4xf32> {

// PLAN: plan.launch_into @add(%[[X:.*]], %[[X]], %[[A:.*]])
// PLAN: plan.launch_into @add(%[[A]], %[[X]], %[[B:.*]])
// PLAN: plan.launch_into @add(%[[A]], %[[B]], %[[A]])
