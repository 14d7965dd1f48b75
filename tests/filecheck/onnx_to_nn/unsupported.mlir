// RUN: not webdnn-opt %s -p convert-onnx-to-nn 2>&1 | filecheck %s

// One error names all nodes that cannot be compiled, and why: also those that read the result of another one, where its
// type is known. A node that could be compiled is not blamed, and what cannot be looked at is counted.
func.func @main(%x: tensor<4xf32>, %n: tensor<1xi64>) -> tensor<?xf32> {
  %i = onnx.NonZero(%x) : (tensor<4xf32>) -> tensor<1x?xi64>
  %j = onnx.Neg(%i) : (tensor<1x?xi64>) -> tensor<1x?xi64>
  %one = onnx.Constant() {value_int = 1 : si64} : () -> tensor<i64>
  %training = onnx.Cast(%one) {to = 9 : si64} : (tensor<i64>) -> tensor<i1>
  %half = onnx.Constant() {value_float = 0.5 : f32} : () -> tensor<f32>
  %r = onnx.Dropout(%x, %half, %training) : (tensor<4xf32>, tensor<f32>, tensor<i1>) -> tensor<4xf32>
  %s = onnx.Neg(%r) : (tensor<4xf32>) -> tensor<4xf32>
  %t = onnx.Tile(%s, %n) : (tensor<4xf32>, tensor<1xi64>) -> tensor<?xf32>
  %y = onnx.Reshape(%x, %n) : (tensor<4xf32>, tensor<1xi64>) -> tensor<?xf32>
  func.return %y : tensor<?xf32>
}

// CHECK: 4 nodes of the model cannot be compiled
// CHECK: NonZero (its input 'X' is computed from the model's inputs
// CHECK: Dropout (training_mode is on
// CHECK: Tile (its input 'repeats' is computed from the model's inputs
// CHECK: Reshape (its input 'shape' is computed from the model's inputs
// CHECK: why: 1 more, behind them, could not be checked
