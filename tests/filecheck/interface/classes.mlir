// RUN: webdnn-opt %s -p 'append-softmax{output="y" classes=5},append-top-k{k=2 output="y" classes=5},rename-interface{outputs="a=b","c","d"}' | filecheck %s

func.func @main(%x: tensor<1x5x3xf32>, %w: tensor<2xf32>) -> (tensor<2xf32>, tensor<1x5x3xf32>)
    attributes {"webdnn.output_names" = ["w", "y"], "webdnn.output_dtypes" = ["float32", "float32"], "webdnn.output_symbols" = [[""], ["", "", ""]]} {
  func.return %w, %x : tensor<2xf32>, tensor<1x5x3xf32>
}
// CHECK: -> (tensor<2xf32>, tensor<1x2x3xf32>, tensor<1x2x3xi32>)
// CHECK-SAME: webdnn.output_names = ["a=b", "c", "d"], webdnn.output_dtypes = ["float32", "float32", "int32"]
// CHECK: %[[P:.*]] = nn.softmax %x axis 1 : i64
// CHECK: %[[ROWS:.*]] = nn.transpose %[[P]]
// CHECK: %[[AT:.*]] = nn.top_k %[[ROWS]] k 2 : i64 largest 1 : i64 : tensor<1x3x5xf32> -> tensor<1x3x2xi64>
// CHECK: nn.gather_elements %[[ROWS]], %[[AT]]
// CHECK: nn.cast %[[AT]] : tensor<1x3x2xi64> -> tensor<1x3x2xi32>
// CHECK: func.return %w, %{{.*}}, %{{.*}}
