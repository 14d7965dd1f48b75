// RUN: webdnn-opt %s -p outline-kernels | filecheck %s

// Symbols get the kernel's own names, in the order in which they come; a quotient whose symbol stands nowhere else is one.
// CHECK: plan.launch @relu_0(%{{.*}}) {sizes = #nn.sizes<s[1 to 64]>}
// CHECK: plan.launch @relu_1(%{{.*}}) {sizes = #nn.sizes<(s[1 to 64] + 1) floordiv 2>}
func.func @main(%x: tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>, %z: tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>) -> (tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>, tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>) {
  %y = kernel.region ins(%x : tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>) -> tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>> attributes {hint = "relu"} {
  ^bb0(%a: tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>):
    %n = tensor.empty() : tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>
    %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%a : tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>) outs(%n : tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>) {
    ^bb1(%e: f32, %o: f32):
      %s = kernel.size <s[1 to 64] * 2>
      %t = arith.addf %e, %e : f32
      linalg.yield %t : f32
    } -> tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>
    kernel.yield %r : tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>
  }
  %w = kernel.region ins(%z : tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>) -> tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>> attributes {hint = "relu"} {
  ^bb2(%a: tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>):
    %n = tensor.empty() : tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>
    %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%a : tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>) outs(%n : tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>) {
    ^bb3(%e: f32, %o: f32):
      %t = arith.addf %e, %e : f32
      linalg.yield %t : f32
    } -> tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>
    kernel.yield %r : tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>
  }
  func.return %y, %w : tensor<4x?xf32, #nn.sizes<4, s[1 to 64]>>, tensor<?x3xf32, #nn.sizes<(s[1 to 64] + 1) floordiv 2, 3>>
}
// CHECK: kernel.func @relu_0(%{{.*}}: tensor<4x?xf32, #nn.sizes<4, n0[1 to 64]>>) -> tensor<4x?xf32, #nn.sizes<4, n0[1 to 64]>> attributes {{.*}}sizes = #nn.sizes<n0[1 to 64]>
// CHECK: tensor.empty() : tensor<4x?xf32, #nn.sizes<4, n0[1 to 64]>>
// CHECK: kernel.size <n0[1 to 64] * 2>
// CHECK: kernel.func @relu_1(%{{.*}}: tensor<?x3xf32, #nn.sizes<n0[1 to 32], 3>>)
