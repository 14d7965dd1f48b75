// RUN: webdnn-opt %s -p 'split-concats{max_operands=2}' | filecheck %s

func.func @main(%a: tensor<1xf32>, %b: tensor<2xf32>, %c: tensor<3xf32>) -> tensor<6xf32> {
  %y = nn.concat 0 : i64, %a, %b, %c : tensor<1xf32>, tensor<2xf32>, tensor<3xf32> -> tensor<6xf32>
  func.return %y : tensor<6xf32>
}
// CHECK: %[[P:.*]] = nn.concat 0 : i64, %{{.*}}, %{{.*}} : tensor<1xf32>, tensor<2xf32> -> tensor<3xf32>
// CHECK-NEXT: nn.concat 0 : i64, %[[P]], %{{.*}} : tensor<3xf32>, tensor<3xf32>
