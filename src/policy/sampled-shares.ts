/** The chance of each node to win when a few are drawn by weight and the first within a band of the least wins. */

/**
 * Exact for `draws` independent draws. With the nodes sorted by cost, let A be the part of the weight that costs
 * c or more, B the part within [c, band * c]. All draws fall in A, and node j of B is the first of B, with
 * probability
 *
 *     w_j * sum over t from 1 to draws of (A - B)^(t-1) * A^(draws-t)
 *
 * The least drawn cost being exactly c is that, less the same with the nodes of cost c left out. Summed over all
 * values of c, that is each node's share.
 *
 * @param costs each node's cost.
 * @param weights each node's weight; 0 for a node that cannot be drawn.
 * @param band at least 1.
 * @returns the shares, which add up to 1 if any weight is above 0.
 */
export function sampledShares(
  costs: Float64Array,
  weights: Float64Array,
  draws: number,
  band: number,
): Float64Array {
  const shares = new Float64Array(costs.length);
  const order = Array.from(costs.keys()).filter((index) => (weights[index] as number) > 0);
  order.sort((left, right) => (costs[left] as number) - (costs[right] as number));
  const costAt = (position: number): number => costs[order[position] as number] as number;
  const weightBelow = new Float64Array(order.length + 1);
  for (const [position, index] of order.entries()) {
    weightBelow[position + 1] = (weightBelow[position] as number) + (weights[index] as number);
  }
  const total = weightBelow[order.length] as number;
  const partFrom = (position: number): number => Math.max(0, 1 - (weightBelow[position] as number) / total);
  /** Chance, per weight, to be the first drawn of positions [from, to) with nothing drawn from below `from`. */
  const firstOf = (from: number, to: number): number => {
    if (to <= from) return 0;
    let sum = 0;
    for (let before = 0; before < draws; before++) {
      sum += partFrom(to) ** before * partFrom(from) ** (draws - 1 - before);
    }
    return sum;
  };

  // What each position gains over the one before it.
  const steps = new Float64Array(order.length + 1);
  const add = (from: number, to: number, amount: number): void => {
    steps[from] = (steps[from] as number) + amount;
    steps[to] = (steps[to] as number) - amount;
  };
  let bandEnd = 0;
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && costAt(end) === costAt(start)) end++;
    while (bandEnd < order.length && costAt(bandEnd) <= band * costAt(start)) bandEnd++;
    const withThem = firstOf(start, bandEnd);
    add(start, end, withThem);
    add(end, bandEnd, withThem - firstOf(end, bandEnd));
  }
  let rate = 0;
  for (const [position, index] of order.entries()) {
    rate += steps[position] as number;
    shares[index] = (Math.max(0, rate) * (weights[index] as number)) / total;
  }
  return shares;
}
