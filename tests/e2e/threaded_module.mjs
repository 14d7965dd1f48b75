// A module for several threads, written by hand, with the entry points of those that the compiler makes.

/** The manifest's `threads` for it: stacks of 16 KiB behind a memory of one page. */
export const THREADS = { max: 4, maxPages: 2, stackBytes: 16384 };

/**
 * @param {readonly string[]} bodies of the launches; `shared` of them from `first` on do the part of their loop from $i to $end,
 *   thread 0 runs the others alone
 * @param {{ first: number, shared: number, bytes: number, trap: boolean }} options `bytes`: where the loops end, in steps of 16;
 *   `trap`: thread 1 traps when it is to run
 */
export function threadedText(bodies, { first, shared, bytes, trap }) {
  const steps = Math.ceil(bytes / 16);
  const part = (/** @type {string} */ thread) =>
    `(i32.mul (i32.div_u (i32.mul (i32.const ${steps}) ${thread}) (i32.load (i32.const 8))) (i32.const 16))`;
  const next = "(i32.add (local.get $thread) (i32.const 1))";
  const calls = bodies.map((_, i) => {
    const call =
      i >= first && i < first + shared
        ? `(call $k${i} ${part("(local.get $thread)")} ${part(next)})`
        : `(if (i32.eqz (local.get $thread)) (then (call $k${i} (i32.const 0) (i32.const ${bytes}))))`;
    const inside = `(i32.and (i32.le_u (i32.load (i32.const 12)) (i32.const ${i})) (i32.gt_u (i32.load (i32.const 16)) (i32.const ${i})))`;
    return `(if ${inside} (then ${call} (call $barrier)))`;
  });
  return `(module (import "env" "memory" (memory 1 ${THREADS.maxPages} shared))
    (global (export "__stack_pointer") (mut i32) (i32.const 512))
    ${bodies.map((body, i) => `(func $k${i} (param $i i32) (param $end i32) ${body})`).join("\n")}
    (func $barrier (local $generation i32)
      (local.set $generation (i32.atomic.load (i32.const 4)))
      (if (i32.eq (i32.atomic.rmw.add (i32.const 0) (i32.const 1)) (i32.sub (i32.load (i32.const 8)) (i32.const 1)))
        (then
          (i32.atomic.store (i32.const 0) (i32.const 0))
          (drop (i32.atomic.rmw.add (i32.const 4) (i32.const 1)))
          (drop (memory.atomic.notify (i32.const 4) (i32.const -1))))
        (else (loop $again
          (drop (memory.atomic.wait32 (i32.const 4) (local.get $generation) (i64.const -1)))
          (br_if $again (i32.eq (i32.atomic.load (i32.const 4)) (local.get $generation)))))))
    (func $share (param $thread i32)
      (call $barrier)
      ${trap ? "(if (i32.eq (local.get $thread) (i32.const 1)) (then unreachable))" : ""}
      ${calls.join("\n")}
      (call $barrier))
    (func (export "start") (param $threads i32) (i32.store (i32.const 8) (local.get $threads)))
    (func (export "help") (param $thread i32) (loop $again (call $share (local.get $thread)) (br $again)))
    (func $range (export "run_range") (param $begin i32) (param $end i32)
      (i32.store (i32.const 12) (local.get $begin))
      (i32.store (i32.const 16) (local.get $end))
      (call $share (i32.const 0))))`;
}
