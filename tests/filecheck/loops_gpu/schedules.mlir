// RUN: webdnn-opt %s -p assign-gpu-schedules | filecheck %s
// RUN: webdnn-opt %s -p 'assign-gpu-schedules{memory=none}' | filecheck %s --check-prefix NONE

#x = affine_map<(n, y, x, m, i, j, c) -> (n, y + i, x + j, c)>
#w = affine_map<(n, y, x, m, i, j, c) -> (i, j, c, m)>
#o = affine_map<(n, y, x, m, i, j, c) -> (n, y, x, m)>

// CHECK: kernel.func @conv({{.*}}#kernel.schedule<strategy = "contraction", workgroup = [8, 8], tile = [4, 4], k = 32, memory = "workgroup", split = 1, unroll = 1>
// NONE: kernel.func @conv({{.*}}, memory = "none", split = 1, unroll = 1>
kernel.func @conv(%x: tensor<1x58x58x64xf32>, %w: tensor<3x3x64x64xf32>) -> tensor<1x56x56x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x56x56x64xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<1x56x56x64xf32>) -> tensor<1x56x56x64xf32>
  %p = linalg.generic {indexing_maps = [#x, #w, #o], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%x, %w : tensor<1x58x58x64xf32>, tensor<3x3x64x64xf32>) outs(%i : tensor<1x56x56x64xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %t = arith.mulf %a, %b : f32
    %s = arith.addf %t, %acc : f32
    linalg.yield %s : f32
  } -> tensor<1x56x56x64xf32>
  kernel.return %p : tensor<1x56x56x64xf32>
}

// The mean over an image: invocations lie along the channels, and share the places of the image.
// CHECK: kernel.func @pool({{.*}}#kernel.schedule<strategy = "rows", threads = 8, rows = 16, along = "kept", vector = 4>
kernel.func @pool(%x: tensor<1x7x7x2048xf32>) -> tensor<1x2048xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2048xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2048xf32>) -> tensor<1x2048xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(n, c, y, x) -> (n, y, x, c)>, affine_map<(n, c, y, x) -> (n, c)>], iterator_types = ["parallel", "parallel", "reduction", "reduction"]} ins(%x : tensor<1x7x7x2048xf32>) outs(%i : tensor<1x2048xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %t = arith.addf %a, %acc : f32
    linalg.yield %t : f32
  } -> tensor<1x2048xf32>
  kernel.return %s : tensor<1x2048xf32>
}

// A schedule that is there is not touched.
// CHECK: kernel.func @kept({{.*}}#kernel.schedule<strategy = "pointwise", workgroup = 7>}
kernel.func @kept(%x: tensor<4xf32>) -> tensor<4xf32> attributes {schedule = #kernel.schedule<strategy = "pointwise", workgroup = 7>} {
  kernel.return %x : tensor<4xf32>
}
