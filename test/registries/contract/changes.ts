/** Many changes of a registry at once, as a deploy makes them. */

/** As many writers as a large deploy has; more would only queue in the server. */
const writers = 20;

/** Applies `change` to each item, twenty at a time and in their order. */
export async function changesAtOnce<Item>(
  items: readonly Item[],
  change: (item: Item) => Promise<void>,
): Promise<void> {
  let next = 0;
  const write = async (): Promise<void> => {
    while (next < items.length) await change(items[next++] as Item);
  };
  await Promise.all(Array.from({ length: writers }, write));
}
