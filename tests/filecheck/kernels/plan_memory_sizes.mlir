// RUN: webdnn-opt %s -p 'plan-memory{target=wasm}' | filecheck %s --check-prefix WASM
// RUN: webdnn-opt %s -p 'plan-memory{target=wasm}' | webdnn-opt | filecheck %s --check-prefix WASM
// RUN: webdnn-opt %s -p 'plan-memory{target=webgpu}' | filecheck %s --check-prefix WEBGPU

func.func @main(%x: tensor<?x16xf32, #nn.sizes<s[1 to 64], 16>>, %y: tensor<?x32xf32, #nn.sizes<t[1 to 64], 32>>) -> tensor<?x16xf32, #nn.sizes<s[1 to 64] + t[1 to 64], 16>> attributes {webdnn.input_names = ["x", "y"], webdnn.output_names = ["z"], webdnn.input_dtypes = ["float32", "float32"], webdnn.output_dtypes = ["float32"]} {
  %0 = plan.launch @up(%x) {sizes = #nn.sizes<s[1 to 64]>} : (tensor<?x16xf32, #nn.sizes<s[1 to 64], 16>>) -> tensor<?x16xf32, #nn.sizes<s[1 to 64], 16>>
  %1 = plan.launch @down(%y) {sizes = #nn.sizes<t[1 to 64] + 1>} : (tensor<?x32xf32, #nn.sizes<t[1 to 64], 32>>) -> tensor<?x16xf32, #nn.sizes<t[1 to 64], 16>>
  %2 = plan.launch @join(%0, %1) {sizes = #nn.sizes<s[1 to 64], t[1 to 64]>} : (tensor<?x16xf32, #nn.sizes<s[1 to 64], 16>>, tensor<?x16xf32, #nn.sizes<t[1 to 64], 16>>) -> tensor<?x16xf32, #nn.sizes<s[1 to 64] + t[1 to 64], 16>>
  func.return %2 : tensor<?x16xf32, #nn.sizes<s[1 to 64] + t[1 to 64], 16>>
}
// The output lies below what it is made of, whose offset is the greater of two ends: it has a name.
// WASM:      plan.program "main"
// WASM-SAME: arena_buffers = #nn.sizes<o1[192 to 12288] + s[1 to 64] * 64>, arena_bound = 16384 : i64
// WASM:      plan.define <o0[128 to 8192]> = <max(s[1 to 64] * 64 + t[1 to 64] * 64, t[1 to 64] * 128)>
// WASM:      plan.define <o1[192 to 12288]> = <max(o0[128 to 8192] + t[1 to 64] * 64, s[1 to 64] * 64 + t[1 to 64] * 128)>
// WASM:      %[[X:.*]] = plan.slice "arena" 0 : i64[#nn.sizes<t[1 to 64] * 128>] bytes #nn.sizes<s[1 to 64] * 64> : memref<?xf32>
// WASM:      plan.bind "input" "x" "float32" #nn.sizes<s[1 to 64], 16> = %[[X]]
// WASM:      %[[Z:.*]] = plan.slice "arena" 0 : i64[0 : i64] bytes #nn.sizes<s[1 to 64] * 64 + t[1 to 64] * 64>
// WASM:      plan.bind "output" "z" "float32" #nn.sizes<s[1 to 64] + t[1 to 64], 16> = %[[Z]]
// WASM:      %[[U:.*]] = plan.slice "arena" 0 : i64[#nn.sizes<o1[192 to 12288]>]
// WASM:      plan.launch_into @up(%[[X]], %[[U]]) {sizes = #nn.sizes<s[1 to 64]>}
// WASM:      %[[D:.*]] = plan.slice "arena" 0 : i64[#nn.sizes<o0[128 to 8192]>]
// WASM:      plan.launch_into @down(%{{.*}}, %[[D]]) {sizes = #nn.sizes<t[1 to 64] + 1>}

// A buffer is as large as the largest tensor in it.
// WEBGPU:      plan.program "main"
// WEBGPU-SAME: arena_buffers = #nn.sizes<{{.*}}max(s[1 to 64] * 64 + t[1 to 64] * 64, t[1 to 64] * 128)
// WEBGPU-NOT:  plan.define
// WEBGPU:      plan.slice "arena" 1 : i64[0 : i64] bytes #nn.sizes<s[1 to 64] * 64> : memref<?xf32>
