// RUN: webdnn-opt %s -p place-parts | filecheck %s

// What comes twice is copied by a kernel with symbols of its own; the launch says what these are.
func.func @main(%x: tensor<?x4xf32, #nn.sizes<s[1 to 40], 4>>) -> tensor<?x4xf32, #nn.sizes<s[1 to 40] * 2, 4>> attributes {webdnn.input_names = ["x"], webdnn.output_names = ["y"], webdnn.input_dtypes = ["float32"], webdnn.output_dtypes = ["float32"]} {
  %a = plan.launch @exp(%x) {sizes = #nn.sizes<s[1 to 40]>} : (tensor<?x4xf32, #nn.sizes<s[1 to 40], 4>>) -> tensor<?x4xf32, #nn.sizes<s[1 to 40], 4>>
  %e = plan.launch @concat(%a, %a) {sizes = #nn.sizes<s[1 to 40]>} : (tensor<?x4xf32, #nn.sizes<s[1 to 40], 4>>, tensor<?x4xf32, #nn.sizes<s[1 to 40], 4>>) -> tensor<?x4xf32, #nn.sizes<s[1 to 40] * 2, 4>>
  %y = plan.launch @twice(%e) {sizes = #nn.sizes<s[1 to 40] * 2>} : (tensor<?x4xf32, #nn.sizes<s[1 to 40] * 2, 4>>) -> tensor<?x4xf32, #nn.sizes<s[1 to 40] * 2, 4>>
  func.return %y : tensor<?x4xf32, #nn.sizes<s[1 to 40] * 2, 4>>
}
kernel.func @exp(%x: tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>) -> tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>> attributes {sizes = #nn.sizes<n0[1 to 40]>} {
  %e = tensor.empty() : tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>) outs(%e : tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>) {
  ^bb0(%i: f32, %o: f32):
    %s = math.exp %i : f32
    linalg.yield %s : f32
  } -> tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>
  kernel.return %r : tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>
}
kernel.func @concat(%a: tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>, %b: tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>) -> tensor<?x4xf32, #nn.sizes<n0[1 to 40] * 2, 4>> attributes {sizes = #nn.sizes<n0[1 to 40]>} {
  %r = tensor.concat dim(0) %a, %b : (tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>, tensor<?x4xf32, #nn.sizes<n0[1 to 40], 4>>) -> tensor<?x4xf32, #nn.sizes<n0[1 to 40] * 2, 4>>
  kernel.return %r : tensor<?x4xf32, #nn.sizes<n0[1 to 40] * 2, 4>>
}
kernel.func @twice(%x: tensor<?x4xf32, #nn.sizes<n0[1 to 80], 4>>) -> tensor<?x4xf32, #nn.sizes<n0[1 to 80], 4>> attributes {sizes = #nn.sizes<n0[1 to 80]>} {
  kernel.return %x : tensor<?x4xf32, #nn.sizes<n0[1 to 80], 4>>
}
// CHECK:      %[[A:.*]] = plan.launch @exp
// CHECK-NEXT: %[[B:.*]] = plan.launch @copy_0{{.*}} {sizes = #nn.sizes<s[1 to 40]>}
// CHECK-NEXT: plan.concat %[[A]], %[[B]]
// CHECK:      kernel.func @copy_0{{.*}} attributes {sizes = #nn.sizes<n0[1 to 40]>}
