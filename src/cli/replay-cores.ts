/**
 * How many calls at once a node serves at full speed, and how much work each call was, from when its calls were under
 * way.
 *
 * A node of c cores that has n calls serves each at a speed of min(1, c / n). For a given c the work of a call is then
 * that speed, summed up over its time. How much work a call is has nothing to do with how busy the node is when it
 * comes: the right c is the one for which the two do not correlate. With more cores than there are, the waiting counts
 * as work, and calls to a busy node seem to be larger; with fewer, smaller.
 */

/** One success at a node: when it began, when it was answered. In milliseconds. */
export interface Served {
  readonly beganAt: number;
  readonly answeredAt: number;
}

/** A time during which a call was under way at the node, however it ended. */
export interface Stay {
  readonly beganAt: number;
  readonly endedAt: number;
}

export interface FittedCores {
  /** `Infinity` when the node was never seen to be short of them. */
  readonly cores: number;
  /** The work of each success, in milliseconds. */
  readonly work: Float64Array;
}

/** How many standard errors a correlation has to be above 0 for cores to be believed. */
const significant = 3;

/** @param stays in ascending order of `beganAt`. */
export function fitCores(served: readonly Served[], stays: readonly Stay[]): FittedCores {
  const course = courseOf(stays);
  const crowds = Float64Array.from(served, ({ beganAt }) => crowdAt(course, beganAt));
  const workWith = (cores: number): Float64Array => {
    const progress = progressOf(course, cores);
    return Float64Array.from(
      served,
      ({ beganAt, answeredAt }) =>
        progressAt(course, progress, cores, answeredAt) - progressAt(course, progress, cores, beganAt),
    );
  };
  const correlationWith = (cores: number): number => correlation(workWith(cores), crowds);
  const most = crowds.reduce((crowd, other) => Math.max(crowd, other), 0);
  const unlimited = { cores: Number.POSITIVE_INFINITY, work: workWith(Number.POSITIVE_INFINITY) };
  if (most < 2 || correlation(unlimited.work, crowds) * Math.sqrt(served.length) < significant)
    return unlimited;
  // It grows with the cores: the least number with which it is above 0, or the one below if that is nearer to 0.
  let low = 1;
  let high = most;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (correlationWith(middle) > 0) high = middle;
    else low = middle + 1;
  }
  const below = Math.max(1, low - 1);
  const cores = Math.abs(correlationWith(below)) < Math.abs(correlationWith(low)) ? below : low;
  return { cores, work: workWith(cores) };
}

/** How many calls the node had from each of these times on. */
interface Course {
  readonly times: Float64Array;
  readonly crowds: Int32Array;
}

function courseOf(stays: readonly Stay[]): Course {
  const ends = Float64Array.from(stays, ({ endedAt }) => endedAt).sort();
  const times = new Float64Array(2 * stays.length);
  const crowds = new Int32Array(2 * stays.length);
  let begun = 0;
  let ended = 0;
  for (let place = 0; place < times.length; place++) {
    const beganAt = stays[begun]?.beganAt ?? Number.POSITIVE_INFINITY;
    const endedAt = ends[ended] as number;
    if (beganAt < endedAt) begun++;
    else ended++;
    times[place] = Math.min(beganAt, endedAt);
    crowds[place] = Math.max(0, begun - ended);
  }
  return { times, crowds };
}

/** The work that a call which was there all the time would have got by each time of the course. */
function progressOf({ times, crowds }: Course, cores: number): Float64Array {
  const progress = new Float64Array(times.length);
  for (let place = 1; place < times.length; place++) {
    const elapsedMs = (times[place] as number) - (times[place - 1] as number);
    progress[place] = (progress[place - 1] as number) + elapsedMs * speed(crowds[place - 1] as number, cores);
  }
  return progress;
}

function progressAt(course: Course, progress: Float64Array, cores: number, time: number): number {
  const place = placeOf(course, time);
  const elapsedMs = time - (course.times[place] as number);
  return (progress[place] as number) + elapsedMs * speed(course.crowds[place] as number, cores);
}

function crowdAt(course: Course, time: number): number {
  return course.crowds[placeOf(course, time)] as number;
}

/** The last place of the course that is not after the time. */
function placeOf({ times }: Course, time: number): number {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((times[middle] as number) <= time) low = middle;
    else high = middle - 1;
  }
  return low;
}

function speed(crowd: number, cores: number): number {
  return crowd <= cores ? 1 : cores / crowd;
}

/** Pearson's, from -1 to 1; 0 when either does not vary. */
function correlation(left: Float64Array, right: Float64Array): number {
  const leftMean = meanOf(left);
  const rightMean = meanOf(right);
  let product = 0;
  let leftSquares = 0;
  let rightSquares = 0;
  for (let index = 0; index < left.length; index++) {
    const leftDistance = (left[index] as number) - leftMean;
    const rightDistance = (right[index] as number) - rightMean;
    product += leftDistance * rightDistance;
    leftSquares += leftDistance * leftDistance;
    rightSquares += rightDistance * rightDistance;
  }
  const squares = leftSquares * rightSquares;
  return squares === 0 ? 0 : product / Math.sqrt(squares);
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
