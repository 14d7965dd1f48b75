// RUN: webdnn-opt %s -p convert-onnx-to-nn --split-input-file | filecheck %s

// What computes shapes is arithmetic on sizes: nothing of it is left.
func.func @main(%x: tensor<?x?x4xf32, #nn.sizes<b[1 to 8], s[1 to 512], 4>>) -> tensor<*xf32> {
  %s = onnx.Shape(%x) : (tensor<?x?x4xf32, #nn.sizes<b[1 to 8], s[1 to 512], 4>>) -> tensor<3xi64>
  %i = onnx.Constant() {value = dense<[0, 1]> : tensor<2xi64>} : () -> tensor<2xi64>
  %g = onnx.Gather(%s, %i) : (tensor<3xi64>, tensor<2xi64>) -> tensor<2xi64>
  %p = onnx.ReduceProd(%g) : (tensor<2xi64>) -> tensor<1xi64>
  %m = onnx.Constant() {value = dense<-1> : tensor<1xi64>} : () -> tensor<1xi64>
  %t = onnx.Concat(%p, %m) {axis = 0 : i64} : (tensor<1xi64>, tensor<1xi64>) -> tensor<2xi64>
  %y = onnx.Reshape(%x, %t) : (tensor<?x?x4xf32, #nn.sizes<b[1 to 8], s[1 to 512], 4>>, tensor<2xi64>) -> tensor<*xf32>
  func.return %y : tensor<*xf32>
}

// CHECK:       func.func @main(%x: tensor<?x?x4xf32, #nn.sizes<b[1 to 8], s[1 to 512], 4>>)
// CHECK-SAME:    -> tensor<?x4xf32, #nn.sizes<b[1 to 8] * s[1 to 512], 4>> {
// CHECK-NEXT:    %[[Y:.*]] = nn.reshape %x
// CHECK-NEXT:    func.return %[[Y]]

// -----

// Where a size meets data it is nn.sizes; starts of slices are sizes too.
func.func @main(%x: tensor<?x4xf32, #nn.sizes<s[1 to 512], 4>>) -> tensor<*xf32> {
  %s = onnx.Size(%x) : (tensor<?x4xf32, #nn.sizes<s[1 to 512], 4>>) -> tensor<i64>
  %f = onnx.CastLike(%s, %x) : (tensor<i64>, tensor<?x4xf32, #nn.sizes<s[1 to 512], 4>>) -> tensor<f32>
  %i = onnx.Constant() {value = dense<-1> : tensor<i64>} : () -> tensor<i64>
  %g = onnx.Gather(%x, %i) : (tensor<?x4xf32, #nn.sizes<s[1 to 512], 4>>, tensor<i64>) -> tensor<*xf32>
  %y = onnx.Div(%g, %f) : (tensor<*xf32>, tensor<f32>) -> tensor<*xf32>
  func.return %y : tensor<*xf32>
}

// CHECK:         %[[N:.*]] = nn.sizes <s[1 to 512] * 4> : tensor<i64>
// CHECK-NEXT:    %[[F:.*]] = nn.cast %[[N]] : tensor<i64> -> tensor<f32>
// CHECK-NEXT:    %[[S:.*]] = nn.slice %x starts #nn.sizes<s[1 to 512] - 1, 0> steps [1 : i64, 1 : i64]
// CHECK-SAME:      -> tensor<1x4xf32>
// CHECK-NEXT:    %[[R:.*]] = nn.reshape %[[S]]
// CHECK-NEXT:    %[[Y:.*]] = nn.div %[[R]], %[[F]]

// -----

// Positions are an nn.iota that starts at a size.
func.func @main(%x: tensor<?x?xf32, #nn.sizes<p[0 to 8], s[1 to 512]>>) -> tensor<*xi64> {
  %s = onnx.Shape(%x) : (tensor<?x?xf32, #nn.sizes<p[0 to 8], s[1 to 512]>>) -> tensor<2xi64>
  %i = onnx.Constant() {value = dense<0> : tensor<i64>} : () -> tensor<i64>
  %j = onnx.Constant() {value = dense<1> : tensor<i64>} : () -> tensor<i64>
  %p = onnx.Gather(%s, %i) : (tensor<2xi64>, tensor<i64>) -> tensor<i64>
  %n = onnx.Gather(%s, %j) : (tensor<2xi64>, tensor<i64>) -> tensor<i64>
  %e = onnx.Add(%p, %n) : (tensor<i64>, tensor<i64>) -> tensor<i64>
  %y = onnx.Range(%p, %e, %j) : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<*xi64>
  func.return %y : tensor<*xi64>
}

// CHECK:         %[[P:.*]] = nn.sizes <p[0 to 8]> : tensor<i64>
// CHECK-NEXT:    %[[L:.*]] = nn.iota 0 : i64 : tensor<?xi64, #nn.sizes<s[1 to 512]>>
// CHECK-NEXT:    %[[Y:.*]] = nn.add %[[L]], %[[P]]
