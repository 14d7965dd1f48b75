// Ops with all the attributes, properties and locations that a print might lose.
"builtin.module"() ({
  "llvm.func"() <{CConv = #llvm.cconv<ccc>, function_type = !llvm.func<i32 (ptr, i32, f32)>, linkage = #llvm.linkage<internal>, no_inline, no_unwind, sym_name = "f", sym_visibility = "private", unnamed_addr = 1 : i64, visibility_ = 1 : i64, target_cpu = "x"}> ({
  ^bb0(%p: !llvm.ptr loc("p"), %i: i32, %x: f32):
    %0 = "llvm.load"(%p) <{alignment = 2 : i64, ordering = 0 : i64}> : (!llvm.ptr) -> i32 loc("é")
    %1 = "llvm.load"(%p) <{alignment = 4 : i64, ordering = 0 : i64}> {a = "b"} : (!llvm.ptr) -> i32
    %2 = "llvm.load"(%p) <{alignment = 4 : i64, ordering = 7 : i64}> : (!llvm.ptr) -> i32
    "llvm.store"(%0, %p) <{alignment = 2 : i64, ordering = 0 : i64, volatile_}> : (i32, !llvm.ptr) -> ()
    "llvm.store"(%0, %p) <{alignment = 2 : i64, ordering = 0 : i64, nontemporal}> : (i32, !llvm.ptr) -> ()
    %3 = "llvm.add"(%0, %1) <{overflowFlags = 3 : i32}> {n = 1 : i32} : (i32, i32) -> i32
    %4 = "llvm.shl"(%0, %1) <{overflowFlags = 1 : i32}> : (i32, i32) -> i32
    %5 = "llvm.lshr"(%0, %1) <{isExact}> : (i32, i32) -> i32
    %6 = "llvm.or"(%0, %1) <{isDisjoint}> : (i32, i32) -> i32
    %7 = "llvm.fadd"(%x, %x) <{fastmathFlags = #llvm.fastmath<nnan, ninf>}> {n} : (f32, f32) -> f32
    %8 = "llvm.fcmp"(%x, %x) <{predicate = 1 : i64, fastmathFlags = #llvm.fastmath<nnan>}> : (f32, f32) -> i1
    %9 = "llvm.icmp"(%0, %1) <{predicate = 1 : i64}> {n} : (i32, i32) -> i1
    %10 = "llvm.zext"(%0) <{nonNeg}> : (i32) -> i64
    %11 = "llvm.alloca"(%0) <{alignment = 16 : i64, elem_type = i32}> {n} : (i32) -> !llvm.ptr
    %12 = "llvm.getelementptr"(%p, %0) <{elem_type = i32, rawConstantIndices = array<i32: -2147483648>, noWrapFlags = 3 : i32}> : (!llvm.ptr, i32) -> !llvm.ptr
    %13 = "llvm.trunc"(%0) <{overflowFlags = #llvm.overflow<nsw>}> : (i32) -> i16
    %14 = "llvm.select"(%8, %x, %x) <{fastmathFlags = #llvm.fastmath<nnan>}> : (i1, f32, f32) -> f32
    %15 = "llvm.fneg"(%x) <{fastmathFlags = #llvm.fastmath<fast>}> : (f32) -> f32
    %16 = "llvm.mlir.constant"() <{value = dense<[0.0, -0.0]> : vector<2xf32>}> {n} : () -> vector<2xf32>
    %17 = "llvm.mlir.undef"() {n} : () -> i32
    %18 = "llvm.bitcast"(%x) {n} : (f32) -> i32
    "llvm.return"(%0) {n} : (i32) -> ()
  }) {"é" = 1 : i32} : () -> ()
  "llvm.func"() <{CConv = #llvm.cconv<fastcc>, function_type = !llvm.func<void (ptr)>, linkage = #llvm.linkage<extern_weak>, sym_name = "g", visibility_ = 2 : i64, arg_attrs = [{llvm.noalias}]}> ({
  }) : () -> ()
  "func.func"() <{function_type = (memref<4x4xf32, strided<[?, 1], offset: 2>, 3 : i32>) -> tensor<2xf32>, sym_name = "a b\22\00é", sym_visibility = "private", arg_attrs = [{x.y = "z"}], res_attrs = [{x.r}]}> ({
  ^bb0(%m: memref<4x4xf32, strided<[?, 1], offset: 2>, 3 : i32>):
    %c = "arith.constant"() <{value = 1 : index}> {n} : () -> index loc("c")
    %i = "arith.constant"() <{value = 1 : i32}> : () -> i32
    %f = "arith.constant"() <{value = 0x7FC00001 : f32}> : () -> f32
    %d = "arith.constant"() <{value = dense<[0.0, -0.0]> : tensor<2xf32>}> : () -> tensor<2xf32>
    %0 = "arith.addi"(%i, %i) <{overflowFlags = #arith.overflow<nsw, nuw>}> {n} : (i32, i32) -> i32
    %1 = "arith.addf"(%f, %f) <{fastmath = #arith.fastmath<nnan, ninf>}> {n} : (f32, f32) -> f32
    %2 = "arith.cmpf"(%f, %f) <{fastmath = #arith.fastmath<nnan>, predicate = 1 : i64}> : (f32, f32) -> i1
    %21 = "arith.cmpf"(%f, %f) <{fastmath = #arith.fastmath<none>, predicate = 1 : i64}> {n} : (f32, f32) -> i1
    %3 = "arith.shrui"(%i, %i) : (i32, i32) -> i32
    %4 = "arith.extf"(%f) : (f32) -> f64
    %5 = "arith.truncf"(%f)  : (f32) -> f16
    %6 = "arith.select"(%2, %f, %f) {n} : (i1, f32, f32) -> f32
    %7 = "math.exp"(%f) <{fastmath = #arith.fastmath<afn>}> {n} : (f32) -> f32
    %8 = "math.fma"(%f, %f, %f) <{fastmath = #arith.fastmath<afn>}> : (f32, f32, f32) -> f32
    %9 = "memref.alloc"() <{alignment = 64 : i64, operandSegmentSizes = array<i32: 0, 0>}> {n} : () -> memref<4xf32, 2 : i32>
    %10 = "memref.alloca"() <{alignment = 64 : i64, operandSegmentSizes = array<i32: 0, 0>}> {n} : () -> memref<4xf32, #wgsl<access read>>
    %11 = "memref.load"(%m, %c, %c) <{nontemporal = true}> : (memref<4x4xf32, strided<[?, 1], offset: 2>, 3 : i32>, index, index) -> f32
    "memref.store"(%f, %m, %c, %c) <{nontemporal = true}> : (f32, memref<4x4xf32, strided<[?, 1], offset: 2>, 3 : i32>, index, index) -> ()
    %12 = "vector.load"(%9, %c) <{nontemporal = true}> : (memref<4xf32, 2 : i32>, index) -> vector<2xf32>
    "vector.store"(%12, %9, %c) <{nontemporal = true}> {n} : (vector<2xf32>, memref<4xf32, 2 : i32>, index) -> ()
    %13 = "tensor.empty"() {n} : () -> tensor<4xf32>
    %14 = "scf.for"(%c, %c, %c, %f) ({
    ^bb0(%k: index loc("k"), %acc: f32):
      "scf.yield"(%acc) {n} : (f32) -> () loc("y")
    }) {n} : (index, index, index, f32) -> f32 loc("for")
    "scf.for"(%c, %c, %c) ({
    ^bb0(%k: index):
      "scf.yield"() {n} : () -> () loc("y")
    }) : (index, index, index) -> ()
    %16:2 = "scf.if"(%2) ({
      "scf.yield"(%f, %f) : (f32, f32) -> ()
    }, {
      "scf.yield"(%f, %f) {n} : (f32, f32) -> () loc("q")
    }) {n} : (i1) -> (f32, f32)
    "scf.if"(%2) ({
      "scf.yield"() : () -> () loc("q")
    }, {
    }) : (i1) -> ()
    %17 = "scf.while"(%f) ({
    ^bb0(%u: f32 loc("u")):
      "scf.condition"(%2, %u) {n} : (i1, f32) -> ()
    }, {
    ^bb0(%v: f32):
      "scf.yield"(%v) : (f32) -> ()
    }) {n} : (f32) -> f32
    %18 = "vector.broadcast"(%f) : (f32) -> vector<4xf32>
    %t = "gpu.thread_id"() <{dimension = #gpu<dim<x>>}> : () -> index
    %b = "gpu.block_id"() <{dimension = #gpu<dim y>}> : () -> index
    "func.return"(%d) {n} : (tensor<2xf32>) -> ()
  }) {"x y" = 1 : i32} : () -> ()
  "func.func"() <{function_type = (i32) -> (), sym_name = "decl", sym_visibility = "private", arg_attrs = [{x.y = "z"}]}> ({
  }) : () -> ()
}) : () -> () loc(fused<"m">["a\0A", unknown, callsite("x" at "y"("z")), "f":1:2])
