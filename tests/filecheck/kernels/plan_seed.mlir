// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,outline-kernels,'plan-memory{target=wasm}' | filecheck %s
// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,outline-kernels,'plan-memory{target=webgpu}' | filecheck %s

// The seed of a run has a place as an input has one, and no name. The kernel is one, whatever the stream.
func.func @main(%x: tensor<100xui32>, %seed: tensor<2xui32>) -> (tensor<100xui32>, tensor<100xui32>) attributes {webdnn.seed, webdnn.input_names = ["x"], webdnn.output_names = ["y", "z"], webdnn.input_dtypes = ["uint32"], webdnn.output_dtypes = ["uint32", "uint32"]} {
  %s = nn.constant dense<0> : tensor<ui32> : tensor<ui32>
  %t = nn.constant dense<1> : tensor<ui32> : tensor<ui32>
  %y = nn.random_bits %seed, %s word 0 : i64 : tensor<2xui32>, tensor<ui32> -> tensor<100xui32>
  %z = nn.random_bits %seed, %t word 0 : i64 : tensor<2xui32>, tensor<ui32> -> tensor<100xui32>
  func.return %y, %z : tensor<100xui32>, tensor<100xui32>
}
// CHECK: plan.bind "input" "x" "uint32" [100 : i64]
// CHECK: %[[SEED:.*]] = plan.slice "arena" {{.*}} bytes 8
// CHECK: plan.bind "seed" "" "uint32" [2 : i64] = %[[SEED]] : memref<2xi32>
// CHECK: plan.bind "output" "y"
// CHECK: plan.launch_into @random_bits_0(%[[SEED]]
// CHECK: plan.launch_into @random_bits_0(%[[SEED]]
