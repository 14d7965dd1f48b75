// RUN: webdnn-opt %s -p lower-kernels-to-cpu-loops | filecheck %s

#x = affine_map<(y, x, m, i, c) -> (y, x + i, c)>
#w = affine_map<(y, x, m, i, c) -> (m floordiv 4, i, c, m mod 4)>
#o = affine_map<(y, x, m, i, c) -> (y, x, m)>

// The rows of the image are walked as one line of 28 pixels: divisions find the row of a pixel, but where it is stored is linear.
// The weights are packed in panels of four columns; the second one is not full, and its vector is loaded in full all the same.
kernel.func @conv(%x: tensor<4x9x8xf32>, %w: tensor<2x3x8x4xf32>) -> tensor<4x7x6xf32> attributes {schedule = #kernel.schedule<strategy = "tiles", merge = [0], tile = [2, 4, 1], vector = 1, order = [0, 1]>} {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x7x6xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x7x6xf32>) -> tensor<4x7x6xf32>
  %r = linalg.generic {indexing_maps = [#x, #w, #o], iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]} ins(%x, %w : tensor<4x9x8xf32>, tensor<2x3x8x4xf32>) outs(%f : tensor<4x7x6xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %m : f32
    linalg.yield %s : f32
  } -> tensor<4x7x6xf32>
  kernel.return %r : tensor<4x7x6xf32>
}

// CHECK-LABEL: kernel.func @conv
// CHECK:       "scf.parallel"
// CHECK:         arith.divui
// CHECK:         arith.remui
// CHECK:         arith.divui
// CHECK:         arith.remui
// CHECK-NOT:     divui
// The window and its channels are one sum of 24 terms.
// CHECK:         scf.for
// CHECK:           vector.load %1
// CHECK:         vector.store
// CHECK:         vector.store
// CHECK:         scf.for
// CHECK:           vector.load %1
// CHECK:         vector.extract %{{.*}}[0]
// CHECK:         memref.store
// CHECK:         vector.extract %{{.*}}[1]
// CHECK:         memref.store
// CHECK-NOT:     vector.extract %{{.*}}[2]
