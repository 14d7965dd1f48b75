// RUN: webdnn-opt %s -p convert-onnx-to-nn --split-input-file | filecheck %s

// The seed of a run is the last argument. Each node draws from a stream of its own; an f32 has 24 random bits.
// CHECK-LABEL: func.func @main(%x: tensor<2x3xf32>, %seed: tensor<2xui32>) -> (tensor<2x3xf32>, tensor<2x3xi1>) attributes {webdnn.seed}
func.func @main(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xi1>) {
  %u = onnx.RandomUniformLike(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %p = onnx.Bernoulli(%x) {dtype = 9 : si64} : (tensor<2x3xf32>) -> tensor<2x3xi1>
  func.return %u, %p : tensor<2x3xf32>, tensor<2x3xi1>
}
// CHECK-DAG:     %[[S0:.*]] = nn.constant dense<0> : tensor<ui32>
// CHECK-NEXT:    %[[B:.*]] = nn.random_bits %seed, %[[S0]] word 0 : i64 : tensor<2xui32>, tensor<ui32> -> tensor<2x3xui32>
// CHECK:         %[[H:.*]] = nn.shr %[[B]], %{{.*}} : tensor<2x3xui32>, tensor<ui32> -> tensor<2x3xui32>
// CHECK-NEXT:    %[[F:.*]] = nn.cast %[[H]] : tensor<2x3xui32> -> tensor<2x3xf32>
// CHECK:         %[[U:.*]] = nn.mul %[[F]], %{{.*}} : tensor<2x3xf32>, tensor<f32> -> tensor<2x3xf32>
// CHECK-NEXT:    %[[S1:.*]] = nn.constant dense<1> : tensor<ui32>
// CHECK-NEXT:    nn.random_bits %seed, %[[S1]] word 0 : i64
// CHECK:         %[[P:.*]] = nn.less %{{.*}}, %x : tensor<2x3xf32>, tensor<2x3xf32> -> tensor<2x3xi1>
// CHECK-NEXT:    func.return %[[U]], %[[P]]

// -----

// A normal number takes both words; steps of an unrolled loop have streams of their own.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<5xf32>) -> tensor<5xf32> {
  %n = onnx.Constant() {value_int = 2 : si64} : () -> tensor<i64>
  %none = onnx.none : none
  %y = onnx.Loop(%n, %none, %x) ({
  ^body(%i: tensor<i64>, %c: tensor<i1>, %s: tensor<5xf32>):
    %r = onnx.RandomNormalLike(%s) : (tensor<5xf32>) -> tensor<5xf32>
    %t = onnx.Add(%s, %r) : (tensor<5xf32>, tensor<5xf32>) -> tensor<5xf32>
    onnx.yield %c, %t : tensor<i1>, tensor<5xf32>
  }) : (tensor<i64>, none, tensor<5xf32>) -> tensor<5xf32>
  func.return %y : tensor<5xf32>
}
// CHECK:         nn.random_bits %seed, %[[S0:.*]] word 0 : i64
// CHECK-NEXT:    nn.random_bits %seed, %[[S0]] word 1 : i64
// CHECK:         %[[S1:.*]] = nn.constant dense<1> : tensor<ui32>
// CHECK-NEXT:    nn.random_bits %seed, %[[S1]] word 0 : i64
// CHECK-NEXT:    nn.random_bits %seed, %[[S1]] word 1 : i64

// -----

// The numbers of a node with a seed of its own are those of a constant key: nothing is drawn under the seed of a run.
// CHECK-LABEL: func.func @main() -> tensor<100xf32> {
func.func @main() -> tensor<100xf32> {
  %y = onnx.RandomUniform() {seed = 1.0 : f32, shape = array<i64: 100>} : () -> tensor<100xf32>
  func.return %y : tensor<100xf32>
}
// CHECK-NEXT:    %[[KEY:.*]] = nn.constant dense<[1065353216, 4294967295]> : tensor<2xui32>
// CHECK:         nn.random_bits %[[KEY]], %{{.*}} word 0 : i64 : tensor<2xui32>, tensor<ui32> -> tensor<100xui32>
