// RUN: webdnn-opt %s -p convert-onnx-to-nn | filecheck %s

// What computes shapes is gone: Shape, Gather, Mul and Concat of constants are run at compile time.
func.func @main(%x: tensor<2x3x4xf32>) -> tensor<*xf32> {
  %s = onnx.Shape(%x) : (tensor<2x3x4xf32>) -> tensor<3xi64>
  %i = onnx.Constant() {value = dense<[1, 2]> : tensor<2xi64>} : () -> tensor<2xi64>
  %g = onnx.Gather(%s, %i) : (tensor<3xi64>, tensor<2xi64>) -> tensor<2xi64>
  %p = onnx.ReduceProd(%g) : (tensor<2xi64>) -> tensor<1xi64>
  %m = onnx.Constant() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %t = onnx.Concat(%m, %p) {axis = 0 : i64} : (tensor<1xi64>, tensor<1xi64>) -> tensor<2xi64>
  %y = onnx.Reshape(%x, %t) : (tensor<2x3x4xf32>, tensor<2xi64>) -> tensor<*xf32>
  func.return %y : tensor<*xf32>
}

// CHECK:       func.func @main(%x: tensor<2x3x4xf32>) -> tensor<2x12xf32> {
// CHECK-NEXT:    %[[Y:.*]] = nn.reshape %x : tensor<2x3x4xf32> -> tensor<2x12xf32>
// CHECK-NEXT:    func.return %[[Y]] : tensor<2x12xf32>
