// Writes PNG files, whose pixels a test then knows exactly.
import { crc32, deflateSync } from "node:zlib";

/** @param {string} type @param {Buffer} content */
function chunk(type, content) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/**
 * @param {number} width
 * @param {number} height
 * @param {Uint8Array | Uint8ClampedArray} pixels red, green, blue and alpha of each, row by row
 * @returns {Buffer}
 */
export function encodePng(width, height, pixels) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // 8 bits a channel, RGBA.
  header.set([8, 6], 8);
  const rows = Array.from({ length: height }, (_, y) =>
    // Each row begins with its filter: none.
    Buffer.from([0, ...pixels.subarray(4 * width * y, 4 * width * (y + 1))]),
  );
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.concat(rows))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
