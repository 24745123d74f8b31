/**
 * The memory of large tables, used again for the next one.
 *
 * A ring of 10,000 nodes takes 25 MB of arrays to make. As garbage of each rebuild they set off collections that
 * stop the event loop for 10 to 20 ms (measured with bench/picks.ts), longer than any slice of the work.
 */

/** Arrays are made in steps of this many bytes, so that the next ring, of nearly the same size, fits. */
const stepBytes = 256 * 1_024;
/** A ring has three arrays, and takes two more to make. */
const mostKept = 5;

export class TableMemory {
  #free: ArrayBuffer[] = [];

  /** An array of this length, whatever is in it. */
  take(length: number): Uint32Array<ArrayBuffer> {
    const wanted = length * Uint32Array.BYTES_PER_ELEMENT;
    // Small ones cost the collector nothing.
    if (wanted < stepBytes) return new Uint32Array(length);
    const bytes = Math.ceil(wanted / stepBytes) * stepBytes;
    const index = this.#free.findIndex(({ byteLength }) => byteLength >= bytes && byteLength <= 2 * bytes);
    const buffer = this.#free[index];
    if (buffer === undefined) return new Uint32Array(new ArrayBuffer(bytes), 0, length);
    this.#free.splice(index, 1);
    return new Uint32Array(buffer, 0, length);
  }

  /** Takes an array back that nobody reads or writes any more. */
  give(array: Uint32Array<ArrayBuffer>): void {
    if (array.buffer.byteLength < stepBytes) return;
    // The newest are nearest to the size that is wanted next.
    this.#free = [array.buffer, ...this.#free].slice(0, mostKept);
  }
}
