// RUN: webdnn-opt %s -p assign-cpu-schedules | filecheck %s

#x = affine_map<(n, y, x, m, i, j, c) -> (n, y + i, x + j, c)>
#w = affine_map<(n, y, x, m, i, j, c) -> (i, j, c, m)>
#o = affine_map<(n, y, x, m, i, j, c) -> (n, y, x, m)>

// Pixels and columns of a tile fill the sixteen registers of an engine.
// CHECK: kernel.func @conv({{.*}}#kernel.schedule<strategy = "tiles", tile = [1, 6, 8, 1, 2], vector = 2, order = [0, 1, 2]>
kernel.func @conv(%x: tensor<1x62x62x64xf32>, %w: tensor<3x3x64x64xf32>) -> tensor<1x60x60x64xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x60x60x64xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<1x60x60x64xf32>) -> tensor<1x60x60x64xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #o], iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]} ins(%x, %w : tensor<1x62x62x64xf32>, tensor<3x3x64x64xf32>) outs(%i : tensor<1x60x60x64xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<1x60x60x64xf32>
  kernel.return %r : tensor<1x60x60x64xf32>
}

// What a person wrote stays.
// CHECK: kernel.func @mine({{.*}}#kernel.schedule<strategy = "tiles", tile = [3], vector = -1, order = [0]>
kernel.func @mine(%x: tensor<8xf32>) -> tensor<8xf32> attributes {schedule = #kernel.schedule<strategy = "tiles", tile = [3], vector = -1, order = [0]>} {
  kernel.return %x : tensor<8xf32>
}
