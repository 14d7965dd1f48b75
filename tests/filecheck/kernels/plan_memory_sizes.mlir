// RUN: webdnn-opt %s -p 'plan-memory{target=wasm}' | filecheck %s --check-prefix WASM
// RUN: webdnn-opt %s -p 'plan-memory{target=wasm}' | webdnn-opt | filecheck %s --check-prefix WASM
// RUN: webdnn-opt %s -p 'plan-memory{target=webgpu}' | filecheck %s --check-prefix WEBGPU

func.func @main(%x: tensor<?x16xf32, #nn.sizes<s[1 to 64], 16>>, %y: tensor<?x32xf32, #nn.sizes<t[1 to 64], 32>>) -> tensor<?x16xf32, #nn.sizes<s[1 to 64] + t[1 to 64], 16>> attributes {webdnn.input_names = ["x", "y"], webdnn.output_names = ["z"], webdnn.input_dtypes = ["float32", "float32"], webdnn.output_dtypes = ["float32"]} {
  %0 = plan.launch @up(%x) {sizes = #nn.sizes<s[1 to 64]>} : (tensor<?x16xf32, #nn.sizes<s[1 to 64], 16>>) -> tensor<?x16xf32, #nn.sizes<s[1 to 64], 16>>
  %1 = plan.launch @down(%y) {sizes = #nn.sizes<t[1 to 64] + 1>} : (tensor<?x32xf32, #nn.sizes<t[1 to 64], 32>>) -> tensor<?x16xf32, #nn.sizes<t[1 to 64], 16>>
  %2 = plan.launch @join(%0, %1) {sizes = #nn.sizes<s[1 to 64], t[1 to 64]>} : (tensor<?x16xf32, #nn.sizes<s[1 to 64], 16>>, tensor<?x16xf32, #nn.sizes<t[1 to 64], 16>>) -> tensor<?x16xf32, #nn.sizes<s[1 to 64] + t[1 to 64], 16>>
  func.return %2 : tensor<?x16xf32, #nn.sizes<s[1 to 64] + t[1 to 64], 16>>
}
// WASM:      plan.program "main"
// WASM-SAME: arena_buffers = #nn.sizes<
