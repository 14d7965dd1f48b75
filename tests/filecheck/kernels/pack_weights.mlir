// RUN: webdnn-opt %s -p hoist-weights,convert-nn-to-linalg,outline-kernels,pack-weights | filecheck %s

// The matrix is cut into panels of columns, padded with zeros; the kernel reads the panels.
func.func @main(%x: tensor<12x32xf32>) -> tensor<12x20xf32> {
  %w = nn.weight "w" : tensor<32x20xf32>
  %y = nn.matmul %x, %w : tensor<12x32xf32>, tensor<32x20xf32> -> tensor<12x20xf32>
  func.return %y : tensor<12x20xf32>
}
// CHECK:      %[[W:.*]] = plan.weight 0 : i64 : tensor<[[BLOCKS:[0-9]+]]x32x[[N:[0-9]+]]xf32>
// CHECK-NEXT: plan.launch @matmul_0(%{{.*}}, %[[W]])
// CHECK:      func.func private @weights() -> tensor<[[BLOCKS]]x32x[[N]]xf32>
// CHECK:        nn.transpose
// CHECK:      kernel.func @matmul_0(%{{.*}}: tensor<12x32xf32>, %{{.*}}: tensor<[[BLOCKS]]x32x[[N]]xf32>)
// CHECK:      affine_map<(d0, d1, d2) -> ((d1 floordiv [[N]]), d2, (d1 mod [[N]]))>
