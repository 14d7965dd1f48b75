// RUN: webdnn-opt %s --split-input-file --verify-diagnostics | filecheck %s

// CHECK: onnx.Conv takes 2 to 3 operands, not 1
func.func @main(%x: tensor<1x3x8x8xf32>) -> tensor<*xf32> {
  %y = onnx.Conv(%x) : (tensor<1x3x8x8xf32>) -> tensor<*xf32>
  func.return %y : tensor<*xf32>
}

// -----

// CHECK: onnx.Relu has 1 to 1 results, not 2
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y, %z = onnx.Relu(%x) : (tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  func.return %y : tensor<4xf32>
}

// -----

// CHECK: onnx.Relu has no attribute 'alpha'
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = onnx.Relu(%x) {alpha = 1.0 : f32} : (tensor<4xf32>) -> tensor<4xf32>
  func.return %y : tensor<4xf32>
}

// -----

// CHECK: onnx.Cast lacks the required attribute 'to'
func.func @main(%x: tensor<4xf32>) -> tensor<4xi32> {
  %y = onnx.Cast(%x) : (tensor<4xf32>) -> tensor<4xi32>
  func.return %y : tensor<4xi32>
}

// -----

// CHECK: onnx.Softmax takes the attribute 'axis' as INT, not INTS
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = onnx.Softmax(%x) {axis = array<i64: 1>} : (tensor<4xf32>) -> tensor<4xf32>
  func.return %y : tensor<4xf32>
}

// -----

// CHECK: onnx.If lacks the required region 'else_branch'
func.func @main(%c: tensor<i1>, %x: tensor<4xf32>) -> tensor<4xf32> {
  %y = onnx.If(%c) ({
    onnx.yield %x : tensor<4xf32>
  }, {
  }) : (tensor<i1>) -> tensor<4xf32>
  func.return %y : tensor<4xf32>
}
