// RUN: webdnn-opt %s -p 'split-large-weights{max_bytes=4096 multiple=4}' | filecheck %s

func.func @main(%x: tensor<1x64xf32>) -> tensor<1x20xf32> {
  %w = nn.weight "w" : tensor<64x20xf32>
  %y = nn.matmul %x, %w : tensor<1x64xf32>, tensor<64x20xf32> -> tensor<1x20xf32>
  func.return %y : tensor<1x20xf32>
}
// CHECK: %[[W0:.*]] = nn.slice %{{.*}} starts [0 : i64, 0 : i64]{{.*}} -> tensor<64x16xf32>
// CHECK-NEXT: %[[Y0:.*]] = nn.matmul %{{.*}}, %[[W0]]
// CHECK-NEXT: %[[W1:.*]] = nn.slice %{{.*}} starts [0 : i64, 16 : i64]{{.*}} -> tensor<64x4xf32>
// CHECK-NEXT: %[[Y1:.*]] = nn.matmul %{{.*}}, %[[W1]]
// CHECK-NEXT: nn.concat 1 : i64, %[[Y0]], %[[Y1]]
