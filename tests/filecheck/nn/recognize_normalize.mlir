// RUN: webdnn-opt %s -p recognize-normalize --split-input-file | filecheck %s

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x10xf32>) -> tensor<2x10xf32> {
  %tenth = nn.constant dense<1.000000e-01> : tensor<f32> : tensor<f32>
  %eps = nn.constant dense<1.000000e-05> : tensor<f32> : tensor<f32>
  %s = nn.reduce "sum" %x axes [1 : i64] keep 1 : i64 : tensor<2x10xf32> -> tensor<2x1xf32>
  %m = nn.mul %s, %tenth : tensor<2x1xf32>, tensor<f32> -> tensor<2x1xf32>
  %d = nn.sub %x, %m : tensor<2x10xf32>, tensor<2x1xf32> -> tensor<2x10xf32>
  %q = nn.mul %d, %d : tensor<2x10xf32>, tensor<2x10xf32> -> tensor<2x10xf32>
  %t = nn.reduce "sum" %q axes [1 : i64] keep 1 : i64 : tensor<2x10xf32> -> tensor<2x1xf32>
  %v = nn.mul %t, %tenth : tensor<2x1xf32>, tensor<f32> -> tensor<2x1xf32>
  %e = nn.add %v, %eps : tensor<2x1xf32>, tensor<f32> -> tensor<2x1xf32>
  %r = nn.sqrt %e : tensor<2x1xf32> -> tensor<2x1xf32>
  %y = nn.div %d, %r : tensor<2x10xf32>, tensor<2x1xf32> -> tensor<2x10xf32>
  func.return %y : tensor<2x10xf32>
}
// CHECK-NEXT: %[[Y:.*]] = nn.normalize %{{.*}} axes [1 : i64] epsilon {{9.99.*e-06|1.0.*e-05}} : f64 centered 1 : i64
// CHECK-NEXT: func.return %[[Y]]

// -----

// Without the mean it is an RMS normalisation.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x10xf32>) -> tensor<2x10xf32> {
  %ten = nn.constant dense<1.000000e+01> : tensor<f32> : tensor<f32>
  %eps = nn.constant dense<1.000000e-05> : tensor<f32> : tensor<f32>
  %q = nn.mul %x, %x : tensor<2x10xf32>, tensor<2x10xf32> -> tensor<2x10xf32>
  %t = nn.reduce "sum" %q axes [1 : i64] keep 1 : i64 : tensor<2x10xf32> -> tensor<2x1xf32>
  %v = nn.div %t, %ten : tensor<2x1xf32>, tensor<f32> -> tensor<2x1xf32>
  %e = nn.add %v, %eps : tensor<2x1xf32>, tensor<f32> -> tensor<2x1xf32>
  %r = nn.sqrt %e : tensor<2x1xf32> -> tensor<2x1xf32>
  %i = nn.reciprocal %r : tensor<2x1xf32> -> tensor<2x1xf32>
  %y = nn.mul %x, %i : tensor<2x10xf32>, tensor<2x1xf32> -> tensor<2x10xf32>
  func.return %y : tensor<2x10xf32>
}
// CHECK: nn.normalize %{{.*}} axes [1 : i64] epsilon {{9.99.*e-06|1.0.*e-05}} : f64 centered 0 : i64

// -----

// A mean over another number of elements is none.
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<2x10xf32>) -> tensor<2x10xf32> {
  %ninth = nn.constant dense<0.111111112> : tensor<f32> : tensor<f32>
  %eps = nn.constant dense<1.000000e-05> : tensor<f32> : tensor<f32>
  %q = nn.mul %x, %x : tensor<2x10xf32>, tensor<2x10xf32> -> tensor<2x10xf32>
  %t = nn.reduce "sum" %q axes [1 : i64] keep 1 : i64 : tensor<2x10xf32> -> tensor<2x1xf32>
  %v = nn.mul %t, %ninth : tensor<2x1xf32>, tensor<f32> -> tensor<2x1xf32>
  %e = nn.add %v, %eps : tensor<2x1xf32>, tensor<f32> -> tensor<2x1xf32>
  %r = nn.sqrt %e : tensor<2x1xf32> -> tensor<2x1xf32>
  %y = nn.div %x, %r : tensor<2x10xf32>, tensor<2x1xf32> -> tensor<2x10xf32>
  func.return %y : tensor<2x10xf32>
}
// CHECK-NOT: nn.normalize
// CHECK: nn.div
