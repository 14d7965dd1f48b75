// RUN: webdnn-opt %s -p defer-launches-at-load --split-input-file | filecheck %s

// Three results at load, each for one launch of a run. The scratch memory is as large as the largest, and lies at the end.
plan.program "main" {
  %w = plan.slice "weights" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  %p = plan.slice "prepared" 0 : i64 [0 : i64] bytes 128 : i64 : memref<32xf32>
  %q = plan.slice "prepared" 0 : i64 [128 : i64] bytes 64 : i64 : memref<16xf32>
  %r = plan.slice "prepared" 0 : i64 [192 : i64] bytes 128 : i64 : memref<32xf32>
  %x = plan.slice "arena" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  plan.launch_into @wide(%w, %p) {at_load = 0 : i64} : memref<16xf32>, memref<32xf32>
  plan.launch_into @same(%w, %q) {at_load = 2 : i64} : memref<16xf32>, memref<16xf32>
  plan.launch_into @wide(%w, %r) {at_load = 3 : i64} : memref<16xf32>, memref<32xf32>
  plan.launch_into @narrow(%x, %p) : memref<16xf32>, memref<32xf32>
  plan.launch_into @relu(%x, %x) : memref<16xf32>, memref<16xf32>
  plan.launch_into @add(%x, %q) : memref<16xf32>, memref<16xf32>
  plan.launch_into @narrow(%x, %r) : memref<16xf32>, memref<32xf32>
}
// CHECK:       plan.program "main" attributes {first_run_limit = 2 : i64}
// CHECK:       %[[X:.*]] = plan.slice "arena"
// CHECK:       plan.launch_into @narrow(%[[X]], %{{.*}}) : memref<16xf32>, memref<32xf32>
// CHECK:       %[[P:.*]] = plan.slice "prepared" 0 : i64[192 : i64] bytes 128
// CHECK-NEXT:  plan.launch_into @wide(%{{.*}}, %[[P]]) {first_run = 0 : i64}
// CHECK-NEXT:  plan.launch_into @narrow(%[[X]], %[[P]]) {first_run = 0 : i64}
// CHECK-NEXT:  %[[Q:.*]] = plan.slice "prepared" 0 : i64[192 : i64] bytes 64
// CHECK-NEXT:  plan.launch_into @same(%{{.*}}, %[[Q]]) {first_run = 2 : i64}
// CHECK-NEXT:  plan.launch_into @add(%[[X]], %[[Q]]) {first_run = 2 : i64}
// CHECK-NEXT:  %[[R:.*]] = plan.slice "prepared" 0 : i64[192 : i64] bytes 128
// CHECK-NEXT:  plan.launch_into @wide(%{{.*}}, %[[R]]) {first_run = 3 : i64}
// CHECK-NEXT:  plan.launch_into @narrow(%[[X]], %[[R]]) {first_run = 3 : i64}
// CHECK-NEXT:  }

// -----

// Two launches at load for one launch of a run go together, with what one hands to the other.
plan.program "chain" {
  %w = plan.slice "weights" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  %p = plan.slice "prepared" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  %q = plan.slice "prepared" 0 : i64 [64 : i64] bytes 64 : i64 : memref<16xf32>
  %r = plan.slice "prepared" 0 : i64 [128 : i64] bytes 128 : i64 : memref<32xf32>
  %x = plan.slice "arena" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  plan.launch_into @same(%w, %p) {at_load = 0 : i64} : memref<16xf32>, memref<16xf32>
  plan.launch_into @same(%p, %q) {at_load = 0 : i64} : memref<16xf32>, memref<16xf32>
  plan.launch_into @wide(%w, %r) {at_load = 1 : i64} : memref<16xf32>, memref<32xf32>
  plan.launch_into @add(%x, %q) : memref<16xf32>, memref<16xf32>
  plan.launch_into @narrow(%x, %r) : memref<16xf32>, memref<32xf32>
}
// CHECK:       plan.program "chain" attributes {first_run_limit = 2 : i64}
// CHECK:       %[[P:.*]] = plan.slice "prepared" 0 : i64[128 : i64] bytes 64
// CHECK-NEXT:  plan.launch_into @same(%{{.*}}, %[[P]]) {first_run = 0 : i64}
// CHECK-NEXT:  %[[Q:.*]] = plan.slice "prepared" 0 : i64[192 : i64] bytes 64
// CHECK-NEXT:  plan.launch_into @same(%[[P]], %[[Q]]) {first_run = 0 : i64}
// CHECK-NEXT:  plan.launch_into @add(%{{.*}}, %[[Q]]) {first_run = 0 : i64}

// -----

// What two launches of a run need is computed at load, and so is all else.
plan.program "shared" {
  %w = plan.slice "weights" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  %p = plan.slice "prepared" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  %q = plan.slice "prepared" 0 : i64 [64 : i64] bytes 64 : i64 : memref<16xf32>
  %x = plan.slice "arena" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  plan.launch_into @same(%w, %p) {at_load = 0 : i64} : memref<16xf32>, memref<16xf32>
  plan.launch_into @same(%w, %q) {at_load = 1 : i64} : memref<16xf32>, memref<16xf32>
  plan.launch_into @add(%x, %p) : memref<16xf32>, memref<16xf32>
  plan.launch_into @add(%x, %q) : memref<16xf32>, memref<16xf32>
  plan.launch_into @add(%x, %p) : memref<16xf32>, memref<16xf32>
}
// CHECK:       plan.program "shared" {
// CHECK-NOT:   first_run

// -----

// One result alone would not save any memory.
plan.program "single" {
  %w = plan.slice "weights" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  %p = plan.slice "prepared" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  %x = plan.slice "arena" 0 : i64 [0 : i64] bytes 64 : i64 : memref<16xf32>
  plan.launch_into @same(%w, %p) {at_load = 0 : i64} : memref<16xf32>, memref<16xf32>
  plan.launch_into @add(%x, %p) : memref<16xf32>, memref<16xf32>
}
// CHECK:       plan.program "single" {
// CHECK-NOT:   first_run
