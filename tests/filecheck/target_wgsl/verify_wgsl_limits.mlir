// RUN: not webdnn-opt %s -p verify-wgsl-limits 2>&1 | filecheck %s

kernel.func @fits(%out: memref<64xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  kernel.return
}

kernel.func @too_wide(%out: memref<64xf32>) attributes {num_outputs = 1 : i64, grid = [1 : i64, 1 : i64, 1 : i64], workgroup = [512 : i64, 1 : i64, 1 : i64]} {
  kernel.return
} loc("Conv_7")
// CHECK:      the kernel too_wide does not fit WebGPU
// CHECK-NEXT: {{.*}}where: Conv_7
// CHECK-NEXT: {{.*}}why: {{ *}}a workgroup has 512 invocations of at most 256
