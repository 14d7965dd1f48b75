// RUN: webdnn-opt %s -p 'plan-memory{target=wasm}' | filecheck %s
// RUN: webdnn-opt %s -p 'plan-memory{target=wasm}' | webdnn-opt | filecheck %s
// RUN: webdnn-opt %s -p 'plan-memory{target=webgpu}' | filecheck %s
// RUN: webdnn-opt %s -p 'plan-memory{target=wasm},lower-plan-to-llvm{stack=1024}' | filecheck %s --check-prefix LLVM

// The cache has two places with room for 32 rows, the recurrent state two of its own.
func.func @main(%x: tensor<?x4xf32, #nn.sizes<s[1 to 8 likely 1], 4>>, %past: tensor<?x4xf32, #nn.sizes<p[0 to 32 likely 16], 4>>, %h: tensor<4xf32>) -> (tensor<?x4xf32, #nn.sizes<p[0 to 32 likely 16] + s[1 to 8 likely 1], 4>>, tensor<4xf32>, tensor<4xf32>)
    attributes {webdnn.input_names = ["x", "past", "h"], webdnn.output_names = ["present", "g", "y"], webdnn.input_dtypes = ["float32", "float32", "float32"], webdnn.output_dtypes = ["float32", "float32", "float32"], webdnn.states = [["past", "present"], ["h", "g"]]} {
  %0 = plan.launch @join(%past, %x) {sizes = #nn.sizes<p[0 to 32 likely 16], s[1 to 8 likely 1]>} : (tensor<?x4xf32, #nn.sizes<p[0 to 32 likely 16], 4>>, tensor<?x4xf32, #nn.sizes<s[1 to 8 likely 1], 4>>) -> tensor<?x4xf32, #nn.sizes<p[0 to 32 likely 16] + s[1 to 8 likely 1], 4>>
  %1 = plan.launch @step(%h) : (tensor<4xf32>) -> tensor<4xf32>
  %2 = plan.launch @step(%1) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %0, %1, %2 : tensor<?x4xf32, #nn.sizes<p[0 to 32 likely 16] + s[1 to 8 likely 1], 4>>, tensor<4xf32>, tensor<4xf32>
}
// CHECK:      plan.program "main"
// CHECK-SAME: state_buffers = [512 : i64, 512 : i64, [[SMALL:.*]] : i64, [[SMALL]] : i64]
// CHECK:      plan.bind "input" "x"
// CHECK:      plan.bind "output" "y"
// CHECK:      %[[PAST:.*]] = plan.slice "state" 0 : i64[0 : i64]
// CHECK:      plan.bind "past" "past" "float32" #nn.sizes<p[0 to 32 likely 16], 4> = %[[PAST]]
// CHECK:      %[[H:.*]] = plan.slice "state" 2 : i64[0 : i64]
// CHECK:      plan.bind "past" "h"
// CHECK:      %[[PRESENT:.*]] = plan.slice "state" 1 : i64[0 : i64]
// CHECK:      plan.bind "present" "present"
// CHECK:      %[[G:.*]] = plan.slice "state" 3 : i64[0 : i64]
// CHECK:      plan.bind "present" "g"
// CHECK:      plan.launch_into @join(%[[PAST]], %{{.*}}, %[[PRESENT]])
// CHECK:      plan.launch_into @step(%[[H]], %[[G]])
// CHECK:      plan.launch_into @step(%[[G]], %{{.*}})

// Where they lie changes from run to run: the addresses are read from the table.
// LLVM:      llvm.func @run_range
// LLVM:      llvm.call @join
// LLVM:      %[[A:.*]] = llvm.load
// LLVM-NEXT: %[[FROM:.*]] = llvm.inttoptr %[[A]]
// LLVM-NEXT: %[[WORD:.*]] = llvm.inttoptr %[[AT:.*]] : i32
// LLVM-NEXT: %[[B:.*]] = llvm.load %[[WORD]]
// LLVM-NEXT: %[[TO:.*]] = llvm.inttoptr %[[B]]
// LLVM-NEXT: llvm.call @step(%[[FROM]], %[[TO]])
// LLVM:      llvm.inttoptr %[[AT]]
// LLVM:      llvm.call @step
