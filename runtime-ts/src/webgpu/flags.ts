/** WebGPU's bit flags. The globals of these names exist only where `navigator.gpu` does, and Dawn for Node has none. */

export const USAGE = {
  MAP_READ: 0x1,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  QUERY_RESOLVE: 0x200,
} as const;

export const MAP_READ = 0x1;

export const VISIBLE_TO_COMPUTE = 0x4;
