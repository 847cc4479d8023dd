// Solves the challenges of Tamis aside from the page: numbers n, one for each i below `count`, for which
// SHA-256(CHALLENGE ":" i ":" n) begins with `bits` zero bits. Needs WebCrypto, so the page comes over HTTPS.
"use strict";

const TOGETHER = 256; // hashes on the way at once: each is a promise, and few of them would leave the engine waiting

function zeroBits(bytes) {
  let bits = 0;
  for (const byte of bytes) {
    if (byte === 0) {
      bits += 8;
      continue;
    }
    return bits + Math.clz32(byte) - 24;
  }
  return bits;
}

async function solvePart(text, i, bits, encoder) {
  for (let from = 0; ; from += TOGETHER) {
    const hashes = [];
    for (let n = from; n < from + TOGETHER; n++) {
      hashes.push(crypto.subtle.digest("SHA-256", encoder.encode(text + ":" + i + ":" + n)));
    }
    const found = (await Promise.all(hashes)).findIndex((hash) => zeroBits(new Uint8Array(hash)) >= bits);
    if (found >= 0) return from + found;
  }
}

self.onmessage = async (event) => {
  const { challenge, bits, count } = event.data;
  const encoder = new TextEncoder();
  const solution = [];
  try {
    for (let i = 0; i < count; i++) {
      solution.push(await solvePart(challenge, i, bits, encoder));
      self.postMessage({ done: i + 1, of: count });
    }
    self.postMessage({ solution });
  } catch (error) {
    self.postMessage({ error: String(error) });
  }
};
