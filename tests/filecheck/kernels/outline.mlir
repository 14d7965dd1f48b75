// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,outline-kernels | filecheck %s

// Two regions that do the same share one kernel; what nobody reads is not launched.
func.func @main(%x: tensor<8xf32>) -> tensor<8xf32> {
  %0 = nn.exp %x : tensor<8xf32> -> tensor<8xf32>
  %1 = nn.sin %0 : tensor<8xf32> -> tensor<8xf32>
  %2 = nn.exp %1 : tensor<8xf32> -> tensor<8xf32>
  %3 = nn.cos %1 : tensor<8xf32> -> tensor<8xf32>
  %4 = nn.reshape %3 : tensor<8xf32> -> tensor<2x4xf32>
  func.return %2 : tensor<8xf32>
}
// CHECK:      func.func @main
// CHECK-NEXT:   %[[A:.*]] = plan.launch @exp_0(%{{.*}})
// CHECK-NEXT:   %[[B:.*]] = plan.launch @sin_0(%[[A]])
// CHECK-NEXT:   %[[C:.*]] = plan.launch @exp_0(%[[B]])
// CHECK-NEXT:   func.return %[[C]]
// CHECK:      kernel.func @exp_0(%{{.*}}: tensor<8xf32>) -> tensor<8xf32>
// CHECK:        kernel.return
// CHECK:      kernel.func @sin_0
// CHECK-NOT:  kernel.func
