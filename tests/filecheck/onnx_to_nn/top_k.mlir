// RUN: webdnn-opt %s -p convert-onnx-to-nn | filecheck %s

// The elements are put in order along the last dimension, and gathered; no table is made.
func.func @main(%x: tensor<2x9x3xf32>) -> (tensor<2x4x3xf32>, tensor<2x4x3xi64>) {
  %k = onnx.Constant() {value_ints = array<i64: 4>} : () -> tensor<1xi64>
  %v, %i = onnx.TopK(%x, %k) {axis = 1 : si64, largest = 0 : si64} : (tensor<2x9x3xf32>, tensor<1xi64>) -> (tensor<2x4x3xf32>, tensor<2x4x3xi64>)
  func.return %v, %i : tensor<2x4x3xf32>, tensor<2x4x3xi64>
}

// CHECK:         %[[X:.*]] = nn.transpose %x [0 : i64, 2 : i64, 1 : i64]
// CHECK-NEXT:    %[[I:.*]] = nn.top_k %[[X]] k 4 : i64 largest 0 : i64 : tensor<2x3x9xf32> -> tensor<2x3x4xi64>
// CHECK-NEXT:    %[[V:.*]] = nn.gather_elements %[[X]], %[[I]]
// CHECK-NEXT:    nn.transpose %[[V]] [0 : i64, 2 : i64, 1 : i64]
// CHECK-NEXT:    nn.transpose %[[I]] [0 : i64, 2 : i64, 1 : i64]
// CHECK-NEXT:    func.return
