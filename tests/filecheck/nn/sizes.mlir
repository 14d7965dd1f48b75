// RUN: webdnn-opt %s | webdnn-opt | filecheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128], 4>>) -> tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128] * 2, 4>> {
  // CHECK: nn.sizes <s[1 to 512 likely 128], 3> : tensor<2xi64>
  %n = nn.sizes <s[1 to 512 likely 128], 3> : tensor<2xi64>
  // CHECK: nn.slice %x starts #nn.sizes<0, s[1 to 512 likely 128] - 1, 0> steps [1 : i64, 1 : i64, 1 : i64]
  %a = nn.slice %x starts #nn.sizes<0, s[1 to 512 likely 128] - 1, 0> steps [1, 1, 1] : tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128], 4>> -> tensor<1x1x4xf32>
  // CHECK: nn.add %x, %{{.*}} -> tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128], 4>>
  %b = nn.add %x, %a : tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128], 4>>, tensor<1x1x4xf32> -> tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128], 4>>
  // CHECK: nn.concat
  %c = nn.concat 1 : i64, %b, %x : tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128], 4>>, tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128], 4>> -> tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128] * 2, 4>>
  func.return %c : tensor<1x?x4xf32, #nn.sizes<1, s[1 to 512 likely 128] * 2, 4>>
}
