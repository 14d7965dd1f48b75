// RUN: webdnn-opt %s -p 'read-image{options="x=uint8-rgba,size=10x5,mode=tf"}' | filecheck %s
// RUN: webdnn-opt %s -p 'read-image{options="x=uint8-rgba,order=bgr,scale=1"}' | filecheck %s --check-prefix SAME
// RUN: webdnn-opt %s -p 'read-image{options="x=uint8-rgba,size=2..9x5"}' | filecheck %s --check-prefix ANY

func.func @main(%x: tensor<1x3x5x5xf32>) -> tensor<1x3x5x5xf32>
    attributes {"webdnn.input_names" = ["x"], "webdnn.input_dtypes" = ["float32"], "webdnn.input_symbols" = [["n", "", "", ""]]} {
  %y = nn.relu %x : tensor<1x3x5x5xf32> -> tensor<1x3x5x5xf32>
  func.return %y : tensor<1x3x5x5xf32>
}
// Columns alone are resampled: rows keep their number.
// CHECK: func.func @main(%x: tensor<5x10x4xui8>) -> tensor<1x3x5x5xf32>
// CHECK-SAME: webdnn.input_dtypes = ["uint8"], webdnn.input_symbols = {{.*}}["", "", ""]
// CHECK: nn.reshape %x
// CHECK: nn.slice {{.*}} -> tensor<1x5x10x3xui8>
// CHECK: nn.cast {{.*}} -> tensor<{{.*}}xf32>
// CHECK: nn.matmul
// CHECK: nn.mul
// CHECK: nn.add
// CHECK: nn.transpose
// CHECK: nn.relu

// SAME: func.func @main(%x: tensor<5x5x4xui8>)
// SAME: nn.slice {{.*}} starts [{{.*}}2 : i64] steps [{{.*}}-1 : i64]
// SAME-NEXT: nn.cast
// SAME-NEXT: nn.transpose
// SAME-NEXT: nn.relu

// The weights of a picture whose width each run has are computed there.
// ANY: func.func @main(%x: tensor<5x?x4xui8, #nn.sizes<5, x_width[2 to 9], 4>>) -> tensor<1x3x5x5xf32>
// ANY: nn.sizes
// ANY: nn.gather
// ANY: nn.relu
