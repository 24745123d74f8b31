/**
 * Hashes of strings and integers, the same in every process: MurmurHash3, 32 bits, by Austin Appleby.
 *
 * Source: `smhasher/src/MurmurHash3.cpp`, MurmurHash3_x86_32, in the public domain. The bytes hashed are those of
 * the string in UTF-16, little-endian, two to each char code: nothing is encoded or allocated for it, and a client
 * in another language gets the same number from the same bytes. Not for secrets: collisions can be made at will.
 */

/**
 * The hash of a string as a signed integer of 32 bits: an unsigned one may cost an object on the heap.
 *
 * @param seed any integer; another seed gives an independent hash.
 */
export function hashString(text: string, seed = 0): number {
  const { length } = text;
  let hash = seed | 0;
  let position = 0;
  for (; position + 1 < length; position += 2) {
    hash ^= scramble(text.charCodeAt(position) | (text.charCodeAt(position + 1) << 16));
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  if (position < length) hash ^= scramble(text.charCodeAt(position));
  return mix(hash ^ (2 * length));
}

/**
 * Spreads an integer over all 32 bits (the finalizer of MurmurHash3): each bit of the argument changes each bit of
 * the result with a probability of about a half, and no two arguments have the same result.
 */
export function mix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

function scramble(block: number): number {
  const scrambled = Math.imul(block, 0xcc9e2d51);
  return Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
}
