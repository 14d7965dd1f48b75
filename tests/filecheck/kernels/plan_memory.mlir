// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,outline-kernels,'plan-memory{target=wasm}' | filecheck %s --check-prefix WASM
// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,outline-kernels,'plan-memory{target=webgpu}' | filecheck %s --check-prefix WEBGPU

func.func @main(%x: tensor<100xf32>) -> tensor<100xi1> attributes {webdnn.input_names = ["x"], webdnn.output_names = ["y"], webdnn.input_dtypes = ["float32"], webdnn.output_dtypes = ["bool"]} {
  %w = nn.weight "w" : tensor<100xf32>
  %0 = nn.exp %x : tensor<100xf32> -> tensor<100xf32>
  %1 = nn.sin %0 : tensor<100xf32> -> tensor<100xf32>
  %2 = nn.less %1, %w : tensor<100xf32>, tensor<100xf32> -> tensor<100xi1>
  func.return %2 : tensor<100xi1>
}
// One arena: the memory of x is free when the second launch writes.
// WASM:      plan.program "main"
// WASM-SAME: arena_buffers = [896 : i64], arena_bound = 896 : i64, packed_bytes = 0 : i64, weight_offsets = [0 : i64], weight_bytes = 448 : i64
// WASM:      %[[X:.*]] = plan.slice "arena" 0 : i64[0 : i64] bytes 400
// WASM:      plan.bind "input" "x" "float32" [100 : i64] = %[[X]]
// WASM:      plan.bind "output" "y" "bool" [100 : i64]
// WASM:      %[[E:.*]] = plan.slice "arena" 0 : i64[448 : i64] bytes 400
// WASM:      plan.launch_into @exp_0(%[[X]], %[[E]])
// WASM:      plan.launch_into @sin_0(%[[E]], %[[X]])
// WASM:      %[[W:.*]] = plan.slice "weights" 0 : i64[0 : i64] bytes 400
// WASM:      plan.launch_into @less_0(%[[X]], %[[W]]

// Buffers of one tensor each; a truth value takes 32 bits.
// WEBGPU:      plan.program "main"
// WEBGPU-SAME: arena_buffers = [512 : i64, 512 : i64]
// WEBGPU:      %[[X:.*]] = plan.slice "arena" 0 : i64[0 : i64] bytes 400
// WEBGPU:      %[[Y:.*]] = plan.slice "arena" 1 : i64[0 : i64] bytes 400
// WEBGPU:      plan.bind "output" "y" "bool" [100 : i64] = %[[Y]] : memref<100xi1>
// WEBGPU:      plan.launch_into @exp_0(%[[X]], %[[E:.*]])
