// RUN: webdnn-opt %s -p launch-at-load | filecheck %s
// RUN: webdnn-opt %s -p launch-at-load,'plan-memory{target=wasm}' | filecheck %s --check-prefix WASM
// RUN: webdnn-opt %s -p launch-at-load,'plan-memory{target=webgpu}' | filecheck %s --check-prefix WEBGPU
// RUN: webdnn-opt %s -p launch-at-load,'plan-memory{target=wasm}',lower-plan-to-llvm | filecheck %s --check-prefix LLVM

func.func @main(%x: tensor<100xf32>) -> tensor<100xf32> attributes {webdnn.input_names = ["x"], webdnn.output_names = ["y"], webdnn.input_dtypes = ["float32"], webdnn.output_dtypes = ["float32"]} {
  %0 = plan.launch @exp(%x) : (tensor<100xf32>) -> tensor<100xf32>
  %w = plan.weight 0 : i64 : tensor<100xf32>
  %1 = plan.launch @exp(%w) : (tensor<100xf32>) -> tensor<100xf32>
  %2 = plan.view %1 : tensor<100xf32> to tensor<10x10xf32>
  %3 = plan.launch @transpose(%2) : (tensor<10x10xf32>) -> tensor<100xf32>
  %4 = plan.launch @add(%0, %3) : (tensor<100xf32>, tensor<100xf32>) -> tensor<100xf32>
  func.return %4 : tensor<100xf32>
}
func.func private @weights() -> tensor<100xf32> {
  %0 = nn.weight "w" : tensor<100xf32>
  func.return %0 : tensor<100xf32>
}
// CHECK:      plan.launch @exp(%{{.*}}) : (tensor<100xf32>)
// CHECK:      plan.launch @exp(%{{.*}}) {at_load} : (tensor<100xf32>)
// CHECK:      plan.launch @transpose(%{{.*}}) {at_load} : (tensor<10x10xf32>)
// CHECK:      plan.launch @add(%{{.*}}) : (tensor<100xf32>

// What launches at load give is kept; they say for which launch of a run they are needed.
// WASM:      plan.program "main"
// WASM-SAME: arena_buffers = [896 : i64], prepared_buffers = [896 : i64]
// WASM:      %[[X:.*]] = plan.slice "arena" 0 : i64[0 : i64] bytes 400
// WASM:      plan.bind "input" "x" "float32" [100 : i64] = %[[X]]
// WASM:      %[[W:.*]] = plan.slice "weights" 0 : i64[0 : i64] bytes 400
// WASM:      %[[T:.*]] = plan.slice "prepared" 0 : i64[0 : i64] bytes 400
// WASM:      plan.launch_into @exp(%[[W]], %[[T]]) {at_load = 1 : i64}
// WASM:      %[[P:.*]] = plan.slice "prepared" 0 : i64[448 : i64] bytes 400
// WASM:      plan.launch_into @transpose(%[[T]], %[[P]]) {at_load = 1 : i64}
// WASM:      plan.launch_into @exp(%[[X]], %[[E:.*]]) :
// WASM:      plan.launch_into @add(%[[E]], %[[P]], %{{.*}}) :

// WEBGPU:      plan.program "main"
// WEBGPU-SAME: arena_buffers = [512 : i64, 512 : i64], prepared_buffers = [512 : i64, 512 : i64]

// LLVM:      llvm.func @prepare() {
// LLVM-DAG:    %[[BEGIN:.*]] = llvm.mlir.constant(0 : i32)
// LLVM-DAG:    %[[END:.*]] = llvm.mlir.constant(2 : i32)
// LLVM:        llvm.call @run_range(%[[BEGIN]], %[[END]])
// LLVM:      llvm.func @run() {
// LLVM-DAG:    %[[FIRST:.*]] = llvm.mlir.constant(2 : i32)
// LLVM-DAG:    %[[LAST:.*]] = llvm.mlir.constant(4 : i32)
// LLVM:        llvm.call @run_range(%[[FIRST]], %[[LAST]])
