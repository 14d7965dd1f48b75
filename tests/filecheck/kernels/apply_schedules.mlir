// RUN: webdnn-opt %s -p 'apply-schedules{file="%S/schedules.toml"},pack-weights,assign-cpu-schedules' | filecheck %s
// RUN: webdnn-opt %s -p 'apply-schedules,pack-weights,assign-cpu-schedules' | filecheck %s --check-prefix=DEFAULT

func.func @main(%x: tensor<12x32xf32>) -> tensor<12x20xf32> {
  %w = plan.weight 0 : i64 : tensor<32x20xf32>
  %z = plan.launch @relu(%x) : (tensor<12x32xf32>) -> tensor<12x32xf32>
  %y = plan.launch @product(%z, %w) : (tensor<12x32xf32>, tensor<32x20xf32>) -> tensor<12x20xf32>
  func.return %y : tensor<12x20xf32>
}
func.func private @weights() -> tensor<32x20xf32> {
  %w = nn.weight "w" : tensor<32x20xf32>
  func.return %w : tensor<32x20xf32>
}

// The table says how the weight is packed and how the product is cut.
// CHECK:      kernel.func @product(%{{.*}}: tensor<12x32xf32>, %{{.*}}: tensor<2x32x16xf32>)
// CHECK-SAME: digest = "0e020ddc1e3426d9", panels = array<i64: 0, 16>
// CHECK-SAME: #kernel.schedule<strategy = "tiles", tile = [2, 16, 4], vector = 1, order = [1, 0]>
// DEFAULT:    kernel.func @product({{.*}}tensor<3x32x8xf32>)
kernel.func @product(%0: tensor<12x32xf32>, %1: tensor<32x20xf32>) -> tensor<12x20xf32> {
  %2 = arith.constant 0.000000e+00 : f32
  %3 = tensor.empty() : tensor<12x20xf32>
  %4 = linalg.fill ins(%2 : f32) outs(%3 : tensor<12x20xf32>) -> tensor<12x20xf32>
  %5 = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d2, d1)>, affine_map<(d0, d1, d2) -> (d0, d1)>], iterator_types = ["parallel", "parallel", "reduction"]} ins(%0, %1 : tensor<12x32xf32>, tensor<32x20xf32>) outs(%4 : tensor<12x20xf32>) {
  ^bb0(%6: f32, %7: f32, %8: f32):
    %9 = arith.mulf %6, %7 : f32
    %10 = arith.addf %9, %8 : f32
    linalg.yield %10 : f32
  } -> tensor<12x20xf32>
  kernel.return %5 : tensor<12x20xf32>
}

// A kernel that the table does not know gets its digest, and the cost model's schedule.
// CHECK:   kernel.func @relu({{.*}}digest = "31681cff5d81409b", schedule = #kernel.schedule<strategy = "tiles", tile = [16]
// DEFAULT: kernel.func @relu({{.*}}digest = "31681cff5d81409b"
kernel.func @relu(%0: tensor<12x32xf32>) -> tensor<12x32xf32> {
  %1 = tensor.empty() : tensor<12x32xf32>
  %2 = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>], iterator_types = ["parallel", "parallel"]} ins(%0 : tensor<12x32xf32>) outs(%1 : tensor<12x32xf32>) {
  ^bb0(%3: f32, %4: f32):
    %5 = arith.constant 0.000000e+00 : f32
    %6 = arith.maximumf %3, %5 : f32
    linalg.yield %6 : f32
  } -> tensor<12x32xf32>
  kernel.return %2 : tensor<12x32xf32>
}

// What a person wrote stays.
// CHECK: kernel.func @mine({{.*}}schedule = #kernel.schedule<strategy = "tiles", tile = [3], vector = -1, order = [0]>
kernel.func @mine(%x: tensor<8xf32>) -> tensor<8xf32> attributes {schedule = #kernel.schedule<strategy = "tiles", tile = [3], vector = -1, order = [0]>} {
  kernel.return %x : tensor<8xf32>
}
