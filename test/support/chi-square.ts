/** Pearson's test of whether counts are spread evenly, and how often chance alone would spread them as unevenly. */

/** The sum of (count - expected)^2 / expected. */
export function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/**
 * The probability that an even spread gives this statistic or a larger one: the regularised upper gamma function
 * Q(k/2, x/2) for k degrees of freedom, by the recurrence Q(a + 1, y) = Q(a, y) + y^a e^-y / Gamma(a + 1), which
 * starts from Q(1, y) = e^-y for an even k and from Q(1/2, y) = erfc(sqrt(y)) for an odd one
 * (Abramowitz and Stegun, 26.4.4 and 26.4.5).
 */
export function chiSquareProbability(statistic: number, degrees: number): number {
  const y = statistic / 2;
  let a = degrees % 2 === 0 ? 1 : 0.5;
  let probability = degrees % 2 === 0 ? Math.exp(-y) : complementaryError(Math.sqrt(y));
  // y^a e^-y / Gamma(a + 1)
  let term = degrees % 2 === 0 ? y * Math.exp(-y) : Math.sqrt(y) * Math.exp(-y) * (2 / Math.sqrt(Math.PI));
  for (; a < degrees / 2; a++) {
    probability += term;
    term *= y / (a + 1);
  }
  return probability;
}

/** Abramowitz and Stegun, 7.1.26; its error is below 1.5e-7. */
function complementaryError(x: number): number {
  const t = 1 / (1 + 0.3275911 * x);
  const factors = [0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429];
  const polynomial = factors.reduceRight((sum, factor) => (sum + factor) * t, 0);
  return polynomial * Math.exp(-x * x);
}
