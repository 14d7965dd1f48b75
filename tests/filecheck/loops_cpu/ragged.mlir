// RUN: webdnn-opt %s -p lower-kernels-to-cpu-loops | filecheck %s

#id = affine_map<(a, b) -> (a, b)>

// Both loops are one of 22 elements: two tiles of eight in a loop, a vector, and two elements by themselves.
kernel.func @negate(%x: tensor<2x11xf32>) -> tensor<2x11xf32> attributes {schedule = #kernel.schedule<strategy = "tiles", tile = [8], vector = 0, order = [0]>} {
  %e = tensor.empty() : tensor<2x11xf32>
  %r = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<2x11xf32>) outs(%e : tensor<2x11xf32>) {
  ^bb0(%a: f32, %o: f32):
    %n = arith.negf %a : f32
    linalg.yield %n : f32
  } -> tensor<2x11xf32>
  kernel.return %r : tensor<2x11xf32>
}

// CHECK-LABEL: kernel.func @negate
// CHECK:       "scf.parallel"
// CHECK:         arith.negf %{{.*}} : vector<4xf32>
// CHECK:         arith.negf %{{.*}} : vector<4xf32>
// CHECK:         scf.reduce
// CHECK:       arith.negf %{{.*}} : vector<4xf32>
// CHECK-NEXT:  vector.store
// CHECK:       arith.negf %{{.*}} : f32
// CHECK-NEXT:  memref.store
// CHECK:       arith.negf %{{.*}} : f32
// CHECK-NEXT:  memref.store
// CHECK-NEXT:  kernel.return
