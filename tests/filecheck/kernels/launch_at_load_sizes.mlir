// RUN: webdnn-opt %s -p launch-at-load | filecheck %s

// What reads nothing but depends on a size is launched in each run.
func.func @main(%x: tensor<?xf32, #nn.sizes<s[1 to 9]>>) -> tensor<?xf32, #nn.sizes<s[1 to 9]>> attributes {webdnn.input_names = ["x"], webdnn.output_names = ["y"], webdnn.input_dtypes = ["float32"], webdnn.output_dtypes = ["float32"]} {
  %0 = plan.launch @ramp() {sizes = #nn.sizes<s[1 to 9]>} : () -> tensor<?xf32, #nn.sizes<s[1 to 9]>>
  %1 = plan.launch @table() : () -> tensor<4xf32>
  %2 = plan.launch @add(%x, %0, %1) {sizes = #nn.sizes<s[1 to 9]>} : (tensor<?xf32, #nn.sizes<s[1 to 9]>>, tensor<?xf32, #nn.sizes<s[1 to 9]>>, tensor<4xf32>) -> tensor<?xf32, #nn.sizes<s[1 to 9]>>
  func.return %2 : tensor<?xf32, #nn.sizes<s[1 to 9]>>
}
// CHECK:      plan.launch @ramp() {sizes = #nn.sizes<s[1 to 9]>} :
// CHECK-NEXT: plan.launch @table() {at_load} :
