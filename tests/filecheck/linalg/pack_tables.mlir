// RUN: webdnn-opt %s -p 'pack-tables{max_operands=4}' | filecheck %s

// Five operands and a result: the two tables of i32 share one operand, and so do those of f32.
func.func private @weights() -> (tensor<4xi32>, tensor<3xi32>, tensor<4xf32>, tensor<1x3xf32>) {
  %0 = nn.weight "a" : tensor<4xi32>
  %1 = nn.weight "b" : tensor<3xi32>
  %2 = nn.weight "c" : tensor<4xf32>
  %3 = nn.weight "d" : tensor<1x3xf32>
  func.return %0, %1, %2, %3 : tensor<4xi32>, tensor<3xi32>, tensor<4xf32>, tensor<1x3xf32>
}
func.func @main(%x: tensor<5x5xf32>) -> tensor<4x3xf32> {
  %a = plan.weight 0 : i64 : tensor<4xi32>
  %b = plan.weight 1 : i64 : tensor<3xi32>
  %c = plan.weight 2 : i64 : tensor<4xf32>
  %d = plan.weight 3 : i64 : tensor<1x3xf32>
  %y = kernel.region ins(%x, %a, %b, %c, %d : tensor<5x5xf32>, tensor<4xi32>, tensor<3xi32>, tensor<4xf32>, tensor<1x3xf32>) -> tensor<4x3xf32> {
  ^bb0(%x_in: tensor<5x5xf32>, %a_in: tensor<4xi32>, %b_in: tensor<3xi32>, %c_in: tensor<4xf32>, %d_in: tensor<1x3xf32>):
    %e = tensor.empty() : tensor<4x3xf32>
    %r = linalg.generic {indexing_maps = [affine_map<(p, q) -> (p)>, affine_map<(p, q) -> (q)>, affine_map<(p, q) -> (p)>, affine_map<(p, q) -> (0, q)>, affine_map<(p, q) -> (p, q)>], iterator_types = ["parallel", "parallel"]}
        ins(%a_in, %b_in, %c_in, %d_in : tensor<4xi32>, tensor<3xi32>, tensor<4xf32>, tensor<1x3xf32>) outs(%e : tensor<4x3xf32>) {
    ^bb1(%i: i32, %j: i32, %u: f32, %v: f32, %o: f32):
      %ii = arith.index_cast %i : i32 to index
      %jj = arith.index_cast %j : i32 to index
      %w = tensor.extract %x_in[%ii, %jj] : tensor<5x5xf32>
      %wu = arith.mulf %w, %u : f32
      %wv = arith.mulf %wu, %v : f32
      linalg.yield %wv : f32
    } -> tensor<4x3xf32>
    kernel.yield %r : tensor<4x3xf32>
  }
  func.return %y : tensor<4x3xf32>
}
// CHECK: func.func private @weights() -> (tensor<7xi32>, tensor<7xf32>)
// CHECK: nn.concat 0 : i64, %{{.*}}, %{{.*}} : tensor<4xi32>, tensor<3xi32> -> tensor<7xi32>
// CHECK: %[[I:.*]] = plan.weight 0 : i64 : tensor<7xi32>
// CHECK: %[[F:.*]] = plan.weight 1 : i64 : tensor<7xf32>
// CHECK: kernel.region ins(%x, %[[I]], %[[F]] : tensor<5x5xf32>, tensor<7xi32>, tensor<7xf32>)
// CHECK: tensor.extract %{{.*}} : tensor<7xf32>
// CHECK: tensor.extract %{{.*}} : tensor<7xi32>
