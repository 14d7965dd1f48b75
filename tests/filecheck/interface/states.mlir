// RUN: webdnn-opt %s -p 'keep-states{pairs="past=present","h=g"}' | filecheck %s
// RUN: webdnn-opt %s -p 'keep-states{pairs="past=present","h=wide","x=g" where_they_fit=true}' | filecheck %s --check-prefix FITTING

func.func @main(%x: tensor<?x4xf32, #nn.sizes<s[1 to 8], 4>>, %past: tensor<?x4xf32, #nn.sizes<p[0 to 32], 4>>, %h: tensor<4xf32>) -> (tensor<?x4xf32, #nn.sizes<p[0 to 32] + s[1 to 8], 4>>, tensor<4xf32>, tensor<8xf32>)
    attributes {webdnn.input_names = ["x", "past", "h"], webdnn.output_names = ["present", "g", "wide"]} {
  %0 = nn.concat 0 : i64, %past, %x : tensor<?x4xf32, #nn.sizes<p[0 to 32], 4>>, tensor<?x4xf32, #nn.sizes<s[1 to 8], 4>> -> tensor<?x4xf32, #nn.sizes<p[0 to 32] + s[1 to 8], 4>>
  %1 = nn.neg %h : tensor<4xf32> -> tensor<4xf32>
  %2 = nn.concat 0 : i64, %h, %h : tensor<4xf32>, tensor<4xf32> -> tensor<8xf32>
  func.return %0, %1, %2 : tensor<?x4xf32, #nn.sizes<p[0 to 32] + s[1 to 8], 4>>, tensor<4xf32>, tensor<8xf32>
}
// CHECK: webdnn.states = {{\[}}["past", "present"], ["h", "g"]]
// FITTING: webdnn.states = {{\[}}["past", "present"]]
