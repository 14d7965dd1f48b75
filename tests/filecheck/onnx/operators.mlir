// RUN: webdnn-opt %s | webdnn-opt | filecheck %s
// RUN: webdnn-opt --print-op-generic %s | filecheck %s --check-prefix GENERIC

// CHECK:      func.func @main
func.func @main(%x: tensor<1x3x?x?xf32>, %c: tensor<i1>, %t: tensor<2x!onnx.string>) -> tensor<*xf32> {
  // An optional operand that is absent, and a weight that is only named.
  // CHECK-NEXT: %none = onnx.none : none
  // CHECK-NEXT: %w = onnx.weight "w" : tensor<4x3x3x3xf32>
  %none = onnx.none : none
  %w = onnx.weight "w" : tensor<4x3x3x3xf32>
  // CHECK-NEXT: %y = onnx.Conv(%x, %w) {pads = array<i64: 1, 1, 1, 1>, auto_pad = "NOTSET"} : (tensor<1x3x?x?xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x?x?xf32>
  // GENERIC: "onnx.Conv"(%x, %w) {pads = array<i64: 1, 1, 1, 1>, auto_pad = "NOTSET"} : (tensor<1x3x?x?xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x?x?xf32>
  %y = onnx.Conv(%x, %w) {pads = array<i64: 1, 1, 1, 1>, auto_pad = "NOTSET"} : (tensor<1x3x?x?xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x?x?xf32>
  // CHECK:      %z = onnx.Clip(%y, %none, %m) : (tensor<1x4x?x?xf32>, none, tensor<f32>) -> tensor<*xf32>
  %m = onnx.weight "m" : tensor<f32>
  %z = onnx.Clip(%y, %none, %m) : (tensor<1x4x?x?xf32>, none, tensor<f32>) -> tensor<*xf32>
  // An older version, another domain, attributes of every kind.
  // CHECK-NEXT: %r = onnx.Clip_6(%y) {min = 0.000000e+00 : f32, max = 6.000000e+00 : f32}
  // CHECK-NEXT: %l = onnx.ml.LabelEncoder(%t) {keys_strings = ["a", "b"], values_floats = array<f32: 1.000000e+00, 2.000000e+00>}
  // CHECK:      %k = onnx.ConstantOfShape(%s) {value = dense<7> : tensor<1xui8>} : (tensor<1xi64>) -> tensor<?xui8>
  %r = onnx.Clip_6(%y) {min = 0.0 : f32, max = 6.0 : f32} : (tensor<1x4x?x?xf32>) -> tensor<1x4x?x?xf32>
  %l = onnx.ml.LabelEncoder(%t) {keys_strings = ["a", "b"], values_floats = array<f32: 1.0, 2.0>} : (tensor<2x!onnx.string>) -> tensor<2xf32>
  %s = onnx.weight "s" : tensor<1xi64>
  %k = onnx.ConstantOfShape(%s) {value = dense<7> : tensor<1xui8>} : (tensor<1xi64>) -> tensor<?xui8>
  // CHECK-NEXT: %q = onnx.SequenceConstruct(%y, %r) : (tensor<1x4x?x?xf32>, tensor<1x4x?x?xf32>) -> !onnx.sequence<tensor<1x4x?x?xf32>>
  %q = onnx.SequenceConstruct(%y, %r) : (tensor<1x4x?x?xf32>, tensor<1x4x?x?xf32>) -> !onnx.sequence<tensor<1x4x?x?xf32>>
  %o = onnx.Optional() {type = tensor<4xf32>} : () -> !onnx.optional<tensor<4xf32>>
  // Subgraphs are regions that read the values around them.
  // CHECK:      onnx.If(%c) ({
  // CHECK-NEXT:   onnx.yield %z : tensor<*xf32>
  // CHECK-NEXT: }, {
  // CHECK-NEXT:   %n = onnx.Neg(%z)
  // CHECK-NEXT:   onnx.yield
  // CHECK-NEXT: }) : (tensor<i1>) -> tensor<*xf32>
  %i = onnx.If(%c) ({
    onnx.yield %z : tensor<*xf32>
  }, {
    %n = onnx.Neg(%z) : (tensor<*xf32>) -> tensor<*xf32>
    onnx.yield %n : tensor<*xf32>
  }) : (tensor<i1>) -> tensor<*xf32>
  func.return %i : tensor<*xf32>
}
